// SPDX-License-Identifier: MIT
// Random names: of broadcasters, subscribers, and files in the making.
#ifndef TALUS_COMMON_RANDOM_H
#define TALUS_COMMON_RANDOM_H

#include <stddef.h>

// Fills `out` with `size` random characters of a-z 0-9 and a NUL. Returns 0 or TALUS_ESYSTEM.
int tl_random_name(char *out, size_t size);

#endif
