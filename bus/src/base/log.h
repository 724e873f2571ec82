// SPDX-License-Identifier: MIT
// The library's own log lines (talus/log.h says where they go).
#ifndef TALUS__LOG_H
#define TALUS__LOG_H

#include <talus/log.h>

#define TALUS__LOG_LINE_MAX 1024 // bytes of a line with its NUL; longer ones end in "..."

// Logs one line, printf-like, without a line end. Control characters become `?`, so that no peer's
// bytes can forge a line. Any thread; keeps errno. The default destination is one write to standard
// error.
void talus__log(talus_log_level_t level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
