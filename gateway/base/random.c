// SPDX-License-Identifier: MIT
// Ids from getrandom. 15 bytes are 20 characters of base64 without padding.
#include "gateway/base/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>
#include <sys/types.h>

enum { ID_BYTES = 15 };

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool fill_random(uint8_t *bytes, size_t size)
{
    ssize_t got;
    do
        got = getrandom(bytes, size, 0);
    while (got < 0 && errno == EINTR);
    return got == (ssize_t)size; // requests of up to 256 bytes are never cut short
}

bool gw_random_id(char out[GW_ID_SIZE + 1])
{
    uint8_t bytes[ID_BYTES];
    if (!fill_random(bytes, sizeof bytes))
        return false;
    char *at = out;
    for (int i = 0; i < ID_BYTES; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6)
            *at++ = ALPHABET[group >> shift & 63];
    }
    *at = '\0';
    return true;
}
