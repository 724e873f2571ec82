// SPDX-License-Identifier: MIT
// Numbers and dates as JSON and JavaScript write them, whatever the locale.
#ifndef TALUS_COMMON_NUMBER_H
#define TALUS_COMMON_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define TL_NUMBER_MAX        32 // characters of any number
#define TALUS__TIMESTAMP_MAX 40 // characters of any timestamp

// Each writes into `out`, of the size above, without a NUL, and returns the characters written.
size_t tl_format_unsigned(uint64_t number, char *out);
size_t tl_format_signed(int64_t number, char *out);

// The shortest text that reads back as the same double, in JavaScript's form: 1, 0.1, 1e+21, 1e-7;
// -0 is 0; NaN and infinities are null.
size_t tl_format_double(double number, char *out);

// ISO 8601 in UTC: 2026-11-24T08:13:33Z, with 3, 6 or 9 digits of fraction where there is one.
// Years outside 0 to 9999 have a sign and six digits or more, as JavaScript's Date does it.
size_t talus__format_timestamp(int64_t seconds, uint32_t nanoseconds, char *out);

#endif
