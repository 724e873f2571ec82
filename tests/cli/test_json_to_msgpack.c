// SPDX-License-Identifier: MIT
// JSON to msgpack, by bytes, and back by libtalus's own encoder: tap and emit must agree.
#include "tests/common/cmocka_all.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <talus.h>

#include "clients/cli/json_to_msgpack.h"

static void expect_bytes(const char *json, const void *bytes, size_t size)
{
    struct tl_buffer out;
    char error[JSON_ERROR_SIZE] = "";
    tl_buffer_init(&out, 1000);
    if (!json_to_msgpack(json, strlen(json), &out, error))
        fail_msg("%s: %s", json, error);
    assert_int_equal(out.size, size);
    assert_memory_equal(out.bytes, bytes, size);
    tl_buffer_fini(&out);
}
#define EXPECT_BYTES(json, bytes) expect_bytes(json, bytes, sizeof(bytes) - 1)

static void expect_round_trip(const char *json)
{
    struct tl_buffer out;
    char error[JSON_ERROR_SIZE] = "", back[512];
    size_t size;
    tl_buffer_init(&out, 1000);
    if (!json_to_msgpack(json, strlen(json), &out, error))
        fail_msg("%s: %s", json, error);
    assert_int_equal(
        talus_json_encode(out.bytes, out.size, NULL, NULL, back, sizeof(back) - 1, &size), 0);
    back[size] = '\0';
    assert_string_equal(back, json);
    tl_buffer_fini(&out);
}

static void expect_error(const char *json, size_t max, const char *part)
{
    struct tl_buffer out;
    char error[JSON_ERROR_SIZE] = "";
    tl_buffer_init(&out, max);
    if (json_to_msgpack(json, strlen(json), &out, error))
        fail_msg("%s was taken", json);
    if (!strstr(error, part))
        fail_msg("%s: \"%s\" says nothing of \"%s\"", json, error, part);
    assert_true(out.size <= max);
    tl_buffer_fini(&out);
}

static void test_json_to_msgpack_bytes(void **state)
{
    (void)state;
    EXPECT_BYTES("null", "\xc0");
    EXPECT_BYTES(" true\n", "\xc3");
    EXPECT_BYTES("7", "\x07");
    EXPECT_BYTES("-1", "\xff");
    EXPECT_BYTES("300", "\xcd\x01\x2c");
    EXPECT_BYTES("1.0", "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00");
    EXPECT_BYTES("{}", "\x80");
    EXPECT_BYTES("[1,\"a\"]", "\x92\x01\xa1\x61");
    EXPECT_BYTES("\"a\\u0000b\"", "\xa3\x61\x00\x62");
    EXPECT_BYTES("9223372036854775807", "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff");
    EXPECT_BYTES("-9223372036854775808", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00");
}

static void test_json_to_msgpack_base64_becomes_bin(void **state)
{
    (void)state;
    EXPECT_BYTES("{\"base64\":\"Zm9v\"}", "\xc4\x03\x66\x6f\x6f");
    EXPECT_BYTES("{\"base64\":\"\"}", "\xc4\x00");
    EXPECT_BYTES("{\"base64\":1}", "\x81\xa6\x62\x61\x73\x65\x36\x34\x01");
    EXPECT_BYTES("{\"base64\":\"Zg==\",\"a\":1}",
                 "\x82\xa6\x62\x61\x73\x65\x36\x34\xa4\x5a\x67\x3d\x3d\xa1\x61\x01");
    expect_error("{\"base64\":\"Zg\"}", 1000, "not base64");
}

static void test_json_to_msgpack_round_trips(void **state)
{
    (void)state;
    expect_round_trip("{\"z\":1,\"a\":2,\"m\":{\"y\":[],\"b\":{}}}");
    expect_round_trip("{\"picture\":{\"base64\":\"AAEC/w==\"},\"list\":[{\"base64\":\"\"}]}");
    expect_round_trip("[0.5,-2,1e+300,\"\\\"\\\\\\n\",\"für 猫\",null,true,false]");
}

static void test_json_to_msgpack_says_what_is_wrong(void **state)
{
    (void)state;
    expect_error("", 1000, "expected");
    expect_error("{\"a\":1", 1000, "column");
    expect_error("{} x", 1000, "end of file expected");
    expect_error("{\"a\":1,\"a\":2}", 1000, "duplicate");
    expect_error("{\"n\":9223372036854775808}", 1000, "9223372036854775807");
    expect_error("1e999", 1000, "out of range");
    expect_error("\"\xff\"", 1000, "unable to decode");
    expect_error("NaN", 1000, "invalid");
    expect_error("\"0123456789\"", 10, "more than 10 bytes");
}

static void test_json_to_msgpack_bounds_depth(void **state)
{
    (void)state;
    char json[2 * 5000 + 1];
    for (int depth = JSON_DEPTH_MAX; depth <= 5000;
         depth = depth == JSON_DEPTH_MAX ? 65 : depth * 8) {
        memset(json, '[', (size_t)depth);
        memset(json + depth, ']', (size_t)depth);
        json[2 * depth] = '\0';
        if (depth > JSON_DEPTH_MAX) {
            expect_error(json, 10000, "too deep");
            continue;
        }
        struct tl_buffer out;
        char error[JSON_ERROR_SIZE];
        tl_buffer_init(&out, 1000);
        assert_true(json_to_msgpack(json, strlen(json), &out, error));
        tl_buffer_fini(&out);
    }
}

static void test_json_to_msgpack_uses_the_buffer_again(void **state)
{
    (void)state;
    struct tl_buffer out;
    char error[JSON_ERROR_SIZE];
    tl_buffer_init(&out, 1000);
    assert_true(json_to_msgpack("[1,2,3]", 7, &out, error));
    assert_false(json_to_msgpack("[1,", 3, &out, error));
    assert_true(json_to_msgpack("5", 1, &out, error));
    assert_int_equal(out.size, 1);
    assert_int_equal(out.bytes[0], 5);
    tl_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_to_msgpack_bytes),
        cmocka_unit_test(test_json_to_msgpack_base64_becomes_bin),
        cmocka_unit_test(test_json_to_msgpack_round_trips),
        cmocka_unit_test(test_json_to_msgpack_says_what_is_wrong),
        cmocka_unit_test(test_json_to_msgpack_bounds_depth),
        cmocka_unit_test(test_json_to_msgpack_uses_the_buffer_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
