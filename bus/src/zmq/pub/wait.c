// SPDX-License-Identifier: MIT
// Waiting for subscribers that are ready.
#include "bus/src/zmq/pub/wait.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/base/waiters.h"
#include "bus/src/zmq/directory/directory.h"
#include "common/clock.h"

#define RESCAN_MS 100 // where a bus directory cannot be watched, or has just told something

// What a wait for subscribers watches: its place among the waiters, then the bus directories.
struct watch {
    struct talus__waiter waiter;
    struct pollfd items[1 + TALUS__ENDPOINTS_MAX];
    size_t count;
    bool is_blind;    // some directory cannot be watched
    bool must_rescan; // one told something: of a death it tells before the lock is free
};

static int open_watch(struct talus__zmq_publish *bus, struct watch *watch)
{
    int error = talus__waiters_add(&bus->ready.waiters, &watch->waiter);
    if (error)
        return error;
    watch->items[0] = (struct pollfd){.fd = watch->waiter.fd, .events = POLLIN};
    watch->count = 1;
    watch->is_blind = false;
    watch->must_rescan = false;
    for (size_t i = 0; i < bus->attachments.count; i++) {
        const char *directory = bus->attachments.items[i].directory;
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

static void close_watch(struct talus__zmq_publish *bus, struct watch *watch)
{
    for (size_t i = 1; i < watch->count; i++)
        close(watch->items[i].fd);
    talus__waiters_remove(&bus->ready.waiters, &watch->waiter);
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

static int scan_directories(struct talus__zmq_publish *bus, struct living *living)
{
    *living = (struct living){.ready = &bus->ready};
    for (size_t i = 0; i < bus->attachments.count; i++) {
        const char *directory = bus->attachments.items[i].directory;
        if (!directory)
            continue;
        int error = talus__directory_scan(directory, TALUS__ROLE_SUBSCRIBER, on_living_subscriber,
                                          living, NULL);
        if (error)
            return error;
    }
    return 0;
}

int talus__wait_subscribers(struct talus__zmq_publish *bus, size_t at_least, int timeout_ms,
                            size_t *ready)
{
    long long deadline = tl_deadline(timeout_ms);
    struct watch watch;
    int error = open_watch(bus, &watch);
    if (error)
        return error;
    size_t count;
    bool is_interrupted = false;
    bool is_over = false;
    for (;;) {
        struct living living;
        error = scan_directories(bus, &living);
        count = talus__ready_count(&bus->ready);
        if (error || (count >= at_least && living.unready == 0))
            break;
        int left = tl_left_until(deadline);
        if (left == 0 || is_interrupted) {
            is_over = true;
            bool is_nobody = count == 0 && living.count == 0 && !is_interrupted;
            error = is_nobody ? TALUS_ENOSUBSCRIBER : TALUS_ETIMEOUT;
            break;
        }
        is_interrupted = wait_for_change(&watch, left);
    }
    close_watch(bus, &watch);
    if (ready)
        *ready = count;
    if (is_over)
        errno = is_interrupted ? EINTR : EAGAIN;
    return error;
}

bool talus__await_ready(struct talus__zmq_publish *bus, long long deadline)
{
    bool has_directory = false;
    int error;

    for (size_t i = 0; i < bus->attachments.count; i++)
        has_directory |= bus->attachments.items[i].directory != NULL;
    if (!has_directory)
        return true;
    atomic_store_explicit(&bus->closing, true, memory_order_release);
    do
        error = talus__wait_subscribers(bus, 0, tl_left_until(deadline), NULL);
    while (error == TALUS_ETIMEOUT && errno == EINTR); // a signal does not end the time
    bus->is_everyone_ready = error == 0 || error == TALUS_ENOSUBSCRIBER;
    return bus->is_everyone_ready;
}
