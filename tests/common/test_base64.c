// SPDX-License-Identifier: MIT
// base64: the vectors of RFC 4648, and what is not base64.
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_vectors),
        cmocka_unit_test(test_base64_refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
