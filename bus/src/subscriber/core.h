// SPDX-License-Identifier: MIT
// What the parts of a subscriber share: its transport, what it knows, and the message under way.
#ifndef TALUS__SUBSCRIBER_CORE_H
#define TALUS__SUBSCRIBER_CORE_H

#include <talus/subscriber.h>

#include "bus/src/codec/event_limits.h"
#include "bus/src/subscriber/delivery.h"
#include "bus/src/subscriber/subscription.h"
#include "bus/src/subscriber/wake.h"
#include "bus/src/transport/publishers.h"
#include "bus/src/transport/receive.h"

struct talus__core {
    struct talus__receive_transport *transport; // owned
    talus_subscriber_options_t options;         // without the text
    struct talus__limits limits;
    struct talus__publishers publishers;
    struct talus__subscriptions subscriptions;
    struct talus__wake wake;
    talus_subscriber_stats_t stats;

    struct talus__incoming incoming; // the message under way; what is delivered borrows from it …
    struct talus__held_event *released; // … or from this; owned; NULL: from none
    struct talus__delivery delivery;
    struct talus__log_gate malformed_gate;
};

// Counts messages that are none of ours, and logs what they were.
void talus__core_malformed(struct talus__core *core, const char *what, uint64_t count);

#endif
