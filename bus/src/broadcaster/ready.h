// SPDX-License-Identifier: MIT
// The subscribers that have said that they are ready for this broadcaster's events, by their
// `$ready/SUBSCRIBER/ORIGIN` subscriptions. Written by the bus thread, read by any.
#ifndef TALUS__READY_H
#define TALUS__READY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"
#include "waiters.h"

#define TALUS__READY_MAX 65536u // subscribers of one broadcaster

struct talus__ready {
    pthread_mutex_t mutex; // guards `names`; held for one look-up at a time
    struct talus__names names;
    _Atomic uint64_t count;        // of names
    struct talus__waiters waiters; // woken at each change
};

// Returns 0, TALUS_ENOMEM or TALUS_ESYSTEM.
int talus__ready_init(struct talus__ready *ready);
void talus__ready_fini(struct talus__ready *ready);

// Returns 0, TALUS_ELIMIT or TALUS_ENOMEM.
int talus__ready_add(struct talus__ready *ready, const char *subscriber, size_t size);
void talus__ready_remove(struct talus__ready *ready, const char *subscriber, size_t size);

bool talus__ready_contains(struct talus__ready *ready, const char *subscriber);
size_t talus__ready_count(const struct talus__ready *ready);

#endif
