// SPDX-License-Identifier: MIT
// Hexadecimal digits.
#ifndef TALUS_COMMON_HEX_H
#define TALUS_COMMON_HEX_H

#include <stdint.h>

// The value of a digit of either case; -1: it is none.
static inline int tl_hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

// The byte that two digits stand for; -1: they are none. The second is read only behind a digit, so
// text may end anywhere if a NUL is behind it.
static inline int tl_hex_byte(const char *digits)
{
    int high = tl_hex_value(digits[0]);
    int low = high >= 0 ? tl_hex_value(digits[1]) : -1;
    return low >= 0 ? high << 4 | low : -1;
}

// Writes a byte as two digits of lower case.
static inline void tl_hex_write(uint8_t byte, char out[2])
{
    static const char digits[] = "0123456789abcdef";
    out[0] = digits[byte >> 4];
    out[1] = digits[byte & 0x0f];
}

#endif
