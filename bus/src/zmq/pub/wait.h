// SPDX-License-Identifier: MIT
// Waiting for subscribers that are ready. Any thread.
#ifndef TALUS__ZMQ_PUB_WAIT_H
#define TALUS__ZMQ_PUB_WAIT_H

#include <stdbool.h>
#include <stddef.h>

#include "bus/src/zmq/pub/instance.h"

// As talus_broadcaster_wait_subscribers.
int talus__wait_subscribers(struct talus__zmq_publish *bus, size_t at_least, int timeout_ms,
                            size_t *ready);

// At the end: waits until each subscriber that lives in the bus directories is ready for what was
// emitted, and has the first events wait for that, too. Returns whether all are.
bool talus__await_ready(struct talus__zmq_publish *bus, long long deadline);

#endif
