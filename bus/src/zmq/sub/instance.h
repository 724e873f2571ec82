// SPDX-License-Identifier: MIT
// What the parts of ZeroMQ's receiving transport share. Its files, each of which uses only those
// below it:
//
//   receive.c        the functions of the transport: taking, subscribing, time, the guard's turn
//   liveness.c       publishers that are gone, and those that stand still
//   responses.c      the responses of replays
//   marks.c          high-water marks, hellos, leaves and heartbeats of publishers
//   acknowledge.c    the subscriber's acknowledgement
//
// and what these stand on: peers.c with bus_directories.c and peer_table.c (what is connected),
// zmq/monitor.c, replay_client.c, heartbeat.c (the subscriber's own), presence.c (which publishers
// are there), sub_socket.c, and inbox.c with guard.c (what comes while the owner stands still).
#ifndef TALUS__ZMQ_SUB_INSTANCE_H
#define TALUS__ZMQ_SUB_INSTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/transport/receive.h"
#include "bus/src/zmq/sub/frames.h"
#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/heartbeat.h"
#include "bus/src/zmq/sub/inbox.h"
#include "bus/src/zmq/sub/peers.h"
#include "bus/src/zmq/sub/presence.h"
#include "bus/src/zmq/sub/replay_client.h"

struct talus__zmq_receive {
    struct talus__receive_transport base; // first, so that a transport is its instance
    struct talus__receive_options receive;
    void *context;
    void *socket;                    // SUB
    struct talus__inbox inbox;       // of `socket`
    struct talus__inbox_bound bound; // of `inbox`
    struct talus__post post;         // whoever reads `socket` and the replay client's holds it
    struct talus__presences presences;
    struct talus__peers peers;
    struct talus__replay_client replay_client;
    struct talus__heartbeat heartbeat;           // the subscriber's own
    long long heartbeats_at;                     // when to count those that did not come; 0: nobody
                                                 // sends any
    struct talus__frames frames;                 // the message under way
    struct talus__source source;                 // where it came from
    struct talus__replay_connection *responding; // which the response under way came by
    struct talus__replay_request *ended;         // owned: its response was taken last; or NULL
    bool prefers_responses;  // whose turn it is: the replay client's, or the socket's
    uint64_t malformed_told; // of those that the inboxes count
};

static inline struct talus__zmq_receive *
talus__zmq_receive_of(struct talus__receive_transport *transport)
{
    return (struct talus__zmq_receive *)transport;
}

// Says of the message in `frames` that it was dropped.
static inline void talus__incoming_set_malformed(struct talus__incoming *incoming, const char *what)
{
    incoming->kind = TALUS__INCOMING_MALFORMED;
    incoming->what = what;
}

#endif
