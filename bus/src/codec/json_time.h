// SPDX-License-Identifier: MIT
// Dates as JSON has them.
#ifndef TALUS__JSON_TIME_H
#define TALUS__JSON_TIME_H

#include <stddef.h>
#include <stdint.h>

#define TALUS__TIMESTAMP_MAX 40 // characters of any timestamp

// Writes into `out`, of the size above, without a NUL, and returns the characters written.
// ISO 8601 in UTC: 2026-11-24T08:13:33Z, with 3, 6 or 9 digits of fraction where there is one.
// Years outside 0 to 9999 have a sign and six digits or more, as JavaScript's Date does it.
size_t talus__format_timestamp(int64_t seconds, uint32_t nanoseconds, char *out);

#endif
