// SPDX-License-Identifier: MIT
// Publisher liveness: which publishers are gone, or stand still. One that took leave has sent all
// that it had. Of one that was killed the ledger says what it had emitted (ledger.h), and each
// joined session is told exactly what it misses. Without a ledger each session that it has sent to
// is told that something may be missing.
#ifndef TALUS__LIVENESS_H
#define TALUS__LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/subscriber/core.h"
#include "bus/src/subscriber/gap_repair.h"
#include "bus/src/zmq/sub/heartbeat.h"

struct talus__liveness {
    struct talus__core *core;          // borrowed
    struct talus__gap_repair *repairs; // borrowed
    struct talus__heartbeat heartbeat; // the subscriber's own
    long long beats_at;                // when to count the beats that did not come; 0: nobody beats
};

// Tells of those that are gone long enough. `is_drained`: what they had sent was read.
void talus__liveness_tend(struct talus__liveness *liveness, long long now, bool is_drained);

// When talus__liveness_tend has something to do; 0: nothing.
long long talus__liveness_due(const struct talus__liveness *liveness);

// A beat came, which names the time to the next.
void talus__liveness_hear_beat(struct talus__liveness *liveness, struct talus__publisher *publisher,
                               uint64_t every_ms);

// Counts the beats that did not come, once liveness->beats_at is over.
void talus__liveness_tend_beats(struct talus__liveness *liveness, long long now, bool is_drained);

#endif
