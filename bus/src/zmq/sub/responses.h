// SPDX-License-Identifier: MIT
// The responses of replays, as they are taken.
#ifndef TALUS__RESPONSES_H
#define TALUS__RESPONSES_H

#include "bus/src/zmq/sub/instance.h"

// Takes the next message of a response. Leaves incoming->kind as it is if there is none.
void talus__responses_take(struct talus__zmq_receive *receive, struct talus__incoming *incoming);

// talus__receive_ops.refuse.
void talus__responses_refuse(struct talus__zmq_receive *receive);

#endif
