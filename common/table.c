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

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotated(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

// By value, so that it stays in registers.
static inline struct sip mixed(struct sip v)
{
    v.a += v.b;
    v.c += v.d;
    v.b = rotated(v.b, 13) ^ v.a;
    v.d = rotated(v.d, 16) ^ v.c;
    v.a = rotated(v.a, 32);
    v.c += v.b;
    v.a += v.d;
    v.b = rotated(v.b, 17) ^ v.c;
    v.d = rotated(v.d, 21) ^ v.a;
    v.c = rotated(v.c, 32);
    return v;
}

static inline struct sip fed(struct sip v, uint64_t word)
{
    v.d ^= word;
    v = mixed(v);
    v.a ^= word;
    return v;
}

static inline uint64_t hash_of(const char *name, size_t size)
{
    struct sip v = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                    key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t word;
    size_t at = 0;

    for (; size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, name + at, sizeof word);
        v = fed(v, word);
    }
    word = (uint64_t)size << 56;
    for (unsigned i = 0; at + i < size; i++)
        word |= (uint64_t)(unsigned char)name[at + i] << (8 * i);
    v = fed(v, word);
    v.c ^= 0xff;
    v = mixed(mixed(mixed(v)));
    return v.a ^ v.b ^ v.c ^ v.d;
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

uint64_t tl_table_hash(const char *name, size_t name_size)
{
    return hash_of(name, name_size);
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
