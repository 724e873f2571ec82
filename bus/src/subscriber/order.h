// SPDX-License-Identifier: MIT
// Order: the one place that judges whether an event is the next, was had already, or comes after
// something that is missing.
//
// An event of a session that is joined, while everything is joined too, is judged once: by the
// sequence of all, whose `seq` has no holes, as soon as the origin's `*/$head` is its baseline;
// before, by its session's. The other position just follows.
#ifndef TALUS__ORDER_H
#define TALUS__ORDER_H

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/heal.h"
#include "bus/src/subscriber/instance.h"

// An event that was decoded from subscriber->topic and body. `refusal`: 0, or why its payload is
// not delivered. Returns what talus__take_message does.
int talus__order_event(talus_subscriber_t *subscriber, const struct talus__topic *topic,
                       const struct talus__body *body, struct talus__origin *origin, int refusal);

// The same for an event of an answer that the heal asked for.
int talus__order_replayed(talus_subscriber_t *subscriber, struct talus__heal *heal,
                          const struct talus__topic *topic, const struct talus__body *body,
                          int refusal);

// The same for one that the heal held back and whose turn it is now.
int talus__order_release(talus_subscriber_t *subscriber, struct talus__heal *heal);

// A head of a session that is joined: events up to `seq` have been sent.
void talus__order_head(talus_subscriber_t *subscriber, struct talus__joined *joined,
                       struct talus__origin *origin, uint64_t seq);

#endif
