// SPDX-License-Identifier: MIT
// base64: the vectors of RFC 4648, every length, both alphabets, and what is not base64. (What Node
// makes of what is not is in tests/gateway/protocol/test_eio.c.)
#include "tests/common/cmocka_all.h"

#include <stdbool.h>
#include <string.h>

#include "common/base64.h"

static void expect(const char *text, const char *bytes)
{
    unsigned char out[64];
    size_t size = 99;
    assert_true(tl_base64_decode(text, strlen(text), out, &size));
    assert_int_equal(size, strlen(bytes));
    assert_memory_equal(out, bytes, size);
    assert_true(size <= tl_base64_decoded_max(strlen(text)));
    char encoded[64];
    size_t encoded_size = tl_base64_encode(bytes, strlen(bytes), encoded);
    assert_int_equal(encoded_size, strlen(text));
    assert_int_equal(encoded_size, tl_base64_encoded_size(strlen(bytes)));
    assert_memory_equal(encoded, text, encoded_size);
}

static void test_base64_vectors(void **state)
{
    (void)state;
    expect("", "");
    expect("Zg==", "f");
    expect("Zm8=", "fo");
    expect("Zm9v", "foo");
    expect("Zm9vYg==", "foob");
    expect("Zm9vYmE=", "fooba");
    expect("Zm9vYmFy", "foobar");
    expect("+/+/", "\xfb\xff\xbf");
}

static void test_base64_refuses_what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"Z",    "Zg",       "Zg=",      "Zg===", "====", "=g==",
                                        "Zm9-", "Zm9v\nZm", "Zg==Zg==", "Zh==",  "Zm9=", "Zm 9"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        unsigned char out[64];
        size_t size;
        if (tl_base64_decode(texts[i], strlen(texts[i]), out, &size))
            fail_msg("\"%s\" was taken", texts[i]);
    }
}

static void test_base64url(void **state)
{
    (void)state;
    char text[8];
    assert_int_equal(tl_base64url_encode("\xfb\xff\xbf\xfb", 4, text), 6);
    assert_memory_equal(text, "-_-_-w", 6);
    for (unsigned value = 0; value < 64; value++)
        assert_int_equal(tl_base64url_value(tl_base64url_char(value)), value);
    for (int c = 0; c < 256; c++) {
        bool is_special = c == '+' || c == '/' || c == '-' || c == '_';
        if (!is_special)
            assert_int_equal(tl_base64_value((char)c), tl_base64url_value((char)c));
    }
    assert_int_equal(tl_base64url_value('+'), -1);
    assert_int_equal(tl_base64url_value('/'), -1);
    assert_int_equal(tl_base64_value('-'), -1);
    assert_int_equal(tl_base64_value('_'), -1);
    assert_int_equal(tl_base64_value('\0'), -1);
}

// Of every length, all byte values: back and forth, by either decoder.
static void test_base64_every_length(void **state)
{
    (void)state;
    unsigned char bytes[256], out[260];
    char text[344];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 151 + 7);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        size_t written = tl_base64_encode(bytes, size, text), decoded;
        assert_int_equal(written, tl_base64_encoded_size(size));
        assert_true(tl_base64_decode(text, written, out, &decoded));
        assert_int_equal(decoded, size);
        assert_memory_equal(out, bytes, size);
        memset(out, 0, sizeof out);
        assert_int_equal(tl_base64_decode_leniently(text, written, out), size);
        assert_memory_equal(out, bytes, size);
        written = tl_base64url_encode(bytes, size, text);
        assert_int_equal(tl_base64_decode_leniently(text, written, out), size);
        assert_memory_equal(out, bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_refuses_what_is_none),
        cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_base64_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
