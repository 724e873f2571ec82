// SPDX-License-Identifier: MIT
// What publishers say of themselves. Each call takes the body from core->frames and returns enum
// talus__taken.
#ifndef TALUS__MARKS_H
#define TALUS__MARKS_H

#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/instance.h"

// A high-water mark of the topic's session.
int talus__marks_head(talus_subscriber_t *subscriber, const struct talus__topic *topic);
int talus__marks_hello(talus_subscriber_t *subscriber);
int talus__marks_bye(talus_subscriber_t *subscriber);
int talus__marks_beat(talus_subscriber_t *subscriber);

// An event, a mark or a beat came of a publisher that had been missed: it is here again, unless it
// has ended for good.
void talus__marks_meet_again(talus_subscriber_t *subscriber, struct talus__publisher *publisher);

#endif
