// SPDX-License-Identifier: MIT
// Connections: bytes both ways, back-pressure, every way to end. One end of a socket pair is the
// conn, the other the test's client.
#include "gateway/transport/conn.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/gateway/protocol/cmocka_all.h"
#include "tests/gateway/support/bed.h"

struct fixture {
    struct bed bed;
    struct client *client;
    struct conn *conn; // NULL once it has ended
    struct buffer in;
    size_t largest_read;
    unsigned drained;
    unsigned ended;
    enum conn_end end;
    bool is_in_call; // of conn_close or conn_abort: on_end must not come
    void (*on_data)(struct fixture *fixture);
    void (*on_drained)(struct fixture *fixture);
};

static struct fixture fixture;

static void on_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    struct fixture *f = owner;
    assert_ptr_equal(conn, f->conn);
    assert_false(conn_is_closing(conn));
    assert_true(size > 0);
    f->largest_read = size > f->largest_read ? size : f->largest_read;
    assert_true(buffer_append(&f->in, bytes, size));
    memset(bytes, '!', size); // they may be changed
    if (f->on_data)
        f->on_data(f);
}

static void on_drained(struct conn *conn, void *owner)
{
    struct fixture *f = owner;
    assert_true(outq_is_empty(conn_queue(conn)));
    f->drained++;
    if (f->on_drained)
        f->on_drained(f);
}

static void on_end(struct conn *conn, void *owner, enum conn_end end)
{
    struct fixture *f = owner;
    assert_ptr_equal(conn, f->conn);
    assert_true(conn_is_closing(conn));
    assert_false(f->is_in_call);
    f->conn = NULL;
    f->end = end;
    f->ended++;
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_drained = on_drained, .on_end = on_end};

static void open_pair(int ends[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
}

// A TCP connection over loopback: Unix sockets know no reset.
static void open_tcp_pair(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listening, 1), 0);
    assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(ends[1], (struct sockaddr *)&address, size), 0);
    ends[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(ends[0] >= 0);
    close(listening);
}

static int setup_with(void (*open_ends)(int ends[2]))
{
    int ends[2];
    memset(&fixture, 0, sizeof fixture);
    bed_init(&fixture.bed);
    buffer_init(&fixture.in, 64 * 1024 * 1024);
    open_ends(ends);
    fixture.client = client_adopt(&fixture.bed, ends[1]);
    fixture.conn = conn_open(fixture.bed.loop, &fixture.bed.metrics, ends[0], &handler, &fixture);
    return fixture.conn ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    return setup_with(open_pair);
}

static int setup_tcp(void **state)
{
    (void)state;
    return setup_with(open_tcp_pair);
}

static int teardown(void **state)
{
    (void)state;
    if (fixture.conn)
        conn_abort(fixture.conn);
    bed_turn(&fixture.bed);
    bool is_over_once = fixture.ended == 1 && bed_metric(&fixture.bed, GW_CONNECTIONS) == 0;
    bed_fini(&fixture.bed);
    buffer_fini(&fixture.in);
    return is_over_once ? 0 : -1;
}

static bool has_ended(void *arg)
{
    (void)arg;
    return fixture.ended > 0;
}

static void wait_end(enum conn_end end)
{
    bed_wait(&fixture.bed, has_ended, NULL);
    assert_int_equal(fixture.end, end);
}

static void wait_input(size_t size)
{
    bed_wait_size(&fixture.bed, &fixture.in, size);
    assert_int_equal(fixture.in.size, size);
}

static void send_text(const char *text)
{
    assert_true(outq_append_copy(conn_queue(fixture.conn), text, strlen(text)));
    conn_flush(fixture.conn);
}

static void call_abort(struct fixture *f)
{
    f->is_in_call = true;
    conn_abort(f->conn);
    conn_abort(f->conn);
    conn_close(f->conn, 1000);
    f->is_in_call = false;
}

static void call_close(struct fixture *f)
{
    f->is_in_call = true;
    conn_close(f->conn, 1000);
    f->is_in_call = false;
}

// ---- Bytes

static void test_conn_delivers_what_arrives(void **state)
{
    (void)state;
    assert_int_equal(bed_metric(&fixture.bed, GW_CONNECTIONS), 1);
    for (int i = 0; i < 100; i++) {
        client_send(fixture.client, &(char){(char)i}, 1);
        wait_input((size_t)i + 1);
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(fixture.in.bytes[i], i);
}

static void test_conn_reads_a_bounded_amount_a_turn(void **state)
{
    (void)state;
    size_t size;
    gw_loop_scratch(fixture.bed.loop, &size);
    uint8_t *bytes = malloc(4 * size);
    assert_non_null(bytes);
    for (size_t i = 0; i < 4 * size; i++)
        bytes[i] = (uint8_t)(i * 31 >> 3);
    client_send(fixture.client, bytes, 4 * size);
    // What the kernel holds is ready at once, and more than one turn takes.
    gw_loop_turn(fixture.bed.loop, false);
    assert_true(fixture.in.size > 0 && fixture.in.size <= size);
    size_t first = fixture.in.size;
    gw_loop_turn(fixture.bed.loop, false);
    assert_true(fixture.in.size > first && fixture.in.size - first <= size);
    wait_input(4 * size);
    assert_memory_equal(fixture.in.bytes, bytes, 4 * size);
    free(bytes);
}

static void test_conn_writes_all_of_a_turn_at_its_end(void **state)
{
    (void)state;
    send_text("one ");
    send_text("two ");
    send_text("three");
    assert_int_equal(fixture.drained, 0);
    client_wait_size(fixture.client, 13);
    assert_memory_equal(fixture.client->in.bytes, "one two three", 13);
    assert_int_equal(fixture.drained, 1);
    conn_flush(fixture.conn); // nothing to write: nothing is drained
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.drained, 1);
}

// More ranges than a writev takes, of chunks that are shared.
static void test_conn_writes_many_ranges_in_order(void **state)
{
    (void)state;
    enum { RANGES = 1000 };
    struct chunk *chunk = chunk_copy("0123456789", 10);
    for (uint32_t i = 0; i < RANGES; i++)
        assert_true(outq_append(conn_queue(fixture.conn), chunk, 9 - i % 10, 10 - i % 10));
    conn_flush(fixture.conn);
    client_wait_size(fixture.client, RANGES);
    for (uint32_t i = 0; i < RANGES; i++)
        assert_int_equal(fixture.client->in.bytes[i], '9' - i % 10);
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
}

static void test_conn_waits_for_a_slow_reader(void **state)
{
    (void)state;
    enum { SIZE = 8 * 1024 * 1024 };
    uint8_t *bytes = malloc(SIZE);
    assert_non_null(bytes);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7 >> 5);
    fixture.client->is_reading = false;
    assert_true(outq_append_copy(conn_queue(fixture.conn), bytes, SIZE));
    conn_flush(fixture.conn);
    bed_turn(&fixture.bed);
    bed_turn(&fixture.bed);
    assert_false(outq_is_empty(conn_queue(fixture.conn)));
    assert_int_equal(fixture.drained, 0);
    // It is not busy while it waits: input still gets through.
    client_send_text(fixture.client, "still here");
    wait_input(10);

    fixture.client->is_reading = true;
    client_wait_size(fixture.client, SIZE);
    assert_memory_equal(fixture.client->in.bytes, bytes, SIZE);
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.drained, 1);
    free(bytes);
}

static void send_second(struct fixture *f)
{
    if (f->drained == 1)
        send_text("second");
}

static void test_conn_can_be_written_to_when_drained(void **state)
{
    (void)state;
    fixture.on_drained = send_second;
    send_text("first ");
    client_wait_size(fixture.client, 12);
    assert_memory_equal(fixture.client->in.bytes, "first second", 12);
    assert_int_equal(fixture.drained, 2);
}

// ---- Pausing and giving back

static void test_conn_paused_reads_nothing_until_resumed(void **state)
{
    (void)state;
    conn_pause(fixture.conn);
    client_send_text(fixture.client, "waits");
    for (int i = 0; i < 10; i++)
        bed_turn(&fixture.bed);
    assert_int_equal(fixture.in.size, 0);
    conn_resume(fixture.conn);
    wait_input(5);
}

static void test_conn_paused_notices_its_end(void **state)
{
    (void)state;
    conn_pause(fixture.conn);
    client_send_text(fixture.client, "lost");
    client_close(fixture.client);
    wait_end(CONN_END_PEER);
    assert_int_equal(fixture.in.size, 0);
}

static void give_back(struct fixture *f)
{
    f->on_data = NULL;
    assert_true(conn_unread(f->conn, f->in.bytes + 2, f->in.size - 2));
    buffer_truncate(&f->in, 2);
}

static void test_conn_unread_bytes_come_again_in_the_same_turn(void **state)
{
    (void)state;
    fixture.on_data = give_back;
    client_send_text(fixture.client, "abcdef");
    gw_loop_turn(fixture.bed.loop, false);
    assert_int_equal(fixture.in.size, 6);
    assert_memory_equal(fixture.in.bytes, "abcdef", 6);
}

static void give_back_and_pause(struct fixture *f)
{
    give_back(f);
    conn_pause(f->conn);
}

static void test_conn_unread_bytes_come_before_newer_ones(void **state)
{
    (void)state;
    fixture.on_data = give_back_and_pause;
    client_send_text(fixture.client, "abcdef");
    wait_input(2);
    client_send_text(fixture.client, "ghi");
    bed_turn(&fixture.bed);
    assert_int_equal(fixture.in.size, 2);
    conn_resume(fixture.conn);
    wait_input(9);
    assert_memory_equal(fixture.in.bytes, "abcdefghi", 9);
}

static void give_back_and_abort(struct fixture *f)
{
    give_back(f);
    call_abort(f);
}

static void test_conn_unread_bytes_are_dropped_with_the_conn(void **state)
{
    (void)state;
    fixture.on_data = give_back_and_abort;
    client_send_text(fixture.client, "abcdef");
    wait_end(CONN_END_LOCAL);
    assert_int_equal(fixture.in.size, 2);
}

static struct buffer other_in;

static void on_other_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    (void)conn;
    (void)owner;
    assert_true(buffer_append(&other_in, bytes, size));
}

static void switch_handler(struct fixture *f)
{
    static const struct conn_handler other = {.on_data = on_other_data, .on_end = on_end};
    conn_set_handler(f->conn, &other, f);
    give_back(f);
}

static void test_conn_new_handler_gets_what_was_given_back(void **state)
{
    (void)state;
    buffer_init(&other_in, 1000);
    fixture.on_data = switch_handler;
    client_send_text(fixture.client, "abcdef");
    wait_input(2);
    client_send_text(fixture.client, "ghi");
    bed_wait_size(&fixture.bed, &other_in, 7);
    assert_memory_equal(other_in.bytes, "cdefghi", 7);
    buffer_fini(&other_in);
}

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

static void echo(struct fixture *f)
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

static void send_more_once_drained(struct fixture *f)
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

static void close_with_answer(struct fixture *f)
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
    static struct fixture next;
    int ends[2];
    memset(&next, 0, sizeof next);
    buffer_init(&next.in, 1000);
    bed_turn(&fixture.bed);
    call_abort(&fixture);
    open_pair(ends);
    struct client *client = client_adopt(&fixture.bed, ends[1]);
    next.conn = conn_open(fixture.bed.loop, &fixture.bed.metrics, ends[0], &handler, &next);
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
    buffer_fini(&next.in);
}

int main(void)
{
#define CONN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TCP_TEST(name)  cmocka_unit_test_setup_teardown(name, setup_tcp, teardown)
    const struct CMUnitTest tests[] = {
        CONN_TEST(test_conn_delivers_what_arrives),
        CONN_TEST(test_conn_reads_a_bounded_amount_a_turn),
        CONN_TEST(test_conn_writes_all_of_a_turn_at_its_end),
        CONN_TEST(test_conn_writes_many_ranges_in_order),
        CONN_TEST(test_conn_waits_for_a_slow_reader),
        CONN_TEST(test_conn_can_be_written_to_when_drained),
        CONN_TEST(test_conn_paused_reads_nothing_until_resumed),
        CONN_TEST(test_conn_paused_notices_its_end),
        TCP_TEST(test_conn_paused_notices_its_end),
        CONN_TEST(test_conn_unread_bytes_come_again_in_the_same_turn),
        CONN_TEST(test_conn_unread_bytes_come_before_newer_ones),
        CONN_TEST(test_conn_unread_bytes_are_dropped_with_the_conn),
        CONN_TEST(test_conn_new_handler_gets_what_was_given_back),
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
