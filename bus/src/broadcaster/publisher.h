// SPDX-License-Identifier: MIT
// The bus thread: takes events from the emit queue, completes them with `prev`, keeps them in the
// history, and gives them to the transport, of which it alone calls most functions.
//
// Everybody else meets it in two places: the queue (with its wake-up), and counters.
#ifndef TALUS__PUBLISHER_H
#define TALUS__PUBLISHER_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/base/waiters.h"
#include "bus/src/base/wakeup.h"
#include "bus/src/broadcaster/cursors.h"
#include "bus/src/broadcaster/history.h"
#include "bus/src/broadcaster/queue.h"
#include "bus/src/broadcaster/sessions.h"
#include "bus/src/transport/publish.h"

#define TALUS__BATCH_EVENTS 64 // that are given to the transport at once

struct talus__bus_thread {
    struct talus__queue queue;
    struct talus__wakeup wakeup;    // notify it after a put
    struct talus__waiters flushers; // woken when `settled` has grown
    atomic_bool stopping;

    // Counters: the bus thread writes them.
    _Atomic uint64_t settled; // seq up to which all events are settled
    _Atomic uint64_t sessions_known;
    _Atomic uint64_t events_kept;
    _Atomic uint64_t bytes_kept;

    // The bus thread's own.
    pthread_t thread;
    struct talus__publish_transport *transport;
    const char *origin;
    long long deadline;              // of the end
    long long now;                   // of this turn, on the monotonic clock in milliseconds
    uint64_t newest;                 // seq of the newest event given to the transport
    struct talus__sessions sessions; // what has been sent
    struct talus__history history;
    struct talus__cursors cursors;
    struct talus__publish_event batch[TALUS__BATCH_EVENTS]; // to be given to the transport
    size_t batch_count;
    struct pollfd fds[1 + TALUS__PUBLISH_FDS]; // the wake-up's, then the transport's
    size_t polled; // of the transport's, how many poll has looked at since the last turn
};

struct talus__bus_thread_options {
    const char *origin; // kept: must live as long as the publisher
    size_t queue_events;
    size_t queue_bytes;
    size_t max_sessions;
    size_t session_size; // the transport's
    struct talus__history_bounds history;
};

// Returns 0, TALUS_ENOMEM or TALUS_ESYSTEM.
int talus__bus_thread_init(struct talus__bus_thread *publisher,
                           const struct talus__bus_thread_options *options);

// After stop, or when start failed, and after the transport was closed.
void talus__bus_thread_fini(struct talus__bus_thread *publisher);

// Starts the thread. The transport was opened with the publisher's source (`cursors.source`), and
// is closed by the caller, after stop or an error. Returns 0 or TALUS_ESYSTEM.
int talus__bus_thread_start(struct talus__bus_thread *publisher,
                            struct talus__publish_transport *transport);

// Sends what is queued and waits until it is settled, until `deadline` (on the monotonic clock in
// milliseconds) at most, has the transport finish, and ends the thread. No emit may be under way.
// Returns how many events were not settled.
uint64_t talus__bus_thread_stop(struct talus__bus_thread *publisher, long long deadline);

#endif
