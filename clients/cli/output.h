// SPDX-License-Identifier: MIT
// Writes to standard output so that a reader who is slow, stopped or gone keeps no signal waiting.
#ifndef TALUS_CLI_OUTPUT_H
#define TALUS_CLI_OUTPUT_H

#include <stddef.h>

typedef enum output_result {
    OUTPUT_WRITTEN,
    OUTPUT_CLOSED,  // the reader is gone
    OUTPUT_STOPPED, // a signal came, or the deadline passed, while the reader was not reading
    OUTPUT_FAILED,  // reported
} output_result_t;

// Writes all of `bytes`.
// `signals`: of signals_open. `deadline`: on clock_now's clock; below 0: none.
// Blocks until it is written, a signal comes, or the deadline passes.
output_result_t output_write(const char *bytes, size_t size, int signals, double deadline);

#endif
