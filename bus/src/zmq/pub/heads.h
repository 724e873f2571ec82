// SPDX-License-Identifier: MIT
// The markers that a broadcaster sends, on the bus thread.
#ifndef TALUS__HEADS_H
#define TALUS__HEADS_H

#include <stdbool.h>
#include <stddef.h>

#include "bus/src/zmq/pub/farewell.h"
#include "bus/src/zmq/pub/instance.h"

// Says that this broadcaster lives, if that is due, so that one that stands still is noticed.
void talus__beat(struct talus__zmq_publish *bus);

// Sends `SESSION/$head`. `arg`: the instance, as talus__names_drain hands it on.
void talus__send_session_head(const char *session, size_t size, void *arg);

// Sends heads again that are due. Returns whether there may be more.
bool talus__repeat_heads(struct talus__zmq_publish *bus);

// Answers each subscription of this turn once: a head reaches everyone who is on the topic.
void talus__answer_heads(struct talus__zmq_publish *bus);

// The last heads, so that whoever lost the last events notices now, and the farewell. NULL: that is
// not said, as not all was sent to everybody, or it could not be sent. `is_complete`: all was sent.
struct talus__farewell *talus__say_bye(struct talus__zmq_publish *bus, long long deadline,
                                       bool is_complete);

#endif
