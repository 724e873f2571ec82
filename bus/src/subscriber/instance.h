// SPDX-License-Identifier: MIT
// The subscriber from the inside. Its files, each of which uses only those below it:
//
//   api/subscriber.c  making, ending, watching it; the calls of its owner; api/join_since.c
//   receive.c         waits, and gives what is there, or dispatches what the transport brings
//   replayed.c        the responses of replays
//   join.c            joining and leaving, and when a join is live
//   recover.c         what talus_subscriber_recover asks for
//   losses.c          what is told when a publisher is lost
//   gap_repair.c      turns what happens into the sequencer's inputs, and its actions into
//                     deliveries
//   catch_up.c        how far a join since an event is, and what it waits for before LIVE
//   sequencer.c       decides: an event is the next, was had, or comes after something missing
//   core.h            what these share: the transport (transport/receive.h) and the publishers that
//                     it knows, and files that stand by themselves: subscription.c (what is joined,
//                     and how far one is), delivery.c, wake.c, log_gate.c
#ifndef TALUS__SUBSCRIBER_INSTANCE_H
#define TALUS__SUBSCRIBER_INSTANCE_H

#include <stdbool.h>

#include <talus/subscriber.h>

#include "bus/src/subscriber/core.h"
#include "bus/src/subscriber/gap_repair.h"
#include "bus/src/subscriber/recover.h"

struct talus_subscriber {
    unsigned generation; // of forks
    struct talus__core core;
    struct talus__gap_repair repairs;
    struct talus__recover recover;
    struct talus__receive_owner owner; // what the transport tells of is for this subscriber
    unsigned untended;                 // messages since the descriptors were looked at
};

// Around what the owner does with the subscriber, so that a thread of the transport's keeps away.
static inline void talus__enter(talus_subscriber_t *subscriber)
{
    struct talus__receive_transport *transport = subscriber->core.transport;

    transport->ops->lock(transport);
}

static inline void talus__leave(talus_subscriber_t *subscriber)
{
    struct talus__receive_transport *transport = subscriber->core.transport;

    transport->ops->unlock(transport);
}

#endif
