// SPDX-License-Identifier: MIT
// A hash table of named nodes that are embedded in what they name. It owns no node and no name.
//
// Names come from outside (sessions, subscriptions), so the hash is keyed with random bytes: nobody
// can choose names that all fall into one bucket.
#ifndef TALUS__TABLE_H
#define TALUS__TABLE_H

#include <stddef.h>
#include <stdint.h>

struct talus__node {
    struct talus__node *next; // in the bucket
    uint64_t hash;
    const char *name;
    size_t name_size;
};

struct talus__table {
    struct talus__node **buckets;
    size_t mask; // buckets - 1
    size_t count;
    uint64_t key[2];
};

// Returns 0; TALUS_ENOMEM; TALUS_ESYSTEM: no random bytes.
int talus__table_init(struct talus__table *table);

// The nodes are the caller's to free, before or after.
void talus__table_fini(struct talus__table *table);

// NULL: there is none.
struct talus__node *talus__table_find(const struct talus__table *table, const char *name,
                                      size_t name_size);

// `node->name` and `node->name_size` are set and the name is not in the table. Cannot fail: when
// memory for more buckets is short, the buckets just get longer.
void talus__table_insert(struct talus__table *table, struct talus__node *node);

void talus__table_remove(struct talus__table *table, struct talus__node *node);

// Takes all nodes out, as one list by `next`, which the caller then owns.
struct talus__node *talus__table_take_all(struct talus__table *table);

#endif
