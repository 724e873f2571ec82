// SPDX-License-Identifier: MIT
// Payloads of typed events: each kind of value, each error, and the buffer's bound.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <talus/error.h>

#include "bus/src/codec/typed_payload.h"
#include "tests/bus/support/vectors.h"

enum { STORAGE = 64, MAX = 4096 };

static int encode(const char *session_id, const struct talus__typed_field *fields, size_t count,
                  size_t max, struct talus__pack_buffer *buffer, uint8_t *storage)
{
    talus__pack_buffer_init(buffer, storage, STORAGE, max);
    return talus__typed_payload_encode(buffer, session_id, fields, count);
}

static void check_encoded(talus_value_t value, const char *hex)
{
    uint8_t storage[STORAGE];
    struct talus__pack_buffer buffer;
    struct talus__typed_field field = {"v", TALUS__IS_ANY, value};
    assert_int_equal(encode("s", &field, 1, MAX, &buffer, storage), 0);
    struct vectors_bytes expected = vectors_hex(hex);
    static const char head[] = "\x82\xaa"
                               "session_id"
                               "\xa1s\xa1v";
    assert_int_equal(buffer.out.size, sizeof(head) - 1 + expected.size);
    assert_memory_equal(buffer.out.bytes, head, sizeof(head) - 1);
    assert_memory_equal(buffer.out.bytes + sizeof(head) - 1, expected.ptr, expected.size);
    free(expected.ptr);
    talus__pack_buffer_fini(&buffer);
}

static void test_typed_payload_each_kind_of_value(void **state)
{
    (void)state;
    check_encoded(talus_nil(), "c0");
    check_encoded(talus_bool(true), "c3");
    check_encoded(talus_bool(false), "c2");
    check_encoded(talus_int(0), "00");
    check_encoded(talus_int(-1), "ff");
    check_encoded(talus_int(INT64_MIN), "d38000000000000000");
    check_encoded(talus_int(INT64_MAX), "cf7fffffffffffffff");
    check_encoded(talus_uint(UINT64_MAX), "cfffffffffffffffff");
    check_encoded(talus_double(1.5), "cb3ff8000000000000");
    check_encoded(talus_double(-INFINITY), "cbfff0000000000000");
    check_encoded(talus_str("hi"), "a26869");
    check_encoded(talus_str(""), "a0");
    check_encoded(talus_str(NULL), "c0");
    check_encoded(talus_strn(NULL, 0), "a0");
    check_encoded(talus_strn("a\0b", 3), "a3610062");
    check_encoded(talus_strn("\xff", 1), "a1ff"); // not checked to be UTF-8
    check_encoded(talus_bin("\x01\x02", 2), "c4020102");
    check_encoded(talus_bin(NULL, 0), "c400");
    check_encoded(talus_msgpack("\x92\x01\x80", 3), "920180");
}

static void check_refused(talus_value_t value, unsigned types, int error)
{
    uint8_t storage[STORAGE];
    struct talus__pack_buffer buffer;
    struct talus__typed_field field = {"v", types, value};
    assert_int_equal(encode("s", &field, 1, MAX, &buffer, storage), error);
    talus__pack_buffer_fini(&buffer);
}

static void test_typed_payload_errors(void **state)
{
    (void)state;
    check_refused(talus_str(NULL), TALUS__IS_TEXT, TALUS_EINVAL);
    check_refused(talus_str(""), TALUS__IS_TEXT, 0);
    check_refused(talus_int(1), TALUS__IS_TEXT, TALUS_EINVAL);
    check_refused(talus_str(NULL), TALUS__IS_OPT, 0);
    check_refused(talus_bool(true), TALUS__IS_OPT, TALUS_EINVAL);
    check_refused(talus_nil(), TALUS__IS_BOOL, TALUS_EINVAL);
    check_refused(talus_bool(false), TALUS__IS_BOOL, 0);
    check_refused(talus_strn(NULL, 1), TALUS__IS_ANY, TALUS_EINVAL);
    check_refused(talus_bin(NULL, 1), TALUS__IS_ANY, TALUS_EINVAL);
    check_refused(talus_msgpack(NULL, 1), TALUS__IS_ANY, TALUS_EINVAL);
    talus_value_t stranger = talus_nil();
    stranger.type = (talus_value_type_t)99;
    check_refused(stranger, TALUS__IS_ANY, TALUS_EINVAL);
    // A size that msgpack cannot express is refused before a byte of it is read.
    check_refused(talus_strn("", (size_t)UINT32_MAX + 1), TALUS__IS_ANY, TALUS_ETOOLARGE);
}

// A raw value that is none, half of one or two would shift the fields after it.
static void test_typed_payload_raw_values_are_whole(void **state)
{
    (void)state;
    check_refused(talus_msgpack("", 0), TALUS__IS_ANY, TALUS_EMSGPACK);
    check_refused(talus_msgpack(NULL, 0), TALUS__IS_ANY, TALUS_EMSGPACK);
    check_refused(talus_msgpack("\x01\x02", 2), TALUS__IS_ANY, TALUS_EMSGPACK);
    check_refused(talus_msgpack("\x92\x01", 2), TALUS__IS_ANY, TALUS_EMSGPACK);
    check_refused(talus_msgpack("\xc1", 1), TALUS__IS_ANY, TALUS_EMSGPACK);
}

static void test_typed_payload_needs_a_session(void **state)
{
    (void)state;
    uint8_t storage[STORAGE];
    struct talus__pack_buffer buffer;
    assert_int_equal(encode(NULL, NULL, 0, MAX, &buffer, storage), TALUS_ESESSION);
    assert_int_equal(encode("", NULL, 0, MAX, &buffer, storage), TALUS_ESESSION);
    assert_int_equal(encode("s", NULL, 0, MAX, &buffer, storage), 0);
    assert_int_equal(buffer.out.size, 14);
    talus__pack_buffer_fini(&buffer);
}

static void test_typed_payload_grows_up_to_the_bound(void **state)
{
    (void)state;
    static char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    struct talus__typed_field fields[] = {{"a", TALUS__IS_TEXT, talus_str(text)},
                                          {"b", TALUS__IS_TEXT, talus_str(text)}};
    uint8_t *storage = malloc(STORAGE);
    struct talus__pack_buffer buffer;
    assert_int_equal(encode("s", fields, 2, MAX, &buffer, storage), 0);
    size_t size = buffer.out.size;
    assert_true(size > 2 * (sizeof(text) - 1));
    assert_true(buffer.out.bytes != storage);
    talus__pack_buffer_fini(&buffer);
    for (size_t max = 0; max < size; max += 7) {
        assert_int_equal(encode("s", fields, 2, max, &buffer, storage), TALUS_ETOOLARGE);
        assert_true(buffer.out.size <= max &&
                    (buffer.out.bytes == storage || buffer.out.capacity <= max));
        talus__pack_buffer_fini(&buffer);
    }
    assert_int_equal(encode("s", fields, 2, size - 1, &buffer, storage), TALUS_ETOOLARGE);
    talus__pack_buffer_fini(&buffer);
    assert_int_equal(encode("s", fields, 2, size, &buffer, storage), 0);
    assert_int_equal(buffer.out.size, size);
    talus__pack_buffer_fini(&buffer);
    free(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_typed_payload_each_kind_of_value),
        cmocka_unit_test(test_typed_payload_errors),
        cmocka_unit_test(test_typed_payload_raw_values_are_whole),
        cmocka_unit_test(test_typed_payload_needs_a_session),
        cmocka_unit_test(test_typed_payload_grows_up_to_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
