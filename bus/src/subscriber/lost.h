// SPDX-License-Identifier: MIT
// Broadcasters that are gone. One that said that it ends has sent all that it had. Of one that was
// killed the ledger says what it had emitted (ledger.h), and each joined session is told exactly
// what it misses. Without a ledger each session that it has sent to is told that something may be
// missing.
#ifndef TALUS__LOST_H
#define TALUS__LOST_H

#include "bus/src/subscriber/instance.h"

// Tells of those that are gone long enough. `is_drained`: what they had sent was read.
void talus__lost_tend(talus_subscriber_t *subscriber, long long now, bool is_drained);

// When talus__lost_tend has something to do; 0: nothing.
long long talus__lost_due(const talus_subscriber_t *subscriber);

#endif
