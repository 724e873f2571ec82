// SPDX-License-Identifier: MIT
// A bare XPUB or PUB socket for tests: it speaks the wire form with no help from libtalus's
// broadcaster, and so can say what a broadcaster never would. Everything that fails ends the test.
#ifndef TALUS_TESTS_RAW_PUBLISHER_H
#define TALUS_TESTS_RAW_PUBLISHER_H

#include <stddef.h>
#include <stdint.h>

struct raw_publisher {
    void *context; // NULL: not its own
    void *socket;
    const char *origin;
    char endpoint[256]; // where it is bound
};

// `type`: ZMQ_XPUB (verbose) or ZMQ_PUB. `context` NULL: one of its own.
void raw_publisher_open(struct raw_publisher *raw, int type, const char *origin, void *context);
void raw_publisher_close(struct raw_publisher *raw);

// NULL: a free port of the loopback.
void raw_publisher_bind(struct raw_publisher *raw, const char *endpoint);
void raw_publisher_connect(struct raw_publisher *raw, const char *endpoint);

// Waits until the subscription to `topic` arrives, dropping those before it.
void raw_publisher_expect(struct raw_publisher *raw, const char *topic);

// Waits until the subscriber that it said hello to is ready for it.
void raw_publisher_expect_ready(struct raw_publisher *raw);

// Waits until the subscription to `topic` is taken back.
void raw_publisher_expect_end(struct raw_publisher *raw, const char *topic);

// Sends an event with the payload {} and the topic given whole.
void raw_publish(struct raw_publisher *raw, const char *topic, uint64_t seq, uint64_t prev);

// Sends a marker, with the origin and `seq`.
void raw_publish_head(struct raw_publisher *raw, const char *topic, uint64_t seq);

// Sends two frames as they are.
void raw_publish_frames(struct raw_publisher *raw, const char *topic, const void *body,
                        size_t body_size);

// Encodes an event's body with a payload of `data_size` bytes; returns the size.
size_t raw_encode(uint8_t *out, const char *origin, uint64_t seq, uint64_t prev, const void *data,
                  size_t data_size);

#endif
