// SPDX-License-Identifier: MIT
// UTF-8 (RFC 3629): validation that can stop and go on at any byte, and repair. Pure.
#ifndef TALUS_COMMON_UTF8_H
#define TALUS_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define TL_UTF8_START 0u // between two characters: where text may begin and end

// Validates the next `size` bytes of a text. *state is TL_UTF8_START before the first call and
// carries over what is incomplete; the text is whole and valid if it is TL_UTF8_START after the
// last one. False: the bytes can be no part of valid text; *state is then of no more use.
bool tl_utf8_feed(uint32_t *state, const uint8_t *bytes, size_t size);

// Whether the bytes are a whole valid text.
bool tl_utf8_is_valid(const uint8_t *bytes, size_t size);

// Appends the text with each invalid part (a maximal subpart, as the Encoding standard has it)
// replaced by U+FFFD. False: the buffer's bound is met; some may have been appended.
bool tl_utf8_append_repaired(struct tl_buffer *out, const uint8_t *bytes, size_t size);

#endif
