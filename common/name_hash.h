// SPDX-License-Identifier: MIT
// A hash of names in 64 bits under a key, for what is kept by its hash alone. It is fast, and no
// secret keeps its key: whoever may choose names can make two that collide. docs/protocol.md has it
// as the ledger's, so it must not change.
#ifndef TALUS_COMMON_NAME_HASH_H
#define TALUS_COMMON_NAME_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t tl_name_hash_mix(uint64_t hash, uint64_t word)
{
    hash ^= word;
    hash = (hash ^ (hash >> 32)) * 0x9e3779b97f4a7c15ULL;
    return hash ^ (hash >> 29);
}

// Never 0.
static inline uint64_t tl_name_hash(uint64_t key, const char *name, size_t size)
{
    uint64_t hash = key ^ size, word = 0;

    if (size >= 8) {
        for (size_t at = 0; at + 8 < size; at += 8) {
            memcpy(&word, name + at, 8);
            hash = tl_name_hash_mix(hash, word);
        }
        memcpy(&word, name + size - 8, 8);
    } else {
        for (size_t i = 0; i < size; i++)
            word = word << 8 | (unsigned char)name[i];
    }
    hash = tl_name_hash_mix(tl_name_hash_mix(hash, word), key);
    return hash ? hash : 1;
}

#endif
