// SPDX-License-Identifier: MIT
// Catching up: a join that goes on after events that its owner has (since.h).
//
// Each of the session's streams begins at the owner's event of its publisher, and all that was sent
// after it is owed, as if a connection had been cut there: gap repair does the rest. Of publishers
// that the owner names no event of, what came before the join is unknown: their first repair fails
// at once, with that cause. LIVE waits until everything that was due when live was decided has
// come or is told.
#ifndef TALUS__CATCH_UP_H
#define TALUS__CATCH_UP_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/subscriber/core.h"

// Whether everything that the publisher sent after the stream's last event is owed, though the join
// is not live yet.
bool talus__catch_up_is_owed(const struct talus__subscription *subscription,
                             const struct talus__publisher *publisher);

// Whether nobody knows what the owner has of what the publisher sent before now, of which nothing
// has come yet.
bool talus__catch_up_is_unknown(const struct talus__subscription *subscription,
                                const struct talus__publisher *publisher,
                                const struct talus__stream *stream);

// The first high-water mark of a stream comes. Where nothing of the session came after the owner's
// event, the newest of the session counts as that; returns whether this is so.
bool talus__catch_up_begin(const struct talus__subscription *subscription,
                           const struct talus__publisher *publisher, struct talus__stream *stream,
                           uint64_t newest);

// Every known publisher has answered, or the time is over. Returns whether nothing is due before
// LIVE; else the session belongs on TALUS__LIST_CATCHING_UP.
bool talus__catch_up_decide_live(struct talus__core *core,
                                 struct talus__subscription *subscription);

// Moves a session to TALUS__LIST_ANNOUNCE if all that was due has come.
void talus__catch_up_check_due(struct talus__core *core, struct talus__subscription *subscription);

// One of its streams has moved on, or its repair is over.
static inline void talus__catch_up_check(struct talus__core *core,
                                         struct talus__subscription *subscription)
{
    if (subscription->list == TALUS__LIST_CATCHING_UP)
        talus__catch_up_check_due(core, subscription);
}

// Sets the delivery to a gap that comes before LIVE, of a publisher that the owner has an event of
// and that is not here. False: there is none (any more).
bool talus__catch_up_take_gap(struct talus__core *core, struct talus__subscription *subscription);

// The newest event that LIVE names: what is still held back comes after it. 0: none.
uint64_t talus__catch_up_newest(const struct talus__core *core,
                                struct talus__subscription *subscription);

// "*" is joined, whose streams do not go on after the owner's events: the joins that have no LIVE
// yet are told UNKNOWN gaps, and wait for nothing that was due. Before "*" can become live, as it
// takes over then what the sessions miss.
void talus__catch_up_give_up(struct talus__core *core);

// The session is left. It may be joined again without an event to go on after.
void talus__catch_up_leave(struct talus__subscription *subscription);

#endif
