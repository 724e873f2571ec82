// SPDX-License-Identifier: MIT
// Publisher liveness: which publishers are gone, or stand still. One that took leave has sent all
// that it had. Of one that was killed the ledger says what it had emitted (codec/ledger.h).
#ifndef TALUS__LIVENESS_H
#define TALUS__LIVENESS_H

#include <stdbool.h>

#include "bus/src/zmq/sub/instance.h"

// Tells of those that are gone for long enough. `is_drained`: what they had sent was read.
void talus__liveness_tend(struct talus__zmq_receive *receive, long long now, bool is_drained);

// When talus__liveness_tend has something to do; 0: nothing.
long long talus__liveness_due(const struct talus__zmq_receive *receive);

// Counts the heartbeats that did not come, once receive->heartbeats_at is over.
void talus__liveness_tend_heartbeats(struct talus__zmq_receive *receive, long long now,
                                     bool is_drained);

#endif
