// SPDX-License-Identifier: MIT
// The subscribers that are ready.
#include "ready.h"

#include <string.h>

int talus__ready_init(struct talus__ready *ready)
{
    int error = talus__names_init(&ready->names, TALUS__READY_MAX);
    if (error)
        return error;
    pthread_mutex_init(&ready->mutex, NULL);
    atomic_init(&ready->count, 0);
    talus__waiters_init(&ready->waiters);
    return 0;
}

void talus__ready_fini(struct talus__ready *ready)
{
    talus__waiters_fini(&ready->waiters);
    pthread_mutex_destroy(&ready->mutex);
    talus__names_fini(&ready->names);
}

static void note_count(struct talus__ready *ready)
{
    atomic_store_explicit(&ready->count, talus__names_count(&ready->names), memory_order_relaxed);
}

int talus__ready_add(struct talus__ready *ready, const char *subscriber, size_t size)
{
    bool is_new;

    pthread_mutex_lock(&ready->mutex);
    int error = talus__names_add(&ready->names, subscriber, size, &is_new);
    note_count(ready);
    pthread_mutex_unlock(&ready->mutex);
    if (is_new)
        talus__waiters_wake(&ready->waiters);
    return error;
}

void talus__ready_remove(struct talus__ready *ready, const char *subscriber, size_t size)
{
    pthread_mutex_lock(&ready->mutex);
    bool was_there = talus__names_remove(&ready->names, subscriber, size);
    note_count(ready);
    pthread_mutex_unlock(&ready->mutex);
    if (was_there)
        talus__waiters_wake(&ready->waiters);
}

bool talus__ready_contains(struct talus__ready *ready, const char *subscriber)
{
    pthread_mutex_lock(&ready->mutex);
    bool is_there = talus__names_contain(&ready->names, subscriber, strlen(subscriber));
    pthread_mutex_unlock(&ready->mutex);
    return is_there;
}

size_t talus__ready_count(const struct talus__ready *ready)
{
    return (size_t)atomic_load_explicit(&ready->count, memory_order_relaxed);
}
