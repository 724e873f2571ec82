// SPDX-License-Identifier: MIT
#include "common/base64.h"

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char STANDARD[] = LETTERS_AND_DIGITS "+/";
static const char URL_SAFE[] = LETTERS_AND_DIGITS "-_";

static char *put_group(const uint8_t *bytes, size_t size, const char *alphabet, char *out)
{
    uint32_t group = (uint32_t)bytes[0] << 16;
    if (size > 1)
        group |= (uint32_t)bytes[1] << 8;
    if (size > 2)
        group |= bytes[2];
    *out++ = alphabet[group >> 18];
    *out++ = alphabet[group >> 12 & 63];
    if (size > 1)
        *out++ = alphabet[group >> 6 & 63];
    if (size > 2)
        *out++ = alphabet[group & 63];
    return out;
}

static char *put_all(const uint8_t *bytes, size_t size, const char *alphabet, char *out)
{
    for (; size >= 3; bytes += 3, size -= 3)
        out = put_group(bytes, 3, alphabet, out);
    return size > 0 ? put_group(bytes, size, alphabet, out) : out;
}

size_t tl_base64_encode(const void *bytes, size_t size, char *out)
{
    char *end = put_all(bytes, size, STANDARD, out);
    while ((end - out) % 4 != 0)
        *end++ = '=';
    return (size_t)(end - out);
}

size_t tl_base64url_encode(const void *bytes, size_t size, char *out)
{
    return (size_t)(put_all(bytes, size, URL_SAFE, out) - out);
}

char tl_base64url_char(unsigned value)
{
    return URL_SAFE[value];
}

// -1: neither a letter nor a digit.
static int value_of(char character)
{
    if (character >= 'A' && character <= 'Z')
        return character - 'A';
    if (character >= 'a' && character <= 'z')
        return character - 'a' + 26;
    if (character >= '0' && character <= '9')
        return character - '0' + 52;
    return -1;
}

int tl_base64_value(char character)
{
    return character == '+' ? 62 : character == '/' ? 63 : value_of(character);
}

int tl_base64url_value(char character)
{
    return character == '-' ? 62 : character == '_' ? 63 : value_of(character);
}

bool tl_base64_decode(const char *text, size_t size, void *bytes, size_t *decoded)
{
    uint8_t *out = bytes;
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
            int value = j < 4 - missing ? tl_base64_value(text[i + j]) : 0;
            if (value < 0)
                return false;
            group = group << 6 | (uint32_t)value;
        }
        if (group & ((1u << 8 * missing) - 1))
            return false;
        for (size_t j = 0; j < 3 - missing; j++)
            out[count++] = (uint8_t)(group >> (16 - 8 * j));
    }
    *decoded = count;
    return true;
}

size_t tl_base64_decode_leniently(const char *text, size_t size, void *bytes)
{
    uint8_t *out = bytes;
    size_t count = 0;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t at = 0; at < size && text[at] != '='; at++) {
        int value = tl_base64_value(text[at]);
        if (value < 0)
            value = tl_base64url_value(text[at]);
        if (value < 0)
            continue;
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            out[count++] = (uint8_t)(bits >> bit_count);
        }
    }
    return count;
}
