// SPDX-License-Identifier: MIT
// Strings are most of what is encoded, so the run of bytes that need nothing is found eight at a
// time and copied as one.
#include "bus/src/codec/json_text.h"

#include <stdbool.h>
#include <string.h>

#include "common/hex.h"
#include "common/utf8.h"

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static bool is_plain_ascii(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

// Not 0 if a byte of the word is below 0x20, above 0x7f, `"` or `\`. The usual trick: subtracting
// borrows into a byte's top bit where it is smaller. The borrow may flag further bytes wrongly, but
// only beside one that is rightly flagged: the answer for the word is exact.
static uint64_t has_special(uint64_t word)
{
    uint64_t quote = word ^ EVERY_BYTE('"');
    uint64_t backslash = word ^ EVERY_BYTE('\\');
    uint64_t found =
        word | (word - EVERY_BYTE(0x20)) | (quote - EVERY_BYTE(1)) | (backslash - EVERY_BYTE(1));
    return found & EVERY_BYTE(0x80);
}

static bool is_plain_word(const uint8_t *text)
{
    uint64_t word;
    memcpy(&word, text, sizeof(word));
    return !has_special(word);
}

size_t talus__json_plain_run(const uint8_t *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        if (size - i >= sizeof(uint64_t) && is_plain_word(text + i)) {
            i += sizeof(uint64_t);
            continue;
        }
        // The last few bytes as one word too, with some before them that were looked at already.
        if (size - i < sizeof(uint64_t) && size >= sizeof(uint64_t) &&
            is_plain_word(text + size - sizeof(uint64_t)))
            return size;
        if (is_plain_ascii(text[i])) {
            i++;
            continue;
        }
        bool is_whole = false;
        size_t length = text[i] >= 0x80 ? tl_utf8_scan(text + i, size - i, &is_whole) : 0;
        if (!is_whole)
            break;
        i += length;
    }
    return i;
}

static size_t escape_ascii(uint8_t byte, char *out)
{
    static const char letters[] = "btn\0fr"; // from 0x08 on; 0x0b has none
    out[0] = '\\';
    if (byte == '"' || byte == '\\') {
        out[1] = (char)byte;
        return 2;
    }
    if (byte >= 0x08 && byte <= 0x0d && byte != 0x0b) {
        out[1] = letters[byte - 0x08];
        return 2;
    }
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    tl_hex_write(byte, out + 4);
    return 6;
}

size_t talus__json_escape(const uint8_t *text, size_t size, char out[TALUS__ESCAPE_MAX],
                          size_t *consumed)
{
    if (text[0] < 0x80) {
        *consumed = 1;
        return escape_ascii(text[0], out);
    }
    bool is_whole;
    *consumed = tl_utf8_scan(text, size, &is_whole);
    memcpy(out, TL_UTF8_REPLACEMENT, sizeof TL_UTF8_REPLACEMENT - 1);
    return sizeof TL_UTF8_REPLACEMENT - 1;
}
