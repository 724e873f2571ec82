// SPDX-License-Identifier: MIT
// The subscriber's own heartbeats, by which broadcasters notice that it stands still or is cut off.
//
// A heartbeat is a change of one subscription, `$beat/ID/MS`: made and taken back in turn. Like any
// subscription it goes to every connection, whichever side bound, and costs a broadcaster nothing
// to answer. The guard thread sends it, so that an owner who does not call does not count as
// stopped.
//
// ZeroMQ keeps subscriptions without a bound for a peer that does not read them, or is not there.
// So a subscriber beats only if behind every connection that there is or should be there is a
// broadcaster that beats, too, and has read what was sent. When that is so no longer, at most
// TALUS__UNPROVEN_MOST heartbeats follow. Then, as when nobody beats any more, one subscription to
// `$beat/ID/0` says that no more are to be missed.
#ifndef TALUS__HEARTBEAT_H
#define TALUS__HEARTBEAT_H

#include <stdbool.h>

#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/peers.h"
#include "bus/src/zmq/sub/presence.h"

#define TALUS__UNPROVEN_MOST 1024 // of 64 bytes for each connection, in ZeroMQ

struct talus__heartbeat {
    void *socket;                               // SUB; borrowed, as the next three are
    struct talus__post *post;                   // of `socket`
    struct talus__peers *peers;                 // behind it
    const struct talus__publishers *publishers; // the publishers that are known
    bool has_beats;    // the beats of some publisher are expected; the owner's
    int every_ms;      // 0: never any
    bool is_made;      // the subscription `topic` stands
    bool is_withdrawn; // the subscription `leave` stands
    bool is_proven;    // since the last heartbeat all connections were found to be such
    unsigned unproven; // heartbeats since that was so, and all was read
    char topic[32];
    char leave[32];
};

// Once the id and the endpoints are known. The borrowed members are set, the others zero.
void talus__heartbeat_init(struct talus__heartbeat *heartbeat, int every_ms);

// The owner's: looks what is behind the connections, and begins, or begins again, if all is well.
// `is_drained`: all that came was read.
void talus__heartbeat_tend(struct talus__heartbeat *heartbeat, bool is_drained);

// For the post's `beat`: sends one. Returns whether another is to follow.
bool talus__heartbeat_send(struct talus__heartbeat *heartbeat);

#endif
