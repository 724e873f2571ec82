// SPDX-License-Identifier: MIT
// UTF-8 (RFC 3629): validation that can stop and go on at any byte, and repair. Pure.
#ifndef TALUS_GATEWAY_PROTOCOL_UTF8_H
#define TALUS_GATEWAY_PROTOCOL_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buffer.h"

#define UTF8_START 0u // between two characters: where text may begin and end

// Validates the next `size` bytes of a text. *state is UTF8_START before the first call and carries
// over what is incomplete; the text is whole and valid if it is UTF8_START after the last one.
// False: the bytes can be no part of valid text; *state is then of no more use.
bool utf8_feed(uint32_t *state, const uint8_t *bytes, size_t size);

// Whether the bytes are a whole valid text.
bool utf8_is_valid(const uint8_t *bytes, size_t size);

// Appends the text with each invalid part (a maximal subpart, as the Encoding standard has it)
// replaced by U+FFFD. False: the buffer's bound is met; some may have been appended.
bool utf8_append_repaired(struct buffer *out, const uint8_t *bytes, size_t size);

#endif
