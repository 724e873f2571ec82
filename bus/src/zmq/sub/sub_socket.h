// SPDX-License-Identifier: MIT
// The SUB socket of a subscriber: what comes through it and its inbox, and its subscriptions.
#ifndef TALUS__SUB_SOCKET_H
#define TALUS__SUB_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/subscriber.h>

#include "bus/src/zmq/sub/frames.h"
#include "bus/src/zmq/sub/inbox.h"

enum talus__received {
    TALUS__RECEIVED_MESSAGE,     // it is in the frames
    TALUS__RECEIVED_EMPTY,       // there was none
    TALUS__RECEIVED_INTERRUPTED, // by a signal
    TALUS__RECEIVED_ONE_FRAME,   // a message that is none of ours
    TALUS__RECEIVED_MANY_FRAMES, // likewise; its rest was dropped
    TALUS__RECEIVED_FAILED,      // errno says why
};

// Opens the socket, subscribed to what the bus says of itself. A message of more than `message_max`
// bytes ends the connection it came through. NULL: errno says why.
void *talus__sub_open(void *context, const talus_subscriber_options_t *options,
                      int64_t message_max);

// Takes the next message of the inbox, then of its socket. Does not block.
enum talus__received talus__sub_receive(struct talus__inbox *inbox, struct talus__frames *frames,
                                        struct talus__source *source);

// The descriptor of the connection that the message came through; -1: none.
int talus__sub_connection(struct talus__frames *frames, const struct talus__source *source);

// The address of the peer that a marker came from; NULL: it is not known.
const char *talus__sub_host(struct talus__frames *frames, const struct talus__source *source);

// Subscribes, or takes that back. Returns 0, TALUS_ENOMEM or TALUS_ESYSTEM (errno says why).
int talus__sub_subscribe(void *socket, const char *topic, size_t size);
int talus__sub_unsubscribe(void *socket, const char *topic, size_t size);

// The descriptor to wait on, edge-triggered as ZeroMQ's are; -1: errno says why.
int talus__sub_descriptor(void *socket);

#endif
