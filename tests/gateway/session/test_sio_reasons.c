// SPDX-License-Identifier: MIT
// Every way in which a client leaves, and the reason that the handler is told, once, in the
// reference's words: violations of Socket.IO, what the layers below report, and the server's end.
#include <stdio.h>
#include <string.h>

#include "gateway/protocol/http.h"
#include "tests/gateway/session/sio_harness.h"

#define FIN 0x80

// ---- Violations close the whole connection

struct violation {
    const char *what;
    const char *packet; // sent by a client that is in "/" and "/custom"
};

static void expect_forced_close(struct sio_harness *harness, const struct violation *violation)
{
    struct client *client;
    print_message("%s: %s\n", violation->what, violation->packet);
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    ws_send(client, violation->packet);
    ws_send(client, "42[\"too late\"]");
    ws_expect_close(client, 0);
    client_close(client);
    sio_expect_log(harness, "disconnect / forced close\ndisconnect /custom forced close\n");
}

static void test_malformed_packets(void **state)
{
    static const struct violation violations[] = {
        {"no packet at all", "4"},
        {"unknown type", "47"},
        {"type that is no digit", "4x"},
        {"CONNECT with null", "40/third,null"},
        {"CONNECT with an array", "40/third,[]"},
        {"CONNECT with a string", "40/third,\"s\""},
        {"no slash before the namespace", "40third,"},
        {"DISCONNECT with data", "41{}"},
        {"DISCONNECT with data", "41/custom,[]"},
        {"event that is an object", "42{}"},
        {"event without a name", "42[]"},
        {"event whose name is null", "42[null]"},
        {"event whose name is an object", "42[{\"_placeholder\":true,\"num\":0}]"},
        {"reserved name", "42[\"connect\"]"},
        {"reserved name", "42[\"connect_error\"]"},
        {"reserved name", "42[\"disconnect\",1]"},
        {"reserved name", "42[\"disconnecting\"]"},
        {"reserved name", "42[\"newListener\"]"},
        {"reserved name", "42/custom,[\"removeListener\"]"},
        {"JSON that ends too early", "42[\"a\""},
        {"JSON with something behind it", "42[\"a\"]]"},
        {"id that is negative", "42-1[\"a\"]"},
        {"id with a fraction", "4212.5[\"a\"]"},
        {"acknowledgement that is an object", "430{}"},
        {"binary event without a count", "45[\"a\"]"},
        {"binary event with an empty count", "45-[\"a\"]"},
        {"binary event with a count of 0", "450-[\"a\"]"},
        {"binary event with 11 attachments", "4511-[\"a\"]"},
        {"binary event with a fraction", "451.5-[\"a\"]"},
        {"binary acknowledgement without a count", "46[1]"},
    };
    struct sio_harness *harness = *state;
    for (size_t i = 0; i < sizeof violations / sizeof *violations; i++)
        expect_forced_close(harness, &violations[i]);
    assert_int_equal(bed_metric(&harness->base.bed, GW_SIO_PARSE_ERRORS),
                     sizeof violations / sizeof *violations);
}

static void test_packets_that_do_not_belong_there(void **state)
{
    static const struct violation violations[] = {
        {"CONNECT for a namespace that one is in", "40"},
        {"CONNECT for a namespace that one is in", "40/custom,{}"},
        {"event for a namespace that one is not in", "42/third,[\"a\"]"},
        {"acknowledgement for a namespace that one is not in", "43/third,1[]"},
        {"DISCONNECT from a namespace that one is not in", "41/third,"},
        {"event for a namespace that there is not", "42/unknown,[\"a\"]"},
        {"event whose name is taken for a namespace", "42/[\"message\"]"},
        {"CONNECT_ERROR from a client", "44{\"message\":\"no\"}"},
        {"CONNECT_ERROR from a client", "44/third,\"no\""},
    };
    struct sio_harness *harness = *state;
    for (size_t i = 0; i < sizeof violations / sizeof *violations; i++)
        expect_forced_close(harness, &violations[i]);
    assert_int_equal(bed_metric(&harness->base.bed, GW_SIO_PARSE_ERRORS),
                     sizeof violations / sizeof *violations);
}

static void test_attachments_that_do_not_fit(void **state)
{
    static const struct {
        const char *packet; // of one attachment
    } cases[] = {
        {"451-[\"a\",{\"_placeholder\":true,\"num\":1}]"},
        {"451-[\"a\",{\"_placeholder\":true,\"num\":-1}]"},
        {"451-[\"a\",{\"_placeholder\":true,\"num\":\"0\"}]"},
        {"451-[\"a\",{\"_placeholder\":true}]"},
    };
    struct sio_harness *harness = *state;
    struct client *client;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sio_ws_open(&client, harness);
        ws_send(client, cases[i].packet);
        client_expect_silence(client);
        ws_send_frame(client, FIN | WS_BINARY, "x", 1);
        ws_expect_close(client, 0);
        client_close(client);
        sio_expect_log(harness, "disconnect / forced close\n");
    }
    // Bytes that nobody announced, and text where bytes are due.
    sio_ws_open(&client, harness);
    ws_send_frame(client, FIN | WS_BINARY, "x", 1);
    ws_expect_close(client, 0);
    client_close(client);
    sio_expect_log(harness, "disconnect / forced close\n");
    sio_ws_open(&client, harness);
    ws_send(client, "451-[\"a\",{\"_placeholder\":true,\"num\":0}]");
    ws_send(client, "42[\"b\"]");
    ws_expect_close(client, 0);
    client_close(client);
    sio_expect_log(harness, "disconnect / forced close\n");
}

static void test_packets_without_a_namespace_joined(void **state)
{
    static const char *const packets[] = {"42[\"a\"]", "41", "430[]", "44{}", "42/custom,[\"a\"]"};
    struct sio_harness *harness = *state;
    for (size_t i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *client;
        ws_handshake(&client, &harness->base, WS);
        ws_send(client, packets[i]);
        ws_expect_close(client, 0);
        client_close(client);
    }
    sio_expect_log(harness, "");
}

static void test_event_after_leaving(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    ws_send(client, "41");
    ws_send(client, "42[\"a\"]");
    ws_expect_close(client, 0);
    sio_expect_log(harness, "disconnect / client namespace disconnect\n"
                            "disconnect /custom forced close\n");
    client_close(client);
}

static void test_violation_over_polling(void **state)
{
    struct sio_harness *harness = *state;
    struct client *poller;
    struct sid sid;
    sio_polling_open(&sid, harness);
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    post(&harness->base, &sid,
         "42[\"a\"]\x1e"
         "42{}\x1e"
         "42[\"b\"]");
    poll_expect(poller, "1");
    sio_expect_log(harness, "event / [\"a\"]\ndisconnect / forced close\n");
    client_close(poller);
    fetch(&harness->base, &sid, 400);
}

// ---- What the layers below report

static void test_websocket_closes(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    ws_send_frame(client, FIN | WS_CLOSE, "\x03\xe8", 2);
    sio_expect_log(harness, "disconnect / transport close\n");
    client_close(client);
    sio_ws_open(&client, harness);
    client_close(client);
    sio_expect_log(harness, "disconnect / transport close\n");
}

static void test_websocket_breaks_the_rules(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    ws_send_frame(client, FIN | 3, "", 0);
    ws_expect_close(client, 1002);
    sio_expect_log(harness, "disconnect / transport error\ndisconnect /custom transport error\n");
    client_close(client);
    sio_ws_open(&client, harness);
    ws_send(client, "2"); // pings are the server's
    sio_expect_log(harness, "disconnect / transport error\n");
    client_close(client);
}

static void test_what_is_no_engine_packet(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sid sid;
    sio_ws_open(&client, harness);
    ws_send(client, "abc");
    sio_expect_log(harness, "disconnect / parse error\n");
    client_close(client);
    sio_polling_open(&sid, harness);
    post(&harness->base, &sid, "");
    sio_expect_log(harness, "disconnect / parse error\n");
}

static void test_polling_closes(void **state)
{
    struct sio_harness *harness = *state;
    struct client *poller;
    struct sid sid;
    sio_polling_open(&sid, harness);
    post(&harness->base, &sid, "1");
    sio_expect_log(harness, "disconnect / transport close\n");
    sio_polling_open(&sid, harness);
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    fetch(&harness->base, &sid, 400); // a second poll
    sio_expect_log(harness, "disconnect / transport error\n");
    poll_expect(poller, "1");
    client_close(poller);
    sio_polling_open(&sid, harness);
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    client_close(poller);
    sio_expect_log(harness, "disconnect / transport error\n");
    sio_polling_open(&sid, harness);
    once(&harness->base, "POST", poll_target(&sid), "Content-Type: application/octet-stream\r\n",
         "42[\"a\"]", 400);
    sio_expect_log(harness, "disconnect / transport error\n");
}

static void test_overlapping_posts(void **state)
{
    struct sio_harness *harness = *state;
    struct client *first;
    struct sid sid;
    sio_polling_open(&sid, harness);
    client_open(&first, &harness->base);
    client_request(first, "POST", poll_target(&sid), "Content-Length: 100\r\n", NULL);
    client_send_text(first, "42[\"never whole");
    client_expect_silence(first);
    once(&harness->base, "POST", poll_target(&sid), "", "42[\"a\"]", 400);
    sio_expect_log(harness, "disconnect / transport error\n");
    client_expect_end(first);
    client_close(first);
}

static void test_silence(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    harness_advance(&harness->base, PING_INTERVAL);
    ws_expect(client, "2");
    harness_advance(&harness->base, PING_TIMEOUT - 1);
    sio_expect_log(harness, "");
    harness_advance(&harness->base, 1);
    sio_expect_log(harness, "disconnect / ping timeout\n");
    client_close(client);
}

// ---- Meetings of two reasons

static void disconnect_me(struct sio_socket *socket, const struct sio_message *message,
                          struct sio_ack *ack, void *arg)
{
    (void)message;
    (void)arg;
    sio_ack_drop(ack);
    sio_socket_disconnect(socket, false);
}

static void test_what_is_asked_first_counts(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client, *poller;
    struct sid sid;
    struct sio_socket *socket = sio_ws_open(&client, harness);
    sio_socket_disconnect(socket, false);
    client_close(client);
    sio_expect_log(harness, "disconnect / server namespace disconnect\n");
    // Within one payload: the socket is gone for the client's own DISCONNECT, as in the reference.
    harness->hooks.on_event = disconnect_me;
    sio_polling_open(&sid, harness);
    post(&harness->base, &sid,
         "42[\"go\"]\x1e"
         "41");
    sio_expect_log(harness, "event / [\"go\"]\ndisconnect / server namespace disconnect\n");
    assert_string_equal(fetch(&harness->base, &sid, 200), "41\x1e"
                                                          "1");
    // The other way round.
    sio_polling_open(&sid, harness);
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    post(&harness->base, &sid,
         "41\x1e"
         "42[\"go\"]");
    sio_expect_log(harness, "disconnect / client namespace disconnect\n");
    poll_expect(poller, "1");
    client_close(poller);
}

static void disconnect_main(struct sio_socket *socket, const char *reason, void *arg)
{
    struct sio_harness *harness = arg;
    (void)reason;
    if (sio_socket_namespace(socket) == harness->custom)
        sio_socket_disconnect(harness->data, true);
}

static void test_disconnecting_another_from_within(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->data = sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    harness->hooks.on_disconnect = disconnect_main;
    ws_send(client, "41/custom,");
    ws_expect(client, "41");
    ws_expect_close(client, 0);
    sio_expect_log(harness, "disconnect /custom client namespace disconnect\n"
                            "disconnect / server namespace disconnect\n");
    client_close(client);
}

// ---- The server's end

static void test_server_stops(void **state)
{
    struct sio_harness *harness = *state;
    struct client *ws, *idle, *poller;
    struct sid sid, unpolled;
    sio_ws_open(&ws, harness);
    sio_ws_enter(ws, harness, "/custom");
    ws_handshake(&idle, &harness->base, WS);
    sio_polling_open(&sid, harness);
    sio_polling_open(&unpolled, harness);
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    sio_server_stop(harness->sio);
    assert_int_equal(harness->disconnections, 0); // never from within a call
    sio_expect_log(harness, "disconnect / server shutting down\n"
                            "disconnect /custom server shutting down\n"
                            "disconnect / server shutting down\n"
                            "disconnect / server shutting down\n");
    ws_expect_close(ws, 0); // and no DISCONNECT: they are to come back
    ws_expect_close(idle, 0);
    poll_expect(poller, "1");
    fetch(&harness->base, &unpolled, 503);
    once(&harness->base, "GET", POLL, "", NULL, 503);
    assert_false(sio_server_is_drained(harness->sio));
    client_close(ws);
    client_close(idle);
    client_close(poller);
    harness_settle(&harness->base);
    assert_true(sio_server_is_drained(harness->sio));
}

static void test_server_is_destroyed_with_clients(void **state)
{
    struct sio_harness *harness = *state;
    struct client *ws, *half, *poller;
    struct sid sid;
    sio_ws_open(&ws, harness);
    sio_ws_enter(ws, harness, "/custom");
    assert_true(sio_join(harness->newest, "room"));
    sio_room_emit_frames(harness->custom, "room", "[\"pending\"]", NULL);
    sio_ws_open(&half, harness);
    ws_send(half, "452-[\"a\",{\"_placeholder\":true,\"num\":0}]");
    ws_send_frame(half, FIN | WS_BINARY, "x", 1);
    sio_polling_open(&sid, harness);
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    sio_server_destroy(&harness->sio);
    assert_null(harness->sio);
    sio_expect_log(harness, "disconnect / server shutting down\n"
                            "disconnect /custom server shutting down\n"
                            "disconnect / server shutting down\n"
                            "disconnect / server shutting down\n");
}

static void test_server_is_destroyed_after_a_disconnect(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    sio_socket_disconnect(sio_ws_enter(client, harness, "/custom"), false);
    sio_server_destroy(&harness->sio);
    sio_expect_log(harness, "disconnect / server shutting down\n"
                            "disconnect /custom server namespace disconnect\n");
}

#define sio_test(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        sio_test(test_malformed_packets),
        sio_test(test_packets_that_do_not_belong_there),
        sio_test(test_attachments_that_do_not_fit),
        sio_test(test_packets_without_a_namespace_joined),
        sio_test(test_event_after_leaving),
        sio_test(test_violation_over_polling),
        sio_test(test_websocket_closes),
        sio_test(test_websocket_breaks_the_rules),
        sio_test(test_what_is_no_engine_packet),
        sio_test(test_polling_closes),
        sio_test(test_overlapping_posts),
        sio_test(test_silence),
        sio_test(test_what_is_asked_first_counts),
        sio_test(test_disconnecting_another_from_within),
        sio_test(test_server_stops),
        sio_test(test_server_is_destroyed_with_clients),
        sio_test(test_server_is_destroyed_after_a_disconnect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
