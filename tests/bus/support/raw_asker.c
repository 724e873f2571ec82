// SPDX-License-Identifier: MIT
// A bare DEALER socket for tests.
#include "tests/bus/support/raw_asker.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "tests/bus/support/raw_subscriber.h" // RAW_DEADLINE_MS

void raw_asker_open(struct raw_asker *asker, const char *endpoint, void *context,
                    int receive_high_water_mark)
{
    const int none = 0;

    *asker = (struct raw_asker){0};
    if (!context)
        context = asker->context = zmq_ctx_new();
    asker->socket = zmq_socket(context, ZMQ_DEALER);
    assert_non_null(asker->socket);
    zmq_setsockopt(asker->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(asker->socket, ZMQ_RCVHWM, &receive_high_water_mark,
                   sizeof receive_high_water_mark);
    assert_int_equal(zmq_connect(asker->socket, endpoint), 0);
}

void raw_asker_close(struct raw_asker *asker)
{
    if (asker->socket)
        zmq_close(asker->socket);
    if (asker->context)
        zmq_ctx_term(asker->context);
    free(asker->frame);
    *asker = (struct raw_asker){0};
}

void raw_asker_send(struct raw_asker *asker, const void *bytes, size_t size)
{
    assert_int_equal(zmq_send(asker->socket, bytes, size, 0), size);
}

void raw_asker_ask(struct raw_asker *asker, const char *session, uint64_t after, uint64_t max)
{
    uint8_t request[TALUS__REPLAY_REQUEST];
    size_t size = talus__request_encode_replay(request, session, after, max);

    assert_true(size > 0);
    raw_asker_send(asker, request, size);
}

void raw_asker_ask_heads(struct raw_asker *asker, const char *const *sessions, size_t count)
{
    uint8_t *request = malloc(TALUS__REQUEST_MAX);

    assert_non_null(request);
    size_t size = talus__request_encode_heads(request, TALUS__REQUEST_MAX, sessions, count);
    assert_true(size > 0);
    raw_asker_send(asker, request, size);
    free(request);
}

bool raw_asker_receive(struct raw_asker *asker, int timeout_ms)
{
    zmq_msg_t frame;

    zmq_setsockopt(asker->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    int size = zmq_recv(asker->socket, asker->topic, sizeof asker->topic - 1, 0);
    if (size < 0) {
        assert_int_equal(errno, EAGAIN);
        return false;
    }
    assert_in_range(size, 0, sizeof asker->topic - 1);
    asker->topic[size] = '\0';
    zmq_msg_init(&frame);
    assert_true(zmq_msg_recv(&frame, asker->socket, 0) >= 0);
    assert_false(zmq_msg_more(&frame));
    free(asker->frame);
    asker->frame_size = zmq_msg_size(&frame);
    asker->frame = malloc(asker->frame_size + 1);
    assert_non_null(asker->frame);
    memcpy(asker->frame, zmq_msg_data(&frame), asker->frame_size);
    zmq_msg_close(&frame);
    return true;
}

void raw_asker_expect_event(struct raw_asker *asker, const char *topic, uint64_t seq)
{
    const struct talus__limits limits = {.max_body = 100000000, .max_depth = 64, .max_bin = 100};

    assert_true(raw_asker_receive(asker, RAW_DEADLINE_MS));
    assert_null(strchr(asker->topic, '$'));
    if (topic)
        assert_string_equal(asker->topic, topic);
    assert_int_equal(talus__body_decode(asker->frame, asker->frame_size, &limits, &asker->body), 0);
    assert_int_equal(asker->body.seq, seq);
}

void raw_asker_expect_head(struct raw_asker *asker, const char *topic, uint64_t seq)
{
    assert_true(raw_asker_receive(asker, RAW_DEADLINE_MS));
    assert_string_equal(asker->topic, topic);
    assert_int_equal(talus__head_decode(asker->frame, asker->frame_size, &asker->head), 0);
    assert_int_equal(asker->head.seq, seq);
}

void raw_asker_expect_end(struct raw_asker *asker, const char *topic, uint64_t first, uint64_t head,
                          bool is_complete)
{
    assert_true(raw_asker_receive(asker, RAW_DEADLINE_MS));
    assert_string_equal(asker->topic, topic);
    assert_int_equal(talus__end_decode(asker->frame, asker->frame_size, &asker->end), 0);
    assert_int_equal(asker->end.first, first);
    assert_int_equal(asker->end.head, head);
    assert_int_equal(asker->end.is_complete, is_complete);
}
