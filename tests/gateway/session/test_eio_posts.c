// SPDX-License-Identifier: MIT
// Posts that come in pieces, overlap, are broken off or too large, and posts and polls that share a
// connection.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gateway/session/eio_harness.h"

#define RS          "\x1e"
#define SID_UNKNOWN "{\"code\":1,\"message\":\"Session ID unknown\"}"

static void expect_gone(struct harness *harness, const struct sid *sid)
{
    assert_string_equal(fetch(harness, sid, 400), SID_UNKNOWN);
}

// Sends the head of a post of `size` bytes, and the beginning of its body.
static void post_begin(struct client *client, const struct sid *sid, size_t size, const char *part)
{
    char text[512];
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1\r\nHost: server.example\r\nContent-Length: %zu\r\n\r\n%s",
             poll_target(sid), size, part);
    client_send_text(client, text);
    client_expect_silence(client);
}

static void expect_empty(int status)
{
    assert_int_equal(last_response()->status, status);
    assert_string_equal(last_response()->body, "");
    assert_false(response_has(last_response(), "Content-Type", NULL));
    assert_false(response_has(last_response(), "Connection", "close"));
}

static void test_post_in_pieces(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    post_begin(client, &sid, 10, "4one" RS);
    client_send_text(client, "4t");
    client_expect_silence(client);
    harness_expect_log(harness, "");
    client_send_text(client, "wo!");
    assert_string_equal(client_response(client), "ok");
    harness_expect_log(harness, "message:one\nmessage:two!\n");
    assert_string_equal(client_exchange(client, "GET", poll_target(&sid), "", NULL, 200),
                        "4one" RS "4two!");
    client_close(client);
}

// ---- One at a time

static void test_overlapping_posts_close_the_session(void **state)
{
    struct harness *harness = *state;
    for (int is_split = 0; is_split < 2; is_split++) {
        struct client *first, *second;
        struct sid sid = polling_open(harness);
        client_open(&first, harness);
        client_open(&second, harness);
        post_begin(first, &sid, 10, "4a");
        if (is_split) // its head alone is enough
            client_request(second, "POST", poll_target(&sid), "Content-Length: 9\r\n", NULL);
        else
            client_request(second, "POST", poll_target(&sid), "", "4b");
        client_response(second);
        expect_empty(400);
        client_expect_end(first);
        harness_expect_log(harness, "close:transport error\n");
        expect_gone(harness, &sid);
        client_close(first);
        client_close(second);
    }
}

static void test_overlapping_posts_answer_the_poll(void **state)
{
    struct harness *harness = *state;
    struct client *poller, *first;
    struct sid sid = polling_open(harness);
    client_open(&poller, harness);
    client_open(&first, harness);
    poll_begin(poller, &sid);
    post_begin(first, &sid, 10, "4a");
    once(harness, "POST", poll_target(&sid), "", "4b", 400);
    poll_expect(poller, "1");
    client_expect_end(first);
    harness_expect_log(harness, "close:transport error\n");
    client_close(poller);
    client_close(first);
}

static void test_posts_one_after_the_other_do_not_overlap(void **state)
{
    struct harness *harness = *state;
    struct client *clients[2];
    struct sid sid = polling_open(harness);
    for (int i = 0; i < 2; i++)
        client_open(&clients[i], harness);
    for (int i = 0; i < 6; i++) {
        post_begin(clients[i % 2], &sid, 2, "4");
        client_send_text(clients[i % 2], "x");
        assert_string_equal(client_response(clients[i % 2]), "ok");
    }
    harness_expect_log(harness, "message:x\nmessage:x\nmessage:x\nmessage:x\nmessage:x\n"
                                "message:x\n");
    for (int i = 0; i < 2; i++)
        client_close(clients[i]);
}

static void test_post_in_progress_does_not_block_a_poll(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    post_begin(client, &sid, 3, "4a");
    assert_true(eio_session_send_message(harness->session, false, "x", 1));
    assert_string_equal(fetch(harness, &sid, 200), "4x");
    client_send_text(client, "b");
    assert_string_equal(client_response(client), "ok");
    harness_expect_log(harness, "message:ab\n");
    client_close(client);
}

// ---- Broken off

static void test_post_broken_off_closes_the_session(void **state)
{
    struct harness *harness = *state;
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        struct client *client, *poller;
        struct sid sid = polling_open(harness);
        client_open(&client, harness);
        client_open(&poller, harness);
        poll_begin(poller, &sid);
        post_begin(client, &sid, 10, "4half");
        if (is_reset)
            client_reset(client);
        else
            client_close(client);
        poll_expect(poller, "1");
        harness_expect_log(harness, "close:transport error\n");
        expect_gone(harness, &sid);
        client_close(poller);
    }
}

static void test_post_that_is_no_http_closes_the_session(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_request(client, "POST", poll_target(&sid), "Transfer-Encoding: chunked\r\n", NULL);
    client_expect_silence(client);
    client_send_text(client, "3\r\n4abc!");
    client_response(client);
    assert_int_equal(last_response()->status, 400);
    client_expect_end(client);
    harness_expect_log(harness, "close:transport error\n");
    client_close(client);
}

static void test_session_that_ends_breaks_its_post_off(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    post_begin(client, &sid, 10, "4half");
    harness_advance(harness, PING_INTERVAL + PING_TIMEOUT);
    harness_expect_log(harness, "close:ping timeout\n");
    client_expect_end(client);
    expect_gone(harness, &sid);
    client_close(client);

    sid = polling_open(harness);
    client_open(&client, harness);
    post_begin(client, &sid, 10, "4half");
    eio_session_abort(harness->session, "forced close");
    client_expect_end(client);
    harness_expect_log(harness, "close:forced close\n");
    client_close(client);
}

// The request that finds the session's time to be up is not the post that goes with it.
static void test_post_whose_body_comes_when_the_time_is_up(void **state)
{
    struct harness *harness = *state;
    struct client *client, *other;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_open(&other, harness);
    post_begin(client, &sid, 3, "4a");
    harness_advance(harness, PING_INTERVAL);
    harness->bed.now += PING_TIMEOUT;
    client_request(other, "GET", poll_target(&sid), "", NULL);
    client_send_text(client, "b");
    assert_string_equal(client_response(other), SID_UNKNOWN);
    client_wait_over(client); // answered or not: which of the two was read first is not said
    harness_settle(harness);
    assert_null(harness->session);
    client_close(client);
    client_close(other);
}

static void test_upgrade_breaks_a_post_off(void **state)
{
    struct harness *harness = *state;
    struct client *client, *ws;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    post_begin(client, &sid, 10, "4half");
    ws_open_probe(&ws, harness, &sid);
    ws_send(ws, "5");
    client_expect_end(client);
    ws_send(ws, "4alive");
    ws_expect(ws, "4alive");
    harness_expect_log(harness, "message:alive\n");
    client_close(client);
    client_close(ws);
}

// ---- Refused by the head

static void test_post_is_refused_before_its_body(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    struct sid nobody = {.text = "nobody"};
    client_open(&client, harness);
    const char *lengths = "Content-Length: 4\r\n";
    client_request(client, "POST", poll_target(&nobody), lengths, NULL);
    assert_string_equal(client_response(client), SID_UNKNOWN);
    client_send_text(client, "4abc");
    client_request(client, "POST", POLL, lengths, NULL);
    assert_string_equal(client_response(client),
                        "{\"code\":2,\"message\":\"Bad handshake method\"}");
    client_send_text(client, "4abc");
    client_request(client, "POST", poll_target(&sid),
                   "Content-Length: 4\r\nContent-Type: application/octet-stream\r\n", NULL);
    client_response(client);
    expect_empty(400);
    client_send_text(client, "4abc");
    harness_expect_log(harness, "close:transport error\n");
    assert_string_equal(client_exchange(client, "GET", poll_target(&sid), "", NULL, 400),
                        SID_UNKNOWN);
    client_close(client);
}

static void test_body_of_a_poll_means_nothing(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_request(client, "GET", poll_target(&sid), "Content-Length: 5\r\n", NULL);
    client_send_text(client, "4a");
    client_expect_silence(client);
    client_send_text(client, "bcd");
    client_expect_silence(client);
    assert_true(eio_session_send_message(harness->session, false, "x", 1));
    poll_expect(client, "4x");
    harness_expect_log(harness, "");
    client_close(client);
}

// ---- Too large

static void test_oversized_post_leaves_the_session_usable(void **state)
{
    static const char *const origins[] = {"http://app.example"};
    struct harness *harness = *state;
    struct client *client;
    enum { SIZE = 3 * MAX_PAYLOAD }; // more than the HTTP server takes
    char *body = malloc(SIZE + 1);
    assert_non_null(body);
    memset(body, 'x', SIZE);
    body[SIZE] = '\0';
    harness_set_origins(harness, origins, 1);
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_exchange(client, "POST", poll_target(&sid), "Origin: http://app.example\r\n", body, 413);
    expect_empty(413);
    assert_true(response_has(last_response(), "Access-Control-Allow-Origin", "http://app.example"));
    // In chunks, whose sum is not announced.
    client_request(client, "POST", poll_target(&sid), "Transfer-Encoding: chunked\r\n", NULL);
    client_send_text(client, "186a0\r\n");
    client_send(client, body, MAX_PAYLOAD);
    client_send_text(client, "\r\n");
    client_expect_silence(client);
    client_send_text(client, "186a1\r\n");
    client_response(client);
    expect_empty(413);
    client_send(client, body, MAX_PAYLOAD + 1);
    client_send_text(client, "\r\n0\r\n\r\n");
    harness_expect_log(harness, "");
    assert_string_equal(client_exchange(client, "POST", poll_target(&sid), "", "4fine", 200), "ok");
    assert_string_equal(client_exchange(client, "GET", poll_target(&sid), "", NULL, 200), "4fine");
    harness_expect_log(harness, "message:fine\n");
    client_close(client);
    free(body);
}

static void test_oversized_post_to_nobody_is_for_nobody(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid nobody = {.text = "nobody"};
    client_open(&client, harness);
    client_request(client, "POST", poll_target(&nobody), "Content-Length: 999999\r\n", NULL);
    assert_string_equal(client_response(client), SID_UNKNOWN);
    client_close(client);
}

// ---- One connection

static void test_post_behind_a_poll_on_one_connection_releases_it(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    for (int i = 0; i < 3; i++) {
        poll_begin(client, &sid);
        client_request(client, "POST", poll_target(&sid), "", "4a");
        poll_expect(client, "4a");
        assert_string_equal(client_response(client), "ok");
    }
    client_request(client, "GET", poll_target(&sid), "", NULL);
    client_request(client, "POST", poll_target(&sid), "", "4b");
    client_request(client, "GET", poll_target(&sid), "", NULL);
    poll_expect(client, "4b");
    assert_string_equal(client_response(client), "ok");
    assert_true(eio_session_send_message(harness->session, false, "c", 1));
    poll_expect(client, "4c");
    harness_expect_log(harness, "message:a\nmessage:a\nmessage:a\nmessage:b\n");
    client_close(client);
}

static void test_two_polls_on_one_connection_overlap(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_request(client, "GET", poll_target(&sid), "", NULL);
    client_request(client, "GET", poll_target(&sid), "", NULL);
    poll_expect(client, "1");
    client_response(client);
    expect_empty(400);
    harness_expect_log(harness, "close:transport error\n");
    client_close(client);
}

static void test_connection_with_a_poll_and_a_post_that_breaks(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &sid);
    post_begin(client, &sid, 10, "4half");
    client_reset(client);
    harness_expect_log(harness, "close:transport error\n");
    expect_gone(harness, &sid);
}

static void test_polls_of_two_sessions_on_one_connection_wait_for_each_other(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid first = polling_open(harness);
    struct eio_session *first_session = harness->session;
    struct sid second = polling_open(harness);
    client_open(&client, harness);
    poll_begin(client, &first);
    poll_begin(client, &second);
    assert_true(eio_session_send_message(harness->session, false, "second", 6));
    client_expect_silence(client);
    assert_true(eio_session_send_message(first_session, false, "first", 5));
    poll_expect(client, "4first");
    poll_expect(client, "4second");
    client_close(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_post_in_pieces),
        TEST(test_overlapping_posts_close_the_session),
        TEST(test_overlapping_posts_answer_the_poll),
        TEST(test_posts_one_after_the_other_do_not_overlap),
        TEST(test_post_in_progress_does_not_block_a_poll),
        TEST(test_post_broken_off_closes_the_session),
        TEST(test_post_that_is_no_http_closes_the_session),
        TEST(test_session_that_ends_breaks_its_post_off),
        TEST(test_post_whose_body_comes_when_the_time_is_up),
        TEST(test_upgrade_breaks_a_post_off),
        TEST(test_post_is_refused_before_its_body),
        TEST(test_body_of_a_poll_means_nothing),
        TEST(test_oversized_post_leaves_the_session_usable),
        TEST(test_oversized_post_to_nobody_is_for_nobody),
        TEST(test_post_behind_a_poll_on_one_connection_releases_it),
        TEST(test_two_polls_on_one_connection_overlap),
        TEST(test_connection_with_a_poll_and_a_post_that_breaks),
        TEST(test_polls_of_two_sessions_on_one_connection_wait_for_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
