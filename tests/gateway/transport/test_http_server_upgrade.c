// SPDX-License-Identifier: MIT
// Upgrades: the connection goes to another handler with every byte that came behind the request,
// in order, and never while http_upgrade is on the stack (the fixture's handler checks that).
#include "gateway/transport/http_server.h"

#include <string.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/http_fixture.h"

#define REQUEST(path)                                                                              \
    "GET " path " HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"

static void expect_switch(struct client *client)
{
    struct response response;
    client_take_response(client, &response, false);
    assert_int_equal(response.status, 101);
    response_fini(&response);
}

static void expect_text(struct client *client, const char *text)
{
    size_t size = strlen(text);
    client_wait_size(client, size);
    assert_int_equal(client->in.size, size);
    assert_memory_equal(client->in.bytes, text, size);
    tl_buffer_consume(&client->in, size);
}

static void expect_echo(struct client *client)
{
    client_send_text(client, "hello");
    expect_text(client, "HELLO");
}

static void test_upgrade_gives_the_connection_away(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, REQUEST("/upgrade"));
    expect_switch(client);
    expect_echo(client);
    assert_true(http_server_is_drained(fixture.server));
    assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS), 1);
    client_close(client);
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.upgrades_ended, 1);
}

static void test_upgrade_delivers_what_came_with_the_request(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, REQUEST("/upgrade") "first bytes");
    expect_switch(client);
    expect_text(client, "FIRST BYTES");
    expect_echo(client);
}

static bool is_upgraded(void *arg)
{
    (void)arg;
    return fixture.upgraded != NULL;
}

static void test_upgrade_delivers_what_came_with_the_request_in_the_same_turn(void **state)
{
    (void)state;
    struct client *client = connect_client();
    bed_turn(&fixture.bed);
    client_send_text(client, REQUEST("/upgrade") "first bytes");
    gw_loop_turn(fixture.bed.loop, false);
    assert_true(is_upgraded(NULL));
    // Head and answer left in one write of that turn's flush phase.
    expect_switch(client);
    expect_text(client, "FIRST BYTES");
}

static void test_upgrade_works_in_every_split(void **state)
{
    (void)state;
    static const char bytes[] = REQUEST("/upgrade") "first bytes";
    for (size_t split = 0; split < sizeof bytes; split++) {
        struct client *client = connect_client();
        client_send(client, bytes, split);
        bed_turn(&fixture.bed);
        client_send(client, bytes + split, sizeof bytes - 1 - split);
        expect_switch(client);
        expect_text(client, "FIRST BYTES");
        client_close(client);
        bed_turn(&fixture.bed);
        assert_null(fixture.upgraded);
    }
}

static void test_upgrade_may_come_later(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, REQUEST("/later") "first ");
    wait_owed(1);
    client_send_text(client, "bytes");
    bed_turn(&fixture.bed);
    assert_non_null(upgrade_owed());
    client_send_text(client, " and more");
    expect_switch(client);
    expect_text(client, "FIRST BYTES AND MORE");
    expect_echo(client);
}

static void test_upgrade_may_come_later_with_more_bytes_than_wait(void **state)
{
    (void)state;
    enum { SIZE = 16 * 1024 * 1024 };
    static char bytes[SIZE];
    struct client *client = connect_client();
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)('A' + i % 26);
    client_send_text(client, REQUEST("/later"));
    client_send(client, bytes, SIZE);
    wait_owed(1);
    for (int i = 0; i < 20; i++)
        bed_turn(&fixture.bed);
    assert_true(client->out.size > 0); // reading was paused
    assert_non_null(upgrade_owed());
    expect_switch(client);
    client_wait_size(client, SIZE);
    assert_memory_equal(client->in.bytes, bytes, SIZE);
}

static void test_upgrade_may_follow_pipelined_requests(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, "GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n"
                             "GET /echo/2 HTTP/1.1\r\nHost: localhost\r\n\r\n" REQUEST(
                                 "/upgrade") "first bytes");
    expect_response(client, 200, "GET /echo? ");
    expect_response(client, 200, "GET /echo/2? ");
    expect_switch(client);
    expect_text(client, "FIRST BYTES");
    expect_echo(client);
}

static void test_upgrade_that_never_came_is_aborted_after_the_grace(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, REQUEST("/later"));
    wait_owed(1);
    http_server_stop(fixture.server, 1);
    fixture.bed.now += 1;
    gw_loop_turn(fixture.bed.loop, false); // the grace is over
    assert_int_equal(fixture.aborted, 1);
    assert_null(fixture.owed[0]);
    assert_int_equal(fixture.upgrades_ended, 0);
}

static struct gw_task upgrade_task;

static void run_upgrade(struct gw_task *task)
{
    (void)task;
    assert_null(upgrade_owed());
}

static void test_upgrade_of_a_connection_that_is_over_is_refused(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, REQUEST("/later"));
    wait_owed(1);
    client_reset(client);
    gw_task_init(&upgrade_task, run_upgrade);
    gw_task_schedule(fixture.bed.loop, GW_PHASE_DISTRIBUTE, &upgrade_task);
    gw_loop_turn(fixture.bed.loop, false); // input: the reset; distribution: the upgrade
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.aborted, 0);
    assert_int_equal(fixture.upgrades_ended, 0);
    assert_true(http_server_is_drained(fixture.server));
}

static void test_upgraded_connections_survive_the_server(void **state)
{
    (void)state;
    struct client *client = connect_client();
    client_send_text(client, REQUEST("/upgrade"));
    expect_switch(client);
    http_server_stop(fixture.server, 1);
    bed_advance(&fixture.bed, 100);
    listener_close(&fixture.listener);
    http_server_destroy(&fixture.server);
    expect_echo(client);
    bed_advance(&fixture.bed, 3600 * 1000);
    expect_echo(client);
}

int main(void)
{
#define UPGRADE_TEST(name) cmocka_unit_test_setup_teardown(name, http_setup, http_teardown)
    const struct CMUnitTest tests[] = {
        UPGRADE_TEST(test_upgrade_gives_the_connection_away),
        UPGRADE_TEST(test_upgrade_delivers_what_came_with_the_request),
        UPGRADE_TEST(test_upgrade_delivers_what_came_with_the_request_in_the_same_turn),
        UPGRADE_TEST(test_upgrade_works_in_every_split),
        UPGRADE_TEST(test_upgrade_may_come_later),
        UPGRADE_TEST(test_upgrade_may_come_later_with_more_bytes_than_wait),
        UPGRADE_TEST(test_upgrade_may_follow_pipelined_requests),
        UPGRADE_TEST(test_upgrade_that_never_came_is_aborted_after_the_grace),
        UPGRADE_TEST(test_upgrade_of_a_connection_that_is_over_is_refused),
        UPGRADE_TEST(test_upgraded_connections_survive_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
