// SPDX-License-Identifier: MIT
// The bus thread: the one that owns the XPUB socket. It takes events from the emit queue, completes
// them with `prev`, sends them, keeps them in the history, and answers subscriptions with heads and
// requests with older events.
//
// Everybody else meets it in three places: the queue (with its wake-up), the set of ready
// subscribers, and counters.
#ifndef TALUS__PUBLISHER_H
#define TALUS__PUBLISHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus/src/base/names.h"
#include "bus/src/base/waiters.h"
#include "bus/src/base/wakeup.h"
#include "bus/src/broadcaster/history.h"
#include "bus/src/broadcaster/queue.h"
#include "bus/src/broadcaster/sessions.h"
#include "bus/src/zmq/pub/ledger_writer.h"
#include "bus/src/zmq/pub/ready.h"
#include "bus/src/zmq/pub/repeats.h"
#include "bus/src/zmq/pub/replay.h"

struct talus__publisher {
    struct talus__queue queue;
    struct talus__wakeup wakeup; // notify it after a put
    struct talus__ready ready;
    struct talus__waiters flushers; // woken when `handled` has grown
    atomic_bool closing;            // the end waits for subscribers: first events do, too
    atomic_bool stopping;

    // Counters: the bus thread writes them.
    _Atomic uint64_t handled; // seq of the newest event taken from the queue, sent or failed
    _Atomic uint64_t sent;
    _Atomic uint64_t send_failed;
    _Atomic uint64_t heads;
    _Atomic uint64_t subscriptions;
    _Atomic uint64_t beats;         // of subscribers that are ready
    _Atomic uint64_t beats_ignored; // of others
    _Atomic uint64_t sessions_known;
    _Atomic uint64_t events_kept;
    _Atomic uint64_t bytes_kept;

    // The bus thread's own.
    pthread_t thread;
    void *socket;
    const char *origin;
    int heartbeat_ms;                // between beats; 0: there are none
    int heartbeat_timeout_ms;        // a subscriber that is silent for longer is not ready
    long long tick_at;               // when to count the beats that did not come; 0: nobody beats
    long long beat_at;               // when the next is due; 0: nobody listens
    long long deadline;              // of the end
    bool has_farewell;               // … which is said then: every subscriber was ready
    bool has_inproc;                 // … and whose receivers' reading is not waited for
    int socket_fd;                   // ZeroMQ's, of `socket`
    int router_fd;                   // of the replay socket; -1: there is none
    long long now;                   // of this turn, on the monotonic clock in milliseconds
    long long look_at;               // when the sockets are read even in a flood of events
    uint64_t newest;                 // seq of the newest event handed to ZeroMQ
    struct talus__sessions sessions; // what has been sent
    struct talus__history history;
    struct talus__repeats repeats;
    struct talus__session *everything; // owned: stands for all of them among the repeats
    struct talus__replay replay;
    struct talus__ledger_writer ledger; // also written by emits, through the queue
    struct talus__names awaited;        // subscribers whose readiness the first events wait for
    long long hold_until;               // until when they do; 0: they do no more
    long long late_ready_at;            // when one was ready after events were sent; 0: none was
    struct talus__names heads_due;      // sessions to answer in this turn
    bool everything_due;                // `*/$head` is to be sent in this turn
    bool hello_due;                     // `$bus/$hello` likewise
};

// The counters have one writer, so an add needs no locked instruction.
static inline void talus__count_one(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

struct talus__publisher_options {
    const char *origin; // kept: must live as long as the publisher
    size_t queue_events;
    size_t queue_bytes;
    size_t max_sessions;
    struct talus__history_bounds history;
    long long replay_stall_ms;
    int heartbeat_ms;
    int heartbeat_timeout_ms;
};

// Returns 0, TALUS_ENOMEM or TALUS_ESYSTEM.
int talus__publisher_init(struct talus__publisher *publisher,
                          const struct talus__publisher_options *options);

// After stop, or when start failed.
void talus__publisher_fini(struct talus__publisher *publisher);

// Starts the thread, which owns `socket` and `router` (NULL: no replay socket) from then on; after
// an error they are still the caller's. `replay`: what heads name; must live as long as the
// publisher. Returns 0 or TALUS_ESYSTEM.
int talus__publisher_start(struct talus__publisher *publisher, void *socket, void *router,
                           const char *replay);

// Has the first events wait for this subscriber to be ready, for half a second at most: else they
// would go nowhere, and be asked for later. Before the start.
void talus__publisher_await(struct talus__publisher *publisher, const char *subscriber);

// Sends what is queued, until `deadline` (on the monotonic clock in milliseconds) at most, closes
// the sockets with what is left as their linger, and ends the thread. `publisher->has_inproc` may
// be set before. No emit may be under way.
// `is_ready`: all subscribers were ready; else no farewell is said, which would tell those who miss
// something that they do not. Returns how many events were not sent.
uint64_t talus__publisher_stop(struct talus__publisher *publisher, long long deadline,
                               bool is_ready);

#endif
