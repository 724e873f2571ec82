// SPDX-License-Identifier: MIT
// The markers that a broadcaster sends, on the bus thread.
#ifndef TALUS__HEADS_H
#define TALUS__HEADS_H

#include <stdbool.h>
#include <stddef.h>

#include "bus/src/zmq/pub/instance.h"
#include "bus/src/zmq/pub/leave.h"

// Says that this broadcaster lives, if that is due, so that one that stands still is noticed.
void talus__beat(struct talus__zmq_publish *bus);

// Sends `SESSION/$head`. `arg`: the instance, as talus__names_drain hands it on.
void talus__send_session_head(const char *session, size_t size, void *arg);

// Sends heads again that are due. Returns whether there may be more.
bool talus__repeat_heads(struct talus__zmq_publish *bus);

// Answers each subscription of this turn once: a head reaches everyone who is on the topic.
void talus__answer_heads(struct talus__zmq_publish *bus);

// Sends the last heads, so that a subscriber that lost the last events notices now, and then the
// leave. NULL: no leave was sent, as not everything went to everybody, or as the send failed.
// `is_complete`: all events were sent.
struct talus__leave *talus__take_leave(struct talus__zmq_publish *bus, long long deadline,
                                       bool is_complete);

#endif
