// SPDX-License-Identifier: MIT
#include "common/base64.h"

#include <stdint.h>

static int digit(char character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    return character == '+' ? 62 : character == '/' ? 63 : -1;
}

bool tl_base64_decode(const char *text, size_t size, unsigned char *bytes, size_t *decoded)
{
    if (size % 4 != 0)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < size && text[size - 1 - padding] == '=')
        padding++;
    size_t count = 0;
    for (size_t i = 0; i < size; i += 4) {
        uint32_t group = 0;
        size_t missing = i + 4 == size ? padding : 0;
        for (size_t j = 0; j < 4; j++) {
            int value = j < 4 - missing ? digit(text[i + j]) : 0;
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        if (group & ((1u << 8 * missing) - 1))
            return false;
        for (size_t j = 0; j < 3 - missing; j++)
            bytes[count++] = (unsigned char)(group >> (16 - 8 * j));
    }
    *decoded = count;
    return true;
}
