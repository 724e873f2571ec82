// SPDX-License-Identifier: MIT
// Packet heads and JSON text. The expectations for JSON are what JSON.stringify gives.
#include "tests/common/cmocka_all.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/sio.h"

static void assert_content(struct tl_buffer *out, const char *expected)
{
    assert_true(tl_buffer_append(out, "", 1));
    assert_string_equal((char *)out->bytes, expected);
    tl_buffer_clear(out);
}

static void test_sio_encode_heads(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 100);
    assert_true(sio_encode_head(&out, SIO_CONNECT, 0, "/", SIO_NO_ID));
    assert_content(&out, "0");
    assert_true(sio_encode_head(&out, SIO_DISCONNECT, 0, "/admin", SIO_NO_ID));
    assert_content(&out, "1/admin,");
    assert_true(sio_encode_head(&out, SIO_EVENT, 0, "/", 0));
    assert_content(&out, "20");
    assert_true(sio_encode_head(&out, SIO_ACK, 0, "/n", INT64_MAX));
    assert_content(&out, "3/n,9223372036854775807");
    assert_true(sio_encode_head(&out, SIO_BINARY_EVENT, 10, "/n", 7));
    assert_content(&out, "510-/n,7");
    assert_true(sio_encode_head(&out, SIO_BINARY_ACK, 1, "/", 12));
    assert_content(&out, "61-12");
    tl_buffer_fini(&out);
    for (size_t max = 0; max < 8; max++) {
        tl_buffer_init(&out, max);
        assert_false(sio_encode_head(&out, SIO_BINARY_EVENT, 10, "/n", 7));
        assert_int_equal(out.size, 0);
        tl_buffer_fini(&out);
    }
}

static void assert_real(double value, const char *expected)
{
    struct tl_buffer out;
    json_t *number = json_real(value);
    tl_buffer_init(&out, 100);
    assert_true(sio_encode_json(&out, number));
    assert_content(&out, expected);
    tl_buffer_fini(&out);
    json_decref(number);
}

static void test_sio_encode_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *expected;
    } CASES[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-1, "-1"},
        {0.1, "0.1"},
        {-0.5, "-0.5"},
        {1.5, "1.5"},
        {100, "100"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {123456.789, "123456.789"},
        {1e20, "100000000000000000000"},
        {123456789012345680000.0, "123456789012345680000"},
        {1e21, "1e+21"},
        {1.5e21, "1.5e+21"},
        {1e-6, "0.000001"},
        {1.5e-6, "0.0000015"},
        {1e-7, "1e-7"},
        {1.25e-7, "1.25e-7"},
        {1e100, "1e+100"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {5e-324, "5e-324"},
        {9007199254740993.0, "9007199254740992"},
        {5e-310, "5e-310"},
        {4.35, "4.35"},
        {2.5e-5, "0.000025"},
        {1e5, "100000"},
        {12345678901234567.0, "12345678901234568"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_real(CASES[i].value, CASES[i].expected);
}

static void test_sio_encode_reals_are_exact(void **state)
{
    (void)state;
    uint64_t seed = 1;
    struct tl_buffer out;
    tl_buffer_init(&out, 100);
    for (int i = 0; i < 20000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double value;
        memcpy(&value, &seed, sizeof value);
        if (!isfinite(value))
            continue;
        json_t *number = json_real(value);
        assert_true(sio_encode_json(&out, number));
        assert_true(tl_buffer_append(&out, "", 1));
        assert_true(strtod((char *)out.bytes, NULL) == value);
        tl_buffer_clear(&out);
        json_decref(number);
    }
    tl_buffer_fini(&out);
}

// Parses with jansson, which is checked elsewhere, and writes again.
static void assert_rewritten(const char *json, const char *expected)
{
    struct tl_buffer out;
    json_t *value = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(value);
    tl_buffer_init(&out, 10000);
    assert_true(sio_encode_json(&out, value));
    assert_content(&out, expected);
    tl_buffer_fini(&out);
    json_decref(value);
}

static void test_sio_encode_values(void **state)
{
    (void)state;
    assert_rewritten("[ ]", "[]");
    assert_rewritten("{ }", "{}");
    assert_rewritten("[1, [2, {\"a\" : null}], true, false, \"x\"]",
                     "[1,[2,{\"a\":null}],true,false,\"x\"]");
    assert_rewritten("{\"z\":1,\"a\":{\"y\":[],\"b\":-5}}", "{\"z\":1,\"a\":{\"y\":[],\"b\":-5}}");
    assert_rewritten("9223372036854775807", "9223372036854775807");
    assert_rewritten("-9223372036854775808", "-9223372036854775808");
    assert_rewritten("\"\"", "\"\"");
}

static void test_sio_encode_strings(void **state)
{
    (void)state;
    assert_rewritten("\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\\u007f\\\"\\\\\\/\"",
                     "\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\\\"\\\\/\"");
    assert_rewritten("\"\\u00e9\\u2028\\ud83d\\ude00\"",
                     "\"\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80\"");
    assert_rewritten("{\"a\\\"\\n\":1}", "{\"a\\\"\\n\":1}");
}

static void test_sio_encode_refuses_what_is_no_text(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 100);
    assert_true(tl_buffer_append_text(&out, "kept"));
    json_t *array = json_array();
    json_array_append_new(array, json_string_nocheck("ok"));
    json_array_append_new(array, json_string_nocheck("\xff"));
    assert_false(sio_encode_json(&out, array));
    assert_false(sio_encode_json(&out, NULL));
    assert_content(&out, "kept");
    json_decref(array);

    json_t *object = json_object();
    json_object_set_new_nocheck(object, "\xff", json_null());
    assert_false(sio_encode_json(&out, object));
    assert_int_equal(out.size, 0);
    json_decref(object);
    tl_buffer_fini(&out);
}

static void test_sio_encode_depth(void **state)
{
    (void)state;
    for (int depth = 1024; depth <= 1025; depth++) {
        struct tl_buffer out;
        json_t *value = json_array();
        for (int i = 1; i < depth; i++) {
            json_t *outer = json_array();
            json_array_append_new(outer, value);
            value = outer;
        }
        tl_buffer_init(&out, 10000);
        assert_int_equal(sio_encode_json(&out, value), depth <= 1024);
        assert_int_equal(out.size, depth <= 1024 ? 2048 : 0);
        tl_buffer_fini(&out);
        json_decref(value);
    }
}

static void test_sio_encode_json_fails_whole(void **state)
{
    (void)state;
    static const char TEXT[] = "{\"a\":[1,2.5,\"\\n\",\"text\",null,true,false,{}],\"b\":-0.5}";
    json_t *value = json_loads(TEXT, 0, NULL);
    assert_non_null(value);
    for (size_t max = 0; max <= sizeof TEXT - 1; max++) {
        struct tl_buffer out;
        tl_buffer_init(&out, max);
        assert_int_equal(sio_encode_json(&out, value), max == sizeof TEXT - 1);
        assert_int_equal(out.size, max == sizeof TEXT - 1 ? max : 0);
        tl_buffer_fini(&out);
    }
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sio_encode_heads),
        cmocka_unit_test(test_sio_encode_numbers),
        cmocka_unit_test(test_sio_encode_reals_are_exact),
        cmocka_unit_test(test_sio_encode_values),
        cmocka_unit_test(test_sio_encode_strings),
        cmocka_unit_test(test_sio_encode_refuses_what_is_no_text),
        cmocka_unit_test(test_sio_encode_depth),
        cmocka_unit_test(test_sio_encode_json_fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
