// SPDX-License-Identifier: MIT
// The subscriber from the inside. Its files, each of which uses only those below it:
//
//   api/subscriber.c  making, ending, watching it; the calls of its owner
//   receive.c         waits, and gives what is there, or dispatches what came
//   marks.c           the high-water marks, hellos, farewells and beats of publishers
//   replayed.c        the responses of replays
//   join.c            joining and leaving, and when a join is live
//   recover.c         what talus_subscriber_recover asks for
//   liveness.c        publishers that are gone, and those that stand still
//   gap_repair.c      turns what happens into the sequencer's inputs, and its actions into
//   deliveries sequencer.c       decides: an event is the next, was had, or comes after something
//   missing core.h            what these share, from files that stand by themselves: subscription.c
//   (what is
//                     joined, and how far one is), delivery.c, wake.c, log_gate.c, and those of
//                     zmq/sub: publishers.c, peers.c (sockets and bus directories),
//                     replay_client.c, inbox.c and guard.c (what comes while the owner stands
//                     still)
#ifndef TALUS__SUBSCRIBER_INSTANCE_H
#define TALUS__SUBSCRIBER_INSTANCE_H

#include <stdbool.h>

#include <talus/subscriber.h>

#include "bus/src/subscriber/core.h"
#include "bus/src/subscriber/gap_repair.h"
#include "bus/src/subscriber/liveness.h"
#include "bus/src/subscriber/recover.h"

struct talus_subscriber {
    unsigned generation; // of forks
    void *context;       // ZeroMQ's
    struct talus__core core;
    struct talus__gap_repair repairs;
    struct talus__liveness liveness;
    struct talus__recover recover;
    unsigned untended;    // messages since the descriptors were looked at
    bool prefers_answers; // whose turn it is: the replay client's, or the socket's
};

// Around what the owner does with its sockets, so that the guard does not read them meanwhile.
static inline void talus__enter(talus_subscriber_t *subscriber)
{
    talus__post_enter(&subscriber->core.post);
}

static inline void talus__leave(talus_subscriber_t *subscriber)
{
    talus__post_leave(&subscriber->core.post, subscriber->core.inbox.is_emptied &&
                                                  subscriber->core.replay_client.is_emptied);
}

#endif
