// SPDX-License-Identifier: MIT
// A directory of its own for a test, and a look into it.
#ifndef TALUS_TESTS_SCRATCH_H
#define TALUS_TESTS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

#define SCRATCH_PATH_MAX 256

// Makes an empty directory and writes its path.
void scratch_make(char path[SCRATCH_PATH_MAX]);

// Removes it with what is in it.
void scratch_remove(const char *path);

// Writes `PATH/NAME`.
void scratch_join(char out[SCRATCH_PATH_MAX], const char *path, const char *name);

// Counts its entries.
size_t scratch_count(const char *path);

// Whether it has an entry whose name ends in `suffix`.
bool scratch_has(const char *path, const char *suffix);

#endif
