// SPDX-License-Identifier: MIT
// The responses of replays. Each call takes core->incoming and returns enum talus__taken.
#ifndef TALUS__REPLAYED_H
#define TALUS__REPLAYED_H

#include "bus/src/subscriber/instance.h"

int talus__replayed_event(talus_subscriber_t *subscriber);
int talus__replayed_end(talus_subscriber_t *subscriber);

// talus__receive_owner.on_failed; `arg` is the subscriber.
void talus__replayed_on_failed(void *arg, struct talus__replay_request *request,
                               struct talus__publisher *publisher);

#endif
