// SPDX-License-Identifier: MIT
// Broadcasters that are gone. One that said that it ends has sent all that it had; of one that was
// killed nobody knows, so each joined session is told that something of it may be missing.
#ifndef TALUS__LOST_H
#define TALUS__LOST_H

#include "instance.h"

// Tells of those that are gone long enough. `is_drained`: what they had sent was read.
void talus__lost_tend(talus_subscriber_t *subscriber, long long now, bool is_drained);

// When talus__lost_tend has something to do; 0: nothing.
long long talus__lost_due(const talus_subscriber_t *subscriber);

#endif
