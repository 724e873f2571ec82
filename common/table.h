// SPDX-License-Identifier: MIT
// A hash table of named nodes that are embedded in what they name. It owns no node and no name.
//
// Names come from outside (sessions, subscriptions), so the hash is keyed with random bytes: nobody
// can choose names that all fall into one bucket.
#ifndef TALUS_COMMON_TABLE_H
#define TALUS_COMMON_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct tl_node {
    struct tl_node *next; // in the bucket
    uint64_t hash;
    const char *name;
    size_t name_size;
};

struct tl_table {
    struct tl_node **buckets;
    size_t mask; // buckets - 1
    size_t count;
    uint64_t key[2];
};

// Returns 0; TALUS_ENOMEM; TALUS_ESYSTEM: no random bytes.
int tl_table_init(struct tl_table *table);

// The nodes are the caller's to free, before or after.
void tl_table_fini(struct tl_table *table);

// NULL: there is none.
struct tl_node *tl_table_find(const struct tl_table *table, const char *name, size_t name_size);

// `node->name` and `node->name_size` are set and the name is not in the table. Cannot fail: when
// memory for more buckets is short, the buckets just get longer.
void tl_table_insert(struct tl_table *table, struct tl_node *node);

void tl_table_remove(struct tl_table *table, struct tl_node *node);

// Takes all nodes out, as one list by `next`, which the caller then owns.
struct tl_node *tl_table_take_all(struct tl_table *table);

#endif
