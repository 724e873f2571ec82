// SPDX-License-Identifier: MIT
// Random names: of broadcasters, subscribers, and files in the making.
#ifndef TALUS__RANDOM_NAME_H
#define TALUS__RANDOM_NAME_H

#include <stddef.h>

// Fills `out` with `size` random characters of a-z 0-9 and a NUL. Returns 0 or TALUS_ESYSTEM.
int talus__random_name(char *out, size_t size);

#endif
