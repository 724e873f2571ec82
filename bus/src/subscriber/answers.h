// SPDX-License-Identifier: MIT
// What broadcasters answer, and talus_subscriber_recover.
#ifndef TALUS__ANSWERS_H
#define TALUS__ANSWERS_H

#include "bus/src/subscriber/instance.h"
#include "bus/src/zmq/sub/askers.h"

// Takes the next message of an answer, as talus__take_message does.
int talus__take_answer(talus_subscriber_t *subscriber);

// For talus__askers.on_failed; `arg` is the subscriber.
void talus__on_ask_failed(struct talus__ask *ask, struct talus__origin *origin, void *arg);

// Sets subscriber->delivery to the end of a recovery that failed. False: there is none.
bool talus__recovery_take(talus_subscriber_t *subscriber);

void talus__recoveries_fini(talus_subscriber_t *subscriber);

// Whether the session is joined and no other origin has sent to it, as far as is known.
bool talus__is_only_origin(talus_subscriber_t *subscriber, const char *session, const char *origin);

#endif
