// SPDX-License-Identifier: MIT
// Numbers as JSON and JavaScript write them, whatever the locale.
#ifndef TALUS_COMMON_NUMBER_H
#define TALUS_COMMON_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define TL_NUMBER_MAX 32 // characters of any number

// Each writes into `out`, of the size above, without a NUL, and returns the characters written.
size_t tl_format_unsigned(uint64_t number, char *out);
size_t tl_format_signed(int64_t number, char *out);

// The shortest text that reads back as the same double, in JavaScript's form: 1, 0.1, 1e+21, 1e-7;
// -0 is 0; NaN and infinities are null.
size_t tl_format_double(double number, char *out);

#endif
