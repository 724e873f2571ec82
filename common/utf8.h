// SPDX-License-Identifier: MIT
// UTF-8 (RFC 3629): validation that can stop and go on at any byte, and repair. Pure.
//
// There is one rule of repair: each maximal subpart of an ill-formed sequence becomes one U+FFFD,
// as the Unicode Standard (3.9) recommends it and the Encoding Standard, so each browser, does it.
// The longest beginning of a sequence that could have gone on is such a subpart; else a byte is.
#ifndef TALUS_COMMON_UTF8_H
#define TALUS_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define TL_UTF8_START       0u             // between two characters: where text may begin and end
#define TL_UTF8_INVALID     UINT32_MAX     // no code point
#define TL_UTF8_REPLACEMENT "\xef\xbf\xbd" // U+FFFD

// Validates the next `size` bytes of a text. *state is TL_UTF8_START before the first call and
// carries over what is incomplete; the text is whole and valid if it is TL_UTF8_START after the
// last one. False: the bytes can be no part of valid text; *state is then of no more use.
bool tl_utf8_feed(uint32_t *state, const uint8_t *bytes, size_t size);

// Looks at the character at the start of `size` > 0 bytes. Gives its length or, with *is_whole
// false, that of the maximal subpart that one U+FFFD stands for.
static inline size_t tl_utf8_scan(const uint8_t *text, size_t size, bool *is_whole)
{
    uint8_t lead = text[0];
    // The second byte has a narrower range behind some leads, which is what excludes overlong
    // forms, surrogates and all above U+10FFFF.
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    size_t length = lead < 0x80   ? 1
                    : lead < 0xc2 ? 0
                    : lead < 0xe0 ? 2
                    : lead < 0xf0 ? 3
                    : lead < 0xf5 ? 4
                                  : 0;
    *is_whole = false;
    if (length == 0) // a continuation byte, or the lead of an overlong form or of nothing
        return 1;
    for (size_t i = 1; i < length; i++) {
        if (i == size || text[i] < low || text[i] > high)
            return i;
        low = 0x80;
        high = 0xbf;
    }
    *is_whole = true;
    return length;
}

// Decodes that character. Gives its code point, or TL_UTF8_INVALID, and its *length as above.
static inline uint32_t tl_utf8_decode(const uint8_t *text, size_t size, size_t *length)
{
    bool is_whole;
    *length = tl_utf8_scan(text, size, &is_whole);
    if (!is_whole)
        return TL_UTF8_INVALID;
    if (*length == 1)
        return text[0];
    uint32_t code = text[0] & (0x7fu >> *length);
    for (size_t i = 1; i < *length; i++)
        code = code << 6 | (text[i] & 0x3fu);
    return code;
}

// Whether the bytes are a whole valid text.
bool tl_utf8_is_valid(const uint8_t *bytes, size_t size);

// The bytes of a text without a character that is cut off at its end.
size_t tl_utf8_whole(const char *text, size_t size);

// The bytes of a text with a NUL, or of its longest beginning of whole characters that takes at
// most `max` bytes.
size_t tl_utf8_cut(const char *text, size_t max);

// Appends the text, repaired. False: the buffer's bound is met; some may have been appended.
bool tl_utf8_append_repaired(struct tl_buffer *out, const uint8_t *bytes, size_t size);

#endif
