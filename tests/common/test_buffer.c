// SPDX-License-Identifier: MIT
// The growable buffer: its maximum, its failures, and what each function leaves behind.
#include "tests/common/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#include "common/buffer.h"
#include "tests/common/faults.h"

static void assert_content(const struct tl_buffer *buffer, const char *text)
{
    assert_int_equal(buffer->size, strlen(text));
    if (buffer->size > 0)
        assert_memory_equal(buffer->bytes, text, buffer->size);
}

static void test_buffer_starts_without_memory(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 10);
    assert_null(buffer.bytes);
    assert_true(tl_buffer_append(&buffer, NULL, 0));
    assert_null(buffer.bytes);
    tl_buffer_clear(&buffer);
    tl_buffer_consume(&buffer, 0);
    tl_buffer_fini(&buffer);
}

static void test_buffer_takes_its_maximum_and_not_one_more(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 10);
    assert_true(tl_buffer_append_text(&buffer, "0123456789"));
    assert_false(tl_buffer_append_text(&buffer, "x"));
    assert_null(tl_buffer_reserve(&buffer, 1));
    assert_null(tl_buffer_reserve(&buffer, SIZE_MAX));
    assert_content(&buffer, "0123456789");
    assert_true(buffer.capacity <= 10);
    tl_buffer_fini(&buffer);
    assert_true(tl_buffer_append_text(&buffer, "again"));
    assert_content(&buffer, "again");
    tl_buffer_fini(&buffer);
}

static void test_buffer_grows_by_small_steps_to_its_maximum(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 100000);
    for (unsigned i = 0; i < 100000; i++) {
        const uint8_t byte = (uint8_t)(i * 7);
        assert_true(tl_buffer_append(&buffer, &byte, 1));
    }
    assert_false(tl_buffer_append(&buffer, "x", 1));
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(buffer.bytes[i], (uint8_t)(i * 7));
    tl_buffer_fini(&buffer);
}

static void test_buffer_of_no_bytes_reserves_none(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 0);
    assert_non_null(tl_buffer_reserve(&buffer, 0));
    assert_null(tl_buffer_reserve(&buffer, 1));
    assert_false(tl_buffer_append_text(&buffer, "x"));
    assert_true(tl_buffer_append_format(&buffer, "%s", ""));
    assert_false(tl_buffer_append_format(&buffer, "%s", "x"));
    tl_buffer_fini(&buffer);
}

static void test_buffer_reserve_then_commit_less(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 100);
    uint8_t *to = tl_buffer_reserve(&buffer, 50);
    assert_non_null(to);
    memcpy(to, "abc", 3);
    tl_buffer_commit(&buffer, 3);
    assert_content(&buffer, "abc");
    tl_buffer_fini(&buffer);
}

static void test_buffer_format_at_every_room(void **state)
{
    (void)state;
    // The text ends exactly at the maximum, one before, and one past it.
    for (size_t max = 0; max < 200; max++) {
        struct tl_buffer buffer;
        tl_buffer_init(&buffer, max);
        size_t expected = 0;
        while (tl_buffer_append_format(&buffer, "%s-%d", "format", 42))
            expected += 9;
        assert_int_equal(buffer.size, expected);
        assert_true(max - expected < 9);
        for (size_t at = 0; at < expected; at += 9)
            assert_memory_equal(buffer.bytes + at, "format-42", 9);
        tl_buffer_fini(&buffer);
    }
}

static void test_buffer_consume_truncate_clear(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 100);
    assert_true(tl_buffer_append_text(&buffer, "abcdef"));
    tl_buffer_consume(&buffer, 2);
    assert_content(&buffer, "cdef");
    tl_buffer_truncate(&buffer, 3);
    assert_content(&buffer, "cde");
    tl_buffer_consume(&buffer, 3);
    assert_content(&buffer, "");
    assert_true(tl_buffer_append_text(&buffer, "x"));
    uint8_t *bytes = buffer.bytes;
    tl_buffer_clear(&buffer);
    assert_content(&buffer, "");
    assert_ptr_equal(buffer.bytes, bytes);
    tl_buffer_fini(&buffer);
    assert_null(buffer.bytes);
}

static void test_buffer_take_leaves_it_empty(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    size_t size = 9;
    tl_buffer_init(&buffer, 100);
    assert_null(tl_buffer_take(&buffer, &size));
    assert_int_equal(size, 0);
    assert_true(tl_buffer_append_text(&buffer, "mine"));
    uint8_t *bytes = tl_buffer_take(&buffer, &size);
    assert_int_equal(size, 4);
    assert_memory_equal(bytes, "mine", 4);
    free(bytes);
    assert_content(&buffer, "");
    assert_true(tl_buffer_append_text(&buffer, "next"));
    assert_content(&buffer, "next");
    tl_buffer_fini(&buffer);
}

static void test_buffer_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct tl_buffer buffer;
    tl_buffer_init(&buffer, 1000);
    assert_true(tl_buffer_append_text(&buffer, "kept"));
    char text[200];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';

    faults_fail_allocation_after(0);
    assert_false(tl_buffer_append_text(&buffer, text));
    assert_true(faults_stop());
    assert_content(&buffer, "kept");
    for (unsigned after = 0; after < 2; after++) {
        faults_fail_allocation_after(after);
        assert_false(tl_buffer_append_format(&buffer, "%s", text));
        assert_true(faults_stop());
        assert_content(&buffer, "kept");
    }
    assert_true(tl_buffer_append_format(&buffer, "%s", text));
    tl_buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer_starts_without_memory),
        cmocka_unit_test(test_buffer_takes_its_maximum_and_not_one_more),
        cmocka_unit_test(test_buffer_grows_by_small_steps_to_its_maximum),
        cmocka_unit_test(test_buffer_of_no_bytes_reserves_none),
        cmocka_unit_test(test_buffer_reserve_then_commit_less),
        cmocka_unit_test(test_buffer_format_at_every_room),
        cmocka_unit_test(test_buffer_consume_truncate_clear),
        cmocka_unit_test(test_buffer_take_leaves_it_empty),
        cmocka_unit_test(test_buffer_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
