// SPDX-License-Identifier: MIT
// Queues of shared bytes: what goes in comes out, whatever the ranges; references are dropped
// (AddressSanitizer sees those that are not); running out of memory changes nothing.
#include "gateway/base/chunk.h"

#include <string.h>

#include "tests/common/cmocka_all.h"
#include "tests/common/faults.h"

enum { IOV_MAX_TEST = 256 };

// The queue's bytes as a string, which must fit.
static struct copy_counts counts; // of what the tests consume

static const char *content(const struct outq *queue)
{
    static char text[4096];
    struct iovec iov[IOV_MAX_TEST];
    size_t size = 0;
    int count = outq_iov(queue, iov, IOV_MAX_TEST);
    for (int i = 0; i < count; i++) {
        assert_true(iov[i].iov_len > 0);
        assert_true(size + iov[i].iov_len < sizeof text);
        memcpy(text + size, iov[i].iov_base, iov[i].iov_len);
        size += iov[i].iov_len;
    }
    text[size] = '\0';
    assert_int_equal(size, queue->bytes);
    return text;
}

static int count_ranges(const struct outq *queue)
{
    struct iovec iov[IOV_MAX_TEST];
    return outq_iov(queue, iov, IOV_MAX_TEST);
}

static void test_outq_starts_empty(void **state)
{
    (void)state;
    struct outq queue;
    outq_init(&queue);
    assert_true(outq_is_empty(&queue));
    assert_int_equal(count_ranges(&queue), 0);
    outq_consume(&queue, 0, &counts);
    outq_fini(&queue);
}

static void test_outq_merges_ranges_that_continue(void **state)
{
    (void)state;
    struct outq queue;
    outq_init(&queue);
    struct chunk *chunk = chunk_copy("abcdef", 6);
    assert_true(outq_append(&queue, chunk, 0, 2));
    assert_true(outq_append(&queue, chunk, 2, 4));
    assert_true(outq_append(&queue, chunk, 4, 4));
    assert_true(outq_append(&queue, chunk, 4, 6));
    assert_int_equal(count_ranges(&queue), 1);
    assert_int_equal(chunk->refs, 2);
    assert_string_equal(content(&queue), "abcdef");
    outq_fini(&queue);
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
}

static void test_outq_keeps_ranges_apart_that_do_not_continue(void **state)
{
    (void)state;
    struct outq queue;
    outq_init(&queue);
    struct chunk *chunk = chunk_copy("abcdef", 6);
    assert_true(outq_append(&queue, chunk, 0, 2));
    assert_true(outq_append(&queue, chunk, 3, 5));
    assert_true(outq_append(&queue, chunk, 0, 1));
    assert_true(outq_append(&queue, chunk, 0, 1));
    assert_int_equal(count_ranges(&queue), 4);
    assert_int_equal(chunk->refs, 5);
    assert_string_equal(content(&queue), "abdeaa");
    outq_fini(&queue);
    chunk_unref(chunk);
}

// Ten ranges of three bytes over two chunks; the queue holds the only references afterwards.
static void fill(struct outq *queue, char expected[31])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    struct chunk *one = chunk_copy(letters, 18);
    struct chunk *other = chunk_copy(letters + 18, 18);
    for (uint32_t i = 0; i < 10; i++) {
        struct chunk *chunk = i % 2 ? other : one;
        uint32_t start = i / 2 * 3;
        assert_true(outq_append(queue, chunk, start, start + 3));
        memcpy(expected + (size_t)i * 3, chunk->bytes + start, 3);
    }
    expected[30] = '\0';
    chunk_unref(one);
    chunk_unref(other);
}

static void test_outq_consumes_in_two_steps_at_every_offset(void **state)
{
    (void)state;
    for (size_t first = 0; first <= 30; first++) {
        for (size_t second = 0; first + second <= 30; second++) {
            struct outq queue;
            char expected[31];
            outq_init(&queue);
            fill(&queue, expected);
            outq_consume(&queue, first, &counts);
            assert_string_equal(content(&queue), expected + first);
            outq_consume(&queue, second, &counts);
            assert_string_equal(content(&queue), expected + first + second);
            if (first + second == 30)
                assert_null(queue.more);
            outq_fini(&queue);
        }
    }
}

static void test_outq_ring_wraps(void **state)
{
    (void)state;
    struct outq queue;
    outq_init(&queue);
    struct chunk *chunk = chunk_copy("0123456789", 10);
    size_t appended = 0;
    size_t consumed = 0;
    // Digits in descending order never merge; the queue holds between five and eight of them.
    for (int round = 0; round < 100; round++) {
        while (appended - consumed < 8) {
            uint32_t digit = (uint32_t)(9 - appended % 10);
            assert_true(outq_append(&queue, chunk, digit, digit + 1));
            appended++;
        }
        outq_consume(&queue, 3, &counts);
        consumed += 3;
        const char *text = content(&queue);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(text[i], '0' + (char)(9 - (consumed + i) % 10));
    }
    assert_true(queue.capacity <= 8);
    outq_fini(&queue);
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
}

static void test_outq_gives_no_more_iovecs_than_asked(void **state)
{
    (void)state;
    struct outq queue;
    char expected[31];
    struct iovec iov[4];
    outq_init(&queue);
    fill(&queue, expected);
    assert_int_equal(outq_iov(&queue, iov, 4), 4);
    assert_int_equal(outq_iov(&queue, iov, 1), 1);
    assert_int_equal(outq_iov(&queue, iov, 0), 0);
    outq_fini(&queue);
}

static void test_outq_copies_share_a_chunk_of_their_own(void **state)
{
    (void)state;
    struct outq queue;
    outq_init(&queue);
    assert_true(outq_append_copy(&queue, "head ", 5));
    assert_true(outq_append_copy(&queue, "", 0));
    assert_true(outq_append_copy(&queue, "body", 4));
    assert_int_equal(count_ranges(&queue), 1);
    assert_string_equal(content(&queue), "head body");
    outq_fini(&queue);
}

static void test_outq_copies_leave_chunks_alone_that_others_hold(void **state)
{
    (void)state;
    struct outq queue;
    outq_init(&queue);
    struct chunk *room = chunk_new(64);
    memcpy(room->bytes, "event", 5);
    room->size = 5;
    assert_true(outq_append(&queue, room, 0, 5));
    assert_true(outq_append_copy(&queue, "+answer", 7));
    assert_int_equal(room->size, 5);
    assert_string_equal(content(&queue), "event+answer");
    outq_fini(&queue);
    chunk_unref(room);
}

static void test_outq_move_keeps_the_order(void **state)
{
    (void)state;
    for (int is_to_empty = 0; is_to_empty < 2; is_to_empty++) {
        struct outq to;
        struct outq from;
        char expected[31];
        char all[64] = "";
        outq_init(&to);
        outq_init(&from);
        if (!is_to_empty) {
            assert_true(outq_append_copy(&to, "before", 6));
            strcpy(all, "before");
        }
        fill(&from, expected);
        assert_true(outq_move(&to, &from));
        assert_true(outq_is_empty(&from));
        assert_string_equal(content(&to), strcat(all, expected));
        assert_true(outq_move(&to, &from));
        assert_string_equal(content(&to), all);
        outq_fini(&to);
        outq_fini(&from);
    }
}

static void test_outq_move_merges_at_the_seam(void **state)
{
    (void)state;
    struct outq to;
    struct outq from;
    outq_init(&to);
    outq_init(&from);
    struct chunk *chunk = chunk_copy("abcdef", 6);
    assert_true(outq_append(&to, chunk, 0, 3));
    assert_true(outq_append(&from, chunk, 3, 6));
    assert_true(outq_move(&to, &from));
    assert_int_equal(count_ranges(&to), 1);
    assert_int_equal(chunk->refs, 2);
    assert_string_equal(content(&to), "abcdef");
    outq_fini(&to);
    chunk_unref(chunk);
}

static void test_outq_changes_nothing_when_memory_is_out(void **state)
{
    (void)state;
    struct outq to;
    struct outq from;
    char expected[31];
    outq_init(&to);
    outq_init(&from);
    struct chunk *chunk = chunk_copy("xyz", 3);
    assert_true(outq_append(&to, chunk, 0, 1));
    fill(&from, expected);

    faults_fail_allocation_after(0);
    assert_false(outq_append(&to, chunk, 2, 3));
    assert_true(faults_stop());
    assert_string_equal(content(&to), "x");

    faults_fail_allocation_after(0);
    assert_false(outq_move(&to, &from));
    assert_true(faults_stop());
    assert_string_equal(content(&to), "x");
    assert_string_equal(content(&from), expected);

    for (unsigned good = 0; good < 2; good++) { // the copy's chunk, then the ring
        faults_fail_allocation_after(good);
        assert_false(outq_append_copy(&to, "answer", 6));
        assert_true(faults_stop());
        assert_string_equal(content(&to), "x");
    }
    assert_int_equal(chunk->refs, 2);
    outq_fini(&to);
    outq_fini(&from);
    chunk_unref(chunk);
}

// Ten boundaries, of four kinds, in a chunk of 30 bytes: two end at each third byte from 6 on.
static struct chunk *bounded_chunk(void)
{
    struct chunk *chunk = chunk_new(30 + 10 * CHUNK_BOUNDARY_SIZE);
    assert_non_null(chunk);
    for (uint32_t i = 0; i < 10; i++) {
        chunk->size = 6 + i / 2 * 3;
        chunk_add_boundary(chunk, (enum copy_kind)(i % COPY_KINDS), i);
    }
    assert_int_equal(chunk_room(chunk), 30 - chunk->size);
    chunk->size = 30;
    return chunk;
}

static uint32_t sum(const struct copy_counts *of)
{
    return of->of[COPY_LIVE] + of->of[COPY_RECOVERED] + of->of[COPY_CAUGHT_UP] +
           of->of[COPY_RESENT];
}

static void test_outq_counts_each_copy_once_wherever_writes_end(void **state)
{
    (void)state;
    struct chunk *chunk = bounded_chunk();
    for (size_t first = 0; first <= 30; first++) {
        struct outq queue;
        struct copy_counts before = {0};
        struct copy_counts all = {0};
        struct unsent rest = {0};
        outq_init(&queue);
        // In two ranges, with something in between.
        assert_true(outq_append_range(&queue, &(struct range){chunk, 0, 10, 4}));
        assert_true(outq_append_copy(&queue, "-", 1));
        assert_true(outq_append_range(&queue, &(struct range){chunk, 10, 30, 6}));
        outq_consume(&queue, first, &before);
        outq_add_unsent(&queue, &rest);
        all = before;
        outq_consume(&queue, 31 - first, &all);
        assert_int_equal(sum(&all), 10);
        assert_int_equal(all.of[COPY_LIVE], 3);
        assert_int_equal(all.of[COPY_RECOVERED], 3);
        assert_int_equal(all.of[COPY_CAUGHT_UP], 2);
        // Of those left, what was sent before is nobody's loss.
        assert_int_equal(rest.events + rest.others,
                         10 - sum(&before) - (2 - before.of[COPY_RESENT]));
        for (uint32_t i = 0; rest.events > 0 && i < 10; i++)
            if (i % COPY_KINDS <= COPY_RECOVERED && i > 0 && i >= sum(&before)) {
                assert_int_equal(rest.first, i);
                break;
            }
        assert_true(outq_is_empty(&queue));
    }
    assert_int_equal(chunk->refs, 1);
    chunk_unref(chunk);
}

static void test_outq_merges_and_moves_copies_with_their_bytes(void **state)
{
    (void)state;
    struct chunk *chunk = bounded_chunk();
    struct outq from, to;
    struct copy_counts of = {0};
    outq_init(&from);
    outq_init(&to);
    assert_true(outq_append_range(&to, &(struct range){chunk, 0, 6, 2}));
    assert_true(outq_append_range(&to, &(struct range){chunk, 6, 9, 2}));
    assert_true(outq_append_range(&from, &(struct range){chunk, 9, 18, 6}));
    assert_true(outq_move(&to, &from));
    assert_int_equal(to.first.copies, 10);
    assert_true(outq_consume(&to, 18, &of)); // some are to be told apart
    assert_int_equal(sum(&of), 10);
    chunk_unref(chunk);
}

static void test_outq_tallied_copies_end_with_the_bytes(void **state)
{
    (void)state;
    const struct copy_counts given = {{2, 1, 0, 3}};
    struct copy_counts of = {0};
    struct outq queue;
    struct iovec iov;
    outq_init(&queue);
    assert_true(outq_append_counted(&queue, "abc", 3, &given));
    assert_true(outq_append_copy(&queue, "d", 1)); // not into the chunk with the boundaries
    assert_true(outq_front(&queue, &iov, &of));
    assert_memory_equal(&of, &given, sizeof of);
    of = (struct copy_counts){0};
    assert_false(outq_consume(&queue, 2, &of));
    assert_true(copy_counts_is_empty(&of));
    assert_true(outq_consume(&queue, 1, &of));
    assert_memory_equal(&of, &given, sizeof of);
    assert_int_equal(copy_counts_pending(&of), 3);
    outq_fini(&queue);
}

static void test_chunk_refuses_sizes_beyond_its_counters(void **state)
{
    (void)state;
    assert_null(chunk_new((size_t)UINT32_MAX + 1));
    struct outq queue;
    outq_init(&queue);
    assert_false(outq_append_copy(&queue, "", UINT32_MAX));
    assert_true(outq_is_empty(&queue));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outq_starts_empty),
        cmocka_unit_test(test_outq_merges_ranges_that_continue),
        cmocka_unit_test(test_outq_keeps_ranges_apart_that_do_not_continue),
        cmocka_unit_test(test_outq_consumes_in_two_steps_at_every_offset),
        cmocka_unit_test(test_outq_ring_wraps),
        cmocka_unit_test(test_outq_gives_no_more_iovecs_than_asked),
        cmocka_unit_test(test_outq_copies_share_a_chunk_of_their_own),
        cmocka_unit_test(test_outq_copies_leave_chunks_alone_that_others_hold),
        cmocka_unit_test(test_outq_move_keeps_the_order),
        cmocka_unit_test(test_outq_move_merges_at_the_seam),
        cmocka_unit_test(test_outq_changes_nothing_when_memory_is_out),
        cmocka_unit_test(test_outq_counts_each_copy_once_wherever_writes_end),
        cmocka_unit_test(test_outq_merges_and_moves_copies_with_their_bytes),
        cmocka_unit_test(test_outq_tallied_copies_end_with_the_bytes),
        cmocka_unit_test(test_chunk_refuses_sizes_beyond_its_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
