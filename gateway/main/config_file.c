// SPDX-License-Identifier: MIT
// Reading a file with zconfig, and saying what is wrong with one in a line of our own.

#include "gateway/main/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20) // bytes

// zconfig prints what it dislikes, with the line's number, on standard output, where nothing of the
// kind belongs: it is caught in a file and becomes part of our own line.
static zconfig_t *parse(const char *text, char *reason, size_t size)
{
    FILE *caught = tmpfile();
    int output = caught ? dup(STDOUT_FILENO) : -1;
    bool is_caught = output >= 0 && fflush(stdout) == 0 && dup2(fileno(caught), STDOUT_FILENO) >= 0;
    zconfig_t *root = zconfig_str_load(text);
    fflush(stdout);
    if (is_caught) {
        dup2(output, STDOUT_FILENO);
        rewind(caught);
        reason[fread(reason, 1, size - 1, caught)] = '\0';
    }
    if (output >= 0)
        close(output);
    if (caught)
        fclose(caught);
    return root;
}

// What of zconfig's complaint says where and why: the line's number, and not the line itself, which
// may be of any file that was named by mistake.
static int line_of(const char *reason)
{
    const char *at = strstr(reason, "(zconfig): (");
    return at ? atoi(at + strlen("(zconfig): (")) : 0;
}

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
    char reason[256] = "";
    char *text = read_text(name);
    if (!text) {
        snprintf(error, error_size, "cannot read %s: %s", name,
                 errno == EILSEQ ? "it is no text" : strerror(errno));
        return NULL;
    }
    zconfig_t *root = parse(text, reason, sizeof reason);
    free(text);
    if (!root)
        snprintf(error, error_size,
                 "%s, line %d: not of the form NAME = VALUE, from the first column on", name,
                 line_of(reason));
    return root;
}
