// SPDX-License-Identifier: MIT
// Base64 (RFC 4648). Pure; the caller's buffers.
#ifndef TALUS_COMMON_BASE64_H
#define TALUS_COMMON_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The characters that `size` bytes become, padded.
static inline size_t tl_base64_encoded_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

// The most bytes that `size` characters can become.
static inline size_t tl_base64_decoded_max(size_t size)
{
    return size / 4 * 3 + size % 4;
}

// Encodes into `out`, which holds tl_base64_encoded_size(size), without a NUL. Returns the
// characters written.
size_t tl_base64_encode(const void *bytes, size_t size, char *out);

// The same in the alphabet that URLs can hold (section 5), and not padded.
size_t tl_base64url_encode(const void *bytes, size_t size, char *out);

// The value that a character of the alphabet stands for; -1: none.
int tl_base64_value(char character);
int tl_base64url_value(char character);

// The character that stands for `value`, below 64.
char tl_base64url_char(unsigned value);

// Decodes what is padded and has no white space into `bytes`, which holds
// tl_base64_decoded_max(size). False: not base64, or spare bits that are not zero.
bool tl_base64_decode(const char *text, size_t size, void *bytes, size_t *decoded);

// Decodes as Node's Buffer.from does, which refuses nothing: both alphabets; other characters are
// skipped; the first '=' ends it; bits that make no byte are dropped. Returns the bytes written.
size_t tl_base64_decode_leniently(const char *text, size_t size, void *bytes);

#endif
