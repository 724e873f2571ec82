// SPDX-License-Identifier: MIT
// Reads the expected cases of tests/vectors, which the tests of all languages share.
#ifndef VECTORS_H
#define VECTORS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

// Loads a file of tests/vectors; the test fails if it cannot. Free it with json_decref.
json_t *vectors_load(const char *file);

// Members of a case; the test fails if they are missing or of another type. With `key` NULL, `item`
// is the text itself. The text is as long as `size` (if not NULL) says and may hold NULs.
const char *vectors_text(const json_t *item, const char *key, size_t *size);
uint64_t vectors_number(const json_t *item, const char *key);

// Bytes on the heap in a block of exactly their size, so that the address sanitizer sees a read
// beyond them. Free them with free.
struct vectors_bytes {
    uint8_t *ptr;
    size_t size;
};

struct vectors_bytes vectors_copy(const void *bytes, size_t size);
struct vectors_bytes vectors_hex(const char *hex);
struct vectors_bytes vectors_member_hex(const json_t *item, const char *key);

#endif
