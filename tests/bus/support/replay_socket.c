// SPDX-License-Identifier: MIT
// A bare XPUB and its replay socket for tests.
#include "tests/bus/support/replay_socket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/request.h"
#include "tests/bus/support/expect.h"

void publish_head(struct raw_publisher *raw, const char *topic, uint64_t seq, const char *replay)
{
    uint8_t body[TALUS__HEAD_BODY_MAX];
    const struct talus__head head = {.origin = raw->origin,
                                     .origin_size = strlen(raw->origin),
                                     .seq = seq,
                                     .replay = replay,
                                     .replay_size = strlen(replay)};

    raw_publish_frames(raw, topic, body, talus__head_encode(body, sizeof body, &head));
}

void join_raw(struct repair_fixture *fixture, struct raw_publisher *raw, const char *replay)
{
    raw_publisher_open(raw, ZMQ_XPUB, "origin01", NULL);
    raw_publisher_bind(raw, NULL);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, raw->endpoint);
    raw_publisher_expect(raw, "$bus/");
    publish_head(raw, "$bus/$hello", 5, replay);
    pump_until(subscriber, origins_are, 1);
    raw_publisher_expect_ready(raw);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    raw_publisher_expect(raw, "s/");
    publish_head(raw, "s/$head", 5, replay);
    expect_live(subscriber, "s", true);
}

void miss_events(struct repair_fixture *fixture, struct raw_publisher *raw, const char *replay)
{
    join_raw(fixture, raw, replay);
    raw_publish(raw, "s/t", 8, 7);
    raw_publish(raw, "s/t", 9, 8);
}

void replay_open(struct replay_socket *replay)
{
    const int no_linger = 0, unbounded = 0;
    size_t size = sizeof replay->endpoint;

    replay->context = zmq_ctx_new();
    replay->router = zmq_socket(replay->context, ZMQ_ROUTER);
    zmq_setsockopt(replay->router, ZMQ_LINGER, &no_linger, sizeof no_linger);
    zmq_setsockopt(replay->router, ZMQ_SNDHWM, &unbounded, sizeof unbounded);
    assert_int_equal(zmq_bind(replay->router, TCP), 0);
    assert_int_equal(zmq_getsockopt(replay->router, ZMQ_LAST_ENDPOINT, replay->endpoint, &size), 0);
}

void replay_close(struct replay_socket *replay)
{
    zmq_close(replay->router);
    zmq_ctx_term(replay->context);
}

size_t replay_take(struct replay_socket *replay, void *bytes, size_t capacity)
{
    int size = zmq_recv(replay->router, replay->identity, sizeof replay->identity, ZMQ_DONTWAIT);

    if (size < 0)
        return 0;
    replay->identity_size = (size_t)size;
    size = zmq_recv(replay->router, bytes, capacity, 0);
    assert_in_range(size, 1, capacity);
    return (size_t)size;
}

bool replay_take_request(struct replay_socket *replay, uint64_t *after)
{
    struct talus__request request;
    uint8_t bytes[TALUS__REPLAY_REQUEST];
    size_t size;

    while ((size = replay_take(replay, bytes, sizeof bytes)) > 0) {
        if (talus__request_decode(bytes, size, &request) == 0 &&
            request.kind == TALUS__REQUEST_REPLAY) {
            *after = request.after;
            return true;
        }
    }
    return false;
}

uint64_t replay_expect_request(struct replay_socket *replay, talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;
    uint64_t after;

    for (int i = 0; i < EXPECT_DEADLINE_MS / 20; i++) {
        if (replay_take_request(replay, &after))
            return after;
        assert_int_equal(talus_subscriber_receive(subscriber, 20, &delivery), TALUS_ETIMEOUT);
    }
    fail_msg("no replay is asked for");
    return 0;
}

void replay_send(struct replay_socket *replay, const char *topic, const void *body, size_t size)
{
    assert_true(zmq_send(replay->router, replay->identity, replay->identity_size, ZMQ_SNDMORE) > 0);
    assert_true(zmq_send(replay->router, topic, strlen(topic), ZMQ_SNDMORE) > 0);
    assert_true(zmq_send(replay->router, body, size, 0) > 0);
}

void replay_send_end(struct replay_socket *replay, const char *origin, uint64_t head)
{
    uint8_t body[TALUS__END_MAX];
    const struct talus__end end = {.origin = origin,
                                   .origin_size = strlen(origin),
                                   .first = 1,
                                   .head = head,
                                   .is_complete = true};

    replay_send(replay, "s/$end", body, talus__end_encode(body, &end));
}

void replay_answer(struct replay_socket *replay, const char *origin, uint64_t first, uint64_t last)
{
    uint8_t body[256];

    for (uint64_t seq = first; seq <= last; seq++)
        replay_send(replay, "s/t", body, raw_encode(body, origin, seq, seq - 1, "\x80", 1));
    replay_send_end(replay, origin, last);
}
