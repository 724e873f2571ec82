// SPDX-License-Identifier: MIT
// A bare SUB socket for tests.
#include "tests/bus/support/raw_subscriber.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/zmq/zmq_handover.h"

static void set_option(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

void raw_open(struct raw_subscriber *raw, void *context)
{
    memset(raw, 0, sizeof *raw);
    if (!context)
        raw->context = context = zmq_ctx_new();
    assert_non_null(context);
    raw->socket = zmq_socket(context, ZMQ_SUB);
    assert_non_null(raw->socket);
    set_option(raw->socket, ZMQ_SNDHWM, 0);
    set_option(raw->socket, ZMQ_RCVHWM, 0);
    set_option(raw->socket, ZMQ_LINGER, 0);
}

void raw_close(struct raw_subscriber *raw)
{
    if (raw->socket)
        zmq_close(raw->socket);
    if (raw->context)
        zmq_ctx_term(raw->context);
    free(raw->frame);
    memset(raw, 0, sizeof *raw);
}

void raw_connect(struct raw_subscriber *raw, const char *endpoint)
{
    assert_int_equal(zmq_connect(raw->socket, endpoint), 0);
}

void raw_bind(struct raw_subscriber *raw, char *endpoint, size_t capacity)
{
    assert_int_equal(zmq_bind(raw->socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(raw->socket, ZMQ_LAST_ENDPOINT, endpoint, &capacity), 0);
}

void raw_subscribe(struct raw_subscriber *raw, const char *topic)
{
    assert_int_equal(zmq_setsockopt(raw->socket, ZMQ_SUBSCRIBE, topic, strlen(topic)), 0);
}

void raw_unsubscribe(struct raw_subscriber *raw, const char *topic)
{
    assert_int_equal(zmq_setsockopt(raw->socket, ZMQ_UNSUBSCRIBE, topic, strlen(topic)), 0);
}

bool raw_receive(struct raw_subscriber *raw, int timeout_ms)
{
    zmq_msg_t body;

    set_option(raw->socket, ZMQ_RCVTIMEO, timeout_ms);
    int size = zmq_recv(raw->socket, raw->topic, sizeof raw->topic - 1, 0);
    if (size < 0) {
        assert_int_equal(zmq_errno(), EAGAIN);
        return false;
    }
    assert_true((size_t)size < sizeof raw->topic);
    raw->topic[size] = '\0';
    zmq_msg_init(&body);
    assert_true(zmq_msg_recv(&body, raw->socket, 0) >= 0);
    assert_false(zmq_msg_more(&body));
    talus__zmq_acquire(zmq_msg_data(&body));
    raw->frame_size = zmq_msg_size(&body);
    raw->frame = realloc(raw->frame, raw->frame_size + 1);
    assert_non_null(raw->frame);
    memcpy(raw->frame, zmq_msg_data(&body), raw->frame_size);
    talus__zmq_release(zmq_msg_data(&body));
    zmq_msg_close(&body);
    return true;
}

static bool is_marker(const char *topic)
{
    const char *type = strchr(topic, '/');

    return type && type[1] == '$';
}

uint64_t raw_expect_head(struct raw_subscriber *raw, const char *topic)
{
    if (!raw_receive(raw, RAW_DEADLINE_MS))
        fail_msg("%s did not come", topic);
    assert_string_equal(raw->topic, topic);
    assert_int_equal(talus__head_decode(raw->frame, raw->frame_size, &raw->head), 0);
    return raw->head.seq;
}

void raw_expect_event(struct raw_subscriber *raw, const char *topic)
{
    const struct talus__limits limits = {.max_body = 64u << 20, .max_depth = 64, .max_bin = 1000};

    do {
        if (!raw_receive(raw, RAW_DEADLINE_MS))
            fail_msg("no event %s came", topic ? topic : "at all");
    } while (is_marker(raw->topic));
    if (topic)
        assert_string_equal(raw->topic, topic);
    assert_int_equal(talus__body_decode(raw->frame, raw->frame_size, &limits, &raw->body), 0);
}

uint64_t raw_subscribe_live(struct raw_subscriber *raw, const char *topic)
{
    char head[256];

    snprintf(head, sizeof head, "%s$head", topic[0] ? topic : "*/");
    raw_subscribe(raw, topic);
    for (;;) {
        if (!raw_receive(raw, RAW_DEADLINE_MS))
            fail_msg("%s did not come", head);
        if (strcmp(raw->topic, head) == 0)
            break;
    }
    assert_int_equal(talus__head_decode(raw->frame, raw->frame_size, &raw->head), 0);
    return raw->head.seq;
}
