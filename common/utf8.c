// SPDX-License-Identifier: MIT
// UTF-8 as a state machine without tables. A state other than TL_UTF8_START says what may follow:
// how many continuation bytes are due (bits 16 and up), and the range of the next one (its lowest
// value in bits 0-7, its highest in bits 8-15). Only the first of them can have a narrower range
// than 80..BF; that narrower range is what excludes overlong forms, surrogates and all above
// U+10FFFF.
#include "common/utf8.h"

#include <string.h>

#define DUE(count, low, high) ((uint32_t)(count) << 16 | (uint32_t)(high) << 8 | (uint32_t)(low))

static uint32_t state_after_lead(uint8_t byte)
{
    if (byte < 0x80)
        return TL_UTF8_START;
    if (byte < 0xc2) // a continuation byte, or the lead of an overlong form
        return TL_UTF8_INVALID;
    if (byte < 0xe0)
        return DUE(1, 0x80, 0xbf);
    if (byte < 0xf0)
        return DUE(2, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf);
    if (byte < 0xf5)
        return DUE(3, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf);
    return TL_UTF8_INVALID;
}

static uint32_t next_state(uint32_t state, uint8_t byte)
{
    if (state == TL_UTF8_START)
        return state_after_lead(byte);
    if (byte < (state & 0xff) || byte > (state >> 8 & 0xff))
        return TL_UTF8_INVALID;
    uint32_t due = (state >> 16) - 1;
    return due == 0 ? TL_UTF8_START : DUE(due, 0x80, 0xbf);
}

// How many of the bytes from the first on are ASCII, in steps of whole words.
static size_t ascii_words(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    for (; size - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return at;
}

bool tl_utf8_feed(uint32_t *state, const uint8_t *bytes, size_t size)
{
    uint32_t now = *state;
    for (size_t at = 0; at < size; at++) {
        if (now == TL_UTF8_START) {
            at += ascii_words(bytes + at, size - at);
            if (at == size)
                break;
        }
        now = next_state(now, bytes[at]);
        if (now == TL_UTF8_INVALID)
            return false;
    }
    *state = now;
    return true;
}

bool tl_utf8_is_valid(const uint8_t *bytes, size_t size)
{
    uint32_t state = TL_UTF8_START;
    return tl_utf8_feed(&state, bytes, size) && state == TL_UTF8_START;
}

size_t tl_utf8_whole(const char *text, size_t size)
{
    size_t back = 1; // from the end to the last byte that is no continuation
    while (back < 4 && back < size && ((uint8_t)text[size - back] & 0xc0) == 0x80)
        back++;
    if (size == 0)
        return 0;
    const uint8_t *last = (const uint8_t *)text + size - back;
    bool is_whole;
    bool is_lead = *last >= 0xc2 && *last < 0xf5;
    bool is_cut = is_lead && tl_utf8_scan(last, back, &is_whole) == back && !is_whole;
    return is_cut ? size - back : size;
}

size_t tl_utf8_cut(const char *text, size_t max)
{
    size_t size = strnlen(text, max + 1);
    return size <= max ? size : tl_utf8_whole(text, max);
}

bool tl_utf8_append_repaired(struct tl_buffer *out, const uint8_t *bytes, size_t size)
{
    size_t good = 0; // everything before it is in `out`
    size_t at = 0;
    while (at < size) {
        bool is_whole;
        size_t length = tl_utf8_scan(bytes + at, size - at, &is_whole);
        if (!is_whole && !(tl_buffer_append(out, bytes + good, at - good) &&
                           tl_buffer_append_text(out, TL_UTF8_REPLACEMENT)))
            return false;
        at += length;
        good = is_whole ? good : at;
    }
    return tl_buffer_append(out, bytes + good, size - good);
}
