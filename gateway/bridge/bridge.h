// SPDX-License-Identifier: MIT
// The bridge: turns bus sessions into Socket.IO rooms. The only part of the gateway that knows the
// bus.
//
// The bus thread has a loop with the subscriber, the gateway's broadcaster (for
// presence) and the table of sessions: their members on each worker, and their newest event.
// Workers (loops with a Socket.IO server) send it commands and get back answers, presence and
// events, all through the loops' message queues. Messages between two loops keep their order, which
// is what makes `joined` exact: each event after its offset is posted behind it.
//
// A gateway of one worker needs no bus thread: its loop does that work, too (see `loop` below), and
// an event wakes one thread less on its way. Messages then go from the loop to itself, and nothing
// else differs.
#ifndef TALUS_GATEWAY_BRIDGE_BRIDGE_H
#define TALUS_GATEWAY_BRIDGE_BRIDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/metrics.h"
#include "gateway/session/sio_server.h"

#define BRIDGE_PRESENCE_ALWAYS SIZE_MAX

struct bridge;

struct bridge_options {
    struct gw_loop *loop;    // of the only worker, to run on; NULL: a thread and a loop of its own
    const char *bus;         // endpoints to listen on, comma-separated; NULL: the default bus
    const char *publish;     // where presence is published; NULL: the default bus
    unsigned directory_mode; // of a bus directory that is made; default 0700
    int *bus_error;        // receives the TALUS_E… if the bus cannot be opened; NULL: not wanted
    const char *nsp;       // namespace of the rooms, e.g. "/graph"
    unsigned max_sessions; // sessions that one client may be in; default 100
    size_t presence_limit; // clients of a session up to which its room is told who joins and leaves
                           // (the bus always is); 0: never; default: BRIDGE_PRESENCE_ALWAYS
    unsigned live_timeout_ms;    // how long a join waits for the broadcasters; default 1,000
    unsigned linger_ms;          // how long an empty session stays subscribed; default 30,000
    size_t max_lingering;        // empty sessions that stay subscribed; default 10,000
    unsigned recovery_window_ms; // how long a suspended client can be recovered, 0: never; default
                                 // 120,000
    unsigned silence_ms;         // how long a client may be cut off unnoticed; default 45,000
    size_t recovery_bytes;       // of events kept for recovery; default 64 MiB
    size_t max_suspended;        // suspended clients, at most; default 10,000
    size_t max_suspended_bytes;  // of their suspensions; default 16 MiB
    size_t max_missed;           // bytes that a recovered client may have missed; default 1 MiB
    // Histories that are asked for at a time, for joins with `since`: each may bring as much as a
    // client may miss. Default 256, of which 64 of one broadcaster; the last quarter is for
    // broadcasters that none is asked of. The other joins wait: 16,384 of all, for 10,000 ms.
    size_t max_histories;
    size_t max_histories_of_one;
    size_t max_catch_ups_waiting; // joins, also those that are asked for
    unsigned catch_up_queue_ms;   // how long one waits to be asked for
    unsigned catch_up_stream_ms;  // how long the live stream may take to reach a history's end;
                                  // default 1,000
    // Sessions subscribed to: each costs memory here and in every broadcaster. Beyond,
    // sessions without members are evicted, with the suspended clients that they are held for;
    // then joins are `unavailable`. Default 100,000.
    size_t max_bus_sessions;
};

void bridge_options_init(struct bridge_options *options);

// Opens the bus: broadcaster and subscriber. Blocks until the events for everybody are live,
// live_timeout_ms at most: clients that connect from then on miss none. NULL on failure, with a
// text for people in `error`.
struct bridge *bridge_new(const struct bridge_options *options, char *error, size_t error_size);

// Adds a worker's Socket.IO server: its namespaces are added and handled from here on. All workers
// are attached before bridge_start. False: out of memory, or too many (more than one, or another,
// where the options name a worker's loop).
bool bridge_attach(struct bridge *bridge, struct sio_server *server, struct gw_loop *loop,
                   struct gw_metrics *metrics);

// Starts the bus thread, if there is to be one. False: it could not be made.
bool bridge_start(struct bridge *bridge);

// On the loop of the worker that was attached as number `worker`, from 0: whether it awaits no
// answer from the bus thread. The loop of one that does should go on when its clients have gone:
// the bus thread may have counted one that it will never hear of again, and told the bus.
bool bridge_is_idle(const struct bridge *bridge, unsigned worker);

// After the workers' loops have ended, and their servers are gone: handles their last requests (so
// that the bus hears which clients left), flushes what is to be published, ends the thread. Blocks
// for that, a second or so at most.
void bridge_stop(struct bridge *bridge);
// Frees it; the workers' message queues must be drained or gone.
void bridge_destroy(struct bridge **bridge);

// The bus thread's counters.
const struct gw_metrics *bridge_metrics(const struct bridge *bridge);

// Where it listens and publishes, for the log.
const char *bridge_bus_endpoint(const struct bridge *bridge);
const char *bridge_publish_endpoint(const struct bridge *bridge);

#endif
