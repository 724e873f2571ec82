// SPDX-License-Identifier: MIT
// Acknowledgements both ways: those that the client asks for, and those that we ask for.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/session/sio_internal.h"
#include "tests/gateway/session/sio_harness.h"

#define FIN 0x80

static const struct sio_attachment bytes = {(const uint8_t *)"\x01\x02", 2};

static bool answer(struct sio_ack *ack, const char *json)
{
    struct sio_message message = message_of(json);
    bool is_sent = sio_ack_answer(ack, message.args, NULL, 0);
    json_decref(message.args);
    return is_sent;
}

// ---- Asked for by the client

static void answer_with_arguments(struct sio_socket *socket, const struct sio_message *message,
                                  struct sio_ack *ack, void *arg)
{
    (void)socket;
    (void)arg;
    assert_true(
        sio_ack_answer(ack, message->args, message->attachments, message->attachment_count));
}

static void test_events_are_acknowledged(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->hooks.on_event = answer_with_arguments;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    ws_send(client, "421[\"a\",2]");
    ws_expect(client, "431[\"a\",2]");
    ws_send(client, "42007[\"a\"]");
    ws_expect(client, "437[\"a\"]");
    ws_send(client, "42/custom,9007199254740993[\"a\"]");
    ws_expect(client, "43/custom,9007199254740993[\"a\"]");
    ws_send(client, "451-/custom,3[\"b\",{\"_placeholder\":true,\"num\":0}]");
    ws_send_frame(client, FIN | WS_BINARY, "\x01\x02", 2);
    ws_expect(client, "461-/custom,3[\"b\",{\"_placeholder\":true,\"num\":0}]");
    ws_expect_frame(client, WS_BINARY, "\x01\x02", 2);
    client_close(client);
}

static void test_events_are_acknowledged_over_polling(void **state)
{
    struct sio_harness *harness = *state;
    struct sid sid;
    harness->hooks.on_event = answer_with_arguments;
    sio_polling_open(&sid, harness);
    post(&harness->base, &sid,
         "420[\"a\"]\x1e"
         "451-1[\"b\",{\"_placeholder\":true,\"num\":0}]\x1e"
         "bAQI=");
    assert_string_equal(fetch(&harness->base, &sid, 200),
                        "430[\"a\"]\x1e"
                        "461-1[\"b\",{\"_placeholder\":true,\"num\":0}]\x1e"
                        "bAQI=");
}

enum { KEPT_MAX = 4 };

struct kept {
    struct sio_ack *acks[KEPT_MAX];
    unsigned count;
};

static void keep(struct sio_socket *socket, const struct sio_message *message, struct sio_ack *ack,
                 void *arg)
{
    struct kept *kept = ((struct sio_harness *)arg)->data;
    (void)socket;
    (void)message;
    assert_non_null(ack);
    assert_true(kept->count < KEPT_MAX);
    kept->acks[kept->count++] = ack;
}

static void test_answered_later_and_in_another_order(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct kept kept = {0};
    harness->data = &kept;
    harness->hooks.on_event = keep;
    sio_ws_open(&client, harness);
    ws_send(client, "421[\"a\"]");
    ws_send(client, "422[\"b\"]");
    ws_send(client, "423[\"c\"]");
    ws_send(client, "424[\"d\"]");
    client_expect_silence(client);
    assert_int_equal(kept.count, 4);
    sio_ack_drop(kept.acks[2]);
    assert_true(answer(kept.acks[1], "[]"));
    assert_true(answer(kept.acks[0], "[null]"));
    // No array: nothing is sent, and the ack is consumed all the same.
    assert_false(answer(kept.acks[3], "{}"));
    ws_expect(client, "432[]");
    ws_expect(client, "431[null]");
    client_expect_silence(client);
    sio_ack_drop(NULL);
    client_close(client);
}

static void test_answered_when_the_socket_is_gone(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct kept kept = {0};
    harness->data = &kept;
    harness->hooks.on_event = keep;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    ws_send(client, "421[\"a\"]");
    ws_send(client, "422[\"b\"]");
    ws_send(client, "423[\"c\"]");
    sio_socket_disconnect(socket, false);
    assert_false(answer(kept.acks[0], "[]")); // on its way out
    sio_forget_log(harness);
    assert_false(answer(kept.acks[1], "[]"));
    ws_expect(client, "41");
    client_expect_silence(client);
    client_close(client);
    sio_server_destroy(&harness->sio);
    sio_ack_drop(kept.acks[2]); // even then
}

// ---- Asked for by us

// Logs `ack ARG ARGS attachments`, or `ack ARG nothing`.
static void on_ack(struct sio_socket *socket, const struct sio_message *got, void *arg)
{
    struct sio_harness *harness = *(struct sio_harness **)arg;
    assert_non_null(socket);
    char *text = got ? json_dumps(got->args, JSON_COMPACT) : NULL;
    tl_buffer_append_format(&harness->base.log, "ack %s %u\n", text ? text : "nothing",
                            got ? got->attachment_count : 0);
    free(text);
}

static bool ask(struct sio_socket *socket, const char *json, unsigned timeout_ms,
                struct sio_harness **harness)
{
    struct sio_message message = message_of(json);
    bool is_sent = sio_emit_with_ack(socket, &message, timeout_ms, on_ack, (void *)harness);
    json_decref(message.args);
    return is_sent;
}

static void test_the_client_answers(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *main = sio_ws_open(&client, harness);
    struct sio_socket *custom = sio_ws_enter(client, harness, "/custom");
    assert_true(ask(main, "[\"question\",1]", 100, &harness));
    assert_true(ask(main, "[\"question\"]", 100, &harness));
    assert_true(ask(custom, "[\"question\"]", 100, &harness));
    ws_expect(client, "420[\"question\",1]");
    ws_expect(client, "421[\"question\"]");
    ws_expect(client, "42/custom,0[\"question\"]"); // each namespace counts for itself
    ws_send(client, "431[\"b\",{}]");
    ws_send(client, "430"); // without arguments
    ws_send(client, "461-/custom,0[{\"_placeholder\":true,\"num\":0}]");
    sio_expect_log(harness, "ack [\"b\",{}] 0\nack [] 0\n");
    ws_send_frame(client, FIN | WS_BINARY, "x", 1);
    sio_expect_log(harness, "ack [{\"_placeholder\":true,\"num\":0}] 1\n");
    harness_advance(&harness->base, 101);
    sio_expect_log(harness, ""); // each was called once
    client_close(client);
}

static void test_a_question_with_attachments(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    struct sio_message message = message_of("[\"q\",{\"_placeholder\":true,\"num\":0}]");
    message.attachments = &bytes;
    message.attachment_count = 1;
    assert_true(sio_emit_with_ack(socket, &message, 100, on_ack, &harness));
    json_decref(message.args);
    ws_expect(client, "451-0[\"q\",{\"_placeholder\":true,\"num\":0}]");
    ws_expect_frame(client, WS_BINARY, "\x01\x02", 2);
    ws_send(client, "430[1]");
    sio_expect_log(harness, "ack [1] 0\n");
    client_close(client);
}

static void test_answers_to_nothing_are_ignored(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client, *other;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    sio_ws_open(&other, harness);
    assert_true(ask(socket, "[\"q\"]", 100, &harness));
    ws_expect(client, "420[\"q\"]");
    ws_send(client, "431[]"); // unknown
    ws_send(client, "43[]");  // no id
    ws_send(other, "430[]");  // asked of somebody else
    sio_expect_log(harness, "");
    ws_send(client, "430[]");
    ws_send(client, "430[]"); // twice
    sio_expect_log(harness, "ack [] 0\n");
    client_expect_silence(client);
    client_expect_silence(other);
    client_close(client);
    client_close(other);
}

static void test_the_client_does_not_answer_in_time(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    assert_true(ask(socket, "[\"slow\"]", 50, &harness));
    assert_true(ask(socket, "[\"slower\"]", 100, &harness));
    harness_advance(&harness->base, 49);
    sio_expect_log(harness, "");
    harness_advance(&harness->base, 1);
    sio_expect_log(harness, "ack nothing 0\n");
    ws_send(client, "430[]"); // too late
    ws_send(client, "431[]");
    sio_expect_log(harness, "ack [] 0\n");
    harness_advance(&harness->base, 100);
    sio_expect_log(harness, "");
    client_close(client);
}

static void test_many_different_timeouts(void **state)
{
    enum { TIMEOUTS = 100 };
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    // Downwards, so that the last ones share queues with longer ones; 0 counts as 1.
    for (unsigned timeout = TIMEOUTS; timeout-- > 0;)
        assert_true(ask(socket, "[\"q\"]", timeout, &harness));
    harness_settle(&harness->base);
    sio_expect_log(harness, "");
    harness_advance(&harness->base, TIMEOUTS);
    unsigned count = 0;
    for (size_t i = 0; i < harness->base.log.size; i++)
        count += harness->base.log.bytes[i] == '\n';
    assert_int_equal(count, TIMEOUTS);
    sio_forget_log(harness);
    client_close(client);
}

static void test_equal_timeouts_share_a_queue(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    for (int i = 0; i < 10; i++) {
        assert_true(ask(socket, "[\"q\"]", 0, &harness));
        assert_true(ask(socket, "[\"q\"]", 1, &harness));
    }
    const struct tl_list *queues = &harness->sio->ack_queues;
    assert_false(tl_list_is_empty(queues));
    assert_ptr_equal(queues->next->next, queues);
    client_close(client);
    sio_forget_log(harness);
}

static void test_timeouts_beyond_the_longest_share_its_queue(void **state)
{
    enum { QUEUES = 64 };
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    for (unsigned i = 0; i < QUEUES; i++) {
        assert_true(ask(socket, "[\"q\"]", 1 + i, &harness));
        harness_advance(&harness->base, 1);
    }
    harness_advance(&harness->base, QUEUES);
    sio_forget_log(harness);
    assert_true(ask(socket, "[\"q\"]", 1000, &harness));
    harness_advance(&harness->base, QUEUES - 1);
    sio_expect_log(harness, "");
    harness_advance(&harness->base, 1);
    sio_expect_log(harness, "ack nothing 0\n");
    client_close(client);
}

static void test_the_socket_goes_before_it_answers(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *main = sio_ws_open(&client, harness);
    struct sio_socket *custom = sio_ws_enter(client, harness, "/custom");
    assert_true(ask(main, "[\"q\"]", 1000, &harness));
    assert_true(ask(custom, "[\"q\"]", 1000, &harness));
    sio_socket_disconnect(custom, false);
    assert_false(ask(custom, "[\"q\"]", 1000, &harness)); // never called then
    sio_expect_log(harness, "disconnect /custom server namespace disconnect\nack nothing 0\n");
    client_close(client);
    sio_expect_log(harness, "disconnect / transport close\nack nothing 0\n");
}

static void join_and_ask(struct sio_socket *socket, const struct sio_message *got, void *arg)
{
    struct sio_harness **harness = arg;
    assert_null(got);
    sio_join(socket, "room");
    assert_false(ask(socket, "[\"again\"]", 1, harness));
}

// The socket is valid during the call, and whatever is done to it then ends with it.
static void test_the_callback_may_use_the_socket(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    struct sio_message message = message_of("[\"q\"]");
    assert_true(sio_emit_with_ack(socket, &message, 100, join_and_ask, &harness));
    json_decref(message.args);
    client_close(client);
    sio_expect_log(harness, "disconnect / transport close\n");
    assert_int_equal(sio_room_size(harness->main, "room"), 0);
}

#define sio_test(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        sio_test(test_events_are_acknowledged),
        sio_test(test_events_are_acknowledged_over_polling),
        sio_test(test_answered_later_and_in_another_order),
        sio_test(test_answered_when_the_socket_is_gone),
        sio_test(test_the_client_answers),
        sio_test(test_a_question_with_attachments),
        sio_test(test_answers_to_nothing_are_ignored),
        sio_test(test_the_client_does_not_answer_in_time),
        sio_test(test_many_different_timeouts),
        sio_test(test_equal_timeouts_share_a_queue),
        sio_test(test_timeouts_beyond_the_longest_share_its_queue),
        sio_test(test_the_socket_goes_before_it_answers),
        sio_test(test_the_callback_may_use_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
