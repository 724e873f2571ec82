// SPDX-License-Identifier: MIT
// A bare DEALER socket for tests.
#include "tests/bus/support/raw_replay_client.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "tests/bus/support/raw_subscriber.h" // RAW_DEADLINE_MS

void raw_replay_client_open(struct raw_replay_client *client, const char *endpoint, void *context,
                            int receive_high_water_mark)
{
    const int none = 0;

    *client = (struct raw_replay_client){0};
    if (!context)
        context = client->context = zmq_ctx_new();
    client->socket = zmq_socket(context, ZMQ_DEALER);
    assert_non_null(client->socket);
    zmq_setsockopt(client->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(client->socket, ZMQ_RCVHWM, &receive_high_water_mark,
                   sizeof receive_high_water_mark);
    assert_int_equal(zmq_connect(client->socket, endpoint), 0);
}

void raw_replay_client_close(struct raw_replay_client *client)
{
    if (client->socket)
        zmq_close(client->socket);
    if (client->context)
        zmq_ctx_term(client->context);
    free(client->frame);
    *client = (struct raw_replay_client){0};
}

void raw_replay_client_send(struct raw_replay_client *client, const void *bytes, size_t size)
{
    assert_int_equal(zmq_send(client->socket, bytes, size, 0), size);
}

void raw_replay_client_ask(struct raw_replay_client *client, const char *session, uint64_t after,
                           uint64_t max)
{
    uint8_t request[TALUS__REPLAY_REQUEST];
    size_t size = talus__request_encode_replay(request, session, after, max);

    assert_true(size > 0);
    raw_replay_client_send(client, request, size);
}

void raw_replay_client_ask_heads(struct raw_replay_client *client, const char *const *sessions,
                                 size_t count)
{
    uint8_t *request = malloc(TALUS__REQUEST_MAX);

    assert_non_null(request);
    size_t size = talus__request_encode_heads(request, TALUS__REQUEST_MAX, sessions, count);
    assert_true(size > 0);
    raw_replay_client_send(client, request, size);
    free(request);
}

bool raw_replay_client_receive(struct raw_replay_client *client, int timeout_ms)
{
    zmq_msg_t frame;

    zmq_setsockopt(client->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    int size = zmq_recv(client->socket, client->topic, sizeof client->topic - 1, 0);
    if (size < 0) {
        assert_int_equal(errno, EAGAIN);
        return false;
    }
    assert_in_range(size, 0, sizeof client->topic - 1);
    client->topic[size] = '\0';
    zmq_msg_init(&frame);
    assert_true(zmq_msg_recv(&frame, client->socket, 0) >= 0);
    assert_false(zmq_msg_more(&frame));
    free(client->frame);
    client->frame_size = zmq_msg_size(&frame);
    client->frame = malloc(client->frame_size + 1);
    assert_non_null(client->frame);
    memcpy(client->frame, zmq_msg_data(&frame), client->frame_size);
    zmq_msg_close(&frame);
    return true;
}

void raw_replay_client_expect_event(struct raw_replay_client *client, const char *topic,
                                    uint64_t seq)
{
    const struct talus__limits limits = {.max_body = 100000000, .max_depth = 64, .max_bin = 100};

    assert_true(raw_replay_client_receive(client, RAW_DEADLINE_MS));
    assert_null(strchr(client->topic, '$'));
    if (topic)
        assert_string_equal(client->topic, topic);
    assert_int_equal(talus__body_decode(client->frame, client->frame_size, &limits, &client->body),
                     0);
    assert_int_equal(client->body.seq, seq);
}

void raw_replay_client_expect_head(struct raw_replay_client *client, const char *topic,
                                   uint64_t seq)
{
    assert_true(raw_replay_client_receive(client, RAW_DEADLINE_MS));
    assert_string_equal(client->topic, topic);
    assert_int_equal(talus__head_decode(client->frame, client->frame_size, &client->head), 0);
    assert_int_equal(client->head.seq, seq);
}

void raw_replay_client_expect_end(struct raw_replay_client *client, const char *topic,
                                  uint64_t first, uint64_t head, bool is_complete)
{
    assert_true(raw_replay_client_receive(client, RAW_DEADLINE_MS));
    assert_string_equal(client->topic, topic);
    assert_int_equal(talus__end_decode(client->frame, client->frame_size, &client->end), 0);
    assert_int_equal(client->end.first, first);
    assert_int_equal(client->end.head, head);
    assert_int_equal(client->end.is_complete, is_complete);
}
