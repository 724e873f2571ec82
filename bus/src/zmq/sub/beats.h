// SPDX-License-Identifier: MIT
// The heartbeats of broadcasters.
#ifndef TALUS__BEATS_H
#define TALUS__BEATS_H

#include "bus/src/subscriber/instance.h"

// A beat came, which names the time to the next.
void talus__beats_hear(talus_subscriber_t *subscriber, struct talus__origin *origin,
                       uint64_t every_ms);

// Counts the beats that did not come, once subscriber->beats_at is over.
void talus__beats_tend(talus_subscriber_t *subscriber, long long now, bool is_drained);

#endif
