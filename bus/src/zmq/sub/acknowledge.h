// SPDX-License-Identifier: MIT
// The subscriber's acknowledgement: the subscription $ready/SUBSCRIBER/ORIGIN, which tells a
// publisher that all earlier subscriptions have arrived.
#ifndef TALUS__ACKNOWLEDGE_H
#define TALUS__ACKNOWLEDGE_H

#include "bus/src/zmq/sub/instance.h"

// Acknowledges the publisher, or does so again after a reconnect.
void talus__acknowledge(struct talus__zmq_receive *receive, struct talus__publisher *publisher);

// For talus__publishers.on_remove; `arg` is the talus__zmq_receive. Ends what is kept of it, too.
void talus__acknowledge_on_removed(struct talus__publisher *publisher, void *arg);

#endif
