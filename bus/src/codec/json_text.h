// SPDX-License-Identifier: MIT
// Text and bytes inside JSON: escaping, repair of UTF-8. Pure; the caller's buffers.
#ifndef TALUS__JSON_TEXT_H
#define TALUS__JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define TALUS__ESCAPE_MAX 6 // bytes that stand for one that a JSON string cannot hold

// How many bytes from the start of `text` a JSON string holds as they are.
size_t talus__json_plain_run(const uint8_t *text, size_t size);

// Writes what stands for the bytes at the start of `text` (not empty) that cannot be held as they
// are: an escape, or U+FFFD (common/utf8.h has the rule). Gives the bytes written, and in
// `consumed` those of `text` that are done.
size_t talus__json_escape(const uint8_t *text, size_t size, char out[TALUS__ESCAPE_MAX],
                          size_t *consumed);

#endif
