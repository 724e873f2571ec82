// SPDX-License-Identifier: MIT
// Requests whose heads come before their bodies: told early, answered early, claimed, broken off;
// and bodies that nobody wants. What follows on the connection is read as if nothing had been.
#include "gateway/transport/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/http_fixture.h"

#define HOST      "Host: localhost\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define POST_HEAD "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n"
#define CHUNKED   "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
#define EXPECTING                                                                                  \
    "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
#define MAX_BODY 10000

static void send_and_settle(struct client *client, const char *text)
{
    client_send_text(client, text);
    http_settle();
}

static void send_many(struct client *client, size_t size)
{
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, 'x', size);
    client_send(client, bytes, size);
    free(bytes);
}

static void expect_alive(struct client *client)
{
    expect(client, GET("/echo"), 200, "GET /echo? ");
}

static void expect_last_response(struct client *client, int status)
{
    struct response response;
    client_take_response(client, &response, true);
    assert_int_equal(response.status, status);
    assert_string_equal(response_header(&response, "Connection"), "close");
    response_fini(&response);
    client_wait_over(client);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->in.size, 0);
}

static void expect_continue(struct client *client)
{
    struct response response;
    client_take_response(client, &response, false);
    assert_int_equal(response.status, 100);
    response_fini(&response);
}

// ---- Heads

static void test_head_is_told_before_the_body(void **state)
{
    (void)state;
    struct client *client = connect_client();
    send_and_settle(client, POST_HEAD "hello");
    assert_int_equal(fixture.heads, 1);
    assert_int_equal(fixture.requests, 0);
    send_and_settle(client, "wor");
    assert_int_equal(fixture.heads, 1);
    expect(client, "ld", 200, "POST /echo? helloworld");
    expect_alive(client);
    assert_int_equal(fixture.heads, 1); // requests that came whole have none
    assert_int_equal(fixture.requests, 2);
    assert_int_equal(bed_metric(&fixture.bed, GW_HTTP_REQUESTS), 2);
}

static void refuse_head(struct http_exchange *exchange, const struct http_request *request)
{
    assert_string_equal(request->path, "/echo");
    http_respond(exchange, 403, "", "no", 2, false);
}

static void test_head_may_be_answered_and_the_body_is_dropped(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = refuse_head;
    client_send_text(client, POST_HEAD "half");
    expect_response(client, 403, "no");
    client_send_text(client, "a body");
    expect_alive(client);
    client_send_text(client, CHUNKED "5\r\nfi");
    expect_response(client, 403, "no");
    client_send_text(client, "rst\r\n3\r\nabc\r\n0\r\nA: trailer\r\n\r\n");
    expect_alive(client);
    assert_int_equal(fixture.requests, 2);
    assert_int_equal(fixture.aborted, 0);
}

static void test_head_answered_early_closes_what_is_not_worth_reading(void **state)
{
    (void)state;
    fixture.on_head = refuse_head;
    struct client *client = connect_client();
    client_send_text(client,
                     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 999999999\r\n\r\nstart");
    expect_last_response(client, 413); // larger than allowed: the handler's to say
    client = connect_client();
    client_send_text(client, CHUNKED);
    expect_response(client, 403, "no");
    client_send_text(client, "5f5e0ff\r\nstart"); // a hundred million bytes
    client_wait_over(client);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->in.size, 0);
}

static void test_head_answered_early_with_a_broken_body_is_answered_once(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = refuse_head;
    client_send_text(client, CHUNKED "5\r\n");
    expect_response(client, 403, "no");
    client_send_text(client, "hello!!\r\n");
    client_wait_over(client);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->in.size, 0);
}

static void test_head_answered_early_with_a_slow_body_is_closed(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = refuse_head;
    client_send_text(client, POST_HEAD "half");
    expect_response(client, 403, "no");
    http_settle();
    bed_advance(&fixture.bed, 59999);
    assert_false(client->is_over);
    bed_advance(&fixture.bed, 1);
    client_wait_over(client);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->in.size, 0);
}

static void test_dropped_body_is_followed_by_the_idle_timeout(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = refuse_head;
    client_send_text(client, POST_HEAD "half");
    expect_response(client, 403, "no");
    send_and_settle(client, "a body");
    bed_advance(&fixture.bed, 4999);
    assert_false(client->is_over);
    bed_advance(&fixture.bed, 1);
    client_wait_over(client);
    assert_int_equal(client->error, 0);
}

static void test_stopping_server_waits_for_a_dropped_body(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = refuse_head;
    client_send_text(client, POST_HEAD "half");
    expect_response(client, 403, "no");
    http_server_stop(fixture.server, 1000);
    http_settle();
    assert_false(client->is_over);
    client_send_text(client, "a body");
    client_wait_over(client);
    assert_int_equal(client->error, 0);
}

// ---- Claims

static void on_claimed(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    assert_ptr_equal(arg, &fixture);
    if (request->is_oversized)
        http_respond(exchange, 413, "", "claimed", 7, false);
    else
        http_respond(exchange, 200, "", request->body, request->body_size, false);
}

static void claim_head(struct http_exchange *exchange, const struct http_request *request)
{
    (void)request;
    http_exchange_claim(exchange, on_claimed, on_fixture_abort, &fixture);
}

static void test_claimed_request_goes_to_its_claimer(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = claim_head;
    send_and_settle(client, POST_HEAD "hello");
    expect(client, "world", 200, "helloworld");
    send_and_settle(client, CHUNKED);
    client_send_text(client, "2711\r\n"); // one byte more than allowed
    send_many(client, MAX_BODY + 1);
    client_send_text(client, "\r\n0\r\n\r\n");
    expect_response(client, 413, "claimed");
    expect_alive(client);
    assert_int_equal(fixture.requests, 1);
    assert_int_equal(fixture.aborted, 0);
}

static void test_claimed_request_that_is_broken_off_is_told(void **state)
{
    (void)state;
    fixture.on_head = claim_head;
    for (unsigned i = 0; i < 4; i++) {
        struct client *client = connect_client();
        send_and_settle(client, i % 2 ? CHUNKED "5\r\nhe" : POST_HEAD "half");
        if (i < 2)
            client_close(client);
        else
            client_reset(client);
        http_settle();
        assert_int_equal(fixture.aborted, i + 1);
        assert_true(http_server_is_drained(fixture.server));
    }
    assert_int_equal(fixture.requests, 0);
}

static void test_claimed_request_that_turns_bad_is_told(void **state)
{
    (void)state;
    fixture.on_head = claim_head;
    struct client *client = connect_client();
    send_and_settle(client, CHUNKED "2\r\nhe");
    client_send_text(client, "nonsense");
    expect_last_response(client, 400);
    assert_int_equal(fixture.aborted, 1);
    client = connect_client();
    send_and_settle(client, POST_HEAD "half");
    bed_advance(&fixture.bed, 60000);
    expect_last_response(client, 408);
    assert_int_equal(fixture.aborted, 2);
}

static struct http_exchange *claimed;

static void claim_and_keep(struct http_exchange *exchange, const struct http_request *request)
{
    claim_head(exchange, request);
    claimed = exchange;
}

static void test_claimed_request_may_be_answered_before_its_body_is_whole(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = claim_and_keep;
    send_and_settle(client, POST_HEAD "half");
    http_respond(claimed, 409, "", "too late", 8, false);
    expect_response(client, 409, "too late");
    client_send_text(client, "a body");
    expect_alive(client);
    assert_int_equal(fixture.aborted, 0);
}

static void test_claimed_request_may_be_aborted(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = claim_and_keep;
    send_and_settle(client, GET("/later") POST_HEAD "half");
    http_exchange_abort(claimed);
    client_wait_over(client);
    assert_int_equal(client->in.size, 0);
    assert_int_equal(fixture.aborted, 1); // the other
    assert_true(http_server_is_drained(fixture.server));
}

static void test_claimed_request_is_told_when_the_server_goes(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = claim_head;
    send_and_settle(client, POST_HEAD "half");
    http_server_destroy(&fixture.server);
    assert_int_equal(fixture.aborted, 1);
    listener_close(&fixture.listener);
    client_wait_over(client);
}

// ---- 100 Continue

static void test_continue_is_not_sent_for_what_is_refused(void **state)
{
    (void)state;
    struct client *client = connect_client();
    fixture.on_head = refuse_head;
    client_send_text(client, EXPECTING);
    // Whether the body follows all the same is the client's choice: nothing can be read behind.
    expect_last_response(client, 403);
}

static void test_continue_waits_for_the_answers_before_it(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") EXPECTING);
    wait_owed(1);
    http_settle();
    assert_int_equal(client->in.size, 0);
    assert_int_equal(fixture.heads, 1);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect_continue(client);
    expect(client, "helloworld", 200, "POST /echo? helloworld");
}

static void test_continue_is_sent_to_a_client_that_did_not_wait(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, EXPECTING "helloworld");
    expect_continue(client);
    expect_response(client, 200, "POST /echo? helloworld");
    expect_alive(client);
}

// ---- Too large

static void test_oversized_body_is_dropped_and_the_connection_stays(void **state)
{
    (void)state;
    struct client *client = connect_client();
    for (int i = 0; i < 3; i++) {
        client_send_text(client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10001\r\n\r\n");
        expect_response(client, 413, "too large"); // before any of it is sent
        send_many(client, MAX_BODY + 1);
        expect_alive(client);
        client_send_text(client, CHUNKED "1\r\nx\r\n2710\r\n"); // the second one is too much
        expect_response(client, 413, "too large");
        send_many(client, MAX_BODY);
        client_send_text(client, "\r\n5\r\nhello\r\n0\r\n\r\n");
        expect_alive(client);
    }
    assert_int_equal(bed_metric(&fixture.bed, GW_HTTP_MALFORMED), 0);
    assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS_TOTAL), 1);
}

static void test_oversized_body_in_every_split(void **state)
{
    (void)state;
    static char bytes[MAX_BODY + 600];
    int head = snprintf(bytes, sizeof bytes, CHUNKED "3\r\nabc\r\n2710;x=y\r\n");
    memset(bytes + head, 'x', MAX_BODY);
    int rest = snprintf(bytes + head + MAX_BODY, sizeof bytes - (size_t)head - MAX_BODY,
                        "\r\n2\r\nde\r\n0\r\n\r\n" GET("/echo"));
    size_t size = (size_t)head + MAX_BODY + (size_t)rest;
    struct client *client = connect_client();
    for (size_t split = 0; split < size; split++) {
        if (split == (size_t)head + 1)
            split += MAX_BODY - 2; // one byte of the chunk is like another
        client_send(client, bytes, split);
        bed_turn(&fixture.bed);
        client_send(client, bytes + split, size - split);
        expect_response(client, 413, "too large");
        expect_response(client, 200, "GET /echo? ");
    }
}

static void test_oversized_body_that_is_huge_closes_the_connection(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 999999999\r\n\r\n",
        CHUNKED "3b9ac9ff\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10001\r\nExpect: 100-continue\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct client *client = connect_client();
        client_send_text(client, requests[i]);
        expect_last_response(client, 413);
    }
}

static void test_oversized_body_of_an_upgrade_closes_the_connection(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, "GET /upgrade HTTP/1.1\r\n" HOST "Connection: Upgrade\r\n"
                             "Upgrade: shout\r\nContent-Length: 10001\r\n\r\n");
    expect_last_response(client, 413);
    assert_int_equal(fixture.requests, 0);
}

static void test_413_reaches_a_client_that_sends_all_first(void **state)
{
    (void)state;
    enum { SIZE = 3 * 1024 * 1024 };
    struct client *client = connect_client();
    client->is_reading = false;
    client_send_text(client, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3145728\r\n\r\n");
    send_many(client, SIZE);
    client_flush(client);
    client->is_reading = true;
    expect_response(client, 413, "too large");
    expect_alive(client);
}

int main(void)
{
#define TEST(name)       cmocka_unit_test_setup_teardown(name, http_setup, http_teardown)
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, http_setup_small, http_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_head_is_told_before_the_body),
        TEST(test_head_may_be_answered_and_the_body_is_dropped),
        TEST(test_head_answered_early_closes_what_is_not_worth_reading),
        TEST(test_head_answered_early_with_a_broken_body_is_answered_once),
        TEST(test_head_answered_early_with_a_slow_body_is_closed),
        TEST(test_dropped_body_is_followed_by_the_idle_timeout),
        TEST(test_stopping_server_waits_for_a_dropped_body),
        SMALL_TEST(test_claimed_request_goes_to_its_claimer),
        TEST(test_claimed_request_that_is_broken_off_is_told),
        TEST(test_claimed_request_that_turns_bad_is_told),
        TEST(test_claimed_request_may_be_answered_before_its_body_is_whole),
        TEST(test_claimed_request_may_be_aborted),
        TEST(test_claimed_request_is_told_when_the_server_goes),
        TEST(test_continue_is_not_sent_for_what_is_refused),
        TEST(test_continue_waits_for_the_answers_before_it),
        TEST(test_continue_is_sent_to_a_client_that_did_not_wait),
        SMALL_TEST(test_oversized_body_is_dropped_and_the_connection_stays),
        SMALL_TEST(test_oversized_body_in_every_split),
        SMALL_TEST(test_oversized_body_that_is_huge_closes_the_connection),
        SMALL_TEST(test_oversized_body_of_an_upgrade_closes_the_connection),
        SMALL_TEST(test_413_reaches_a_client_that_sends_all_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
