// SPDX-License-Identifier: MIT
// Sessions that begin on WebSocket: messages, control frames, closing, violations, bounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/http.h"
#include "tests/gateway/session/eio_harness.h"

#define FIN 0x80

static void test_messages_are_echoed(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    ws_send(client, "4hello");
    ws_expect(client, "4hello");
    ws_send(client, "4");
    ws_expect(client, "4");
    ws_send_frame(client, FIN | WS_BINARY, "\x01\x00\x02", 3);
    ws_expect_frame(client, WS_BINARY, "\x01\x00\x02", 3);
    ws_send_frame(client, FIN | WS_BINARY, "", 0);
    ws_expect_frame(client, WS_BINARY, "", 0);
    ws_send(client, "bAQID"); // a binary message in text form
    ws_expect_frame(client, WS_BINARY, "\x01\x02\x03", 3);
    client_close(client);
}

static void test_messages_behind_the_request_are_not_lost(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    static const uint8_t frame[] = {0x81, 0x82, 0, 0, 0, 0, '4', 'x'};
    struct tl_buffer all;
    tl_buffer_init(&all, 4096);
    tl_buffer_append_text(&all, "GET " PATH
                                "&transport=websocket HTTP/1.1\r\nHost: x\r\n" WS_HEADERS "\r\n");
    tl_buffer_append(&all, frame, sizeof frame);
    client_open(&client, harness);
    client_send(client, all.bytes, all.size);
    harness_expect_log(harness, "open\nmessage:x\n");
    tl_buffer_fini(&all);
    client_close(client);
}

static void test_message_a_byte_at_a_time(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    static const uint8_t frame[] = {0x81,    0x86,    1,       2,       3,       4,
                                    '4' ^ 1, 'h' ^ 2, 'e' ^ 3, 'l' ^ 4, 'l' ^ 1, 'o' ^ 2};
    ws_open(&client, harness);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof frame; i++) {
            client_send(client, frame + i, 1);
            harness_settle(harness);
        }
        ws_expect(client, "4hello");
    }
    client_close(client);
}

static void test_fragments_with_a_ping_between(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    ws_send_frame(client, WS_TEXT, "4he", 3);
    ws_send_frame(client, FIN | WS_PING, "are you there", 13);
    ws_expect_frame(client, WS_PONG, "are you there", 13);
    ws_send_frame(client, WS_CONTINUATION, "l", 1);
    ws_send_frame(client, FIN | WS_CONTINUATION, "lo", 2);
    ws_expect(client, "4hello");
    ws_send_frame(client, FIN | WS_PONG, "unasked", 7);
    client_expect_silence(client);
    client_close(client);
}

static void test_all_of_a_turn_comes_in_order(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct chunk *chunk = chunk_copy("\x81\x02"
                                     "4b"
                                     "\x82\x01"
                                     "c",
                                     7);
    assert_non_null(chunk);
    ws_open(&client, harness);
    assert_true(eio_session_send_message(harness->session, false, "a", 1));
    assert_true(eio_session_send(harness->session, &(struct range){chunk, 0, 7, 0}));
    assert_true(eio_session_send_message(harness->session, true, "d", 1));
    chunk_unref(chunk);
    ws_expect(client, "4a");
    ws_expect(client, "4b");
    ws_expect_frame(client, WS_BINARY, "c", 1);
    ws_expect_frame(client, WS_BINARY, "d", 1);
    client_close(client);
}

static void test_client_without_binary_gets_base64(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open_at(&client, harness, PATH "&transport=websocket&b64=1");
    ws_send_frame(client, FIN | WS_BINARY, "\x01\x02\x03", 3);
    ws_expect(client, "bAQID");
    ws_send(client, "4text");
    ws_expect(client, "4text");
    assert_true(eio_session_send_message(harness->session, true, "", 0));
    assert_true(eio_session_send_message(harness->session, false, "after", 5));
    ws_expect(client, "b");
    ws_expect(client, "4after");
    client_close(client);
}

// ---- Heartbeats

static void test_heartbeat(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    for (int i = 0; i < 3; i++) {
        harness_advance(harness, PING_INTERVAL - 1);
        client_expect_silence(client);
        harness_advance(harness, 1);
        ws_expect(client, "2");
        harness_advance(harness, PING_TIMEOUT - 1);
        ws_send(client, "3");
    }
    harness_advance(harness, PING_INTERVAL);
    ws_expect(client, "2");
    harness_advance(harness, PING_TIMEOUT);
    ws_expect_close(client, 0);
    harness_expect_log(harness, "close:ping timeout\n");
    client_close(client);
}

// A client in the middle of sending something large gets the time-out once more, at each ping anew.
static void test_packet_puts_each_ping_timeout_off_once(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    for (int i = 0; i < 3; i++) {
        harness_advance(harness, PING_INTERVAL);
        ws_expect(client, "2");
        harness_advance(harness, PING_TIMEOUT - 1);
        ws_send(client, "4late");
        ws_expect(client, "4late");
        harness_advance(harness, PING_TIMEOUT - 1);
        ws_send(client, "3");
        harness_expect_log(harness, "message:late\n");
    }
    harness_advance(harness, PING_INTERVAL);
    ws_expect(client, "2");
    for (int i = 0; i < 2; i++) { // the second one puts off nothing
        harness_advance(harness, PING_TIMEOUT - 1);
        ws_send(client, "4late");
        ws_expect(client, "4late");
    }
    harness_advance(harness, 1);
    ws_expect_close(client, 0);
    harness_expect_log(harness, "message:late\nmessage:late\nclose:ping timeout\n");
    client_close(client);
}

static void test_ping_of_a_client_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    ws_send(client, "2");
    ws_expect_close(client, 0);
    harness_expect_log(harness, "close:transport error\n");
    client_close(client);
}

// ---- Closing

static void test_close_frame_is_echoed(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } frames[] = {{"", 0},
                  {"\x03\xe8", 2},
                  {"\x0b\xb8"
                   "bye",
                   5},
                  {"\x13\x87", 2}};
    struct harness *harness = *state;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct client *client;
        ws_open(&client, harness);
        ws_send_frame(client, FIN | WS_CLOSE, frames[i].bytes, frames[i].size);
        ws_expect_frame(client, WS_CLOSE, frames[i].bytes, frames[i].size);
        client_expect_end(client);
        harness_expect_log(harness, "close:transport close\n");
        client_close(client);
    }
}

static void test_lost_connection_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    client_close(client);
    harness_expect_log(harness, "close:transport close\n");
    assert_int_equal(bed_metric(&harness->bed, GW_CONNECTIONS), 0);
}

static void test_connection_lost_in_the_middle_of_a_message(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    ws_send_frame(client, WS_TEXT, "4unfinished", 11);
    client_close(client);
    harness_expect_log(harness, "close:transport close\n");
}

static void test_close_packet_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    ws_send(client, "1");
    ws_expect_close(client, 0);
    harness_expect_log(harness, "close:transport close\n");
    client_close(client);
}

static void test_close_sends_what_is_queued_before(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    ws_open(&client, harness);
    assert_true(eio_session_send_message(harness->session, false, "last", 4));
    eio_session_close(harness->session, "forced close");
    assert_non_null(harness->session); // on_close comes later
    assert_false(eio_session_send_message(harness->session, false, "never", 5));
    ws_expect(client, "4last");
    ws_expect_close(client, 0);
    harness_expect_log(harness, "close:forced close\n");
    ws_send(client, "4ignored");
    ws_send_frame(client, FIN | WS_PING, "x", 1); // after our close frame nothing is sent
    ws_send_frame(client, FIN | WS_CLOSE, "", 0);
    client_expect_end(client);
    harness_expect_log(harness, "");
    client_close(client);
}

static void test_frames_behind_the_end_are_dropped(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    static const uint8_t frames[] = {0x81, 0x82, 0,   0,    0,    0, '4', 'a', 0x81, 0x82, 0,  0, 0,
                                     0,    '2',  'x', 0x81, 0x82, 0, 0,   0,   0,    '4',  'b'};
    ws_open(&client, harness);
    client_send(client, frames, sizeof frames); // the second one ends the session
    ws_expect(client, "4a");
    ws_expect_close(client, 0);
    harness_expect_log(harness, "message:a\nclose:transport error\n");
    client_close(client);
}

// ---- Violations

static void test_malformed_packets(void **state)
{
    static const char *const packets[] = {"", "abc", "7", "\x1e"};
    struct harness *harness = *state;
    for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++) {
        struct client *client;
        ws_open(&client, harness);
        ws_send(client, packets[i]);
        ws_expect_close(client, 0);
        harness_expect_log(harness, "close:parse error\n");
        client_close(client);
    }
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_PARSE_ERRORS), 4);
}

static void expect_violation(struct harness *harness, const void *bytes, size_t size, uint16_t code)
{
    struct client *client;
    ws_open(&client, harness);
    client_send(client, bytes, size);
    ws_expect_close(client, code);
    client_expect_end(client);
    harness_expect_log(harness, "close:transport error\n");
    client_close(client);
}

static void test_violations_of_the_websocket_protocol(void **state)
{
    struct harness *harness = *state;
#define VIOLATION(code, bytes) expect_violation(harness, bytes, sizeof bytes - 1, code)
    VIOLATION(1002, "\x81\x02"
                    "4x");                       // no mask
    VIOLATION(1002, "\xc1\x80\0\0\0\0");         // a reserved bit
    VIOLATION(1002, "\x83\x80\0\0\0\0");         // a reserved opcode
    VIOLATION(1002, "\x80\x80\0\0\0\0");         // a continuation of nothing
    VIOLATION(1002, "\x09\x80\0\0\0\0");         // a fragmented ping
    VIOLATION(1002, "\x88\x81\0\0\0\0\x03");     // a close code of one byte
    VIOLATION(1002, "\x88\x82\0\0\0\0\x03\xed"); // 1005 on the wire
    VIOLATION(1007, "\x81\x82\0\0\0\0"
                    "4\xff");                                  // text that is none
    VIOLATION(1009, "\x81\xff\0\0\0\0\0\x01\x86\xa1\0\0\0\0"); // MAX_PAYLOAD + 1
#undef VIOLATION
    assert_int_equal(bed_metric(&harness->bed, GW_WS_ERRORS), 9);
}

static void test_payload_bound_holds_for_fragments_together(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    char *bytes = malloc(MAX_PAYLOAD);
    assert_non_null(bytes);
    memset(bytes, '4', MAX_PAYLOAD);
    harness->is_echo = false;
    ws_open(&client, harness);
    ws_send_frame(client, FIN | WS_TEXT, bytes, MAX_PAYLOAD);
    harness_settle(harness);
    assert_int_equal(harness->log.size, strlen("message:\n") + MAX_PAYLOAD - 1);
    tl_buffer_clear(&harness->log);
    ws_send_frame(client, WS_BINARY, bytes, MAX_PAYLOAD - 1);
    ws_send_frame(client, FIN | WS_CONTINUATION, bytes, 2);
    ws_expect_close(client, 1009);
    harness_expect_log(harness, "close:transport error\n");
    free(bytes);
    client_close(client);
}

// ---- Bounds

static void test_client_that_does_not_read_is_closed(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    char message[4096];
    memset(message, 'x', sizeof message);
    ws_open(&client, harness);
    client->is_reading = false;
    for (int i = 0; harness->session && i < 1000; i++) {
        eio_session_send_message(harness->session, false, message, sizeof message);
        harness_settle(harness);
    }
    harness_expect_log(harness, "close:transport close\n");
    assert_int_equal(bed_metric(&harness->bed, GW_SLOW_CLIENTS), 1);
    assert_int_equal(bed_metric(&harness->bed, GW_CONNECTIONS), 0); // not kept for a goodbye
    client_close(client);
}

static void test_large_burst_to_a_client_that_reads_is_delivered(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    enum { SIZE = 3 * MAX_QUEUE / 4 };
    char *message = malloc(SIZE);
    assert_non_null(message);
    memset(message, '4', SIZE);
    ws_open(&client, harness);
    for (int i = 0; i < 2; i++)
        assert_true(eio_session_send_message(harness->session, true, message, SIZE));
    for (int i = 0; i < 2; i++)
        ws_expect_frame(client, WS_BINARY, message, SIZE);
    harness_expect_log(harness, "");
    free(message);
    client_close(client);
}

static void test_client_that_pings_and_does_not_read_is_closed(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    char payload[125];
    memset(payload, 'p', sizeof payload);
    ws_open(&client, harness);
    client->is_reading = false;
    for (int i = 0; harness->session && i < 10000; i++) {
        ws_send_frame(client, FIN | WS_PING, payload, sizeof payload);
        harness_settle(harness);
    }
    harness_expect_log(harness, "close:transport close\n");
    assert_int_equal(bed_metric(&harness->bed, GW_SLOW_CLIENTS), 1);
    client_close(client);
}

static void test_plain_request_to_a_websocket_session_is_refused(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    char target[128];
    struct sid sid = ws_open(&client, harness);
    fetch(harness, &sid, 400);
    assert_string_equal(last_response()->body, "{\"code\":3,\"message\":\"Bad request\"}");
    snprintf(target, sizeof target, PATH "&transport=websocket&sid=%s", sid.text);
    once(harness, "GET", target, "", NULL, 400);
    ws_send(client, "4alive");
    ws_expect(client, "4alive");
    client_close(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_messages_are_echoed),
        TEST(test_messages_behind_the_request_are_not_lost),
        TEST(test_message_a_byte_at_a_time),
        TEST(test_fragments_with_a_ping_between),
        TEST(test_all_of_a_turn_comes_in_order),
        TEST(test_client_without_binary_gets_base64),
        TEST(test_heartbeat),
        TEST(test_packet_puts_each_ping_timeout_off_once),
        TEST(test_ping_of_a_client_closes_the_session),
        TEST(test_close_frame_is_echoed),
        TEST(test_lost_connection_closes_the_session),
        TEST(test_connection_lost_in_the_middle_of_a_message),
        TEST(test_close_packet_closes_the_session),
        TEST(test_close_sends_what_is_queued_before),
        TEST(test_frames_behind_the_end_are_dropped),
        TEST(test_malformed_packets),
        TEST(test_violations_of_the_websocket_protocol),
        TEST(test_payload_bound_holds_for_fragments_together),
        TEST(test_client_that_does_not_read_is_closed),
        TEST(test_large_burst_to_a_client_that_reads_is_delivered),
        TEST(test_client_that_pings_and_does_not_read_is_closed),
        TEST(test_plain_request_to_a_websocket_session_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
