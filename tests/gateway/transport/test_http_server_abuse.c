// SPDX-License-Identifier: MIT
// The HTTP server with clients that do not behave: what is no HTTP, too large or never read, and
// connections that break at any moment. Each gets its status where one can be given, and costs a
// bounded amount of memory.
#include "gateway/transport/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/http_fixture.h"

#define HOST "Host: localhost\r\n"

// Sends it; expects that status, and that the connection ends without losing it.
static void expect_refusal(const char *request, int status)
{
    struct response response;
    int64_t errors = bed_metric(&fixture.bed, GW_HTTP_ERRORS);
    struct client *client = connect_client();
    client_send_text(client, request);
    client_take_response(client, &response, true);
    if (response.status != status)
        print_error("%.40s: %d\n", request, response.status);
    assert_int_equal(response.status, status);
    assert_string_equal(response_header(&response, "Connection"), "close");
    assert_true(response.body_size > 0);
    response_fini(&response);
    client_wait_over(client);
    assert_int_equal(client->error, 0);
    assert_int_equal(client->in.size, 0);
    assert_int_equal(bed_metric(&fixture.bed, GW_HTTP_ERRORS), errors + 1);
    client_close(client);
}

static void test_http_refuses_what_is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"GARBAGE\r\n\r\n", 400},
        {"\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03 TLS\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost localhost\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
        {"POST / HTTP/1.1\r\n" HOST "Expect: a miracle\r\nContent-Length: 1\r\n\r\n", 417},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(cases[i].request, cases[i].status);
    assert_int_equal(fixture.requests, 0);
    assert_int_equal(bed_metric(&fixture.bed, GW_HTTP_MALFORMED), 8);
}

static void test_http_refuses_what_is_malformed_after_a_good_request(void **state)
{
    (void)state;
    struct client *client = connect_client();
    expect(client, "GET /echo HTTP/1.1\r\n" HOST "\r\nnonsense\r\n\r\n", 200, "GET /echo? ");
    struct response response;
    client_take_response(client, &response, true);
    assert_int_equal(response.status, 400);
    response_fini(&response);
    client_wait_over(client);
}

static void test_http_refuses_large_heads(void **state)
{
    (void)state;
    char request[2000];
    memset(request, 'a', sizeof request);
    memcpy(request, "GET /", 5);
    request[sizeof request - 1] = '\0';
    expect_refusal(request, 431);

    strcpy(request, "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(request + strlen(request), 'x', 1500 - strlen(request));
    strcpy(request + 1500, "\r\n\r\n");
    expect_refusal(request, 431);
}

static void test_http_takes_the_largest_body_that_is_allowed(void **state)
{
    (void)state;
    char *request = calloc(1, 10100);
    char *body = calloc(1, 10100);
    struct client *client = connect_client();
    sprintf(request, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10000\r\n\r\n");
    memset(request + strlen(request), 'z', 10000);
    strcpy(body, "POST /echo? ");
    memset(body + strlen(body), 'z', 10000);
    expect(client, request, 200, body);
    free(request);
    free(body);
}

// ---- Clients that do not read

// Sends requests until neither the server nor the kernel, whose buffers grow for a while, takes any
// more. False: 64 MiB were taken.
static bool send_until_it_stalls(struct client *client, const char *request)
{
    char block[64 * 1024];
    size_t size = 0;
    size_t sent = 0;
    while (size + strlen(request) <= sizeof block) {
        memcpy(block + size, request, strlen(request));
        size += strlen(request);
    }
    while (sent < 1024 * sizeof block) {
        if (client->out.size < 4 * sizeof block) {
            client_send(client, block, size);
            sent += size;
            bed_turn(&fixture.bed);
            continue;
        }
        size_t left = client->out.size;
        http_settle();
        if (client->out.size == left)
            return true;
    }
    return false;
}

static void test_http_client_that_does_not_read_gets_one_response_at_most(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client->is_reading = false;
    assert_true(send_until_it_stalls(client, "GET /big HTTP/1.1\r\n" HOST "\r\n"));
    assert_int_equal(fixture.requests, 1);
    assert_true(fixture.big->refs > 1);

    client->is_reading = true;
    for (int i = 0; i < 3; i++) {
        struct response response;
        client_take_response(client, &response, true);
        assert_int_equal(response.body_size, BIG_SIZE);
        response_fini(&response);
    }
    client_reset(client);
    http_settle();
}

static void test_http_client_that_stops_reading_is_closed(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client->is_reading = false;
    client_send_text(client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    http_settle();
    bed_advance(&fixture.bed, 60000); // it took some of it in the first minute
    bed_advance(&fixture.bed, 59999);
    assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS), 1);
    bed_advance(&fixture.bed, 1);
    assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS), 0);
    assert_int_equal(fixture.big->refs, 1);
}

static void test_http_client_that_reads_slowly_is_not_closed(void **state)
{
    (void)state;
    enum { STEP = 4 * 1024 * 1024 };
    struct client *client = connect_client();
    client->is_reading = false;
    client_send_text(client, "GET /big HTTP/1.1\r\n" HOST "\r\n");
    http_settle();
    size_t size = 0;
    while (client->in.size < BIG_SIZE) {
        // It reads for a moment once a minute, so much that the kernel asks us for more.
        client->is_reading = true;
        size = client->in.size + STEP < BIG_SIZE ? client->in.size + STEP : BIG_SIZE;
        client_wait_size(client, size);
        client->is_reading = false;
        bed_advance(&fixture.bed, 60000);
    }
    client->is_reading = true;
    struct response response;
    client_take_response(client, &response, true);
    assert_int_equal(response.body_size, BIG_SIZE);
    response_fini(&response);
}

static void test_http_pipelined_bytes_behind_a_late_answer_are_bounded(void **state)
{
    (void)state;
    static char junk[64 * 1024];
    struct client *client = connect_client();
    memset(junk, 'x', sizeof junk);
    client_send_text(client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 256; i++)
        client_send(client, junk, sizeof junk);
    wait_owed(1);
    http_settle();
    assert_true(client->out.size > 0);
    answer_owed("first");
    expect_response(client, 200, "first");
    struct response response;
    client_take_response(client, &response, true); // x's are no request
    assert_int_equal(response.status, 431);
    response_fini(&response);
    client_wait_over(client);
}

static void test_http_paused_connection_notices_that_the_client_is_gone(void **state)
{
    (void)state;
    static char junk[64 * 1024];
    struct client *client = connect_client();
    client_send_text(client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    client_send(client, junk, sizeof junk);
    wait_owed(1);
    http_settle();
    client_close(client);
    http_settle();
    assert_int_equal(fixture.aborted, 1);
    assert_true(http_server_is_drained(fixture.server));
}

// ---- Connections that break

static void break_after(const char *request, bool is_reset)
{
    struct client *client = connect_client();
    client_send_text(client, request);
    http_settle();
    if (is_reset)
        client_reset(client);
    else
        client_close(client);
    http_settle();
    assert_true(http_server_is_drained(fixture.server));
}

static void test_http_connections_may_break_at_any_moment(void **state)
{
    (void)state;
    for (int is_reset = 0; is_reset < 2; is_reset++) {
        break_after("", is_reset);
        break_after("GET /ec", is_reset);
        break_after("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nhalf", is_reset);
        break_after("GET /echo HTTP/1.1\r\n" HOST "\r\n", is_reset);
        break_after("GET /big HTTP/1.1\r\n" HOST "\r\n", is_reset);
        break_after("GET /close HTTP/1.1\r\n" HOST "\r\n", is_reset);
        break_after("nonsense\r\n\r\n", is_reset);
    }
    assert_int_equal(fixture.aborted, 0);
    assert_int_equal(fixture.big->refs, 1);
}

static void test_http_owed_exchange_is_aborted_once(void **state)
{
    (void)state;
    break_after("GET /later HTTP/1.1\r\n" HOST "\r\n", false);
    assert_int_equal(fixture.aborted, 1);
    break_after("GET /later HTTP/1.1\r\n" HOST "\r\nGET /echo HTTP/1.1\r\n", true);
    assert_int_equal(fixture.aborted, 2);
}

// The connection is over, but on_abort has not come yet: the answer must go nowhere.
static struct gw_task answer_task;

static void run_answer(struct gw_task *task)
{
    (void)task;
    answer_owed("too late");
}

static void test_http_exchange_may_be_answered_when_the_client_has_just_gone(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    wait_owed(1);
    client_reset(client);
    gw_task_init(&answer_task, run_answer);
    gw_task_schedule(fixture.bed.loop, GW_PHASE_DISTRIBUTE, &answer_task);
    gw_loop_turn(fixture.bed.loop, false); // input: the reset; distribution: the answer
    http_settle();
    assert_int_equal(fixture.aborted, 0);
    assert_true(http_server_is_drained(fixture.server));
}

int main(void)
{
#define HTTP_TEST(name)  cmocka_unit_test_setup_teardown(name, http_setup, http_teardown)
#define SMALL_TEST(name) cmocka_unit_test_setup_teardown(name, http_setup_small, http_teardown)
    const struct CMUnitTest tests[] = {
        HTTP_TEST(test_http_refuses_what_is_malformed),
        HTTP_TEST(test_http_refuses_what_is_malformed_after_a_good_request),
        SMALL_TEST(test_http_refuses_large_heads),
        SMALL_TEST(test_http_takes_the_largest_body_that_is_allowed),
        HTTP_TEST(test_http_client_that_does_not_read_gets_one_response_at_most),
        HTTP_TEST(test_http_client_that_stops_reading_is_closed),
        HTTP_TEST(test_http_client_that_reads_slowly_is_not_closed),
        HTTP_TEST(test_http_pipelined_bytes_behind_a_late_answer_are_bounded),
        HTTP_TEST(test_http_paused_connection_notices_that_the_client_is_gone),
        HTTP_TEST(test_http_connections_may_break_at_any_moment),
        HTTP_TEST(test_http_owed_exchange_is_aborted_once),
        HTTP_TEST(test_http_exchange_may_be_answered_when_the_client_has_just_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
