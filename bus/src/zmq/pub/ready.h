// SPDX-License-Identifier: MIT
// The subscribers that have said that they are ready for this broadcaster's events, by their
// `$ready/SUBSCRIBER/ORIGIN` subscriptions. Written by the bus thread, read by any.
//
// Once a heartbeat of one has come, by its `$beat/SUBSCRIBER/MS` subscriptions, more must follow:
// while they stay away the subscriber is silent, and does not count. One that never had any (of an
// earlier version, say) counts as long as it is connected. Heartbeats of others leave no trace, so
// that nobody can make us remember names by them.
#ifndef TALUS__READY_H
#define TALUS__READY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/base/waiters.h"
#include "common/table.h"

#define TALUS__READY_MAX 65536u // subscribers of one broadcaster

struct talus__ready {
    pthread_mutex_t mutex; // held by the bus thread to change what others read, by these to read
    struct tl_table table; // struct subscriber (ready.c)
    size_t silent_count;
    _Atomic uint64_t count;        // of those that are ready and not silent
    _Atomic uint64_t silent;       // silent_count, for others
    struct talus__waiters waiters; // woken at each change
};

void talus__ready_init(struct talus__ready *ready);
void talus__ready_fini(struct talus__ready *ready);

// ---- For the bus thread

// Returns 0, TALUS_ELIMIT or TALUS_ENOMEM.
int talus__ready_add(struct talus__ready *ready, const char *subscriber, size_t size);
void talus__ready_remove(struct talus__ready *ready, const char *subscriber, size_t size);

// A heartbeat came; the next comes within `every_ms`, or, if that is 0, none is to be missed any
// more. Returns whether it is of one that is ready.
bool talus__ready_beat(struct talus__ready *ready, const char *subscriber, size_t size,
                       int every_ms);

// A tick of `tick_ms` has passed, and all subscriptions that came in it were read. One that had no
// heartbeat for more than `timeout_ms`, and than three of its own, is silent from now on. Returns
// whether any heartbeat is waited for.
bool talus__ready_tick(struct talus__ready *ready, int tick_ms, int timeout_ms);

// ---- For any thread

bool talus__ready_contains(struct talus__ready *ready, const char *subscriber);
size_t talus__ready_count(const struct talus__ready *ready);

#endif
