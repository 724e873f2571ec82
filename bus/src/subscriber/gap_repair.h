// SPDX-License-Identifier: MIT
// Gap repair: carries out what the sequencer decides. It turns events, high-water marks, replays,
// time-outs and lost publishers into the sequencer's inputs, and its actions into requests,
// deadlines and deliveries. It keeps the frames of the events that are held back.
//
// Invariants: a gap is on the list while its repair is open; its publisher is pinned so long. Its
// state is REQUESTED exactly while `request` is set, and WAITING while `deadline` is.
#ifndef TALUS__GAP_REPAIR_H
#define TALUS__GAP_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/core.h"
#include "bus/src/subscriber/log_gate.h"
#include "bus/src/subscriber/sequencer.h"

// An open gap of one publisher in one joined session.
struct talus__gap {
    struct talus__repair repair; // first, as the sequencer gives it back
    struct talus__gap *next;
    struct talus__gap *before;
    struct talus__joined *joined;
    struct talus__origin *origin;
    struct talus__replay_request *request; // NULL: none is open
    long long deadline;   // until a way to request must be known; 0: none is waited for
    long long give_up_at; // the last deadline, where marks may have been dropped; 0: none is set
};

struct talus__gap_repair {
    struct talus__core *core; // borrowed
    struct talus__sequencer sequencer;
    struct talus__gap *first;
    long long tend_at;    // when talus__gap_repair_tend has something to do; 0: nothing
    uint64_t dropped;     // by the inbox, as far as was noticed
    long long trusted_at; // from then on no mark can be among that
    struct talus__log_gate refused_gate, hole_gate;
};

void talus__gap_repair_init(struct talus__gap_repair *repairs, struct talus__core *core);
void talus__gap_repair_fini(struct talus__gap_repair *repairs);

// An event, decoded from core->topic and body. `refusal`: 0, or why its payload is not delivered.
// Returns enum talus__taken.
int talus__gap_repair_event(struct talus__gap_repair *repairs, const struct talus__topic *topic,
                            const struct talus__body *body, struct talus__origin *origin,
                            int refusal);

// The same for an event of a replay that the gap has requested.
int talus__gap_repair_replayed(struct talus__gap_repair *repairs, struct talus__gap *gap,
                               const struct talus__topic *topic, const struct talus__body *body,
                               int refusal);

// The replay that was requested after `since` has ended; the publisher has everything from the seq
// `first` on.
void talus__gap_repair_end(struct talus__gap_repair *repairs, struct talus__gap *gap,
                           uint64_t since, uint64_t first);

// The request was given up: the publisher does not answer, or is gone.
void talus__gap_repair_request_failed(struct talus__gap_repair *repairs, struct talus__gap *gap);

// A high-water mark of a joined session: events up to `seq` have been sent.
void talus__gap_repair_mark(struct talus__gap_repair *repairs, struct talus__joined *joined,
                            struct talus__origin *origin, uint64_t seq);

// The publisher can be asked now, or is known to send marks.
void talus__gap_repair_hear(struct talus__gap_repair *repairs, const struct talus__origin *origin);

// The publisher is gone, and cannot be asked for what is missing.
void talus__gap_repair_fail(struct talus__gap_repair *repairs, struct talus__stream *stream);

// The same, and it had sent events up to `upto`; 0: nobody knows how many.
void talus__gap_repair_lose(struct talus__gap_repair *repairs, struct talus__joined *joined,
                            struct talus__origin *origin, struct talus__stream *stream,
                            uint64_t upto);

// "*" is live: its streams judge from now on.
void talus__gap_repair_go_live(struct talus__gap_repair *repairs);

// Whether the events of a session are judged by the publisher's stream of all.
bool talus__gap_repair_is_judged_by_all(struct talus__gap_repair *repairs,
                                        const struct talus__origin *origin);

// Ends the gaps of a session that is left.
void talus__gap_repair_leave(struct talus__gap_repair *repairs, struct talus__joined *joined);

// Gives up what has waited long enough.
void talus__gap_repair_tend(struct talus__gap_repair *repairs, long long now);

// Sets core->delivery to the next thing that is due. False: there is none.
bool talus__gap_repair_take_due(struct talus__gap_repair *repairs);

static inline bool talus__gap_repair_take(struct talus__gap_repair *repairs)
{
    return repairs->sequencer.ready && talus__gap_repair_take_due(repairs);
}

#endif
