// SPDX-License-Identifier: MIT
// Text: the bound, the characters that must not reach a terminal, and widths.
#include "tests/common/cmocka_all.h"

#include <locale.h>
#include <string.h>

#include "clients/cli/text.h"
#include "tests/common/utf8_repairs.h"

static void expect_safe(const char *json, const char *expected)
{
    text_t text;
    text_init(&text, 1000);
    text_append_safe(&text, json, strlen(json));
    text_append(&text, "", 1);
    assert_false(text.has_failed);
    assert_string_equal(text_bytes(&text), expected);
    text_fini(&text);
}

static void test_text_safe_escapes_controls(void **state)
{
    (void)state;
    expect_safe("plain für 猫 🙂 \xef\xbf\xbd", "plain für 猫 🙂 \xef\xbf\xbd");
    expect_safe("\x1b[31m\x07\x7f", "\\u001b[31m\\u0007\\u007f");
    expect_safe("a\n\tb", "a\\u000a\\u0009b");
    expect_safe("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u0080\\u009b\\u009f\xc2\xa0");
    expect_safe("\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8f\xd8\x9c", "\\u202e\\u2066\\u200f\\u061c");
    expect_safe("\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029");
}

static void test_text_safe_replaces_what_is_not_utf8(void **state)
{
    (void)state;
    for (size_t i = 0; i < UTF8_REPAIR_COUNT; i++)
        expect_safe(UTF8_REPAIRS[i].in, UTF8_REPAIRS[i].out);
    expect_safe("\xc0\x9b", "\xef\xbf\xbd\xef\xbf\xbd");
    expect_safe("\xe0\x82\x9b", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    // A C1 control behind a broken lead byte is no way around.
    expect_safe("\xc2\xc2\x9b", "\xef\xbf\xbd\\u009b");
}

static void test_text_json_string(void **state)
{
    (void)state;
    text_t text;
    text_init(&text, 1000);
    text_append_json_string(&text, "a\"b\\c\x1b\"");
    text_append(&text, "", 1);
    assert_string_equal(text_bytes(&text), "\"a\\\"b\\\\c\\u001b\\\"\"");
    text_fini(&text);
}

static void test_text_keeps_its_bound(void **state)
{
    (void)state;
    text_t text;
    text_init(&text, 2000);
    for (int i = 0; i < 1999; i++)
        text_append(&text, "x", 1);
    assert_false(text.has_failed);
    text_append_string(&text, "yz");
    assert_true(text.has_failed);
    assert_int_equal(text_size(&text), 1999);
    text_append(&text, "y", 1);
    assert_int_equal(text_size(&text), 1999);
    text_clear(&text);
    text_append_spaces(&text, 2000);
    assert_false(text.has_failed);
    assert_int_equal(text_size(&text), 2000);
    text_fini(&text);
}

static void test_text_widths(void **state)
{
    (void)state;
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    assert_int_equal(text_columns("abc", 3), 3);
    assert_int_equal(text_columns("für", strlen("für")), 3);
    assert_int_equal(text_columns("猫猫", strlen("猫猫")), 4);
    assert_int_equal(text_fit("abc", 3, 3), 3);
    assert_int_equal(text_fit("abc", 3, 2), 2);
    assert_int_equal(text_fit("a猫b", strlen("a猫b"), 2), 1);
    assert_int_equal(text_fit("a猫b", strlen("a猫b"), 3), 4);
    assert_int_equal(text_fit("ab", 2, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_safe_escapes_controls),
        cmocka_unit_test(test_text_safe_replaces_what_is_not_utf8),
        cmocka_unit_test(test_text_json_string),
        cmocka_unit_test(test_text_keeps_its_bound),
        cmocka_unit_test(test_text_widths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
