// SPDX-License-Identifier: MIT
// SipHash (Aumasson and Bernstein, 2012) with one compression and three finalization rounds.

#include "gateway/base/hash.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

static uint64_t hash_key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
    // Without the random source the table still works; only its protection from chosen names is
    // gone.
    if (getrandom(hash_key, sizeof hash_key, 0) != (ssize_t)sizeof hash_key)
        memset(hash_key, 0x5a, sizeof hash_key);
}

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint32_t gw_hash(const void *bytes, size_t size)
{
    pthread_once(&key_once, draw_key);
    uint64_t v[4] = {
        hash_key[0] ^ 0x736f6d6570736575u,
        hash_key[1] ^ 0x646f72616e646f6du,
        hash_key[0] ^ 0x6c7967656e657261u,
        hash_key[1] ^ 0x7465646279746573u,
    };
    const uint8_t *at = bytes;
    size_t left = size;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        v[3] ^= word;
        mix(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)size << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)at[i] << (8 * i);
    v[3] ^= last;
    mix(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    mix(v);
    mix(v);
    mix(v);
    uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(hash ^ hash >> 32);
}
