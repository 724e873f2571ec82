// SPDX-License-Identifier: MIT
// Gap repair: carries out what the sequencer decides. It turns events, high-water marks, replays,
// time-outs and lost publishers into the sequencer's inputs, and its actions into requests,
// deadlines and deliveries.
#ifndef TALUS__GAP_REPAIR_H
#define TALUS__GAP_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/gap_requests.h"
#include "bus/src/subscriber/gaps.h"

// An event that was taken (core->incoming), decoded, with its place in the order that counts.
struct talus__ordered_event {
    const struct talus__topic *topic;
    const struct talus__body *body;
    struct talus__subscription *session; // that it is of; NULL: it is neither joined nor lingers
    struct talus__publisher *publisher;  // whose order it is
    uint64_t seq;
    uint64_t prev;
    int refusal; // 0, or why its payload is not delivered
};

// Takes an event. Returns enum talus__taken.
int talus__gap_repair_event(struct talus__gap_repair *repairs,
                            const struct talus__ordered_event *event);

// The same for an event of a replay that the gap has requested.
int talus__gap_repair_replayed(struct talus__gap_repair *repairs, struct talus__gap *gap,
                               const struct talus__ordered_event *event);

// A high-water mark of a joined session: events up to `seq` have been sent.
void talus__gap_repair_mark(struct talus__gap_repair *repairs,
                            struct talus__subscription *subscription,
                            struct talus__publisher *publisher, uint64_t seq);

// "*" is live: its streams judge from now on. `is_again`: it was live when it was left, a moment
// ago.
void talus__gap_repair_go_live(struct talus__gap_repair *repairs, bool is_again);

// The publisher's stream of all, if it judges the events of sessions, too: those after its
// `begins`. NULL: it does not.
const struct talus__stream *
talus__gap_repair_judge_of_all(struct talus__gap_repair *repairs,
                               const struct talus__publisher *publisher);

// Up to which seq the subscription's own stream judges what the publisher sends; what comes after,
// the stream of all. UINT64_MAX: everything.
uint64_t talus__gap_repair_judged_upto(struct talus__gap_repair *repairs,
                                       const struct talus__subscription *subscription,
                                       const struct talus__publisher *publisher);

// Ends the gaps of a session that is left.
void talus__gap_repair_leave(struct talus__gap_repair *repairs,
                             struct talus__subscription *subscription);

// Sets core->delivery to the next thing that is due. False: there is none; but a repair may have
// ended, by which a LIVE is due.
bool talus__gap_repair_take_due(struct talus__gap_repair *repairs);

// Whether to call it.
static inline bool talus__gap_repair_is_due(const struct talus__gap_repair *repairs)
{
    return repairs->sequencer.ready != NULL;
}

#endif
