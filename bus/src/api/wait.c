// SPDX-License-Identifier: MIT
// Waiting for the bus thread: until all is sent, and until the subscribers are ready.
#include <talus/broadcaster.h>

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/api/instance.h"

#define RESCAN_MS 100 // where a bus directory cannot be watched, or has just told something

// A moment on the monotonic clock; -1: never.
static long long deadline_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : talus__monotonic_ms() + timeout_ms;
}

// Milliseconds until `deadline`, in the form that poll takes.
static int left_until(long long deadline)
{
    if (deadline < 0)
        return -1;
    long long left = deadline - talus__monotonic_ms();
    return left > 0 ? (int)left : 0;
}

// Ends a wait with `error`; errno tells a signal (EINTR) from the end of the time (EAGAIN), as in
// talus_subscriber_receive.
static int ended(int error, bool is_interrupted)
{
    errno = is_interrupted ? EINTR : EAGAIN;
    return error;
}

int talus_broadcaster_flush(talus_broadcaster_t *broadcaster, int timeout_ms)
{
    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    struct talus__publisher *publisher = &broadcaster->publisher;
    uint64_t target = talus__queue_newest(&publisher->queue);
    long long deadline = deadline_of(timeout_ms);
    struct talus__waiter waiter;
    int error = talus__waiters_add(&publisher->flushers, &waiter);
    if (error)
        return error;
    bool is_interrupted = false;
    while (atomic_load_explicit(&publisher->handled, memory_order_seq_cst) < target) {
        int left = left_until(deadline);
        if (left == 0 || is_interrupted) {
            error = TALUS_ETIMEOUT;
            break;
        }
        struct pollfd item = {.fd = waiter.fd, .events = POLLIN};
        is_interrupted = poll(&item, 1, left) < 0 && errno == EINTR;
        talus__waiter_clear(&waiter);
    }
    talus__waiters_remove(&publisher->flushers, &waiter);
    return error ? ended(error, is_interrupted) : 0;
}

// What a wait for subscribers watches: its place among the waiters, then the bus directories.
struct watch {
    struct talus__waiter waiter;
    struct pollfd items[1 + TALUS__ENDPOINTS_MAX];
    size_t count;
    bool is_blind;    // some directory cannot be watched
    bool must_rescan; // one told something: of a death it tells before the lock is free
};

static int open_watch(talus_broadcaster_t *broadcaster, struct watch *watch)
{
    int error = talus__waiters_add(&broadcaster->publisher.ready.waiters, &watch->waiter);
    if (error)
        return error;
    watch->items[0] = (struct pollfd){.fd = watch->waiter.fd, .events = POLLIN};
    watch->count = 1;
    watch->is_blind = false;
    watch->must_rescan = false;
    for (size_t i = 0; i < broadcaster->attachments.count; i++) {
        const char *directory = broadcaster->attachments.items[i].directory;
        if (!directory)
            continue;
        int fd = talus__directory_watch(directory);
        if (fd >= 0)
            watch->items[watch->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        else
            watch->is_blind = true;
    }
    return 0;
}

static void close_watch(talus_broadcaster_t *broadcaster, struct watch *watch)
{
    for (size_t i = 1; i < watch->count; i++)
        close(watch->items[i].fd);
    talus__waiters_remove(&broadcaster->publisher.ready.waiters, &watch->waiter);
}

// Returns whether a signal ended the wait.
static bool wait_for_change(struct watch *watch, int timeout_ms)
{
    if ((watch->is_blind || watch->must_rescan) && (timeout_ms < 0 || timeout_ms > RESCAN_MS))
        timeout_ms = RESCAN_MS;
    if (poll(watch->items, (nfds_t)watch->count, timeout_ms) < 0 && errno == EINTR)
        return true; // what the items have to say stays there for the next wait
    talus__waiter_clear(&watch->waiter);
    watch->must_rescan = false;
    for (size_t i = 1; i < watch->count; i++)
        watch->must_rescan |= talus__directory_drain(watch->items[i].fd, NULL, NULL);
    return false;
}

struct living {
    struct talus__ready *ready;
    size_t count;
    size_t unready;
};

static int on_living_subscriber(const char *name, void *arg)
{
    struct living *living = arg;

    living->count++;
    if (!talus__ready_contains(living->ready, name))
        living->unready++;
    return 0;
}

static int scan_directories(talus_broadcaster_t *broadcaster, struct living *living)
{
    *living = (struct living){.ready = &broadcaster->publisher.ready};
    for (size_t i = 0; i < broadcaster->attachments.count; i++) {
        const char *directory = broadcaster->attachments.items[i].directory;
        if (!directory)
            continue;
        int error = talus__directory_scan(directory, TALUS__ROLE_SUBSCRIBER, on_living_subscriber,
                                          living, NULL);
        if (error)
            return error;
    }
    return 0;
}

int talus_broadcaster_wait_subscribers(talus_broadcaster_t *broadcaster, size_t at_least,
                                       int timeout_ms, size_t *ready)
{
    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    long long deadline = deadline_of(timeout_ms);
    struct watch watch;
    int error = open_watch(broadcaster, &watch);
    if (error)
        return error;
    size_t count;
    bool is_interrupted = false;
    bool is_over = false;
    for (;;) {
        struct living living;
        error = scan_directories(broadcaster, &living);
        count = talus__ready_count(&broadcaster->publisher.ready);
        if (error || (count >= at_least && living.unready == 0))
            break;
        int left = left_until(deadline);
        if (left == 0 || is_interrupted) {
            is_over = true;
            bool is_nobody = count == 0 && living.count == 0 && !is_interrupted;
            error = is_nobody ? TALUS_ENOSUBSCRIBER : TALUS_ETIMEOUT;
            break;
        }
        is_interrupted = wait_for_change(&watch, left);
    }
    close_watch(broadcaster, &watch);
    if (ready)
        *ready = count;
    return is_over ? ended(error, is_interrupted) : error;
}
