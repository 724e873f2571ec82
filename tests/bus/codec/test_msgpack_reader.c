// SPDX-License-Identifier: MIT
// The msgpack cursor, with msgpack-c's packer and unpacker as the oracles.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <msgpack.h>

#include "bus/src/codec/msgpack_reader.h"

static struct talus__msgpack_value read_one(const void *bytes, size_t size)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, size);
    struct talus__msgpack_value value;
    assert_true(talus__msgpack_read(&reader, &value));
    assert_ptr_equal(reader.at, reader.end);
    return value;
}

static void test_msgpack_reader_all_256_codes(void **state)
{
    (void)state;
    uint8_t bytes[512] = {0};
    for (int code = 0; code < 256; code++) {
        bytes[0] = (uint8_t)code;
        struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, sizeof(bytes));
        struct talus__msgpack_value value;
        assert_int_equal(talus__msgpack_read(&reader, &value), code != 0xc1);
        reader = talus__msgpack_reader(bytes, sizeof(bytes));
        if (code != 0xc1) {
            assert_true(talus__msgpack_skip(&reader, 1));
            msgpack_unpacked unpacked;
            size_t offset = 0;
            msgpack_unpacked_init(&unpacked);
            assert_int_equal(
                msgpack_unpack_next(&unpacked, (const char *)bytes, sizeof(bytes), &offset),
                MSGPACK_UNPACK_SUCCESS);
            assert_int_equal(reader.at - bytes, offset);
            msgpack_unpacked_destroy(&unpacked);
        }
    }
}

static void expect_integer(int64_t number)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    msgpack_pack_int64(&packer, number);
    struct talus__msgpack_value value = read_one(buffer.data, buffer.size);
    assert_int_equal(value.kind, number < 0 ? TALUS__MSGPACK_INT : TALUS__MSGPACK_UINT);
    assert_true(value.as.i64 == number);
    msgpack_sbuffer_destroy(&buffer);
}

static void test_msgpack_reader_integers_around_powers_of_two(void **state)
{
    (void)state;
    for (int bit = 0; bit < 63; bit++) {
        int64_t power = INT64_C(1) << bit;
        for (int64_t offset = -1; offset <= 1; offset++) {
            expect_integer(power + offset);
            expect_integer(-power + offset);
        }
    }
    expect_integer(INT64_MAX);
    expect_integer(INT64_MIN);
    uint8_t most[] = {0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct talus__msgpack_value value = read_one(most, sizeof(most));
    assert_int_equal(value.kind, TALUS__MSGPACK_UINT);
    assert_true(value.as.u64 == UINT64_MAX);
}

static void test_msgpack_reader_signed_forms(void **state)
{
    (void)state;
    struct talus__msgpack_value value = read_one("\xd3\0\0\0\0\0\0\0\x2a", 9);
    assert_int_equal(value.kind, TALUS__MSGPACK_UINT);
    assert_int_equal(value.as.u64, 42);
    value = read_one("\xd1\xff\xfe", 3);
    assert_int_equal(value.kind, TALUS__MSGPACK_INT);
    assert_int_equal(value.as.i64, -2);
}

static void test_msgpack_reader_floats(void **state)
{
    (void)state;
    struct talus__msgpack_value value = read_one("\xca\x3f\xc0\0\0", 5);
    assert_int_equal(value.kind, TALUS__MSGPACK_FLOAT);
    assert_true(value.as.f64 == 1.5);
    value = read_one("\xcb\xc0\x04\0\0\0\0\0\0", 9);
    assert_true(value.as.f64 == -2.5);
}

static void test_msgpack_reader_bytes_borrow(void **state)
{
    (void)state;
    static const char text[] = "\xa3"
                               "abc";
    struct talus__msgpack_value value = read_one(text, 4);
    assert_int_equal(value.kind, TALUS__MSGPACK_STR);
    assert_int_equal(value.size, 3);
    assert_ptr_equal(value.as.bytes, text + 1);
    value = read_one("\xc7\x02\xfb"
                     "ab",
                     5);
    assert_int_equal(value.kind, TALUS__MSGPACK_EXT);
    assert_int_equal(value.ext_type, -5);
    assert_memory_equal(value.as.bytes, "ab", 2);
}

static bool skips(const void *bytes, size_t size)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, size);
    return talus__msgpack_skip(&reader, 1);
}

static void test_msgpack_reader_skips_any_depth(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    uint8_t *bytes = malloc(DEPTH + 1);
    assert_non_null(bytes);
    memset(bytes, 0x91, DEPTH);
    bytes[DEPTH] = 0xc0;
    assert_true(skips(bytes, DEPTH + 1));
    assert_false(skips(bytes, DEPTH));
    free(bytes);
}

static void test_msgpack_reader_refuses_impossible_counts_at_once(void **state)
{
    (void)state;
    struct talus__msgpack_value value;
    struct talus__msgpack_reader reader = talus__msgpack_reader("\xdd\0\0\0\x02\x01", 6);
    assert_false(talus__msgpack_read(&reader, &value));
    reader = talus__msgpack_reader("\xdf\0\0\0\x01\x01", 6);
    assert_false(talus__msgpack_read(&reader, &value));
    reader = talus__msgpack_reader("\xdf\0\0\0\x01\x01\x01", 7);
    assert_true(talus__msgpack_read(&reader, &value));
    assert_int_equal(talus__msgpack_children(&value), 2);
    reader = talus__msgpack_reader("\x01\x02", 2);
    assert_false(talus__msgpack_skip(&reader, UINT64_MAX));
}

static void test_msgpack_reader_reads_nothing_from_nothing(void **state)
{
    (void)state;
    struct talus__msgpack_value value;
    struct talus__msgpack_reader reader = talus__msgpack_reader(NULL, 0);
    assert_false(talus__msgpack_read(&reader, &value));
    assert_true(talus__msgpack_skip(&reader, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msgpack_reader_all_256_codes),
        cmocka_unit_test(test_msgpack_reader_integers_around_powers_of_two),
        cmocka_unit_test(test_msgpack_reader_signed_forms),
        cmocka_unit_test(test_msgpack_reader_floats),
        cmocka_unit_test(test_msgpack_reader_bytes_borrow),
        cmocka_unit_test(test_msgpack_reader_skips_any_depth),
        cmocka_unit_test(test_msgpack_reader_refuses_impossible_counts_at_once),
        cmocka_unit_test(test_msgpack_reader_reads_nothing_from_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
