// SPDX-License-Identifier: MIT
// Requests that another loop's server answers. Both loops are turned by the test's thread, one at a
// time, so that each order in which the two can see things is made to happen.
#include "gateway/transport/http_relay.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/http_fixture.h"

#define HOST       "Host: localhost\r\n"
#define GET(path)  "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define UPGRADE    "Connection: Upgrade\r\nUpgrade: shout\r\n"
#define WHOLE_BODY "0123456789"

// The server away. Its handler does what the path says:
//     /away/echo     200, "METHOD PATH?QUERY HEADER BODY"
//     /away/later    keeps the exchange
//     /away/close    200, to be closed
//     /away/abort    closes at once
//     /away/upgrade  101, then everything comes back in upper case
//     /away/early    answers 403 at the head; /away/claimed claims the exchange there
// Whatever has too large a body gets 413.
static struct {
    struct gw_loop *loop;
    struct gw_metrics metrics;
    struct http_server *server;
    struct http_exchange *owed[OWED_MAX];
    unsigned owed_count;
    unsigned heads;
    unsigned requests;
    unsigned claimed;
    unsigned aborted;
    struct conn *upgraded;
} away;

// ---- Away

static void on_away_abort(struct http_exchange *exchange, void *arg)
{
    assert_ptr_equal(arg, &away);
    away.aborted++;
    for (unsigned i = 0; i < away.owed_count; i++)
        if (away.owed[i] == exchange)
            away.owed[i] = NULL;
}

static void on_shout(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    (void)owner;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)toupper(bytes[i]);
    assert_true(outq_append_copy(conn_queue(conn), bytes, size));
    conn_flush(conn);
}

static void on_shout_end(struct conn *conn, void *owner, enum conn_end end)
{
    (void)owner;
    (void)end;
    assert_ptr_equal(conn, away.upgraded);
    away.upgraded = NULL;
}

static void upgrade_away(struct http_exchange *exchange)
{
    static const struct conn_handler handler = {.on_data = on_shout, .on_end = on_shout_end};
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n" UPGRADE "\r\n";
    away.upgraded = http_upgrade(exchange, head, sizeof head - 1, &handler, NULL);
    assert_non_null(away.upgraded);
    assert_ptr_equal(conn_loop(away.upgraded), away.loop);
}

static void echo(struct http_exchange *exchange, const struct http_request *request)
{
    char text[512];
    const char *header = http_request_header(request, "X-Test");
    int size = snprintf(text, sizeof text, "%d %s?%s %s %.*s", (int)request->method, request->path,
                        request->query, header ? header : "-", (int)request->body_size,
                        (const char *)request->body);
    http_respond(exchange, 200, "X-From: away\r\n", text, (size_t)size, false);
}

static void on_away_request(struct http_exchange *exchange, const struct http_request *request,
                            void *arg)
{
    assert_ptr_equal(arg, &away);
    away.requests++;
    assert_true(http_exchange_is_open(exchange));
    if (request->is_oversized) {
        http_respond(exchange, 413, "", "too large", 9, false);
    } else if (strcmp(request->path, "/away/echo") == 0) {
        echo(exchange, request);
    } else if (strcmp(request->path, "/away/later") == 0) {
        away.owed[away.owed_count++] = exchange;
        http_exchange_on_abort(exchange, on_away_abort, &away);
    } else if (strcmp(request->path, "/away/close") == 0) {
        http_respond(exchange, 200, "", "bye", 3, true);
    } else if (strcmp(request->path, "/away/abort") == 0) {
        http_exchange_abort(exchange);
    } else if (strcmp(request->path, "/away/upgrade") == 0) {
        upgrade_away(exchange);
    } else {
        http_respond(exchange, 404, "", "gone", 4, false);
    }
}

static void on_claimed(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    assert_ptr_equal(arg, &away);
    away.claimed++;
    http_respond(exchange, 200, "", request->body, request->body_size, false);
}

static void on_away_head(struct http_exchange *exchange, const struct http_request *request,
                         void *arg)
{
    assert_ptr_equal(arg, &away);
    away.heads++;
    if (strcmp(request->path, "/away/early") == 0)
        http_respond(exchange, 403, "", "no", 2, false);
    else if (strcmp(request->path, "/away/claimed") == 0)
        http_exchange_claim(exchange, on_claimed, on_away_abort, &away);
}

static void answer_away(unsigned index, const char *body)
{
    assert_non_null(away.owed[index]);
    http_respond(away.owed[index], 200, "", body, strlen(body), false);
    away.owed[index] = NULL;
}

// ---- Home

static bool is_away(const struct http_request *request)
{
    return strncmp(request->path, "/away/", 6) == 0;
}

static bool relay(struct http_exchange *exchange, const struct http_request *request)
{
    if (is_away(request))
        http_relay(exchange, request, away.server);
    return is_away(request);
}

static void relay_head(struct http_exchange *exchange, const struct http_request *request)
{
    if (is_away(request))
        http_relay_head(exchange, request, away.server);
}

static int setup(void **state)
{
    struct http_server_options options;
    memset(&away, 0, sizeof away);
    if (http_setup_small(state) != 0)
        return -1;
    fixture.intercept = relay;
    fixture.on_head = relay_head;
    http_server_options_init(&options);
    options.on_head = on_away_head;
    away.loop = gw_loop_new();
    assert_non_null(away.loop);
    away.server = http_server_new(away.loop, &away.metrics, &options, on_away_request, &away);
    assert_non_null(away.server);
    return 0;
}

static void turn_away(void)
{
    gw_loop_turn(away.loop, false);
    gw_loop_turn(away.loop, false);
}

static int teardown(void **state)
{
    if (away.upgraded)
        conn_abort(away.upgraded);
    http_server_destroy(&away.server); // NULL where a test has done it
    int result = http_teardown(state);
    bool is_clean = atomic_load(&away.metrics.values[GW_CONNECTIONS]) == 0;
    gw_loop_destroy(&away.loop);
    return result == 0 && is_clean ? 0 : -1;
}

// ---- Waiting

// Turns the home loop until `is_done`, and the other one too if `with_away`.
static void turn_until(bool (*is_done)(void *arg), void *arg, bool with_away)
{
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    while (!is_done(arg)) {
        bed_turn(&fixture.bed);
        if (with_away)
            turn_away();
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true((now.tv_sec - began.tv_sec) * 1000 < BED_PATIENCE_MS);
    }
}

static bool has_relayed(void *arg)
{
    return bed_metric(&fixture.bed, GW_HTTP_RELAYED) == *(int64_t *)arg;
}

static void wait_relayed(int64_t count)
{
    turn_until(has_relayed, &count, false);
}

static bool has_requests(void *arg)
{
    return away.requests == *(unsigned *)arg;
}

static void wait_requests(unsigned count)
{
    turn_until(has_requests, &count, true);
}

static bool has_size(void *arg)
{
    const struct client *client = arg;
    return client->in.size > 0 || client->is_over;
}

// Both loops run until the client has an answer.
static void expect_answer(struct client *client, int status, const char *body)
{
    turn_until(has_size, client, true);
    expect_response(client, status, body);
}

static bool is_over(void *arg)
{
    return ((const struct client *)arg)->is_over;
}

static void expect_end(struct client *client)
{
    turn_until(is_over, client, true);
    assert_int_equal(client->in.size, 0);
}

static bool is_idle_at_home(void *arg)
{
    (void)arg;
    return bed_metric(&fixture.bed, GW_CONNECTIONS) == 0;
}

static void close_and_wait(struct client *client)
{
    client_close(client);
    turn_until(is_idle_at_home, NULL, false);
}

// ---- Requests and answers

static void test_relay_carries_request_and_answer(void **state)
{
    (void)state;
    struct client *client = connect_client();
    struct response response;
    client_send_text(client, "PUT /away/echo?a=1&b HTTP/1.1\r\n" HOST "X-Test: value\r\n"
                             "Content-Length: 10\r\n\r\n" WHOLE_BODY);
    turn_until(has_size, client, true);
    client_take_response(client, &response, true);
    assert_int_equal(response.status, 200);
    assert_string_equal(response.body, "3 /away/echo?a=1&b value " WHOLE_BODY);
    assert_string_equal(response_header(&response, "X-From"), "away");
    response_fini(&response);
    // The body of an answer to HEAD stays at home.
    client_send_text(client, "HEAD /away/echo HTTP/1.1\r\n" HOST "\r\n");
    turn_until(has_size, client, true);
    client_take_response(client, &response, false);
    assert_string_equal(response_header(&response, "Content-Length"), "16");
    response_fini(&response);
    client_send_text(client, GET("/away/nothing"));
    expect_answer(client, 404, "gone");
    assert_int_equal(bed_metric(&fixture.bed, GW_HTTP_RELAYED), 3);
    assert_int_equal(bed_metric(&fixture.bed, GW_HTTP_ERRORS), 1);
    assert_int_equal(atomic_load(&away.metrics.values[GW_HTTP_ERRORS]), 0); // counted once
}

static void test_relay_keeps_the_order_of_answers(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/away/later") GET("/echo/1") GET("/away/later") GET("/away/echo")
                                 GET("/echo/2"));
    wait_requests(3);
    answer_away(1, "second");
    turn_away();
    http_settle();
    assert_int_equal(client->in.size, 0); // the first is owed still
    answer_away(0, "first");
    expect_answer(client, 200, "first");
    expect_response(client, 200, "GET /echo/1? ");
    expect_response(client, 200, "second");
    expect_response(client, 200, "0 /away/echo? - ");
    expect_response(client, 200, "GET /echo/2? ");
}

static void test_relay_closes_when_it_is_told_to(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/away/close"));
    expect_answer(client, 200, "bye");
    expect_end(client);
    client = connect_client();
    client_send_text(client, GET("/away/abort"));
    expect_end(client);
}

static void test_relay_refuses_what_is_too_large(void **state)
{
    (void)state;
    static char body[10001];
    struct client *client = connect_client();
    memset(body, 'x', sizeof body);
    client_send_text(client, "POST /away/echo HTTP/1.1\r\n" HOST "Content-Length: 10001\r\n\r\n");
    client_send(client, body, sizeof body);
    expect_answer(client, 413, "too large");
    client_send_text(client, GET("/away/nothing")); // and the connection goes on
    expect_answer(client, 404, "gone");
}

// ---- Heads

static void test_relay_of_a_head_then_the_body(void **state)
{
    (void)state;
    static const char *const paths[] = {"/away/claimed", "/away/nothing"};
    for (unsigned i = 0; i < 2; i++) {
        char head[128];
        struct client *client = connect_client();
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n012",
                 paths[i]);
        client_send_text(client, head);
        wait_relayed(i + 1);
        turn_away();
        assert_int_equal(away.heads, i + 1);
        client_send_text(client, "3456789");
        expect_answer(client, i == 0 ? 200 : 404, i == 0 ? WHOLE_BODY : "gone");
    }
    assert_int_equal(away.claimed, 1);
    assert_int_equal(away.requests, 1);
    assert_int_equal(away.aborted, 0);
}

static void test_relay_of_a_head_that_is_answered(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, "POST /away/early HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n012");
    expect_answer(client, 403, "no");
    client_send_text(client, "3456789" GET("/away/nothing")); // what is left is dropped
    expect_answer(client, 404, "gone");
    // The body has been sent on before the answer to the head comes.
    client = connect_client();
    client_send_text(client, "POST /away/early HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n012");
    wait_relayed(3);
    client_send_text(client, "3456789");
    http_settle();
    expect_answer(client, 403, "no");
    assert_int_equal(away.requests, 1);
}

static void test_relay_of_a_body_that_breaks_off(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, "POST /away/claimed HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n012");
    wait_relayed(1);
    turn_away();
    close_and_wait(client);
    turn_away();
    assert_int_equal(away.aborted, 1);
    assert_int_equal(away.claimed, 0);
    assert_true(http_server_is_drained(away.server));
}

// ---- Clients that go

static void test_relay_tells_that_the_client_is_gone(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/away/later") GET("/away/later"));
    wait_requests(2);
    close_and_wait(client);
    assert_int_equal(away.aborted, 0);
    turn_away();
    assert_int_equal(away.aborted, 2);
    assert_true(http_server_is_drained(away.server));
}

static void test_relay_tells_that_the_client_is_gone_before_it_was_seen(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/away/later") GET("/away/echo"));
    wait_relayed(2);
    close_and_wait(client);
    turn_away(); // request, abort, each in its turn
    assert_int_equal(away.requests, 2);
    assert_int_equal(away.aborted, 1);
    http_settle();
}

static void test_relay_of_an_answer_that_crosses_with_the_clients_end(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/away/later"));
    wait_requests(1);
    answer_away(0, "too late"); // under way
    client_reset(client);
    gw_loop_turn(fixture.bed.loop, false);
    turn_until(is_idle_at_home, NULL, false);
    turn_away();
    assert_int_equal(away.aborted, 0); // it was answered

    // The other way round: the end is under way.
    client = connect_client();
    client_send_text(client, GET("/away/later"));
    wait_requests(2);
    close_and_wait(client);
    answer_away(1, "to nobody");
    turn_away();
    http_settle();
    assert_int_equal(away.aborted, 0);
    assert_true(http_server_is_drained(away.server));
}

// ---- Bounds

static bool is_anything_refused(void)
{
    return bed_metric(&fixture.bed, GW_HTTP_ERRORS) > 0;
}

static bool is_taken_or_refused(void *arg)
{
    return is_anything_refused() || has_relayed(arg);
}

static void test_relay_does_not_pile_up_requests(void **state)
{
    (void)state;
    enum { AT_A_TIME = 16, BODY_SIZE = 10000 };
    static char body[BODY_SIZE];
    static const char head[] =
        "POST /away/nothing HTTP/1.1\r\n" HOST "Content-Length: 10000\r\n\r\n";
    int64_t sent = 0;
    memset(body, 'x', sizeof body);
    // The other loop does not run; a connection has 16 requests under way.
    do {
        struct client *client = connect_client();
        for (int i = 0; i < AT_A_TIME; i++) {
            client_send(client, head, sizeof head - 1);
            client_send(client, body, sizeof body);
        }
        sent += AT_A_TIME;
        assert_true(sent < 10000);
        turn_until(is_taken_or_refused, &sent, false);
    } while (!is_anything_refused());
    assert_true(sent > 3000); // 32 MiB
    assert_int_equal(away.requests, 0);
    turn_away(); // what it had been sent is worked off
    assert_true(away.requests > 3000);
    struct client *client = connect_client();
    client_send_text(client, GET("/away/nothing"));
    expect_answer(client, 404, "gone");
}

// ---- Upgrades

static bool is_upgraded(void *arg)
{
    (void)arg;
    return away.upgraded != NULL;
}

static void expect_text(struct client *client, const char *text)
{
    size_t size = strlen(text);
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    while (client->in.size < size) {
        bed_turn(&fixture.bed);
        turn_away();
        clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true((now.tv_sec - began.tv_sec) * 1000 < BED_PATIENCE_MS);
    }
    assert_int_equal(client->in.size, size);
    assert_memory_equal(client->in.bytes, text, size);
    tl_buffer_consume(&client->in, size);
}

static void expect_switch(struct client *client)
{
    struct response response;
    turn_until(has_size, client, true);
    client_take_response(client, &response, false);
    assert_int_equal(response.status, 101);
    response_fini(&response);
}

static void test_relay_hands_an_upgrade_over(void **state)
{
    (void)state;
    static const char request[] = "GET /away/upgrade HTTP/1.1\r\n" HOST UPGRADE "\r\nfirst bytes";
    for (size_t split = 1; split < sizeof request; split += 7) {
        struct client *client = connect_client();
        client_send(client, request, split);
        bed_turn(&fixture.bed);
        client_send(client, request + split, sizeof request - 1 - split);
        expect_switch(client);
        expect_text(client, "FIRST BYTES");
        client_send_text(client, "and more");
        expect_text(client, "AND MORE");
        assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS), 0); // it is the other's
        assert_int_equal(atomic_load(&away.metrics.values[GW_CONNECTIONS]), 1);
        assert_true(http_server_is_drained(fixture.server));
        client_close(client);
        while (away.upgraded)
            turn_away();
    }
}

// Answers that are still unwritten, and bytes that the kernel holds, go along.
static void test_relay_hands_an_upgrade_over_behind_other_requests(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client,
                     GET("/echo/1") GET("/away/echo")
                         GET("/echo/2") "GET /away/upgrade HTTP/1.1\r\n" HOST UPGRADE "\r\nfirst ");
    expect_answer(client, 200, "GET /echo/1? ");
    expect_answer(client, 200, "0 /away/echo? - ");
    expect_answer(client, 200, "GET /echo/2? ");
    client_send_text(client, "bytes");
    expect_switch(client);
    expect_text(client, "FIRST BYTES");

    client_close(client);
    while (away.upgraded)
        turn_away();
    client = connect_client();
    bed_turn(&fixture.bed);
    client_send_text(client, GET("/echo/1") "GET /away/upgrade HTTP/1.1\r\n" HOST UPGRADE
                                            "\r\nin one turn");
    turn_until(is_upgraded, NULL, true);
    expect_answer(client, 200, "GET /echo/1? ");
    expect_switch(client);
    expect_text(client, "IN ONE TURN");
}

static void test_relay_hands_an_upgrade_over_that_is_refused(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, "GET /away/nothing HTTP/1.1\r\n" HOST UPGRADE "\r\n");
    expect_answer(client, 404, "gone");
    assert_int_equal(bed_metric(&fixture.bed, GW_HTTP_HANDED_OVER), 1);
    expect_end(client);
}

static void test_relay_hands_an_upgrade_over_to_one_that_stops(void **state)
{
    (void)state;
    struct client *client = connect_client();
    http_server_stop(away.server, 1000);
    client_send_text(client, "GET /away/upgrade HTTP/1.1\r\n" HOST UPGRADE "\r\n");
    expect_end(client);
    assert_int_equal(away.requests, 0);
}

static void test_relay_hands_over_an_upgrade_whose_client_is_gone(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, "GET /away/upgrade HTTP/1.1\r\n" HOST UPGRADE "\r\n");
    client_flush(client);
    client_reset(client);
    for (int i = 0; i < 20; i++) {
        bed_turn(&fixture.bed);
        turn_away();
    }
    assert_null(away.upgraded);
}

// ---- The end

// With everything under way at once: requests, heads, answers, ends of clients, upgrades.
static void begin_everything(void)
{
    struct client *client = connect_client();
    struct client *other = connect_client();
    struct client *leaver = connect_client();
    client_send_text(client, GET("/away/later") GET("/away/later"));
    client_send_text(leaver, GET("/away/later"));
    wait_requests(3);
    answer_away(0, "under way");
    client_reset(leaver);
    http_settle();
    client = connect_client();
    client_send_text(client, "POST /away/claimed HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n012");
    client_send_text(other, "GET /away/upgrade HTTP/1.1\r\n" HOST UPGRADE "\r\nbytes");
    http_settle();
}

static void test_relay_ends_with_the_server_away_first(void **state)
{
    (void)state;
    begin_everything();
    http_server_destroy(&away.server);
    assert_int_equal(away.aborted, 2); // of three, one was answered
}

static void test_relay_ends_with_the_server_at_home_first(void **state)
{
    (void)state;
    begin_everything();
    http_server_destroy(&fixture.server);
    http_server_destroy(&away.server);
    assert_int_equal(away.aborted, 2);
}

static void test_relay_closes_the_client_when_its_server_is_destroyed(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/away/later"));
    wait_requests(1);
    assert_false(http_server_is_drained(away.server));
    http_server_destroy(&away.server);
    assert_int_equal(away.aborted, 1);
    client_wait_over(client);
    assert_int_equal(client->in.size, 0);
}

#define relay_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        relay_test(test_relay_carries_request_and_answer),
        relay_test(test_relay_keeps_the_order_of_answers),
        relay_test(test_relay_closes_when_it_is_told_to),
        relay_test(test_relay_refuses_what_is_too_large),
        relay_test(test_relay_of_a_head_then_the_body),
        relay_test(test_relay_of_a_head_that_is_answered),
        relay_test(test_relay_of_a_body_that_breaks_off),
        relay_test(test_relay_tells_that_the_client_is_gone),
        relay_test(test_relay_tells_that_the_client_is_gone_before_it_was_seen),
        relay_test(test_relay_of_an_answer_that_crosses_with_the_clients_end),
        relay_test(test_relay_does_not_pile_up_requests),
        relay_test(test_relay_hands_an_upgrade_over),
        relay_test(test_relay_hands_an_upgrade_over_behind_other_requests),
        relay_test(test_relay_hands_an_upgrade_over_that_is_refused),
        relay_test(test_relay_hands_an_upgrade_over_to_one_that_stops),
        relay_test(test_relay_hands_over_an_upgrade_whose_client_is_gone),
        relay_test(test_relay_ends_with_the_server_away_first),
        relay_test(test_relay_ends_with_the_server_at_home_first),
        relay_test(test_relay_closes_the_client_when_its_server_is_destroyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
