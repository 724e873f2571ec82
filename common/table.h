// SPDX-License-Identifier: MIT
// A hash table of named nodes that are embedded in what they name. It owns no node and no name.
//
// Names come from outside (sessions, rooms, ids), so the hash is SipHash-1-3 under a key that is
// drawn once in the process: nobody can choose names that all fall into one bucket.
//
// A table is used by one thread at a time, and must not be moved in memory. No function blocks.
#ifndef TALUS_COMMON_TABLE_H
#define TALUS_COMMON_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TL_TABLE_FIRST_BUCKETS = 8 }; // a power of two

struct tl_node {
    struct tl_node *next; // in the bucket
    uint64_t hash;
    const char *name; // bytes; borrowed until the node is removed
    size_t name_size;
};

struct tl_table {
    struct tl_node **buckets; // `first`, or owned
    size_t mask;              // buckets - 1
    size_t count;
    struct tl_node *first[TL_TABLE_FIRST_BUCKETS];
};

#define TL_TABLE_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

// An empty table. Allocates nothing.
void tl_table_init(struct tl_table *table);

// The nodes are the caller's to free, before or after.
void tl_table_fini(struct tl_table *table);

// The hash that nodes with this name have, in every table of the process. Call tl_table_init
// before.
uint64_t tl_table_hash(const char *name, size_t name_size);

// NULL: there is none.
struct tl_node *tl_table_find(const struct tl_table *table, const char *name, size_t name_size);

// `node->name` and `node->name_size` are set and the name is not in the table. Cannot fail: when
// memory for more buckets is short, the buckets just get longer.
void tl_table_insert(struct tl_table *table, struct tl_node *node);

void tl_table_remove(struct tl_table *table, struct tl_node *node);

// Walk over all nodes, in no order. NULL: there is none, or none more. Ask for the next node before
// removing one; nodes that are inserted during a walk may or may not be met, and others then twice
// or not at all.
struct tl_node *tl_table_first(const struct tl_table *table);
struct tl_node *tl_table_next(const struct tl_table *table, const struct tl_node *node);

// Takes all nodes out, as one list by `next`, which the caller then owns.
struct tl_node *tl_table_take_all(struct tl_table *table);

#endif
