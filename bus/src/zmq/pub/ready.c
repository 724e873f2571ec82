// SPDX-License-Identifier: MIT
// The subscribers that are ready.
//
// Heartbeats that are missed are counted by the bus thread's own ticks, so a broadcaster that was
// stopped itself does not take those that live for dead.
#include "bus/src/zmq/pub/ready.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/log.h"

#define BEATS_MISSED 3 // of a subscriber that beats more seldom than our time-out

struct subscriber {
    struct tl_node node; // first, so that a node is its subscriber
    int every_ms;        // between its heartbeats; 0: none is to be missed
    unsigned missed;     // ticks since the last
    bool is_silent;
    char name[];
};

void talus__ready_init(struct talus__ready *ready)
{
    tl_table_init(&ready->table);
    pthread_mutex_init(&ready->mutex, NULL);
    ready->silent_count = 0;
    atomic_init(&ready->count, 0);
    atomic_init(&ready->silent, 0);
    talus__waiters_init(&ready->waiters);
}

void talus__ready_fini(struct talus__ready *ready)
{
    struct tl_node *node = tl_table_take_all(&ready->table);

    while (node) {
        struct tl_node *next = node->next;
        free(node);
        node = next;
    }
    tl_table_fini(&ready->table);
    talus__waiters_fini(&ready->waiters);
    pthread_mutex_destroy(&ready->mutex);
}

static struct subscriber *find(const struct talus__ready *ready, const char *name, size_t size)
{
    return (struct subscriber *)tl_table_find(&ready->table, name, size);
}

static void note_counts(struct talus__ready *ready)
{
    atomic_store_explicit(&ready->count, ready->table.count - ready->silent_count,
                          memory_order_relaxed);
    atomic_store_explicit(&ready->silent, ready->silent_count, memory_order_relaxed);
}

static void set_silent(struct talus__ready *ready, struct subscriber *subscriber, bool is_silent)
{
    if (subscriber->is_silent == is_silent)
        return;
    pthread_mutex_lock(&ready->mutex);
    subscriber->is_silent = is_silent;
    if (is_silent)
        ready->silent_count++;
    else
        ready->silent_count--;
    note_counts(ready);
    pthread_mutex_unlock(&ready->mutex);
    talus__waiters_wake(&ready->waiters);
}

int talus__ready_add(struct talus__ready *ready, const char *name, size_t size)
{
    struct subscriber *subscriber = find(ready, name, size);

    if (subscriber) {
        subscriber->missed = 0;
        set_silent(ready, subscriber, false);
        return 0;
    }
    if (ready->table.count >= TALUS__READY_MAX)
        return TALUS_ELIMIT;
    subscriber = malloc(sizeof *subscriber + size);
    if (!subscriber)
        return TALUS_ENOMEM;
    *subscriber = (struct subscriber){0};
    memcpy(subscriber->name, name, size);
    subscriber->node.name = subscriber->name;
    subscriber->node.name_size = size;
    pthread_mutex_lock(&ready->mutex);
    tl_table_insert(&ready->table, &subscriber->node);
    note_counts(ready);
    pthread_mutex_unlock(&ready->mutex);
    talus__waiters_wake(&ready->waiters);
    return 0;
}

void talus__ready_remove(struct talus__ready *ready, const char *name, size_t size)
{
    struct subscriber *subscriber = find(ready, name, size);

    if (!subscriber)
        return;
    pthread_mutex_lock(&ready->mutex);
    tl_table_remove(&ready->table, &subscriber->node);
    ready->silent_count -= subscriber->is_silent;
    note_counts(ready);
    pthread_mutex_unlock(&ready->mutex);
    free(subscriber);
    talus__waiters_wake(&ready->waiters);
}

bool talus__ready_beat(struct talus__ready *ready, const char *name, size_t size, int every_ms)
{
    struct subscriber *subscriber = find(ready, name, size);

    if (!subscriber)
        return false;
    subscriber->every_ms = every_ms;
    subscriber->missed = 0;
    if (subscriber->is_silent)
        talus__log(TALUS_LOG_INFO, "subscriber %.*s is heard again: it counts as ready", (int)size,
                   name);
    set_silent(ready, subscriber, false);
    return true;
}

static void miss(struct talus__ready *ready, struct subscriber *subscriber, int tick_ms,
                 int timeout_ms)
{
    long long silent_ms = (long long)++subscriber->missed * tick_ms;
    long long most_ms = (long long)subscriber->every_ms * BEATS_MISSED;

    if (most_ms < timeout_ms)
        most_ms = timeout_ms;
    if (silent_ms <= most_ms)
        return;
    set_silent(ready, subscriber, true);
    talus__log(TALUS_LOG_INFO,
               "subscriber %.*s has been silent for %lld ms: it does not count as ready",
               (int)subscriber->node.name_size, subscriber->name, silent_ms);
}

bool talus__ready_tick(struct talus__ready *ready, int tick_ms, int timeout_ms)
{
    bool is_any = false;

    for (struct tl_node *node = tl_table_first(&ready->table); node;
         node = tl_table_next(&ready->table, node)) {
        struct subscriber *subscriber = (struct subscriber *)node;
        if (subscriber->every_ms == 0 || subscriber->is_silent)
            continue;
        is_any = true;
        miss(ready, subscriber, tick_ms, timeout_ms);
    }
    return is_any;
}

bool talus__ready_contains(struct talus__ready *ready, const char *name)
{
    pthread_mutex_lock(&ready->mutex);
    const struct subscriber *subscriber = find(ready, name, strlen(name));
    bool is_there = subscriber && !subscriber->is_silent;
    pthread_mutex_unlock(&ready->mutex);
    return is_there;
}

size_t talus__ready_count(const struct talus__ready *ready)
{
    return (size_t)atomic_load_explicit(&ready->count, memory_order_relaxed);
}
