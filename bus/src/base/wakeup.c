// SPDX-License-Identifier: MIT
// Wakes the one thread that sleeps on a descriptor.
#include "bus/src/base/wakeup.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <talus/error.h>

int talus__wakeup_init(struct talus__wakeup *wakeup)
{
    atomic_init(&wakeup->sleeping, false);
    wakeup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wakeup->fd < 0 ? TALUS_ESYSTEM : 0;
}

void talus__wakeup_fini(struct talus__wakeup *wakeup)
{
    close(wakeup->fd);
}

void talus__wakeup_notify(struct talus__wakeup *wakeup)
{
    const uint64_t one = 1;

    if (!atomic_load_explicit(&wakeup->sleeping, memory_order_seq_cst))
        return;
    // One of many notifiers writes; the others' work is found by the same waking.
    if (!atomic_exchange_explicit(&wakeup->sleeping, false, memory_order_seq_cst))
        return;
    // It fails only when interrupted, or with the counter at its maximum: readable already.
    while (write(wakeup->fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void talus__wakeup_begin_sleep(struct talus__wakeup *wakeup)
{
    atomic_store_explicit(&wakeup->sleeping, true, memory_order_seq_cst);
}

void talus__wakeup_end_sleep(struct talus__wakeup *wakeup, bool is_readable)
{
    uint64_t count;

    atomic_store_explicit(&wakeup->sleeping, false, memory_order_seq_cst);
    // Unread, it would make the next poll return at once; EAGAIN is as good as a value.
    while (is_readable && read(wakeup->fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}
