// SPDX-License-Identifier: MIT
// What the parts of a subscriber share: its sockets, what it knows, and the message under way.
#ifndef TALUS__SUBSCRIBER_CORE_H
#define TALUS__SUBSCRIBER_CORE_H

#include <talus/subscriber.h>

#include "bus/src/codec/event_limits.h"
#include "bus/src/subscriber/delivery.h"
#include "bus/src/subscriber/subscription.h"
#include "bus/src/subscriber/wake.h"
#include "bus/src/zmq/sub/frames.h"
#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/inbox.h"
#include "bus/src/zmq/sub/peers.h"
#include "bus/src/zmq/sub/publishers.h"
#include "bus/src/zmq/sub/replay_client.h"

struct talus__core {
    void *socket;                       // SUB
    struct talus__inbox inbox;          // of `socket`
    struct talus__inbox_bound bound;    // of `inbox`
    struct talus__post post;            // whoever reads `socket` and the replay client's holds it
    talus_subscriber_options_t options; // without the text
    struct talus__limits limits;
    struct talus__publishers publishers;
    struct talus__subscriptions subscriptions;
    struct talus__peers peers;
    struct talus__replay_client replay_client;
    struct talus__wake wake;
    talus_subscriber_stats_t stats;

    struct talus__frames frames; // the message under way; what was delivered borrows from it
    struct talus__source source; // of a message from a socket or an inbox
    struct talus__delivery delivery;
    uint64_t malformed_found; // of those that the inboxes count: logged
    struct talus__log_gate malformed_gate;
};

// Messages that the inboxes found not to have two frames. The guard counts, too, so it changes.
static inline uint64_t talus__core_inboxes_malformed(const struct talus__core *core)
{
    return atomic_load_explicit(&core->bound.malformed, memory_order_relaxed) +
           atomic_load_explicit(&core->replay_client.waiting.malformed, memory_order_relaxed);
}

// Counts a message that is none of ours. Returns TALUS__TAKEN_HANDLED.
int talus__core_malformed(struct talus__core *core, const char *what);

// Logs what the inboxes have found malformed since the last call.
void talus__core_log_inboxes(struct talus__core *core);

#endif
