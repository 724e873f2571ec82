// SPDX-License-Identifier: MIT
// Threads that wait for the bus thread.
#include "bus/src/base/waiters.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <talus/error.h>

void talus__waiters_init(struct talus__waiters *waiters)
{
    pthread_mutex_init(&waiters->mutex, NULL);
    waiters->first = NULL;
    atomic_init(&waiters->count, 0);
}

void talus__waiters_fini(struct talus__waiters *waiters)
{
    pthread_mutex_destroy(&waiters->mutex);
}

int talus__waiters_add(struct talus__waiters *waiters, struct talus__waiter *waiter)
{
    waiter->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waiter->fd < 0)
        return TALUS_ESYSTEM;
    pthread_mutex_lock(&waiters->mutex);
    waiter->next = waiters->first;
    waiters->first = waiter;
    pthread_mutex_unlock(&waiters->mutex);
    atomic_fetch_add_explicit(&waiters->count, 1, memory_order_seq_cst);
    return 0;
}

void talus__waiters_remove(struct talus__waiters *waiters, struct talus__waiter *waiter)
{
    atomic_fetch_sub_explicit(&waiters->count, 1, memory_order_seq_cst);
    pthread_mutex_lock(&waiters->mutex);
    struct talus__waiter **link = &waiters->first;
    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
    pthread_mutex_unlock(&waiters->mutex);
    close(waiter->fd);
}

void talus__waiters_wake(struct talus__waiters *waiters)
{
    const uint64_t one = 1;

    if (atomic_load_explicit(&waiters->count, memory_order_seq_cst) == 0)
        return;
    pthread_mutex_lock(&waiters->mutex);
    for (struct talus__waiter *waiter = waiters->first; waiter; waiter = waiter->next) {
        while (write(waiter->fd, &one, sizeof one) < 0 && errno == EINTR)
            ;
    }
    pthread_mutex_unlock(&waiters->mutex);
}

void talus__waiter_clear(struct talus__waiter *waiter)
{
    uint64_t count;

    while (read(waiter->fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}
