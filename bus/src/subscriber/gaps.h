// SPDX-License-Identifier: MIT
// The open gaps, and the bytes of the events that they hold back.
//
// Invariants: a gap is on the list while its repair is open; it has a strong reference to its
// publisher so long. Its state is REQUESTED exactly while `replay` is set, and WAITING while
// `deadline` is.
#ifndef TALUS__GAPS_H
#define TALUS__GAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/subscriber/core.h"
#include "bus/src/subscriber/log_gate.h"
#include "bus/src/subscriber/open_replay.h"
#include "bus/src/subscriber/sequencer.h"

// An event that is held back.
struct talus__held_event {
    struct talus__held held; // first, as the sequencer gives it back
    size_t topic_size;
    size_t body_size;
    char bytes[]; // the topic, then the body
};

// An open gap of one publisher in one joined session.
struct talus__gap {
    struct talus__repair repair; // first, as the sequencer gives it back
    struct talus__gap *next;
    struct talus__gap *before;
    struct talus__subscription *subscription;
    struct talus__publisher *publisher;
    struct talus__open_replay *replay; // NULL: none is open
    long long deadline;   // until a way to request must be known; 0: none is waited for
    long long give_up_at; // the last deadline, where marks may have been dropped; 0: none is set
    bool has_failed;      // some of the missing events are lost, and a gap was delivered
};

struct talus__gap_repair {
    struct talus__core *core; // borrowed
    struct talus__sequencer sequencer;
    struct talus__gap *first;
    long long tend_at;    // when talus__gap_tend_all has something to do; 0: nothing
    uint64_t dropped;     // by the transport, as far as was noticed
    long long trusted_at; // from then on no mark can be among that
    struct talus__log_gate refused_gate, hole_gate;
};

void talus__gaps_init(struct talus__gap_repair *repairs, struct talus__core *core);
void talus__gaps_fini(struct talus__gap_repair *repairs);

static inline struct talus__gap *talus__gap_of(struct talus__repair *repair)
{
    return (struct talus__gap *)repair;
}

// What the sequencer has to give is taken by the next calls of receive.
void talus__gaps_wake(struct talus__gap_repair *repairs);

// Opens a gap, or extends the one that there is: events up to `target` have been sent. NULL: out of
// memory. The stream stays as it is, so that the next event or mark tries again.
struct talus__repair *talus__gaps_open(struct talus__gap_repair *repairs,
                                       struct talus__subscription *subscription,
                                       struct talus__publisher *publisher,
                                       struct talus__stream *stream, uint64_t target);

// Ends a gap with what it holds; frees one whose repair is closed.
void talus__gaps_close(struct talus__gap_repair *repairs, struct talus__gap *gap);
void talus__gaps_free(struct talus__gap_repair *repairs, struct talus__gap *gap);

// Holds back the event in core->incoming.
void talus__gaps_hold(struct talus__gap_repair *repairs, struct talus__repair *repair, uint64_t seq,
                      uint64_t prev);

// Frees a held event.
void talus__gaps_forget(struct talus__held *held);

#endif
