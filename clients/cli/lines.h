// SPDX-License-Identifier: MIT
// Reads a descriptor line by line, each of a bounded length, and hears signals meanwhile.
#ifndef TALUS_CLI_LINES_H
#define TALUS_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lines {
    int descriptor; // borrowed
    size_t max;     // bytes of a line
    char *bytes;
    size_t capacity;
    size_t begin, end; // of what was read and not yet given
    size_t scanned;    // of it, what has no line end
    uint64_t number;   // of the last line given, from 1
    bool is_skipping;  // the rest of a line that was too long
    bool is_at_end;
} lines_t;

typedef enum lines_result {
    LINES_LINE,
    LINES_TOO_LONG, // a line over `max`; it will be skipped
    LINES_END,
    LINES_STOPPED, // a signal came
    LINES_FAILED,  // errno says why
} lines_result_t;

void lines_init(lines_t *lines, int descriptor, size_t max);
void lines_fini(lines_t *lines);

// Gives the next line without its end; it lives until the next call. The last one needs no end.
// `signals`: of signals_open. Blocks until there is a line, the end, or a signal.
lines_result_t lines_next(lines_t *lines, int signals, const char **line, size_t *size);

#endif
