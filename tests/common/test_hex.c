// SPDX-License-Identifier: MIT
// Hexadecimal digits: every character and every byte.
#include "tests/common/cmocka_all.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/hex.h"

static void test_hex_values(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char text[] = {(char)c, '\0'};
        int expected = isxdigit(c) ? (int)strtol(text, NULL, 16) : -1;
        assert_int_equal(tl_hex_value((char)c), expected);
    }
}

static void test_hex_bytes(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char expected[3], text[2];
        snprintf(expected, sizeof expected, "%02x", (unsigned)byte);
        tl_hex_write((uint8_t)byte, text);
        assert_memory_equal(text, expected, 2);
        assert_int_equal(tl_hex_byte(text), byte);
    }
    assert_int_equal(tl_hex_byte("Ff"), 255);
    assert_int_equal(tl_hex_byte(""), -1);
    assert_int_equal(tl_hex_byte("a"), -1);
    assert_int_equal(tl_hex_byte("ag"), -1);
    assert_int_equal(tl_hex_byte("-1"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex_values),
        cmocka_unit_test(test_hex_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
