// SPDX-License-Identifier: MIT
// The responses of replays.
#ifndef TALUS__REPLAYED_H
#define TALUS__REPLAYED_H

#include "bus/src/subscriber/instance.h"

// Takes the next message of a response. Returns enum talus__taken, or an error.
int talus__replayed_take(talus_subscriber_t *subscriber);

// For talus__replay_client.on_failed; `arg` is the subscriber.
void talus__replayed_on_failed(struct talus__replay_request *request,
                               struct talus__publisher *publisher, void *arg);

#endif
