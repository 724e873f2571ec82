// SPDX-License-Identifier: MIT
// Random bytes and names, from the system's random source. Any thread.
#ifndef TALUS_COMMON_RANDOM_H
#define TALUS_COMMON_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

// Fills `bytes`. Blocks only before the system has gathered randomness after its start. False: the
// random source failed; errno says why, and what the bytes are is not defined.
bool tl_random_bytes(void *bytes, size_t size) __attribute__((warn_unused_result));

// Fills `out` with `size` random characters of a-z 0-9 and a NUL: names of broadcasters,
// subscribers, and files in the making. False: as above.
bool tl_random_name(char *out, size_t size) __attribute__((warn_unused_result));

#endif
