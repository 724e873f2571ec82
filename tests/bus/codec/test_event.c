// SPDX-License-Identifier: MIT
// Fields of a received event.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <talus/error.h>
#include <talus/event.h>

#include "tests/bus/support/vectors.h"

// {n: nil, b: true, u: 300, i: -5, d: 1.5, s: "hi", x: bin 0102, a: [1, [2]], m: {k: 1},
//  t: timestamp 0, last: "!"}
static const char all_types[] =
    "8ba16ec0a162c3a175cd012ca169fba164cb3ff8000000000000a173a26869a178c4020102a16192"
    "019102a16d81a16b01a174d6ff00000000a46c617374a121";

static talus_event_t event_of(const struct vectors_bytes *data)
{
    return (talus_event_t){.data = data->ptr, .data_size = data->size};
}

static talus_value_t field(const talus_event_t *event, const char *key, talus_value_type_t type)
{
    talus_value_t value;
    assert_int_equal(talus_event_field(event, key, &value), 0);
    assert_int_equal(value.type, type);
    return value;
}

static void expect_bytes(const talus_event_t *event, const char *key, talus_value_type_t type,
                         const char *expected, size_t size)
{
    talus_value_t value = field(event, key, type);
    const uint8_t *ptr = value.as.bytes.ptr;
    const uint8_t *data = event->data;
    assert_int_equal(value.as.bytes.size, size);
    assert_memory_equal(ptr, expected, size);
    assert_true(ptr > data && ptr < data + event->data_size);
}

static void test_event_field_of_each_type(void **state)
{
    (void)state;
    struct vectors_bytes data = vectors_hex(all_types);
    talus_event_t event = event_of(&data);
    field(&event, "n", TALUS_NIL);
    assert_true(field(&event, "b", TALUS_BOOL).as.boolean);
    assert_int_equal(field(&event, "u", TALUS_UINT).as.u64, 300);
    assert_int_equal(field(&event, "i", TALUS_INT).as.i64, -5);
    assert_true(field(&event, "d", TALUS_DOUBLE).as.f64 == 1.5);
    expect_bytes(&event, "s", TALUS_STR, "hi", 2);
    expect_bytes(&event, "x", TALUS_BIN, "\x01\x02", 2);
    expect_bytes(&event, "a", TALUS_MSGPACK, "\x92\x01\x91\x02", 4);
    expect_bytes(&event, "m", TALUS_MSGPACK, "\x81\xa1k\x01", 4);
    expect_bytes(&event, "t", TALUS_MSGPACK, "\xd6\xff\0\0\0\0", 6);
    expect_bytes(&event, "last", TALUS_STR, "!", 1);
    free(data.ptr);
}

static void test_event_field_not_found(void **state)
{
    (void)state;
    struct vectors_bytes data = vectors_hex(all_types);
    talus_event_t event = event_of(&data);
    talus_value_t value = talus_uint(77);
    static const char *const keys[] = {"", "z", "las", "last!", "k", "hi"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(talus_event_field(&event, keys[i], &value), TALUS_ENOTFOUND);
    assert_int_equal(value.as.u64, 77);
    free(data.ptr);
}

static void test_event_field_of_other_payloads(void **state)
{
    (void)state;
    static const char *const payloads[] = {"", "c0", "91a161", "a161", "80"};
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        struct vectors_bytes data = vectors_hex(payloads[i]);
        talus_event_t event = event_of(&data);
        talus_value_t value;
        assert_int_equal(talus_event_field(&event, "a", &value), TALUS_ENOTFOUND);
        free(data.ptr);
    }
}

static void test_event_field_first_of_two_and_odd_keys(void **state)
{
    (void)state;
    // {[1]: 2, bin "a": 3, "": 4, "a": 5, "a": 6}
    struct vectors_bytes data = vectors_hex("859101"
                                            "02"
                                            "c40161"
                                            "03"
                                            "a0"
                                            "04"
                                            "a161"
                                            "05"
                                            "a161"
                                            "06");
    talus_event_t event = event_of(&data);
    assert_int_equal(field(&event, "a", TALUS_UINT).as.u64, 5);
    assert_int_equal(field(&event, "", TALUS_UINT).as.u64, 4);
    free(data.ptr);
}

static void test_event_field_truncated_and_corrupted(void **state)
{
    (void)state;
    struct vectors_bytes data = vectors_hex(all_types);
    talus_value_t value;
    for (size_t size = 0; size < data.size; size++) {
        struct vectors_bytes copy = vectors_copy(data.ptr, size);
        talus_event_t event = event_of(&copy);
        assert_int_equal(talus_event_field(&event, "last", &value), TALUS_ENOTFOUND);
        free(copy.ptr);
    }
    for (size_t place = 0; place < data.size; place++) {
        for (int byte = 0; byte < 256; byte++) {
            struct vectors_bytes copy = vectors_copy(data.ptr, data.size);
            copy.ptr[place] = (uint8_t)byte;
            talus_event_t event = event_of(&copy);
            talus_error_t error = talus_event_field(&event, "last", &value);
            assert_true(error == 0 || error == TALUS_ENOTFOUND);
            free(copy.ptr);
        }
    }
    free(data.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_field_of_each_type),
        cmocka_unit_test(test_event_field_not_found),
        cmocka_unit_test(test_event_field_of_other_payloads),
        cmocka_unit_test(test_event_field_first_of_two_and_odd_keys),
        cmocka_unit_test(test_event_field_truncated_and_corrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
