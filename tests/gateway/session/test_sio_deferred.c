// SPDX-License-Identifier: MIT
// CONNECTs that are answered later: by acceptance, by refusal, under the id of one that is gone;
// and what becomes of them when the client does not wait.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/protocol/sio_frames.h"
#include "gateway/session/sio_internal.h"
#include "tests/gateway/session/sio_harness.h"

// The hook's data is where it leaves the socket.
static bool defer(struct sio_socket *socket, const json_t *auth, struct sio_refusal *refusal,
                  void *arg)
{
    const struct sio_harness *harness = arg;
    (void)auth;
    (void)refusal;
    *(struct sio_socket **)harness->data = socket;
    sio_socket_defer(socket);
    return true;
}

// A client whose CONNECT waits to be answered.
static struct sio_socket *open_deferred(struct client **client, struct sio_harness *harness)
{
    struct sio_socket *deferred = NULL;
    harness->hooks.on_connect = defer;
    harness->data = &deferred;
    ws_handshake(client, &harness->base, WS);
    ws_send(*client, "40");
    harness_settle(&harness->base);
    assert_non_null(deferred);
    sio_expect_log(harness, "connect / -\n");
    return deferred;
}

static void expect_connected(struct client *client, const struct sio_socket *socket)
{
    char answer[64];
    snprintf(answer, sizeof answer, "40{\"sid\":\"%s\"}", sio_socket_id(socket));
    ws_expect(client, answer);
}

static void test_sio_deferred_is_found_and_gets_nothing(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = open_deferred(&client, harness);
    assert_ptr_equal(sio_namespace_find(harness->main, sio_socket_id(socket)), socket);
    assert_false(sio_socket_is_connected(socket));
    assert_false(sio_emit_json(socket, "[\"early\"]"));
    assert_int_equal(sio_room_emit_json(harness->main, NULL, "[\"early\"]", NULL), 0);
    assert_true(sio_socket_accept(socket));
    expect_connected(client, socket);
    sio_expect_log(harness, "connection / -\n");
    assert_true(sio_emit_json(socket, "[\"now\"]"));
    ws_expect(client, "42[\"now\"]");
    client_close(client);
}

static void test_sio_deferred_gets_first_what_is_sent_ahead(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_message missed = message_of("[\"missed\"]");
    struct tl_buffer frames;
    struct sio_socket *socket = open_deferred(&client, harness);
    tl_buffer_init(&frames, 1024);
    assert_true(sio_frames_encode(&frames, SIO_EVENT, "/", SIO_NO_ID, missed.args, NULL, 0));
    const struct sio_missed_copy copy = {7, (uint32_t)frames.size, COPY_RECOVERED};
    const struct sio_missed missed_frames = {frames.bytes, frames.size, &copy, 1};
    assert_true(sio_emit_missed(socket, &missed_frames));
    assert_true(sio_socket_accept(socket));
    ws_expect(client, "42[\"missed\"]");
    expect_connected(client, socket);
    assert_true(sio_emit_missed(socket, &missed_frames)); // now like anything else
    ws_expect(client, "42[\"missed\"]");
    tl_buffer_fini(&frames);
    json_decref(missed.args);
    client_close(client);
}

static void test_sio_deferred_takes_the_id_of_one_that_is_gone(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client, *other;
    char old[GW_ID_SIZE + 1];
    strcpy(old, sio_socket_id(sio_ws_open(&other, harness)));
    struct sio_socket *socket = open_deferred(&client, harness);
    char own[GW_ID_SIZE + 1];
    strcpy(own, sio_socket_id(socket));
    assert_false(sio_socket_resume(socket, old)); // that one is here
    assert_string_equal(sio_socket_id(socket), own);
    client_close(other);
    sio_forget_log(harness);
    assert_true(sio_socket_resume(socket, old));
    assert_ptr_equal(sio_namespace_find(harness->main, old), socket);
    assert_null(sio_namespace_find(harness->main, own));
    assert_true(sio_socket_accept(socket));
    expect_connected(client, socket);
    assert_false(sio_socket_resume(socket, own)); // too late
    client_close(client);
}

// What a client is recovered by: only this process can make it, and reads the id out of it.
static void test_sio_pid_cannot_be_guessed(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    char pid[SIO_PID_SIZE + 1];
    char id[GW_ID_SIZE + 1];
    const struct sio_socket *socket = sio_ws_open(&client, harness);
    assert_true(sio_socket_pid(socket, pid));
    assert_int_equal(strlen(pid), SIO_PID_SIZE);
    assert_true(sio_pid_id(pid, id));
    assert_string_equal(id, sio_socket_id(socket));
    for (size_t i = 0; i < SIO_PID_SIZE; i++) {
        char guess[SIO_PID_SIZE + 1];
        strcpy(guess, pid);
        guess[i] = guess[i] == 'a' ? 'b' : 'a';
        assert_false(sio_pid_id(guess, id));
    }
    assert_false(sio_pid_id(sio_socket_id(socket), id));
    assert_false(sio_pid_id("", id));
    client_close(client);
}

static void test_sio_deferred_can_be_refused(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    const struct sio_refusal refusal = {.message = "not now"};
    sio_socket_refuse(open_deferred(&client, harness), &refusal);
    ws_expect(client, "44{\"message\":\"not now\"}");
    harness->hooks.on_connect = NULL;
    sio_ws_enter(client, harness, "/");
    client_close(client);
}

static void test_sio_deferred_that_does_not_wait_is_closed(void **state)
{
    static const char *const packets[] = {"40", "41", "42[\"early\"]"};
    struct sio_harness *harness = *state;
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *client;
        open_deferred(&client, harness);
        ws_send(client, packets[i]);
        harness_settle(&harness->base);
        sio_expect_log(harness, "");
        client_close(client);
    }
    assert_int_equal(harness->connections, 0);
}

static void test_sio_deferred_whose_connect_timeout_is_over_is_closed(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    char id[GW_ID_SIZE + 1];
    strcpy(id, sio_socket_id(open_deferred(&client, harness)));
    harness_advance(&harness->base, CONNECT_TIMEOUT);
    assert_null(sio_namespace_find(harness->main, id));
    client_close(client);
}

// The connection has ended in this turn, and the socket is still there.
static void test_sio_deferred_whose_connection_has_ended(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *socket = open_deferred(&client, harness);
    char output[256] = "";
    int ends[2];
    int before = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    eio_session_abort(socket->session, "transport close");
    assert_false(sio_socket_accept(socket));
    dup2(before, STDERR_FILENO);
    close(before);
    close(ends[1]);
    assert_true(read(ends[0], output, sizeof output - 1) >= 0);
    close(ends[0]);
    assert_null(strstr(output, "out of memory"));
    client_close(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_sio_deferred_is_found_and_gets_nothing),
        TEST(test_sio_deferred_gets_first_what_is_sent_ahead),
        TEST(test_sio_deferred_takes_the_id_of_one_that_is_gone),
        TEST(test_sio_pid_cannot_be_guessed),
        TEST(test_sio_deferred_can_be_refused),
        TEST(test_sio_deferred_that_does_not_wait_is_closed),
        TEST(test_sio_deferred_whose_connect_timeout_is_over_is_closed),
        TEST(test_sio_deferred_whose_connection_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
