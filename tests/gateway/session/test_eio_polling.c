// SPDX-License-Identifier: MIT
// Sessions over HTTP long-polling: payloads, one poll at a time, heartbeats, closing, bounds.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/http.h"
#include "tests/gateway/session/eio_harness.h"

#define RS          "\x1e"
#define SID_UNKNOWN "{\"code\":1,\"message\":\"Session ID unknown\"}"

static void expect_gone(struct harness *harness, const struct sid *sid)
{
    assert_string_equal(fetch(harness, sid, 400), SID_UNKNOWN);
}

// ---- Packets

static void test_payload_of_several_packets_both_ways(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    post(harness, &sid, "4one" RS "4two" RS "4" RS "bAQID" RS "4three");
    harness_expect_log(harness, "message:one\nmessage:two\nmessage:\nbinary:\x01\x02\x03\n"
                                "message:three\n");
    assert_string_equal(fetch(harness, &sid, 200), "4one" RS "4two" RS "4" RS "bAQID" RS "4three");
}

static void test_poll_waits_and_gets_all_of_a_turn(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    post(harness, &sid, "4a" RS "4b" RS "4c");
    poll_expect(client, "4a" RS "4b" RS "4c");
    assert_true(response_has(last_response(), "Content-Type", "text/plain; charset=UTF-8"));
    assert_true(response_has(last_response(), "Cache-Control", "no-store"));
    poll_begin(client, &sid); // the same connection again
    post(harness, &sid, "4d");
    poll_expect(client, "4d");
    client_close(client);
}

static void test_answer_to_post(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    post(harness, &sid, "4x");
    assert_true(response_has(last_response(), "Content-Type", "text/html"));
    assert_true(response_has(last_response(), "Cache-Control", "no-store"));
}

static void test_chunked_post(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_request(client, "POST", poll_target(&sid), "Transfer-Encoding: chunked\r\n", NULL);
    client_send_text(client, "3\r\n4ab\r\n2;x=y\r\ncd\r\n");
    client_expect_silence(client);
    harness_expect_log(harness, "");
    client_send_text(client, "0\r\n\r\n");
    assert_string_equal(client_response(client), "ok");
    harness_expect_log(harness, "message:abcd\n");
    client_close(client);
}

static void test_pipelined_posts_are_taken_in_order(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    char requests[1024];
    struct sid sid = polling_open(harness);
    const char *target = poll_target(&sid);
    client_open(&client, harness);
    snprintf(requests, sizeof requests,
             "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n4a"
             "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n4b"
             "GET %s HTTP/1.1\r\nHost: x\r\n\r\n",
             target, target, target);
    client_send_text(client, requests);
    assert_string_equal(client_response(client), "ok");
    assert_string_equal(client_response(client), "ok");
    assert_string_equal(client_response(client), "4a" RS "4b");
    client_close(client);
}

static void test_invalid_utf8_is_replaced(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    post(harness, &sid, "4a\xff\xc0z");
    assert_string_equal(fetch(harness, &sid, 200), "4a\xef\xbf\xbd\xef\xbf\xbdz");
}

static void test_packets_that_mean_nothing_are_ignored(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    post(harness, &sid, "0" RS "5" RS "6" RS "3" RS "3anything" RS "4alive");
    harness_expect_log(harness, "message:alive\n");
}

static void expect_parse_error(struct harness *harness, const char *body, const char *log)
{
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    int64_t before = bed_metric(&harness->bed, GW_EIO_PARSE_ERRORS);
    harness->is_echo = false;
    post(harness, &sid, body);
    poll_expect(client, "1");
    harness_expect_log(harness, log);
    expect_gone(harness, &sid);
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_PARSE_ERRORS), before + 1);
    client_close(client);
}

static void test_malformed_payloads_close_the_session(void **state)
{
    struct harness *harness = *state;
    expect_parse_error(harness, "", "close:parse error\n");
    expect_parse_error(harness, "abc", "close:parse error\n");
    expect_parse_error(harness, RS "4x", "close:parse error\n");
    expect_parse_error(harness, "4x" RS, "message:x\nclose:parse error\n");
    expect_parse_error(harness, "4x" RS RS "4y", "message:x\nclose:parse error\n");
    expect_parse_error(harness, "4good" RS "7bad" RS "4never", "message:good\nclose:parse error\n");
}

static void test_what_was_queued_before_the_error_still_comes(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    post(harness, &sid, "4one" RS "x");
    poll_expect(client, "4one");
    expect_gone(harness, &sid);
    client_close(client);
}

// ---- One at a time

static void test_second_poll_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct client *first, *second;
    struct sid sid = polling_open(harness);
    client_open(&first, harness);
    client_open(&second, harness);
    poll_begin(first, &sid);
    assert_string_equal(client_exchange(second, "GET", poll_target(&sid), "", NULL, 400), "");
    assert_false(response_has(last_response(), "Content-Type", NULL));
    poll_expect(first, "1");
    expect_gone(harness, &sid);
    harness_expect_log(harness, "close:transport error\n");
    client_close(first);
    client_close(second);
}

static void test_cancelled_poll_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    client_close(client);
    expect_gone(harness, &sid);
    harness_expect_log(harness, "close:transport error\n");
}

static void test_poll_cancelled_in_the_turn_of_a_message(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    client_close(client);
    assert_true(eio_session_send_message(harness->session, false, "x", 1));
    harness_expect_log(harness, "close:transport error\n");
    expect_gone(harness, &sid);
}

static void test_connection_that_ends_between_polls_harms_nothing(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    post(harness, &sid, "4x");
    poll_expect(client, "4x");
    client_close(client);
    post(harness, &sid, "4y");
    assert_string_equal(fetch(harness, &sid, 200), "4y");
}

static void test_other_methods_get_500_and_harm_nothing(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    static const char *const methods[] = {"PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        assert_string_equal(once(harness, methods[i], poll_target(&sid), "", NULL, 500), "");
    post(harness, &sid, "4x");
    harness_expect_log(harness, "message:x\n");
}

static void test_octet_stream_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    assert_string_equal(once(harness, "POST", poll_target(&sid),
                             "Content-Type: application/octet-stream\r\n", "4x", 400),
                        "");
    harness_expect_log(harness, "close:transport error\n");
    expect_gone(harness, &sid);
}

static void test_payload_bound(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    char *body = malloc(MAX_PAYLOAD + 2);
    assert_non_null(body);
    memset(body, 'x', MAX_PAYLOAD + 1);
    body[0] = '4';
    body[MAX_PAYLOAD + 1] = '\0';
    harness->is_echo = false;
    assert_string_equal(once(harness, "POST", poll_target(&sid), "", body, 413), "");
    assert_false(response_has(last_response(), "Connection", "close"));
    harness_expect_log(harness, "");
    body[MAX_PAYLOAD] = '\0';
    post(harness, &sid, body);
    harness_settle(harness);
    assert_int_equal(harness->log.size, strlen("message:\n") + MAX_PAYLOAD - 1);
    free(body);
}

// ---- Closing

static void test_close_packet_of_the_client(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    post(harness, &sid, "1" RS "4never");
    poll_expect(client, "6");
    harness_expect_log(harness, "close:transport close\n");
    expect_gone(harness, &sid);
    client_close(client);
}

static void test_close_answers_the_waiting_poll(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    eio_session_close(harness->session, "forced close");
    assert_non_null(harness->session); // on_close comes later
    poll_expect(client, "1");
    harness_expect_log(harness, "close:forced close\n");
    expect_gone(harness, &sid);
    client_close(client);
}

static void test_close_waits_for_a_poll_that_fetches_everything(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    struct eio_session *session = harness->session;
    assert_true(eio_session_send_message(session, false, "last", 4));
    eio_session_close(session, "forced close");
    assert_false(eio_session_send_message(session, false, "never", 5));
    post(harness, &sid, "4ignored");
    harness_expect_log(harness, "");
    assert_string_equal(fetch(harness, &sid, 200), "4last" RS "1");
    harness_expect_log(harness, "close:forced close\n");
    expect_gone(harness, &sid);
}

static void test_close_without_a_poll_waits_for_one(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    eio_session_close(harness->session, "forced close");
    harness_expect_log(harness, "");
    assert_string_equal(fetch(harness, &sid, 200), "6" RS "1"); // as the reference has it
    harness_expect_log(harness, "close:forced close\n");
    expect_gone(harness, &sid);
}

static void test_close_that_nobody_fetches_ends_after_half_a_minute(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    eio_session_close(harness->session, "forced close");
    harness_advance(harness, 29999);
    harness_expect_log(harness, "");
    harness_advance(harness, 1);
    harness_expect_log(harness, "close:forced close\n");
    expect_gone(harness, &sid);
}

static void test_abort_does_not_wait(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    assert_true(eio_session_send_message(harness->session, false, "lost", 4));
    eio_session_abort(harness->session, "forced close");
    assert_non_null(harness->session);
    harness_expect_log(harness, "close:forced close\n");
    expect_gone(harness, &sid);
}

// ---- Heartbeats

static void test_ping_comes_after_the_interval(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    harness_advance(harness, PING_INTERVAL - 1);
    client_expect_silence(client);
    harness_advance(harness, 1);
    poll_expect(client, "2");
    harness_advance(harness, 100);
    post(harness, &sid, "3");
    poll_begin(client, &sid);
    harness_advance(harness, PING_INTERVAL - 1); // from the pong
    client_expect_silence(client);
    harness_advance(harness, 1);
    poll_expect(client, "2");
    client_close(client);
}

static void test_ping_waits_for_a_poll(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    harness_advance(harness, PING_INTERVAL + 10);
    assert_string_equal(fetch(harness, &sid, 200), "2");
    post(harness, &sid, "3");
}

static void test_silence_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    harness_advance(harness, PING_INTERVAL);
    client_request(client, "GET", poll_target(&sid), "", NULL);
    poll_expect(client, "2");
    poll_begin(client, &sid);
    harness_advance(harness, PING_TIMEOUT - 1);
    client_expect_silence(client);
    harness_advance(harness, 1);
    poll_expect(client, "1");
    harness_expect_log(harness, "close:ping timeout\n");
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_PING_TIMEOUTS), 1);
    expect_gone(harness, &sid);
    client_close(client);
}

// Input comes before deadlines in a turn; the time decides all the same.
static void test_request_when_the_time_is_up_finds_no_session(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    harness_advance(harness, PING_INTERVAL);
    client_open(&client, harness);
    harness->bed.now += PING_TIMEOUT;
    assert_string_equal(client_exchange(client, "GET", poll_target(&sid), "", NULL, 400),
                        SID_UNKNOWN);
    harness_expect_log(harness, "close:ping timeout\n");
    client_close(client);
}

// A ping that was a little late does not give the client more time.
static void test_request_when_the_time_is_up_after_a_late_ping(void **state)
{
    struct harness *harness = *state;
    for (int late = 0; late <= 6; late += 3) {
        struct client *client;
        struct sid sid = polling_open(harness);
        client_open(&client, harness);
        harness->bed.now += PING_INTERVAL + late;
        harness_settle(harness);
        harness->bed.now += PING_TIMEOUT - late;
        client_request(client, "GET", poll_target(&sid), "", NULL);
        client_response(client);
        // Very late, it was our own fault.
        assert_int_equal(last_response()->status, late <= 5 ? 400 : 200);
        harness_advance(harness, PING_TIMEOUT);
        harness_expect_log(harness, "close:ping timeout\n");
        client_close(client);
    }
}

static void test_other_packets_put_the_timeout_off_once(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    harness_advance(harness, PING_INTERVAL + 150);
    post(harness, &sid, "4a");
    harness_advance(harness, 100);
    post(harness, &sid, "4b"); // too late without the first, and no help any more
    harness_advance(harness, 99);
    harness_expect_log(harness, "message:a\nmessage:b\n");
    harness_advance(harness, 1);
    harness_expect_log(harness, "close:ping timeout\n");
}

static void test_ping_of_a_client_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    post(harness, &sid, "2");
    harness_expect_log(harness, "close:transport error\n");
    sid = polling_open(harness);
    post(harness, &sid, "2probe");
    harness_expect_log(harness, "close:transport error\n");
    expect_gone(harness, &sid);
}

// ---- Bounds

static void test_client_that_does_not_poll_is_closed(void **state)
{
    struct harness *harness = *state;
    char message[4096];
    struct sid sid = polling_open(harness);
    memset(message, 'x', sizeof message);
    for (int i = 0; harness->session && i < 100; i++) {
        eio_session_send_message(harness->session, false, message, sizeof message);
        harness_settle(harness);
    }
    harness_expect_log(harness, "close:transport close\n");
    assert_int_equal(bed_metric(&harness->bed, GW_SLOW_CLIENTS), 1);
    expect_gone(harness, &sid);
}

// Many small messages weigh more than their bytes.
static void test_small_messages_count_too(void **state)
{
    struct harness *harness = *state;
    struct chunk *chunk = chunk_copy("\x81\x02"
                                     "4x",
                                     4);
    assert_non_null(chunk);
    polling_open(harness);
    for (int i = 0; harness->session && i < MAX_QUEUE; i++) {
        eio_session_send(harness->session, &(struct range){chunk, 0, 4, 0});
        if (i % 64 == 0)
            harness_settle(harness);
    }
    harness_expect_log(harness, "close:transport close\n");
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
}

static void test_response_is_bounded_and_the_rest_follows(void **state)
{
    struct harness *harness = *state;
    enum { SIZE = 3 * MAX_QUEUE / 4 };
    char *message = malloc(SIZE);
    assert_non_null(message);
    memset(message, 'x', SIZE);
    struct sid sid = polling_open(harness);
    for (int i = 0; i < 2; i++)
        assert_true(eio_session_send_message(harness->session, true, message, SIZE));
    for (int i = 0; i < 2; i++) {
        fetch(harness, &sid, 200);
        assert_int_equal(last_response()->body_size, 1 + SIZE / 3 * 4);
    }
    free(message);
}

static void test_packet_above_the_bound_goes_alone(void **state)
{
    struct harness *harness = *state;
    char *message = malloc(2 * MAX_QUEUE);
    assert_non_null(message);
    memset(message, 'x', 2 * MAX_QUEUE);
    struct sid sid = polling_open(harness);
    assert_true(eio_session_send_message(harness->session, false, message, 2 * MAX_QUEUE));
    fetch(harness, &sid, 200);
    assert_int_equal(last_response()->body_size, 2 * MAX_QUEUE + 1);
    free(message);
}

static void test_python_clients_get_16_packets_at_a_time(void **state)
{
    struct harness *harness = *state;
    const char *headers = "User-Agent: python-requests/2.28.1\r\n";
    struct sid sid = polling_open(harness);
    for (int i = 0; i < 20; i++)
        assert_true(eio_session_send_message(harness->session, false, "x", 1));
    once(harness, "GET", poll_target(&sid), headers, NULL, 200);
    assert_int_equal(last_response()->body_size, 16 * 3 - 1);
    once(harness, "GET", poll_target(&sid), headers, NULL, 200);
    assert_int_equal(last_response()->body_size, 4 * 3 - 1);
}

static void test_old_browsers_are_told_not_to_filter(void **state)
{
    struct harness *harness = *state;
    once(harness, "GET", POLL, "User-Agent: Mozilla/5.0 (Trident/7.0; rv:11.0)\r\n", NULL, 200);
    assert_true(response_has(last_response(), "X-XSS-Protection", "0"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_payload_of_several_packets_both_ways),
        TEST(test_poll_waits_and_gets_all_of_a_turn),
        TEST(test_answer_to_post),
        TEST(test_chunked_post),
        TEST(test_pipelined_posts_are_taken_in_order),
        TEST(test_invalid_utf8_is_replaced),
        TEST(test_packets_that_mean_nothing_are_ignored),
        TEST(test_malformed_payloads_close_the_session),
        TEST(test_what_was_queued_before_the_error_still_comes),
        TEST(test_second_poll_closes_the_session),
        TEST(test_cancelled_poll_closes_the_session),
        TEST(test_poll_cancelled_in_the_turn_of_a_message),
        TEST(test_connection_that_ends_between_polls_harms_nothing),
        TEST(test_other_methods_get_500_and_harm_nothing),
        TEST(test_octet_stream_closes_the_session),
        TEST(test_payload_bound),
        TEST(test_close_packet_of_the_client),
        TEST(test_close_answers_the_waiting_poll),
        TEST(test_close_waits_for_a_poll_that_fetches_everything),
        TEST(test_close_without_a_poll_waits_for_one),
        TEST(test_close_that_nobody_fetches_ends_after_half_a_minute),
        TEST(test_abort_does_not_wait),
        TEST(test_ping_comes_after_the_interval),
        TEST(test_ping_waits_for_a_poll),
        TEST(test_silence_closes_the_session),
        TEST(test_request_when_the_time_is_up_finds_no_session),
        TEST(test_request_when_the_time_is_up_after_a_late_ping),
        TEST(test_other_packets_put_the_timeout_off_once),
        TEST(test_ping_of_a_client_closes_the_session),
        TEST(test_client_that_does_not_poll_is_closed),
        TEST(test_small_messages_count_too),
        TEST(test_response_is_bounded_and_the_rest_follows),
        TEST(test_packet_above_the_bound_goes_alone),
        TEST(test_python_clients_get_16_packets_at_a_time),
        TEST(test_old_browsers_are_told_not_to_filter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
