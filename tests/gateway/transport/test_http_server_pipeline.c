// SPDX-License-Identifier: MIT
// Several exchanges of one connection under way at a time: handled as they come, answered in the
// order of the requests, bounded, and told when they come to nothing.
#include "gateway/transport/http_server.h"

#include <stdio.h>
#include <string.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/http_fixture.h"

#define HOST       "Host: localhost\r\n"
#define GET(path)  "GET " path " HTTP/1.1\r\n" HOST "\r\n"
#define UPGRADE    "GET /upgrade HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: shout\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"

static void expect_nothing(const struct client *client)
{
    http_settle();
    assert_int_equal(client->in.size, 0);
    assert_false(client->is_over);
}

static void expect_end(struct client *client)
{
    client_wait_over(client);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->in.size, 0);
}

static void expect_last_response(struct client *client, int status, const char *body)
{
    struct response response;
    client_take_response(client, &response, true);
    assert_int_equal(response.status, status);
    if (body)
        assert_string_equal(response.body, body);
    assert_string_equal(response_header(&response, "Connection"), "close");
    response_fini(&response);
    expect_end(client);
}

// ---- Order

static void test_pipeline_goes_on_behind_a_late_answer(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/echo") "GET /ec");
    wait_owed(1);
    client_send_text(client, "ho/2 HTTP/1.1\r\n" HOST "\r\n");
    expect_nothing(client);
    assert_int_equal(fixture.requests, 3);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect_response(client, 200, "GET /echo? ");
    expect_response(client, 200, "GET /echo/2? ");
    expect(client, GET("/echo/3"), 200, "GET /echo/3? ");
}

static void test_pipeline_answers_in_order_whatever_the_handlers_order(void **state)
{
    (void)state;
    static const char *const bodies[] = {"0", "1", "2", "3"};
    static const unsigned orders[][4] = {{0, 0, 0, 0}, {3, 2, 1, 0}, {1, 2, 0, 0}, {2, 0, 1, 0}};
    struct client *client = connect_client();
    for (unsigned i = 0; i < 4; i++) {
        const char *left[4];
        memcpy(left, bodies, sizeof left);
        client_send_text(client, GET("/later") GET("/later") GET("/later") GET("/later"));
        wait_owed(4);
        for (unsigned done = 0; done < 4; done++) {
            unsigned index = orders[i][done];
            answer_owed_at(index, left[index], false);
            memmove(left + index, left + index + 1, (3 - index) * sizeof left[0]);
            bed_turn(&fixture.bed);
        }
        for (unsigned done = 0; done < 4; done++)
            expect_response(client, 200, bodies[done]);
    }
    assert_int_equal(fixture.aborted, 0);
}

static void test_pipeline_of_large_answers(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/big") GET("/echo") GET("/big"));
    wait_owed(1);
    expect_nothing(client);
    answer_owed("first");
    expect_response(client, 200, "first");
    for (int i = 0; i < 2; i++) {
        struct response response;
        client_take_response(client, &response, true);
        assert_int_equal(response.body_size, BIG_SIZE);
        response_fini(&response);
        if (i == 0)
            expect_response(client, 200, "GET /echo? ");
    }
}

// ---- Bounds

static void test_pipeline_is_bounded_in_number(void **state)
{
    (void)state;
    enum { COUNT = 40, BOUND = 16 };
    struct client *client = connect_client();
    for (int i = 0; i < COUNT; i++)
        client_send_text(client, GET("/later"));
    wait_owed(BOUND);
    for (unsigned answered = 0; answered < COUNT; answered++) {
        expect_nothing(client);
        unsigned begun = answered + BOUND < COUNT ? answered + BOUND : COUNT;
        assert_int_equal(fixture.requests, begun);
        answer_owed("x");
        expect_response(client, 200, "x");
    }
}

static void test_pipeline_is_bounded_in_bytes(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/big") GET("/big") GET("/echo"));
    expect_nothing(client);
    assert_int_equal(fixture.requests, 2); // one large answer waits, no second one
    answer_owed("first");
    expect_response(client, 200, "first");
    client_reset(client);
    http_settle();
    assert_true(http_server_is_drained(fixture.server));
}

static void test_pipeline_that_is_paused_goes_on(void **state)
{
    (void)state;
    enum { COUNT = 2000 }; // many times what may wait
    struct client *client = connect_client();
    client_send_text(client, GET("/later"));
    for (int i = 0; i < COUNT; i++) {
        char request[256];
        snprintf(request, sizeof request, "GET /echo/%d HTTP/1.1\r\n" HOST "X: %0100d\r\n\r\n", i,
                 0);
        client_send_text(client, request);
    }
    expect_nothing(client);
    answer_owed("first");
    expect_response(client, 200, "first");
    for (int i = 0; i < COUNT; i++) {
        char body[64];
        snprintf(body, sizeof body, "GET /echo/%d? ", i);
        expect_response(client, 200, body);
    }
}

// ---- Ends

static void test_pipeline_ends_with_the_request_that_says_so(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") LAST("/later") GET("/echo"));
    wait_owed(2);
    answer_owed_at(1, "second", false);
    expect_nothing(client);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect_last_response(client, 200, "second");
    assert_int_equal(fixture.requests, 2);
}

static void test_pipeline_ends_with_the_answer_that_says_so(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/later") GET("/later") GET("/echo"));
    wait_owed(3);
    answer_owed_at(1, "second", true);
    expect_nothing(client);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect_last_response(client, 200, "second");
    assert_int_equal(fixture.aborted, 1); // the third
}

static void test_pipeline_answers_behind_the_end_go_nowhere(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/later"));
    wait_owed(2);
    const struct http_exchange *second = fixture.owed[1];
    assert_true(http_exchange_is_open(second));
    answer_owed_at(0, "first", true);
    assert_false(http_exchange_is_open(second));
    answer_owed("never");
    expect_last_response(client, 200, "first");
    assert_int_equal(fixture.aborted, 0);
}

static void test_pipeline_is_told_when_the_client_goes(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/echo") GET("/later") GET("/later"));
    wait_owed(3);
    answer_owed_at(1, "never", false);
    client_close(client);
    http_settle();
    assert_int_equal(fixture.aborted, 2);
    assert_true(http_server_is_drained(fixture.server));
}

static void test_pipeline_error_comes_behind_what_is_owed(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") "nonsense\r\n\r\n" GET("/echo"));
    expect_nothing(client);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect_last_response(client, 400, NULL);
    assert_int_equal(fixture.requests, 1);
}

static void test_pipeline_slow_request_is_told_behind_what_is_owed(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") "GET /ec");
    wait_owed(1);
    http_settle();
    bed_advance(&fixture.bed, 60000);
    expect_nothing(client);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect_last_response(client, 408, NULL);
}

static void test_pipeline_empty_line_behind_a_late_answer_means_nothing(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") "\r\n");
    wait_owed(1);
    http_settle();
    bed_advance(&fixture.bed, 600000);
    expect_nothing(client);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect(client, GET("/echo"), 200, "GET /echo? ");
}

static void test_pipeline_stops_with_the_last_that_is_owed(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/later"));
    wait_owed(2);
    http_server_stop(fixture.server, 1000);
    answer_owed("first");
    expect_response(client, 200, "first");
    answer_owed("second");
    expect_last_response(client, 200, "second");
    client_close(client);
    http_settle();
    assert_int_equal(fixture.aborted, 0);
    assert_true(http_server_is_drained(fixture.server));
}

static void test_pipeline_abort_by_the_handler_takes_all(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/later") GET("/later"));
    wait_owed(3);
    http_exchange_abort(fixture.owed[1]);
    fixture.owed[1] = NULL;
    client_wait_over(client);
    assert_int_equal(client->in.size, 0);
    assert_int_equal(fixture.aborted, 2); // the aborted one is not told
    assert_true(http_server_is_drained(fixture.server));
}

// Handlers may answer one exchange when another of the connection is aborted.
static void answer_other(struct http_exchange *exchange, void *arg)
{
    (void)exchange;
    struct http_exchange *other = arg;
    fixture.aborted++;
    http_respond(other, 200, "", "never", 5, false);
}

static void test_pipeline_abort_may_answer_the_others(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/later") GET("/later"));
    wait_owed(3);
    http_exchange_on_abort(fixture.owed[1], answer_other, fixture.owed[2]);
    client_reset(client);
    http_settle();
    assert_int_equal(fixture.aborted, 2);
    assert_true(http_server_is_drained(fixture.server));
}

// ---- Upgrades

static void test_pipeline_upgrade_waits_for_the_answers_before_it(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") GET("/later") UPGRADE "first ");
    wait_owed(2);
    client_send_text(client, "bytes");
    expect_nothing(client);
    answer_owed_at(1, "second", false);
    http_settle();
    assert_null(fixture.upgraded);
    answer_owed("first");
    expect_response(client, 200, "first");
    expect_response(client, 200, "second");
    struct response response;
    client_take_response(client, &response, false);
    assert_int_equal(response.status, 101);
    response_fini(&response);
    client_wait_size(client, strlen("FIRST BYTES"));
    assert_memory_equal(client->in.bytes, "FIRST BYTES", strlen("FIRST BYTES"));
}

static void test_pipeline_upgrade_that_waits_may_come_to_nothing(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, GET("/later") UPGRADE "first bytes");
    wait_owed(1);
    answer_owed_at(0, "first", true);
    expect_last_response(client, 200, "first");
    client_close(client);
    client = connect_client();
    client_send_text(client, GET("/later") UPGRADE "first bytes");
    wait_owed(1);
    client_close(client);
    http_settle();
    assert_int_equal(fixture.aborted, 1);
    assert_int_equal(fixture.requests, 2);
    assert_true(http_server_is_drained(fixture.server));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, http_setup, http_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_pipeline_goes_on_behind_a_late_answer),
        TEST(test_pipeline_answers_in_order_whatever_the_handlers_order),
        TEST(test_pipeline_of_large_answers),
        TEST(test_pipeline_is_bounded_in_number),
        TEST(test_pipeline_is_bounded_in_bytes),
        TEST(test_pipeline_that_is_paused_goes_on),
        TEST(test_pipeline_ends_with_the_request_that_says_so),
        TEST(test_pipeline_ends_with_the_answer_that_says_so),
        TEST(test_pipeline_answers_behind_the_end_go_nowhere),
        TEST(test_pipeline_is_told_when_the_client_goes),
        TEST(test_pipeline_error_comes_behind_what_is_owed),
        TEST(test_pipeline_slow_request_is_told_behind_what_is_owed),
        TEST(test_pipeline_empty_line_behind_a_late_answer_means_nothing),
        TEST(test_pipeline_stops_with_the_last_that_is_owed),
        TEST(test_pipeline_abort_by_the_handler_takes_all),
        TEST(test_pipeline_abort_may_answer_the_others),
        TEST(test_pipeline_upgrade_waits_for_the_answers_before_it),
        TEST(test_pipeline_upgrade_that_waits_may_come_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
