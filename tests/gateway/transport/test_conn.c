// SPDX-License-Identifier: MIT
// Connections that are open: bytes both ways, back-pressure, bytes given back.
#include <stdlib.h>
#include <string.h>

#include "tests/common/cmocka_all.h"
#include "tests/gateway/transport/conn_fixture.h"

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

static void send_second(struct conn_fixture *f)
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

static void give_back(struct conn_fixture *f)
{
    f->on_data = NULL;
    assert_true(conn_unread(f->conn, f->in.bytes + 2, f->in.size - 2));
    tl_buffer_truncate(&f->in, 2);
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

static void give_back_and_pause(struct conn_fixture *f)
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

static void give_back_and_abort(struct conn_fixture *f)
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

static struct tl_buffer other_in;

static void on_other_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    (void)conn;
    (void)owner;
    assert_true(tl_buffer_append(&other_in, bytes, size));
}

static void switch_handler(struct conn_fixture *f)
{
    static struct conn_handler other;
    other = fixture_handler;
    other.on_data = on_other_data;
    conn_set_handler(f->conn, &other, f);
    give_back(f);
}

static void test_conn_new_handler_gets_what_was_given_back(void **state)
{
    (void)state;
    tl_buffer_init(&other_in, 1000);
    fixture.on_data = switch_handler;
    client_send_text(fixture.client, "abcdef");
    wait_input(2);
    client_send_text(fixture.client, "ghi");
    bed_wait_size(&fixture.bed, &other_in, 7);
    assert_memory_equal(other_in.bytes, "cdefghi", 7);
    tl_buffer_fini(&other_in);
}

int main(void)
{
#define CONN_TEST(name) cmocka_unit_test_setup_teardown(name, conn_setup, conn_teardown)
#define TCP_TEST(name)  cmocka_unit_test_setup_teardown(name, conn_setup_tcp, conn_teardown)
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
