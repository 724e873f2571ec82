// SPDX-License-Identifier: MIT
// Healing: what is done about events of one origin in one joined session that did not come.
//
// A heal begins when `prev` or a head tells of an event that is not there. Later events are then
// held back, and the broadcaster is asked. It ends when nothing is missing any more, or with a gap
// for what cannot be had; then what was held back follows. What the heal has for the caller it
// gives one by one, on talus__heal_take, while it is on the list of those that are due.
//
// Invariants: a position's heal and a heal's joined and origin point at each other's; the origin is
// pinned. What is held is in the order of seq, each above the position. A heal with nothing due,
// no ask and no deadline does not exist.
#ifndef TALUS__HEAL_H
#define TALUS__HEAL_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include <talus/subscriber.h>

#include "bus/src/subscriber/joined.h"
#include "bus/src/subscriber/origins.h"
#include "bus/src/zmq/sub/askers.h"

// An event that is held back.
struct talus__held {
    struct talus__held *next;
    uint64_t seq;
    uint64_t prev; // in the order of the joined session: with everything joined, seq - 1
    size_t bytes;
    zmq_msg_t topic;
    zmq_msg_t body;
};

struct talus__heal {
    struct talus__heal *next; // of all
    struct talus__heal *before;
    struct talus__heal *due_next;
    bool is_due;
    bool is_failed; // it is no use asking (any more), for `reason`
    bool is_lost;   // the origin died: whatever else it had sent is missing too
    bool has_gap;   // events before gap_first are gone, for gap_reason
    bool is_plain;  // failed since no head came: where the origin begins is not known
    talus_gap_reason_t reason;
    talus_gap_reason_t gap_reason;
    uint64_t gap_first;
    uint64_t target;      // events up to this seq have been sent
    long long deadline;   // until a way to ask must be known; 0: it is
    long long give_up_at; // the last deadline, where markers may have been dropped; 0: none is set
    struct talus__joined *joined;
    struct talus__origin *origin;
    struct talus__held *first;
    struct talus__held *last;
    struct talus__ask *ask; // NULL: none is open
};

struct talus__heals {
    struct talus__heal *first;
    struct talus__heal *due;
    struct talus__heal *due_last;
    size_t held_events;
    size_t held_bytes;
    size_t max_events;
    size_t max_bytes;
    int head_wait_ms;
    long long tend_at;    // when talus__heals_tend has something to do; 0: nothing
    uint64_t dropped;     // by the inbox, as far as was noticed
    long long trusted_at; // from then on no marker can be among that
};

// The position of a heal. Valid until positions are added.
struct talus__position *talus__heal_position(talus_subscriber_t *subscriber,
                                             const struct talus__heal *heal);

// Begins a heal, or extends the one that there is: events up to `target` have been sent.
// Returns it; NULL: out of memory. The position stays, so that the next event or head tries again.
struct talus__heal *talus__heal_open(talus_subscriber_t *subscriber, struct talus__joined *joined,
                                     struct talus__origin *origin, uint64_t target);

// Holds back the event in subscriber->topic and body. One that there is no room for is let go, and
// asked for later; one that is held already, too.
void talus__heal_hold(talus_subscriber_t *subscriber, struct talus__heal *heal, uint64_t seq,
                      uint64_t prev);

// The position has moved on: the heal may have something to give, or be done (then it is gone).
void talus__heal_advanced(talus_subscriber_t *subscriber, struct talus__heal *heal);

// Events before `first` are gone.
void talus__heal_tell(talus_subscriber_t *subscriber, struct talus__heal *heal, uint64_t first,
                      talus_gap_reason_t reason);

// It is no use asking.
void talus__heal_fail(talus_subscriber_t *subscriber, struct talus__heal *heal,
                      talus_gap_reason_t reason);

// The origin died without a farewell.
void talus__heal_lose(talus_subscriber_t *subscriber, struct talus__heal *heal);

// Asks, if a way to ask is known and nothing is being asked. An origin that is lost is not asked:
// the heal fails.
void talus__heal_ask(talus_subscriber_t *subscriber, struct talus__heal *heal);

// Ends it with what it holds.
void talus__heal_close(talus_subscriber_t *subscriber, struct talus__heal *heal);

// Ends the heals of a session that is left.
void talus__heals_close(talus_subscriber_t *subscriber, struct talus__joined *joined);

// A way to ask the origin has become known, or that it speaks heads.
void talus__heals_hear(talus_subscriber_t *subscriber, const struct talus__origin *origin);

// Gives up what has waited long enough.
void talus__heals_tend(talus_subscriber_t *subscriber, long long now);

// Sets subscriber->delivery to the next thing that is due. False: there is none.
bool talus__heal_take(talus_subscriber_t *subscriber);

void talus__heals_fini(struct talus__heals *heals);

#endif
