// SPDX-License-Identifier: MIT
// Entering and leaving namespaces: CONNECT and its answers, several namespaces on one connection,
// DISCONNECT both ways, and the time-out for those that enter none.
#include <stdio.h>
#include <string.h>

#include "tests/gateway/session/sio_harness.h"

// ---- CONNECT

static void test_connect_is_answered_with_an_id_of_its_own(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sid engine = ws_handshake(&client, &harness->base, WS);
    ws_send(client, "40");
    assert_non_null(harness->newest);
    const struct sio_socket *main = harness->newest;
    char expected[128];
    snprintf(expected, sizeof expected, "40{\"sid\":\"%s\"}", sio_socket_id(main));
    ws_expect(client, expected);
    sio_expect_log(harness, "connect / -\nconnection / -\n");
    const struct sio_socket *custom = sio_ws_enter(client, harness, "/custom");
    assert_string_not_equal(sio_socket_id(main), engine.text);
    assert_string_not_equal(sio_socket_id(main), sio_socket_id(custom));
    assert_ptr_equal(sio_namespace_find(harness->main, sio_socket_id(main)), main);
    assert_null(sio_namespace_find(harness->custom, sio_socket_id(main)));
    client_close(client);
}

static void test_connect_hands_on_its_payload(void **state)
{
    static const struct {
        const char *packet;
        const char *log;
    } cases[] = {
        {"40{\"token\":\"x\"}", "connect / {\"token\":\"x\"}\nconnection / {\"token\":\"x\"}\n"},
        {"40{}", "connect / {}\nconnection / {}\n"},
        {"40/custom,{\"a\":[1]}", "connect /custom {\"a\":[1]}\nconnection /custom {\"a\":[1]}\n"},
        {"40/custom", "connect /custom -\nconnection /custom -\n"},
        {"40/custom,", "connect /custom -\nconnection /custom -\n"},
        {"40/,", "connect / -\nconnection / -\n"},
        {"405", "connect / -\nconnection / -\n"}, // an id means nothing here
        {"40/custom,5{\"a\":1}", "connect /custom {\"a\":1}\nconnection /custom {\"a\":1}\n"},
    };
    struct sio_harness *harness = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client *client;
        ws_handshake(&client, &harness->base, WS);
        ws_send(client, cases[i].packet);
        sio_expect_log(harness, cases[i].log);
        client_close(client);
        sio_forget_log(harness);
    }
}

static void test_connect_over_polling(void **state)
{
    struct sio_harness *harness = *state;
    char expected[128];
    struct sid sid = polling_handshake(&harness->base);
    post(&harness->base, &sid,
         "40/custom,{\"a\":1}\x1e"
         "42/custom,[\"first\"]");
    sio_expect_log(harness, "connect /custom {\"a\":1}\nconnection /custom {\"a\":1}\n"
                            "event /custom [\"first\"]\n");
    snprintf(expected, sizeof expected, "40/custom,{\"sid\":\"%s\"}",
             sio_socket_id(harness->newest));
    assert_string_equal(fetch(&harness->base, &sid, 200), expected);
}

static void emit_welcome(struct sio_socket *socket, const json_t *auth, void *arg)
{
    (void)auth;
    (void)arg;
    assert_true(sio_emit_json(socket, "[\"welcome\"]"));
}

static void test_what_is_emitted_at_once_follows_the_answer(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->hooks.on_connection = emit_welcome;
    sio_ws_open(&client, harness);
    ws_expect(client, "42[\"welcome\"]");
    sio_ws_enter(client, harness, "/custom");
    ws_expect(client, "42/custom,[\"welcome\"]");
    client_close(client);
}

static void test_unknown_namespace_is_refused(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    ws_handshake(&client, &harness->base, WS);
    ws_send(client, "40/unknown");
    ws_expect(client, "44/unknown,{\"message\":\"Invalid namespace\"}");
    ws_send(client, "40/unknown,{\"again\":true}");
    ws_expect(client, "44/unknown,{\"message\":\"Invalid namespace\"}");
    ws_send(client, "40/custom?x=y,"); // a query is part of the name
    ws_expect(client, "44/custom?x=y,{\"message\":\"Invalid namespace\"}");
    sio_expect_log(harness, "");
    sio_ws_enter(client, harness, "/custom");
    client_close(client);
}

// ---- Refusals

static bool refuse_without_token(struct sio_socket *socket, const json_t *auth,
                                 struct sio_refusal *refusal, void *arg)
{
    (void)arg;
    assert_false(sio_socket_is_connected(socket));
    assert_false(sio_emit_json(socket, "[\"too early\"]"));
    assert_true(sio_join(socket, "waiting"));
    const json_t *token = json_object_get(auth, "token");
    strcpy(refusal->message, "not authorized");
    // The server frees it also when the client is accepted.
    refusal->data = auth ? json_pack("{s:i}", "code", 7) : NULL;
    return json_is_string(token);
}

static void test_refused_by_the_handler(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->hooks.on_connect = refuse_without_token;
    ws_handshake(&client, &harness->base, WS);
    ws_send(client, "40");
    ws_expect(client, "44{\"message\":\"not authorized\"}");
    ws_send(client, "40/custom,{}");
    ws_expect(client, "44/custom,{\"message\":\"not authorized\",\"data\":{\"code\":7}}");
    sio_expect_log(harness, "connect / -\nconnect /custom {}\n");
    assert_int_equal(bed_metric(&harness->base.bed, GW_SIO_SOCKETS), 0);
    assert_int_equal(bed_metric(&harness->base.bed, GW_ROOMS), 0);
    ws_send(client, "40{\"token\":\"good\"}");
    assert_non_null(harness->newest);
    assert_true(sio_is_in(harness->newest, "waiting"));
    assert_int_equal(sio_room_size(harness->main, "waiting"), 1);
    client_close(client);
}

static bool close_instead(struct sio_socket *socket, const json_t *auth,
                          struct sio_refusal *refusal, void *arg)
{
    (void)auth;
    (void)refusal;
    (void)arg;
    sio_socket_disconnect(socket, true);
    return true;
}

static void test_handler_may_close_instead_of_refusing(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->hooks.on_connect = close_instead;
    ws_handshake(&client, &harness->base, WS);
    ws_send(client, "40");
    ws_expect_close(client, 0);
    sio_expect_log(harness, "connect / -\n");
    client_close(client);
}

static void test_too_many_namespaces(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    ws_send(client, "40/third");
    ws_expect(client, "44/third,{\"message\":\"Too many namespaces\"}");
    ws_send(client, "41/custom,");
    sio_expect_log(harness, "disconnect /custom client namespace disconnect\n");
    sio_ws_enter(client, harness, "/third");
    client_close(client);
}

// ---- Several on one connection

static void answer_with_place(struct sio_socket *socket, const struct sio_message *message,
                              struct sio_ack *ack, void *arg)
{
    (void)arg;
    sio_ack_answer(ack, message->args, NULL, 0);
    sio_emit(socket, message);
}

static void test_namespaces_share_a_connection(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    harness->hooks.on_event = answer_with_place;
    ws_send(client, "420[\"a\"]");
    ws_send(client, "42/custom,0[\"b\"]");
    ws_send(client, "42/,1[\"c\"]"); // "/" by its name
    ws_expect(client, "430[\"a\"]");
    ws_expect(client, "42[\"a\"]");
    ws_expect(client, "43/custom,0[\"b\"]");
    ws_expect(client, "42/custom,[\"b\"]");
    ws_expect(client, "431[\"c\"]");
    ws_expect(client, "42[\"c\"]");
    sio_expect_log(harness, "event / [\"a\"] ack\nevent /custom [\"b\"] ack\n"
                            "event / [\"c\"] ack\n");
    client_close(client);
}

static void test_leaving_one_keeps_the_others(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    ws_send(client, "41/custom,");
    client_expect_silence(client);
    sio_expect_log(harness, "disconnect /custom client namespace disconnect\n");
    ws_send(client, "42[\"still here\"]");
    sio_expect_log(harness, "event / [\"still here\"]\n");
    client_close(client);
    sio_expect_log(harness, "disconnect / transport close\n");
}

static void test_a_namespace_may_be_entered_anew(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    char first[32];
    struct sio_socket *socket = sio_ws_open(&client, harness);
    snprintf(first, sizeof first, "%s", sio_socket_id(socket));
    ws_send(client, "41");
    sio_forget_log(harness);
    socket = sio_ws_enter(client, harness, "/");
    assert_string_not_equal(sio_socket_id(socket), first);
    client_close(client);
    // At once, in one payload: the reference closes the connection on it, which serves nobody.
    struct sid sid;
    sio_polling_open(&sid, harness);
    post(&harness->base, &sid,
         "41\x1e"
         "40\x1e"
         "42[\"again\"]");
    sio_expect_log(harness, "disconnect / client namespace disconnect\n"
                            "connect / -\nconnection / -\nevent / [\"again\"]\n");
}

// ---- Disconnected by the server

static void test_server_disconnects_one_namespace(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    struct sio_socket *custom = sio_ws_enter(client, harness, "/custom");
    assert_true(sio_emit_json(custom, "[\"before\"]"));
    sio_socket_disconnect(custom, false);
    assert_false(sio_socket_is_connected(custom));
    assert_false(sio_emit_json(custom, "[\"after\"]"));
    sio_socket_disconnect(custom, false); // changes nothing
    assert_int_equal(harness->disconnections, 0);
    ws_expect(client, "42/custom,[\"before\"]");
    ws_expect(client, "41/custom,");
    sio_expect_log(harness, "disconnect /custom server namespace disconnect\n");
    client_expect_silence(client);
    ws_send(client, "42[\"still here\"]");
    sio_expect_log(harness, "event / [\"still here\"]\n");
    sio_ws_enter(client, harness, "/custom");
    client_close(client);
}

static void test_server_disconnects_and_closes(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *main = sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    sio_socket_disconnect(main, true);
    ws_expect(client, "41");
    ws_expect(client, "41/custom,");
    ws_expect_close(client, 0);
    sio_expect_log(harness, "disconnect / server namespace disconnect\n"
                            "disconnect /custom server namespace disconnect\n");
    ws_send(client, "42[\"too late\"]");
    sio_expect_log(harness, "");
    client_close(client);
}

static void test_server_disconnects_over_polling(void **state)
{
    struct sio_harness *harness = *state;
    struct sid sid;
    struct sio_socket *main = sio_polling_open(&sid, harness);
    sio_socket_disconnect(main, true);
    sio_expect_log(harness, "disconnect / server namespace disconnect\n");
    assert_string_equal(fetch(&harness->base, &sid, 200), "41\x1e"
                                                          "1");
    fetch(&harness->base, &sid, 400);
}

static void disconnect_at_once(struct sio_socket *socket, const json_t *auth, void *arg)
{
    (void)auth;
    (void)arg;
    sio_socket_disconnect(socket, false);
}

static void test_disconnect_from_within_the_handler(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->hooks.on_connection = disconnect_at_once;
    ws_handshake(&client, &harness->base, WS);
    ws_send(client, "40");
    sio_expect_log(harness, "connect / -\nconnection / -\n"
                            "disconnect / server namespace disconnect\n");
    client_close(client);
}

// ---- The connect time-out

// Whether the client is closed at the time-out, and not before.
static void expect_timed_out(struct sio_harness *harness, struct client *client)
{
    harness_advance(&harness->base, CONNECT_TIMEOUT - 1);
    client_expect_silence(client);
    harness_advance(&harness->base, 1);
    ws_expect_close(client, 0);
    client_close(client);
}

static void test_silence_is_closed(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    ws_handshake(&client, &harness->base, WS);
    expect_timed_out(harness, client);
    struct sid sid = polling_handshake(&harness->base);
    client_open(&client, &harness->base);
    poll_begin(client, &sid);
    harness_advance(&harness->base, CONNECT_TIMEOUT);
    poll_expect(client, "1");
    client_close(client);
    sio_expect_log(harness, "");
}

static void test_refused_clients_count_as_silent(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->hooks.on_connect = refuse_without_token;
    ws_handshake(&client, &harness->base, WS);
    ws_send(client, "40/unknown");
    ws_expect(client, "44/unknown,{\"message\":\"Invalid namespace\"}");
    ws_send(client, "40");
    ws_expect(client, "44{\"message\":\"not authorized\"}");
    expect_timed_out(harness, client);
}

static void test_connected_clients_are_kept(void **state)
{
    struct sio_harness *harness = *state;
    struct client *stayed, *left;
    sio_ws_open(&stayed, harness);
    sio_ws_open(&left, harness);
    ws_send(left, "41"); // who has been in one may stay in none
    harness_advance(&harness->base, CONNECT_TIMEOUT + 1);
    client_expect_silence(stayed);
    client_expect_silence(left);
    harness_advance(&harness->base, PING_INTERVAL - CONNECT_TIMEOUT);
    ws_expect(stayed, "2");
    ws_expect(left, "2");
    ws_send(stayed, "3");
    ws_send(left, "3");
    ws_send(stayed, "42[\"here\"]");
    ws_send(left, "40");
    sio_expect_log(harness, "disconnect / client namespace disconnect\nevent / [\"here\"]\n"
                            "connect / -\nconnection / -\n");
    client_close(stayed);
    client_close(left);
}

#define sio_test(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        sio_test(test_connect_is_answered_with_an_id_of_its_own),
        sio_test(test_connect_hands_on_its_payload),
        sio_test(test_connect_over_polling),
        sio_test(test_what_is_emitted_at_once_follows_the_answer),
        sio_test(test_unknown_namespace_is_refused),
        sio_test(test_refused_by_the_handler),
        sio_test(test_handler_may_close_instead_of_refusing),
        sio_test(test_too_many_namespaces),
        sio_test(test_namespaces_share_a_connection),
        sio_test(test_leaving_one_keeps_the_others),
        sio_test(test_a_namespace_may_be_entered_anew),
        sio_test(test_server_disconnects_one_namespace),
        sio_test(test_server_disconnects_and_closes),
        sio_test(test_server_disconnects_over_polling),
        sio_test(test_disconnect_from_within_the_handler),
        sio_test(test_silence_is_closed),
        sio_test(test_refused_clients_count_as_silent),
        sio_test(test_connected_clients_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
