// SPDX-License-Identifier: MIT
// A line is put together in one buffer and written at once, so that lines of two threads never mix.
#include "clients/cli/report.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talus.h>

#include "common/utf8.h"

enum { LINE_BYTES = 2048, SHOWN_BYTES = 200 }; // … of an endpoint, which may be of any length

static const char *command_name;
static const char *bus_variable;

static void on_log(talus_log_level_t level, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    report("%s", line);
}

void report_command(const char *command)
{
    command_name = command;
    talus_set_log(TALUS_LOG_WARNING, on_log, NULL);
}

// C0 controls and DEL are single bytes; the C1 controls are U+0080 to U+009F, 0xC2 and one byte.
static void replace_controls(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        unsigned char before = i > 0 ? (unsigned char)text[i - 1] : 0;
        if (byte < 0x20 || byte == 0x7f)
            text[i] = ' ';
        else if (before == 0xc2 && byte < 0xa0)
            text[i - 1] = text[i] = ' ';
    }
}

void report_list(const char *format, va_list arguments)
{
    char line[LINE_BYTES];
    const char *space = command_name ? " " : "";
    int head = snprintf(line, sizeof(line), "talus%s%s: ", space, command_name ? command_name : "");
    size_t room = sizeof(line) - (size_t)head - 1;
    int body = vsnprintf(line + head, room, format, arguments);
    if (body < 0)
        return;
    size_t size = (size_t)head + ((size_t)body < room ? (size_t)body : room - 1);
    replace_controls(line, size);
    line[size++] = '\n';
    // Nobody is left to tell if standard error itself is gone.
    ssize_t written = write(STDERR_FILENO, line, size);
    (void)written;
}

void report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report_list(format, arguments);
    va_end(arguments);
}

static const char *advice(talus_error_t error)
{
    switch (error) {
    case TALUS_EENDPOINT:
        return "; give ipc://DIRECTORY/*, or a ZeroMQ endpoint such as tcp://127.0.0.1:5570";
    case TALUS_EPATHTOOLONG:
        return "; choose a shorter one with --bus or TALUS_BUS";
    case TALUS_EADDRNOTAVAIL:
        return "; bind to an address of this host, or to * for all of them";
    case TALUS_EADDRINUSE:
        return "; stop the program that is bound there, or choose another with --bus";
    case TALUS_EACCESS:
        return "; choose a place of your own with --bus or TALUS_BUS";
    default:
        return "";
    }
}

void report_bus_variable(const char *name)
{
    bus_variable = name;
}

int report_bus_error(const char *action, const char *endpoint, talus_error_t error)
{
    int cause = errno;
    bool is_system = error == TALUS_ESYSTEM && cause != 0;
    const char *value = bus_variable ? getenv(bus_variable) : NULL;
    const char *shown = value ? value : endpoint;
    int size = (int)tl_utf8_cut(shown, SHOWN_BYTES); // as much as a line shows
    report("cannot %s on \"%.*s%s\"%s%s: %s%s", action, size, shown, shown[size] ? "…" : "",
           value ? " of " : "", value ? bus_variable : "",
           is_system ? strerror(cause) : talus_strerror(error), is_system ? "" : advice(error));
    bool is_usage = error == TALUS_EENDPOINT || error == TALUS_EPATHTOOLONG;
    return is_usage ? EXIT_USAGE : EXIT_FAILED;
}
