// SPDX-License-Identifier: MIT
// The subscriptions that arrive at the XPUB socket, on the bus thread.
#ifndef TALUS__SUBSCRIPTIONS_H
#define TALUS__SUBSCRIPTIONS_H

#include <stdbool.h>

#include "bus/src/zmq/pub/instance.h"

// Takes note of those that have arrived, up to a bound. Returns whether there may be more.
bool talus__read_subscriptions(struct talus__zmq_publish *bus);

#endif
