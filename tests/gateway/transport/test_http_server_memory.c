// SPDX-License-Identifier: MIT
// The HTTP server while memory runs out: each allocation of a connection's life fails once. The
// client gets an answer or a closed connection, nothing leaks, and the server goes on.
#include <string.h>

#include "tests/common/cmocka_all.h"
#include "tests/common/faults.h"
#include "tests/gateway/transport/http_fixture.h"

#define HOST "Host: localhost\r\n"

static bool respond_plain(struct http_exchange *exchange, const struct http_request *request)
{
    if (strcmp(request->path, "/plain") != 0)
        return false;
    http_respond(exchange, 200, "", "hello", 5, false);
    return true;
}

static int setup(void **state)
{
    http_setup(state);
    fixture.intercept = respond_plain;
    return 0;
}

// Turns of the loop alone: the client's own allocations are not to fail.
static void turn_with_fault(unsigned after)
{
    faults_fail_allocation_after(after);
    for (int i = 0; i < 8; i++)
        gw_loop_turn(fixture.bed.loop, false);
}

static bool is_answered_or_over(void *arg)
{
    struct client *client = arg;
    return client->is_over || client->in.size > 0 || fixture.owed_count > 0;
}

static void expect_server_goes_on(void)
{
    struct client *client = connect_client();
    expect(client, "GET /plain HTTP/1.1\r\n" HOST "\r\n", 200, "hello");
    client_close(client);
    bed_turn(&fixture.bed);
}

static void fail_each_allocation(const char *request)
{
    bool has_failed = true;
    for (unsigned after = 0; has_failed; after++) {
        struct client *client = connect_client();
        client_send_text(client, request);
        turn_with_fault(after);
        has_failed = faults_stop();
        bed_wait(&fixture.bed, is_answered_or_over, client);
        client_close(client);
        bed_turn(&fixture.bed);
        bed_turn(&fixture.bed);
        assert_true(http_server_is_drained(fixture.server));
        assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS), 0);
        fixture.owed_count = 0;
        expect_server_goes_on();
        assert_true(after < 1000);
    }
}

static void test_http_survives_want_of_memory_for_requests(void **state)
{
    (void)state;
    fail_each_allocation("GET /plain HTTP/1.1\r\n" HOST "\r\n");
    fail_each_allocation("POST /plain HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc");
    fail_each_allocation("POST /plain HTTP/1.1\r\n" HOST
                         "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    fail_each_allocation("nonsense\r\n\r\n");
}

static void test_http_survives_want_of_memory_for_pipelined_requests(void **state)
{
    (void)state;
    fail_each_allocation("GET /plain HTTP/1.1\r\n" HOST "\r\nGET /plain HTTP/1.1\r\n" HOST
                         "\r\nGET /plain HTTP/1.1\r\n" HOST "\r\nGET /pl");
}

static void test_http_survives_want_of_memory_for_late_answers(void **state)
{
    (void)state;
    fail_each_allocation("GET /later HTTP/1.1\r\n" HOST "\r\nGET /plain HTTP/1.1\r\n");
}

static void test_http_survives_want_of_memory_for_upgrades(void **state)
{
    (void)state;
    fail_each_allocation("GET /upgrade HTTP/1.1\r\n" HOST
                         "Connection: Upgrade\r\nUpgrade: shout\r\n\r\nfirst bytes");
}

int main(void)
{
#define MEMORY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, http_teardown)
    const struct CMUnitTest tests[] = {
        MEMORY_TEST(test_http_survives_want_of_memory_for_requests),
        MEMORY_TEST(test_http_survives_want_of_memory_for_pipelined_requests),
        MEMORY_TEST(test_http_survives_want_of_memory_for_late_answers),
        MEMORY_TEST(test_http_survives_want_of_memory_for_upgrades),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
