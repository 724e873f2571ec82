// SPDX-License-Identifier: MIT
// What publishers say of themselves: high-water marks, hellos, leaves and heartbeats. Each call
// takes the body from receive->frames.
#ifndef TALUS__MARKS_H
#define TALUS__MARKS_H

#include "bus/src/zmq/sub/instance.h"

// A high-water mark of the topic's session, which is in `incoming`.
void talus__marks_head(struct talus__zmq_receive *receive, struct talus__incoming *incoming);
void talus__marks_hello(struct talus__zmq_receive *receive, struct talus__incoming *incoming);
void talus__marks_bye(struct talus__zmq_receive *receive, struct talus__incoming *incoming);
void talus__marks_heartbeat(struct talus__zmq_receive *receive, struct talus__incoming *incoming);

// An event, a mark or a heartbeat came of a publisher that had been missed: it is here again,
// unless it has ended for good.
void talus__marks_meet_again(struct talus__zmq_receive *receive,
                             struct talus__publisher *publisher);

// The time is over that joins wait at the beginning for publishers to be met.
void talus__marks_end_greeting(struct talus__zmq_receive *receive);

#endif
