// SPDX-License-Identifier: MIT
// What the parts of the ZeroMQ transport share. It is the bus thread's, but for what says
// otherwise.
#ifndef TALUS__ZMQ_PUB_INSTANCE_H
#define TALUS__ZMQ_PUB_INSTANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bus/src/base/names.h"
#include "bus/src/transport/publish.h"
#include "bus/src/zmq/pub/attachments.h"
#include "bus/src/zmq/pub/ledger_writer.h"
#include "bus/src/zmq/pub/ready.h"
#include "bus/src/zmq/pub/repeats.h"
#include "bus/src/zmq/pub/replay.h"

#define TALUS__SUBSCRIPTIONS_PER_TURN 1024

// What it keeps for each session that the broadcaster remembers.
struct talus__zmq_session {
    struct talus__repeat repeat; // first, so that a repeat is its session
    uint32_t ledger_slot;        // where the ledger has it
};

struct talus__zmq_publish {
    struct talus__publish_transport base; // first, so that a transport is its instance
    const char *origin;
    const struct talus__publish_source *source;
    struct talus__attachments attachments; // never changes after it was opened
    char *endpoint;                        // owned
    struct talus__ready ready;             // for any thread
    atomic_bool closing;                   // the end waits for subscribers: first events do, too
    bool is_everyone_ready; // at the end; written before the bus thread is told to finish

    // Counters: the bus thread writes them.
    _Atomic uint64_t sent;
    _Atomic uint64_t send_failed;
    _Atomic uint64_t heads;
    _Atomic uint64_t subscriptions;
    _Atomic uint64_t beats;              // of subscribers that are ready
    _Atomic uint64_t heartbeats_ignored; // of others

    void *socket;             // XPUB
    int socket_fd;            // ZeroMQ's, of `socket`
    int router_fd;            // of the replay socket; -1: there is none
    int heartbeat_ms;         // between beats; 0: there are none
    int heartbeat_timeout_ms; // a subscriber that is silent for longer is not ready
    long long tick_at;        // when to count the beats that did not come; 0: nobody beats
    long long beat_at;        // when the next is due; 0: nobody listens
    long long now;            // of this turn, on the monotonic clock in milliseconds
    long long look_at;        // when the sockets are read even in a flood of events
    uint64_t newest;          // seq of the newest event handed to ZeroMQ
    struct talus__repeats repeats;
    struct talus__repeat everything; // stands for all sessions among the repeats
    struct talus__replay replay;
    struct talus__ledger_writer ledger; // its ring is the emits'
    struct talus__names awaited;        // subscribers whose readiness the first events wait for
    long long hold_until;               // until when they do; 0: they do no more
    bool is_held;                       // events wait in the queue for that
    long long late_ready_at;            // when one was ready after events were sent; 0: none was
    struct talus__names heads_due;      // sessions to answer in this turn
    bool everything_due;                // `*/$head` is to be sent in this turn
    bool hello_due;                     // `$bus/$hello` likewise
};

static inline struct talus__zmq_publish *
talus__zmq_publish_of(struct talus__publish_transport *transport)
{
    return (struct talus__zmq_publish *)transport;
}

// The counters have one writer, so an add needs no locked instruction.
static inline void talus__count_one(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

#endif
