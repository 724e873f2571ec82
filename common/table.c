// SPDX-License-Identifier: MIT
// A hash table of named nodes: chained, with a power of two of buckets, at most one node a bucket
// on average. The hash is SipHash (Aumasson and Bernstein, 2012) with one compression and three
// finalization rounds.
#include "common/table.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

static uint64_t key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void draw_key(void)
{
    // Without the random source the table still works; only its protection from chosen names is
    // gone.
    if (!tl_random_bytes(key, sizeof key))
        memset(key, 0x5a, sizeof key);
}

static uint64_t rotated(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] = rotated(v[2], 32);
}

static uint64_t hash_of(const char *name, size_t size)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t word;
    size_t at = 0;

    for (; size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, name + at, sizeof word);
        v[3] ^= word;
        mix(v);
        v[0] ^= word;
    }
    word = (uint64_t)size << 56;
    for (unsigned i = 0; at + i < size; i++)
        word |= (uint64_t)(unsigned char)name[at + i] << (8 * i);
    v[3] ^= word;
    mix(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    mix(v);
    mix(v);
    mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void tl_table_init(struct tl_table *table)
{
    pthread_once(&key_once, draw_key);
    *table = (struct tl_table){.mask = TL_TABLE_FIRST_BUCKETS - 1};
    table->buckets = table->first;
}

void tl_table_fini(struct tl_table *table)
{
    if (table->buckets != table->first)
        free(table->buckets);
    table->buckets = NULL;
}

struct tl_node *tl_table_find(const struct tl_table *table, const char *name, size_t name_size)
{
    uint64_t hash = hash_of(name, name_size);

    for (struct tl_node *node = table->buckets[hash & table->mask]; node; node = node->next) {
        if (node->hash == hash && node->name_size == name_size &&
            memcmp(node->name, name, name_size) == 0)
            return node;
    }
    return NULL;
}

static void push(struct tl_node **bucket, struct tl_node *node)
{
    node->next = *bucket;
    *bucket = node;
}

static void grow(struct tl_table *table)
{
    size_t mask = table->mask * 2 + 1;
    struct tl_node **buckets = calloc(mask + 1, sizeof(struct tl_node *));
    if (!buckets)
        return;
    for (size_t i = 0; i <= table->mask; i++) {
        struct tl_node *node = table->buckets[i];
        while (node) {
            struct tl_node *next = node->next;
            push(&buckets[node->hash & mask], node);
            node = next;
        }
    }
    if (table->buckets != table->first)
        free(table->buckets);
    table->buckets = buckets;
    table->mask = mask;
}

void tl_table_insert(struct tl_table *table, struct tl_node *node)
{
    if (table->count > table->mask)
        grow(table);
    node->hash = hash_of(node->name, node->name_size);
    push(&table->buckets[node->hash & table->mask], node);
    table->count++;
}

void tl_table_remove(struct tl_table *table, struct tl_node *node)
{
    struct tl_node **link = &table->buckets[node->hash & table->mask];

    while (*link != node) {
        assert(*link);
        link = &(*link)->next;
    }
    *link = node->next;
    table->count--;
}

// The first node in the buckets from that one on.
static struct tl_node *first_from(const struct tl_table *table, size_t bucket)
{
    for (; bucket <= table->mask; bucket++)
        if (table->buckets[bucket])
            return table->buckets[bucket];
    return NULL;
}

struct tl_node *tl_table_first(const struct tl_table *table)
{
    return table->count > 0 ? first_from(table, 0) : NULL;
}

struct tl_node *tl_table_next(const struct tl_table *table, const struct tl_node *node)
{
    return node->next ? node->next : first_from(table, (node->hash & table->mask) + 1);
}

struct tl_node *tl_table_take_all(struct tl_table *table)
{
    struct tl_node *all = NULL;

    for (size_t i = 0; table->count > 0 && i <= table->mask; i++) {
        while (table->buckets[i]) {
            struct tl_node *node = table->buckets[i];
            table->buckets[i] = node->next;
            push(&all, node);
            table->count--;
        }
    }
    return all;
}
