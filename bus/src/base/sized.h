// SPDX-License-Identifier: MIT
// Public structs that grow at their end: caller and library may know different sizes of them.
#ifndef TALUS__SIZED_H
#define TALUS__SIZED_H

#include <stddef.h>
#include <string.h>

// Copies what both know; what only the reader knows becomes 0.
static inline void talus__sized_copy(void *to, size_t to_size, const void *from, size_t from_size)
{
    size_t both = to_size < from_size ? to_size : from_size;

    memcpy(to, from, both);
    memset((char *)to + both, 0, to_size - both);
}

// Copies what both know, and leaves alone what only the reader knows.
static inline void talus__sized_take(void *to, size_t to_size, const void *from, size_t from_size)
{
    memcpy(to, from, to_size < from_size ? to_size : from_size);
}

#endif
