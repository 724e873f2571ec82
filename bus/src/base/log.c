// SPDX-License-Identifier: MIT
// Where log lines go. The settings are atomics and no lock, so that logging is possible in a forked
// child. Level, function and argument are set one after the other: talus/log.h asks that nobody
// logs meanwhile.
#include "bus/src/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static atomic_int log_level = TALUS_LOG_WARNING;
static _Atomic(talus_log_fn *) log_fn;
static _Atomic(void *) log_arg;

static const char *level_name(talus_log_level_t level)
{
    switch (level) {
    case TALUS_LOG_ERROR:
        return "error";
    case TALUS_LOG_WARNING:
        return "warning";
    case TALUS_LOG_INFO:
        return "info";
    case TALUS_LOG_DEBUG:
        return "debug";
    }
    return "log";
}

// One write a line keeps the lines of several threads and processes apart.
static void log_to_stderr(talus_log_level_t level, const char *line)
{
    char text[TALUS__LOG_LINE_MAX + 32];
    int size = snprintf(text, sizeof(text), "talus: %s: %s\n", level_name(level), line);
    if (size > 0 && write(STDERR_FILENO, text, (size_t)size) < 0)
        return; // there is nowhere left to complain to
}

static void clean(char *line)
{
    for (unsigned char *at = (unsigned char *)line; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            *at = '?';
}

void talus_set_log(talus_log_level_t level, talus_log_fn *fn, void *arg)
{
    atomic_store(&log_arg, arg);
    atomic_store(&log_fn, fn);
    atomic_store(&log_level, (int)level);
}

void talus__log(talus_log_level_t level, const char *format, ...)
{
    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed))
        return;
    int saved_errno = errno;
    char line[TALUS__LOG_LINE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (size < 0)
        line[0] = '\0';
    else if ((size_t)size >= sizeof(line))
        memcpy(line + sizeof(line) - 4, "...", 4);
    clean(line);
    talus_log_fn *fn = atomic_load(&log_fn);
    if (fn)
        fn(level, line, atomic_load(&log_arg));
    else
        log_to_stderr(level, line);
    errno = saved_errno;
}
