// SPDX-License-Identifier: MIT
// Ids from the random source, which is asked for many at once: clients come in thousands. 15 bytes
// are 20 characters of base64 without padding.
#include "gateway/base/random.h"

#include <stdint.h>
#include <string.h>

#include "common/base64.h"
#include "common/random.h"

enum { ID_BYTES = 15, POOL_IDS = 16 };

// Bytes that no id was made of, nor ever will be again.
static bool take_random(uint8_t bytes[ID_BYTES])
{
    static _Thread_local uint8_t pool[POOL_IDS * ID_BYTES];
    static _Thread_local unsigned left;
    if (left == 0) {
        if (!tl_random_bytes(pool, sizeof pool))
            return false;
        left = POOL_IDS;
    }
    uint8_t *next = pool + (size_t)--left * ID_BYTES;
    memcpy(bytes, next, ID_BYTES);
    explicit_bzero(next, ID_BYTES);
    return true;
}

bool gw_random_id(char out[GW_ID_SIZE + 1])
{
    uint8_t bytes[ID_BYTES];
    if (!take_random(bytes))
        return false;
    out[tl_base64url_encode(bytes, ID_BYTES, out)] = '\0';
    return true;
}

// The sum of what all characters but the last stand for; -1: one of them stands for nothing.
static int sum_digits(const char *id)
{
    int sum = 0;
    for (int i = 0; i < GW_ID_SIZE - 1; i++) {
        int value = tl_base64url_value(id[i]);
        if (value < 0)
            return -1;
        sum += value;
    }
    return sum;
}

bool gw_random_id_tagged(char out[GW_ID_SIZE + 1], unsigned tag)
{
    if (!gw_random_id(out))
        return false;
    out[GW_ID_SIZE - 1] = tl_base64url_char(((unsigned)sum_digits(out) + tag) % GW_ID_TAGS_MAX);
    return true;
}

int gw_id_tag(const char *id)
{
    int sum = strlen(id) == GW_ID_SIZE ? sum_digits(id) : -1;
    int last = sum >= 0 ? tl_base64url_value(id[GW_ID_SIZE - 1]) : -1;
    return last >= 0 ? (int)((unsigned)(last - sum) % GW_ID_TAGS_MAX) : -1;
}
