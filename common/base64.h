// SPDX-License-Identifier: MIT
// Decodes base64 (RFC 4648, section 4: padded, no white space).
#ifndef TALUS_COMMON_BASE64_H
#define TALUS_COMMON_BASE64_H

#include <stdbool.h>
#include <stddef.h>

// The most bytes that `size` characters can become.
static inline size_t tl_base64_decoded_max(size_t size)
{
    return size / 4 * 3;
}

// Decodes into `bytes`, which holds tl_base64_decoded_max(size).
// False: not base64, or spare bits that are not zero.
bool tl_base64_decode(const char *text, size_t size, unsigned char *bytes, size_t *decoded);

#endif
