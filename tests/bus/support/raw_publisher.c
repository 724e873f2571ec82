// SPDX-License-Identifier: MIT
// A bare XPUB or PUB socket for tests.
#include "tests/bus/support/raw_publisher.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"

#define DEADLINE_MS 30000

static void set_option(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

void raw_publisher_open(struct raw_publisher *raw, int type, const char *origin, void *context)
{
    memset(raw, 0, sizeof *raw);
    raw->origin = origin;
    if (!context)
        raw->context = context = zmq_ctx_new();
    assert_non_null(context);
    raw->socket = zmq_socket(context, type);
    assert_non_null(raw->socket);
    set_option(raw->socket, ZMQ_SNDHWM, 0);
    set_option(raw->socket, ZMQ_LINGER, 1000);
    if (type != ZMQ_XPUB)
        return;
    set_option(raw->socket, ZMQ_XPUB_VERBOSE, 1);
    set_option(raw->socket, ZMQ_RCVHWM, 0);
    set_option(raw->socket, ZMQ_RCVTIMEO, DEADLINE_MS);
}

void raw_publisher_close(struct raw_publisher *raw)
{
    zmq_close(raw->socket);
    if (raw->context)
        zmq_ctx_term(raw->context);
}

void raw_publisher_bind(struct raw_publisher *raw, const char *endpoint)
{
    size_t size = sizeof raw->endpoint;

    assert_int_equal(zmq_bind(raw->socket, endpoint ? endpoint : "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(raw->socket, ZMQ_LAST_ENDPOINT, raw->endpoint, &size), 0);
}

void raw_publisher_connect(struct raw_publisher *raw, const char *endpoint)
{
    assert_int_equal(zmq_connect(raw->socket, endpoint), 0);
}

// Receives subscriptions until `is_it` says so.
static void expect_frame(struct raw_publisher *raw, uint8_t first,
                         bool (*is_it)(const struct raw_publisher *raw, const char *topic,
                                       size_t size, const char *expected),
                         const char *expected)
{
    for (;;) {
        uint8_t frame[256];
        int size = zmq_recv(raw->socket, frame, sizeof frame, 0);
        assert_true(size >= 1);
        if (frame[0] == first && is_it(raw, (const char *)frame + 1, (size_t)size - 1, expected))
            return;
    }
}

static bool is_topic(const struct raw_publisher *raw, const char *topic, size_t size,
                     const char *expected)
{
    (void)raw;
    return size == strlen(expected) && memcmp(topic, expected, size) == 0;
}

static bool is_ready(const struct raw_publisher *raw, const char *topic, size_t size,
                     const char *expected)
{
    struct talus__subscription_topic subscription;

    (void)expected;
    talus__subscription_topic_parse(topic, size, &subscription);
    return subscription.kind == TALUS__SUBSCRIPTION_READY &&
           is_topic(raw, subscription.origin, subscription.origin_size, raw->origin);
}

void raw_publisher_expect(struct raw_publisher *raw, const char *topic)
{
    expect_frame(raw, 1, is_topic, topic);
}

void raw_publisher_expect_end(struct raw_publisher *raw, const char *topic)
{
    expect_frame(raw, 0, is_topic, topic);
}

void raw_publisher_expect_ready(struct raw_publisher *raw)
{
    expect_frame(raw, 1, is_ready, NULL);
}

size_t raw_encode(uint8_t *out, const char *origin, uint64_t seq, uint64_t prev, const void *data,
                  size_t data_size)
{
    size_t seq_at, prev_at;
    size_t size = talus__body_encode_header(out, origin, 1, NULL, 0, &seq_at, &prev_at);

    talus__body_patch(out + seq_at, seq);
    talus__body_patch(out + prev_at, prev);
    memcpy(out + size, data, data_size);
    return size + data_size;
}

void raw_publish_frames(struct raw_publisher *raw, const char *topic, const void *body,
                        size_t body_size)
{
    assert_true(zmq_send(raw->socket, topic, strlen(topic), ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(raw->socket, body, body_size, 0) >= 0);
}

void raw_publish(struct raw_publisher *raw, const char *topic, uint64_t seq, uint64_t prev)
{
    uint8_t body[TALUS__BODY_HEADER_MAX + 1];
    size_t size = raw_encode(body, raw->origin, seq, prev, "\x80", 1);

    raw_publish_frames(raw, topic, body, size);
}

void raw_publish_head(struct raw_publisher *raw, const char *topic, uint64_t seq)
{
    uint8_t body[TALUS__BODY_HEADER_MAX];
    const struct talus__head head = {
        .origin = raw->origin, .origin_size = strlen(raw->origin), .seq = seq, .replay = ""};
    size_t size = talus__head_encode(body, sizeof body, &head);

    assert_true(size > 0);
    raw_publish_frames(raw, topic, body, size);
}
