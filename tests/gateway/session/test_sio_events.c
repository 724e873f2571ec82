// SPDX-License-Identifier: MIT
// Events both ways: their arguments, names, binary attachments split over frames and requests, and
// what the server will not send.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gateway/session/sio_harness.h"

#define FIN 0x80

// Sends a binary frame.
static void send_bytes(struct client *client, const void *bytes, size_t size)
{
    ws_send_frame(client, FIN | WS_BINARY, bytes, size);
}

static void echo(struct sio_socket *socket, const struct sio_message *message, struct sio_ack *ack,
                 void *arg)
{
    (void)arg;
    sio_ack_drop(ack);
    assert_true(sio_emit(socket, message));
}

// ---- Text

static void test_events_from_the_client(void **state)
{
    static const struct {
        const char *packet;
        const char *log;
    } cases[] = {
        {"42[\"a\",1,2.5,true,null,\"text\",{\"k\":[]}]",
         "event / [\"a\",1,2.5,true,null,\"text\",{\"k\":[]}]\n"},
        {"42[\"h\xc3\xa9\"]", "event / [\"h\xc3\xa9\"]\n"},
        {"42[\"\"]", "event / [\"\"]\n"},
        {"42[7]", "event / [7]\n"}, // a number is a name
        {"42 [\"a\"]", "event / [\"a\"]\n"},
        {"42/custom,[\"a\"]", "event /custom [\"a\"]\n"},
        {"42/custom,5[\"a\"]", "event /custom [\"a\"] ack\n"},
        {"42[\"p\",{\"_placeholder\":true,\"num\":3}]",
         "event / [\"p\",{\"_placeholder\":true,\"num\":3}]\n"}, // plain data here
        {"42", ""},  // without a name: legal, and nobody's
        {"421", ""}, //
        {"42/custom", ""},
    };
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ws_send(client, cases[i].packet);
        sio_expect_log(harness, cases[i].log);
        client_expect_silence(client);
    }
    client_close(client);
}

static void test_events_to_the_client(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_socket *main = sio_ws_open(&client, harness);
    struct sio_socket *custom = sio_ws_enter(client, harness, "/custom");
    assert_true(sio_emit_json(main, "[\"a\", 1, {\"b\": [1.0, 0.5, \"\\u00e9/\\n\"]}]"));
    assert_true(sio_emit_json(custom, "[\"a\"]"));
    assert_true(sio_emit_json(main, "[7]"));
    ws_expect(client, "42[\"a\",1,{\"b\":[1,0.5,\"\xc3\xa9/\\n\"]}]");
    ws_expect(client, "42/custom,[\"a\"]");
    ws_expect(client, "42[7]");
    client_close(client);
}

// One such packet would cost each client that gets it its connection.
static void test_what_would_be_malformed_is_not_sent(void **state)
{
    static const char *const cases[] = {"[]",
                                        "[null]",
                                        "[{\"a\":1}]",
                                        "{\"a\":1}",
                                        "[\"connect\"]",
                                        "[\"connect_error\"]",
                                        "[\"disconnect\",1]",
                                        "[\"disconnecting\"]",
                                        "[\"newListener\"]",
                                        "[\"removeListener\"]"};
    struct sio_harness *harness = *state;
    struct client *client;
    struct sio_attachment attachments[SIO_MAX_ATTACHMENTS + 1] = {{0}};
    struct sio_message message = message_of("[\"a\"]");
    struct sio_socket *socket = sio_ws_open(&client, harness);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(sio_emit_json(socket, cases[i]));
        assert_int_equal(sio_room_emit_json(harness->main, NULL, cases[i], NULL), 0);
    }
    message.attachments = attachments;
    message.attachment_count = SIO_MAX_ATTACHMENTS + 1;
    assert_false(sio_emit(socket, &message));
    json_decref(message.args);
    message = (struct sio_message){.args = NULL};
    assert_false(sio_emit(socket, &message));
    client_expect_silence(client);
    client_close(client);
}

static void test_large_events(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    static char text[MAX_PAYLOAD + 1];
    memcpy(text, "42[\"", 4);
    memset(text + 4, 'x', MAX_PAYLOAD - 6);
    memcpy(text + MAX_PAYLOAD - 2, "\"]", 3);
    harness->hooks.on_event = echo;
    sio_ws_open(&client, harness);
    ws_send(client, text);
    ws_expect(client, text);
    client_close(client);
}

// ---- Attachments

static void test_binary_events(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    harness->hooks.on_event = echo;
    sio_ws_open(&client, harness);
    sio_ws_enter(client, harness, "/custom");
    ws_send(client, "452-/custom,[\"a\",{\"_placeholder\":true,\"num\":1},"
                    "{\"x\":[{\"_placeholder\":true,\"num\":0}]}]");
    send_bytes(client, "\x01\x02", 2);
    send_bytes(client, "", 0);
    sio_expect_log(harness, "event /custom [\"a\",{\"_placeholder\":true,\"num\":1},"
                            "{\"x\":[{\"_placeholder\":true,\"num\":0}]}] <0102> <>\n");
    ws_expect(client, "452-/custom,[\"a\",{\"_placeholder\":true,\"num\":1},"
                      "{\"x\":[{\"_placeholder\":true,\"num\":0}]}]");
    ws_expect_frame(client, WS_BINARY, "\x01\x02", 2);
    ws_expect_frame(client, WS_BINARY, "", 0);
    client_close(client);
}

static void test_odd_but_legal_attachments(void **state)
{
    static const struct {
        const char *packet; // of one attachment, "x"
        const char *log;
    } cases[] = {
        {"451-[\"unused\"]", "event / [\"unused\"] <78>\n"},
        {"451-[\"twice\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]",
         "event / [\"twice\",{\"_placeholder\":true,\"num\":0},"
         "{\"_placeholder\":true,\"num\":0}] <78>\n"},
        {"451-[\"more\",{\"num\":0,\"_placeholder\":true,\"more\":1}]",
         "event / [\"more\",{\"_placeholder\":true,\"num\":0}] <78>\n"},
        {"451-[\"text\",{\"_placeholder\":\"true\",\"num\":7}]",
         "event / [\"text\",{\"_placeholder\":\"true\",\"num\":7}] <78>\n"},
        {"451-7[\"ack\"]", "event / [\"ack\"] ack <78>\n"},
        {"451-", ""},
        {"461-", ""},
    };
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ws_send(client, cases[i].packet);
        sio_expect_log(harness, "");
        send_bytes(client, "x", 1);
        sio_expect_log(harness, cases[i].log);
    }
    client_close(client);
}

static void test_attachments_in_fragments_between_pings(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    sio_ws_open(&client, harness);
    ws_send_frame(client, WS_TEXT, "452-[\"a\",{\"_placeholder\":true,", 30);
    ws_send_frame(client, FIN | WS_PING, "", 0);
    ws_send_frame(client, FIN | WS_CONTINUATION, "\"num\":0}]", 9);
    ws_send(client, "3"); // a packet of the engine is none of the message's
    ws_send_frame(client, WS_BINARY, "\x01", 1);
    ws_send_frame(client, FIN | WS_CONTINUATION, "\x02", 1);
    ws_send(client, "bAwQ="); // an attachment in text form
    sio_expect_log(harness, "event / [\"a\",{\"_placeholder\":true,\"num\":0}] <0102> <0304>\n");
    ws_expect_frame(client, WS_PONG, "", 0);
    client_close(client);
}

// The decoder of the server is lent to whom it waits for; others are served meanwhile.
static void test_clients_wait_for_attachments_at_the_same_time(void **state)
{
    enum { CLIENTS = 4 };
    struct sio_harness *harness = *state;
    struct client *clients[CLIENTS];
    struct client *other;
    for (int i = 0; i < CLIENTS; i++)
        sio_ws_open(&clients[i], harness);
    sio_ws_open(&other, harness);
    for (int i = 0; i < CLIENTS; i++) {
        char packet[32];
        snprintf(packet, sizeof packet, "452-[\"c%d\"]", i);
        ws_send(clients[i], packet);
        ws_send(other, "42[\"other\"]");
        sio_expect_log(harness, "event / [\"other\"]\n");
    }
    for (int i = CLIENTS; i-- > 0;)
        send_bytes(clients[i], &(uint8_t){(uint8_t)i}, 1);
    client_close(clients[0]);
    sio_expect_log(harness, "disconnect / transport close\n");
    send_bytes(clients[2], "x", 1);
    send_bytes(clients[3], "y", 1);
    send_bytes(clients[1], "z", 1);
    ws_send(clients[2], "42[\"next\"]");
    sio_expect_log(harness, "event / [\"c2\"] <02> <78>\n"
                            "event / [\"c3\"] <03> <79>\n"
                            "event / [\"c1\"] <01> <7a>\n"
                            "event / [\"next\"]\n");
    for (int i = 1; i < CLIENTS; i++)
        client_close(clients[i]);
    client_close(other);
}

static void test_binary_events_over_polling(void **state)
{
    struct sio_harness *harness = *state;
    struct client *poller;
    struct sid sid;
    struct sio_socket *socket = sio_polling_open(&sid, harness);
    struct sio_message message =
        message_of("[\"b\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]");
    const struct sio_attachment attachments[] = {{(const uint8_t *)"\x01\x02\x03", 3},
                                                 {(const uint8_t *)"", 0}};
    message.attachments = attachments;
    message.attachment_count = 2;
    // In one request, and split over three.
    post(&harness->base, &sid,
         "451-[\"a\",{\"_placeholder\":true,\"num\":0}]\x1e"
         "bAQID");
    sio_expect_log(harness, "event / [\"a\",{\"_placeholder\":true,\"num\":0}] <010203>\n");
    post(&harness->base, &sid, "452-[\"a\"]");
    post(&harness->base, &sid, "bAQID");
    sio_expect_log(harness, "");
    post(&harness->base, &sid,
         "bBA==\x1e"
         "42[\"next\"]");
    sio_expect_log(harness, "event / [\"a\"] <010203> <04>\nevent / [\"next\"]\n");
    client_open(&poller, &harness->base);
    poll_begin(poller, &sid);
    assert_true(sio_emit(socket, &message));
    poll_expect(poller, "452-[\"b\",{\"_placeholder\":true,\"num\":0},"
                        "{\"_placeholder\":true,\"num\":1}]\x1e"
                        "bAQID\x1e"
                        "b");
    client_close(poller);
    json_decref(message.args);
}

static void test_attachments_are_bounded_together(void **state)
{
    struct sio_harness *harness = *state;
    struct client *client;
    static uint8_t bytes[MAX_PAYLOAD];
    sio_ws_open(&client, harness);
    // Ten of the largest are what a client may send in one packet.
    ws_send(client, "4510-[\"a\"]");
    for (int i = 0; i < SIO_MAX_ATTACHMENTS; i++)
        send_bytes(client, bytes, sizeof bytes);
    harness_settle(&harness->base);
    assert_true(harness->base.log.size > (size_t)2 * SIO_MAX_ATTACHMENTS * MAX_PAYLOAD);
    sio_forget_log(harness);
    ws_send(client, "42[\"next\"]");
    sio_expect_log(harness, "event / [\"next\"]\n");
    client_close(client);
}

#define sio_test(name) cmocka_unit_test_setup_teardown(name, sio_setup, sio_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        sio_test(test_events_from_the_client),
        sio_test(test_events_to_the_client),
        sio_test(test_what_would_be_malformed_is_not_sent),
        sio_test(test_large_events),
        sio_test(test_binary_events),
        sio_test(test_odd_but_legal_attachments),
        sio_test(test_attachments_in_fragments_between_pings),
        sio_test(test_clients_wait_for_attachments_at_the_same_time),
        sio_test(test_binary_events_over_polling),
        sio_test(test_attachments_are_bounded_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
