// SPDX-License-Identifier: MIT
// Threads that wait until the bus thread has got somewhere. Each waits on a descriptor of its own,
// so that it can watch others beside it (a bus directory).
//
// As in wakeup.h: a waiter adds itself and then looks at its condition; the bus thread changes the
// condition and then looks for waiters.
#ifndef TALUS__WAITERS_H
#define TALUS__WAITERS_H

#include <pthread.h>
#include <stdatomic.h>

struct talus__waiter {
    int fd; // an eventfd
    struct talus__waiter *next;
};

struct talus__waiters {
    pthread_mutex_t mutex;
    struct talus__waiter *first;
    atomic_uint count;
};

void talus__waiters_init(struct talus__waiters *waiters);
void talus__waiters_fini(struct talus__waiters *waiters);

// Returns 0 or TALUS_ESYSTEM: no descriptor is left. `waiter` stays the caller's, until removed.
int talus__waiters_add(struct talus__waiters *waiters, struct talus__waiter *waiter);
void talus__waiters_remove(struct talus__waiters *waiters, struct talus__waiter *waiter);

// Makes every waiter look again. Costs a load when there is none.
void talus__waiters_wake(struct talus__waiters *waiters);

// Makes the waiter's descriptor unreadable until the next wake. Then look at the condition.
void talus__waiter_clear(struct talus__waiter *waiter);

#endif
