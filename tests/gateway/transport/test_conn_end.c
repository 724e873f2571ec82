// SPDX-License-Identifier: MIT
// Every way in which a connection ends: on_end comes once, later, with the right reason, and the
// peer gets what it was owed.
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/conn_fixture.h"

// ---- Ends

static void test_conn_ends_when_the_peer_closes(void **state)
{
    (void)state;
    client_send_text(fixture.client, "last words");
    client_close(fixture.client);
    wait_end(CONN_END_PEER);
    assert_int_equal(fixture.in.size, 10);
}

static void test_conn_ends_when_the_peer_resets(void **state)
{
    (void)state;
    client_reset(fixture.client);
    wait_end(CONN_END_PEER);
}

static void test_conn_blocked_ends_when_the_peer_resets(void **state)
{
    (void)state;
    static const char zeros[4 * 1024 * 1024];
    fixture.client->is_reading = false;
    conn_pause(fixture.conn);
    assert_true(outq_append_copy(conn_queue(fixture.conn), zeros, sizeof zeros));
    conn_flush(fixture.conn);
    bed_turn(&fixture.bed);
    client_reset(fixture.client);
    wait_end(CONN_END_PEER);
}

static void test_conn_survives_writing_to_a_closed_peer(void **state)
{
    (void)state;
    client_close(fixture.client);
    send_text("nobody reads this"); // SIGPIPE would kill the test
    wait_end(CONN_END_PEER);
}

static void echo(struct conn_fixture *f)
{
    send_text((char[]){(char)f->in.bytes[f->in.size - 1], '\0'});
}

static void test_conn_answers_a_peer_that_has_shut_its_sending_side(void **state)
{
    (void)state;
    fixture.on_data = echo;
    client_send_text(fixture.client, "x");
    shutdown(fixture.client->fd, SHUT_WR);
    client_wait_size(fixture.client, 1);
    wait_end(CONN_END_PEER);
    client_wait_over(fixture.client);
    assert_int_equal(fixture.client->error, 0);
}

static void send_more_once_drained(struct conn_fixture *f)
{
    if (f->drained <= 3)
        send_text("more");
}

static void test_conn_writes_the_rest_to_a_peer_that_has_shut_its_sending_side(void **state)
{
    (void)state;
    enum { SIZE = 4 * 1024 * 1024 };
    char *zeros = calloc(1, SIZE);
    fixture.client->is_reading = false;
    fixture.on_drained = send_more_once_drained;
    assert_true(outq_append_copy(conn_queue(fixture.conn), zeros, SIZE));
    conn_flush(fixture.conn);
    bed_turn(&fixture.bed);
    shutdown(fixture.client->fd, SHUT_WR);
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.ended, 0);
    fixture.client->is_reading = true;
    wait_end(CONN_END_PEER);
    client_wait_over(fixture.client);
    assert_int_equal(fixture.client->in.size, SIZE + 3 * 4);
    free(zeros);
}

static void test_conn_gives_a_peer_that_shut_and_does_not_read_some_time(void **state)
{
    (void)state;
    static const char zeros[4 * 1024 * 1024];
    fixture.client->is_reading = false;
    assert_true(outq_append_copy(conn_queue(fixture.conn), zeros, sizeof zeros));
    conn_flush(fixture.conn);
    bed_turn(&fixture.bed);
    shutdown(fixture.client->fd, SHUT_WR);
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.ended, 0);
    bed_advance(&fixture.bed, 5000);
    wait_end(CONN_END_PEER);
}

static void test_conn_abort_closes_at_once(void **state)
{
    (void)state;
    send_text("dropped");
    call_abort(&fixture);
    assert_int_equal(fixture.ended, 0);
    // What is done to it until on_end changes nothing.
    send_text("dropped too");
    conn_pause(fixture.conn);
    conn_resume(fixture.conn);
    assert_true(conn_unread(fixture.conn, "x", 1));
    wait_end(CONN_END_LOCAL);
    client_wait_over(fixture.client);
    assert_int_equal(fixture.client->in.size, 0);
}

static void test_conn_can_be_aborted_from_on_data(void **state)
{
    (void)state;
    fixture.on_data = call_abort;
    client_send_text(fixture.client, "x");
    wait_end(CONN_END_LOCAL);
}

static void test_conn_can_be_aborted_from_on_drained(void **state)
{
    (void)state;
    fixture.on_drained = call_abort;
    send_text("x");
    wait_end(CONN_END_LOCAL);
}

static void test_conn_close_writes_what_is_queued_first(void **state)
{
    (void)state;
    static char zeros[2 * 1024 * 1024];
    assert_true(outq_append_copy(conn_queue(fixture.conn), zeros, sizeof zeros));
    call_close(&fixture);
    assert_true(conn_is_closing(fixture.conn));
    client_wait_over(fixture.client);
    assert_int_equal(fixture.client->error, 0);
    assert_int_equal(fixture.client->in.size, sizeof zeros);
    assert_int_equal(fixture.ended, 0); // it waits for the peer to close too
    assert_int_equal(fixture.drained, 0);
    client_close(fixture.client);
    wait_end(CONN_END_LOCAL);
}

static void test_conn_close_does_not_wait_longer_than_asked(void **state)
{
    (void)state;
    call_close(&fixture);
    bed_advance(&fixture.bed, 999);
    assert_int_equal(fixture.ended, 0);
    bed_advance(&fixture.bed, 1);
    wait_end(CONN_END_LOCAL);
}

static void test_conn_close_drops_a_queue_that_nobody_reads(void **state)
{
    (void)state;
    static char zeros[4 * 1024 * 1024];
    fixture.client->is_reading = false;
    assert_true(outq_append_copy(conn_queue(fixture.conn), zeros, sizeof zeros));
    call_close(&fixture);
    bed_turn(&fixture.bed);
    bed_advance(&fixture.bed, 1000);
    wait_end(CONN_END_LOCAL);
}

static void close_with_answer(struct conn_fixture *f)
{
    send_text("answer");
    call_close(f);
}

// The peer is in the middle of sending: closing at once would reset the connection, and the answer
// could be lost with it.
static void test_conn_close_lets_a_sending_peer_read_the_answer(void **state)
{
    (void)state;
    enum { SIZE = 4 * 1024 * 1024 };
    char *zeros = calloc(1, SIZE);
    fixture.on_data = close_with_answer;
    fixture.client->is_reading = false; // it reads when it has sent all
    client_send(fixture.client, zeros, SIZE);
    client_flush(fixture.client);
    fixture.client->is_reading = true;
    client_wait_over(fixture.client);
    assert_int_equal(fixture.client->error, 0);
    assert_int_equal(fixture.client->in.size, 6);
    client_close(fixture.client);
    wait_end(CONN_END_LOCAL);
    assert_true(fixture.in.size < SIZE); // the rest was dropped
    free(zeros);
}

static void test_conn_close_drops_a_peer_that_sends_without_end(void **state)
{
    (void)state;
    enum { SIZE = 64 * 1024 };
    static char zeros[SIZE];
    call_close(&fixture);
    size_t sent = 0;
    while (fixture.ended == 0 && sent < 64u * 1024 * 1024) {
        client_send(fixture.client, zeros, SIZE);
        bed_turn(&fixture.bed);
        sent += SIZE;
    }
    wait_end(CONN_END_LOCAL);
    assert_true(sent >= 8u * 1024 * 1024);
    assert_true(sent < 32u * 1024 * 1024);
}

// A descriptor's number is used again as soon as it is closed: the old conn's end must not touch
// the new one.
static void test_conn_end_leaves_the_next_of_the_same_number_alone(void **state)
{
    (void)state;
    static struct conn_fixture next;
    int ends[2];
    memset(&next, 0, sizeof next);
    tl_buffer_init(&next.in, 1000);
    bed_turn(&fixture.bed);
    call_abort(&fixture);
    open_pair(ends);
    struct client *client = client_adopt(&fixture.bed, ends[1]);
    next.conn = conn_open(fixture.bed.loop, &fixture.bed.metrics, ends[0], &fixture_handler, &next);
    assert_non_null(next.conn);
    for (int i = 0; i < 5; i++)
        bed_turn(&fixture.bed);
    assert_int_equal(fixture.ended, 1);
    client_send_text(client, "hello");
    bed_wait_size(&fixture.bed, &next.in, 5);
    client_close(client);
    conn_abort(next.conn);
    bed_turn(&fixture.bed);
    assert_int_equal(next.ended, 1);
    tl_buffer_fini(&next.in);
}

int main(void)
{
#define CONN_TEST(name) cmocka_unit_test_setup_teardown(name, conn_setup, conn_teardown)
#define TCP_TEST(name)  cmocka_unit_test_setup_teardown(name, conn_setup_tcp, conn_teardown)
    const struct CMUnitTest tests[] = {
        CONN_TEST(test_conn_ends_when_the_peer_closes),
        TCP_TEST(test_conn_ends_when_the_peer_closes),
        TCP_TEST(test_conn_ends_when_the_peer_resets),
        TCP_TEST(test_conn_blocked_ends_when_the_peer_resets),
        CONN_TEST(test_conn_survives_writing_to_a_closed_peer),
        TCP_TEST(test_conn_survives_writing_to_a_closed_peer),
        TCP_TEST(test_conn_answers_a_peer_that_has_shut_its_sending_side),
        CONN_TEST(test_conn_writes_the_rest_to_a_peer_that_has_shut_its_sending_side),
        CONN_TEST(test_conn_gives_a_peer_that_shut_and_does_not_read_some_time),
        CONN_TEST(test_conn_abort_closes_at_once),
        CONN_TEST(test_conn_can_be_aborted_from_on_data),
        CONN_TEST(test_conn_can_be_aborted_from_on_drained),
        TCP_TEST(test_conn_close_writes_what_is_queued_first),
        CONN_TEST(test_conn_close_does_not_wait_longer_than_asked),
        CONN_TEST(test_conn_close_drops_a_queue_that_nobody_reads),
        TCP_TEST(test_conn_close_lets_a_sending_peer_read_the_answer),
        CONN_TEST(test_conn_close_drops_a_peer_that_sends_without_end),
        CONN_TEST(test_conn_end_leaves_the_next_of_the_same_number_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
