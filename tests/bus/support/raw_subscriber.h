// SPDX-License-Identifier: MIT
// A bare SUB socket for tests: it speaks the wire form with no help from libtalus's subscriber, in
// a ZeroMQ context of its own unless it is given one. Everything that fails ends the test.
#ifndef TALUS_TESTS_RAW_SUBSCRIBER_H
#define TALUS_TESTS_RAW_SUBSCRIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/codec/body.h"

#define RAW_DEADLINE_MS 30000 // for what must come; no test waits so long when all is well

struct raw_subscriber {
    void *context; // NULL: not its own
    void *socket;
    char topic[256]; // of the message received last, NUL-terminated
    uint8_t *frame;  // its body; owned
    size_t frame_size;
    struct talus__body body; // after raw_expect_event
    struct talus__head head; // after raw_expect_head; both borrow from `frame`
};

// `context` NULL: one of its own.
void raw_open(struct raw_subscriber *raw, void *context);
void raw_close(struct raw_subscriber *raw);

void raw_connect(struct raw_subscriber *raw, const char *endpoint);

// Binds to a free port of the loopback and gives the endpoint that others connect to.
void raw_bind(struct raw_subscriber *raw, char *endpoint, size_t capacity);

void raw_subscribe(struct raw_subscriber *raw, const char *topic);
void raw_unsubscribe(struct raw_subscriber *raw, const char *topic);

// Receives the next message. False: none came within `timeout_ms`.
bool raw_receive(struct raw_subscriber *raw, int timeout_ms);

// The next message is the marker `topic`; gives its seq.
uint64_t raw_expect_head(struct raw_subscriber *raw, const char *topic);

// The next message that is no marker is an event, well-formed; its topic is `topic` unless NULL.
void raw_expect_event(struct raw_subscriber *raw, const char *topic);

// Subscribes to `topic` ("s/", "/" or "") and waits until its head came: then it is live.
uint64_t raw_subscribe_live(struct raw_subscriber *raw, const char *topic);

#endif
