// SPDX-License-Identifier: MIT
// Reading a file with zconfig, and saying what is wrong with one in a line of our own.

#include "gateway/main/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 20) // bytes

#define LINE_MAX_BYTES 1024 // zconfig would take the rest for a line of its own
#define INDENT         4

// ---- The form of a line
//
// zconfig prints what it cannot read on standard output. So it is given only what it can read: each
// line is a comment, or blank, or NAME or NAME = VALUE, the value perhaps in quotes.

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("$-_@.&+/", c));
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && strchr(" \t\r\v\f", *at))
        at++;
    return at;
}

static bool is_rest_blank(const char *at, const char *end)
{
    at = skip_blanks(at, end);
    return at == end || *at == '#';
}

// What follows a name.
static bool is_value(const char *at, const char *end)
{
    at = skip_blanks(at, end);
    if (at == end || *at != '=')
        return is_rest_blank(at, end);
    at = skip_blanks(at + 1, end);
    if (at == end || (*at != '"' && *at != '\''))
        return true;
    const char *quote = memchr(at + 1, *at, (size_t)(end - at - 1));
    return quote && is_rest_blank(quote + 1, end);
}

// `depth`: of the last name, in and out; -1: there was none yet.
static bool is_line(const char *line, const char *end, int *depth)
{
    const char *name = line;
    while (name < end && *name == ' ')
        name++;
    const char *name_end = name;
    while (name_end < end && is_name_char(*name_end))
        name_end++;
    if (end - line > LINE_MAX_BYTES)
        return false;
    if (name == name_end)
        return is_rest_blank(name, end);
    int indent = (int)(name - line);
    if (indent % INDENT != 0 || indent / INDENT > *depth + 1 || *name == '/' || name_end[-1] == '/')
        return false;
    *depth = indent / INDENT;
    return is_value(name_end, end);
}

// The number of the first line that is none; 0: all are good.
static int find_bad_line(const char *text)
{
    int depth = -1;
    for (int number = 1; *text != '\0'; number++) {
        const char *end = text + strcspn(text, "\n");
        if (!is_line(text, end, &depth))
            return number;
        text = *end ? end + 1 : end;
    }
    return 0;
}

// ---- The file

// The text of the file, to be freed; NULL with errno. (zconfig_load would leak on a bad file, and
// take a directory for an empty one.)
static char *read_text(const char *name)
{
    FILE *file = fopen(name, "r");
    char *text = file ? malloc(FILE_MAX + 1) : NULL;
    size_t size = text ? fread(text, 1, FILE_MAX + 1, file) : 0;
    if (text && (ferror(file) || size > FILE_MAX || memchr(text, '\0', size))) {
        if (!ferror(file))
            errno = size > FILE_MAX ? EFBIG : EILSEQ;
        free(text);
        text = NULL;
    }
    if (text)
        text[size] = '\0';
    int saved = errno;
    if (file)
        fclose(file);
    errno = saved;
    return text;
}

zconfig_t *config_file_load(const char *name, char *error, size_t error_size)
{
    zconfig_t *root = NULL;
    char *text = read_text(name);
    if (!text) {
        snprintf(error, error_size, "cannot read %s: %s", name,
                 errno == EILSEQ ? "it is no text" : strerror(errno));
        return NULL;
    }
    int line = find_bad_line(text);
    if (line > 0) {
        snprintf(error, error_size,
                 "%s, line %d: not of the form NAME = VALUE, from the first column on", name, line);
    } else {
        root = zconfig_str_load(text);
        if (!root)
            snprintf(error, error_size, "cannot read %s: out of memory", name);
    }
    free(text);
    return root;
}
