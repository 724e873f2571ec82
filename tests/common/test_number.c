// SPDX-License-Identifier: MIT
// Numbers as text: they read back, and nothing shorter does.
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/number.h"

static const char *text_of(double number)
{
    static char text[TL_NUMBER_MAX + 1];
    size_t size = tl_format_double(number, text);
    assert_true(size <= TL_NUMBER_MAX);
    text[size] = '\0';
    return text;
}

static int significant_digits(const char *text)
{
    int count = 0;
    int zeros = 0;
    for (; *text && *text != 'e'; text++) {
        if (*text < '0' || *text > '9')
            continue;
        if (*text == '0') {
            zeros += count > 0;
        } else {
            count += zeros + 1;
            zeros = 0;
        }
    }
    return count;
}

// Reads back as the same number, and with one digit less neither neighbour does.
static void check_shortest(double number)
{
    char shorter[40];
    const char *text = text_of(number);
    if (strtod(text, NULL) != number)
        fail_msg("%.17g becomes %s", number, text);
    int digits = significant_digits(text);
    if (digits <= 1 || digits > 17)
        return assert_true(digits <= 17);
    snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, number);
    if (strtod(shorter, NULL) == number)
        fail_msg("%s is longer than %s", text, shorter);
}

static double from_bits(uint64_t bits)
{
    double number;
    memcpy(&number, &bits, sizeof(number));
    return number;
}

// xorshift64: the same numbers in every run.
static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_number_random_doubles(void **state)
{
    (void)state;
    uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < 50000; i++) {
        double number = from_bits(next_random(&seed));
        if (isfinite(number))
            check_shortest(number);
    }
}

static void test_number_random_decimals(void **state)
{
    (void)state;
    uint64_t seed = 42;
    for (int i = 0; i < 50000; i++) {
        double power = pow(10, (double)(next_random(&seed) % 18));
        check_shortest((double)(int64_t)(next_random(&seed) >> 20) / power);
    }
}

static void test_number_powers_and_neighbours(void **state)
{
    (void)state;
    for (int exponent = -1074; exponent < 1024; exponent++) {
        double power = ldexp(1, exponent);
        check_shortest(power);
        check_shortest(nextafter(power, 0) > 0 ? nextafter(power, 0) : power);
        check_shortest(nextafter(power, DBL_MAX));
    }
    for (int exponent = -323; exponent < 309; exponent++) {
        char text[16];
        snprintf(text, sizeof(text), "1e%d", exponent);
        double power = strtod(text, NULL);
        check_shortest(power);
        check_shortest(nextafter(power, 0));
        check_shortest(nextafter(power, DBL_MAX));
    }
}

// Below a power of two the doubles are denser: the nearest decimal of that length may miss where
// the next one above hits. These are what JavaScript prints.
static void test_number_powers_of_two_of_javascript(void **state)
{
    (void)state;
    assert_string_equal(text_of(ldexp(1, -44)), "5.684341886080802e-14");
    assert_string_equal(text_of(ldexp(1, -24)), "5.960464477539063e-8");
    assert_string_equal(text_of(ldexp(1, 89)), "6.189700196426902e+26");
    assert_string_equal(text_of(ldexp(1, 122)), "5.316911983139664e+36");
}

static void test_number_javascript_layout(void **state)
{
    (void)state;
    assert_string_equal(text_of(0.0), "0");
    assert_string_equal(text_of(-0.0), "0");
    assert_string_equal(text_of(-1.5), "-1.5");
    assert_string_equal(text_of(9007199254740991.0), "9007199254740991");
    assert_string_equal(text_of(-9007199254740991.0), "-9007199254740991");
    assert_string_equal(text_of(999999999999999900000.0), "999999999999999900000");
    assert_string_equal(text_of(1e21), "1e+21");
    assert_string_equal(text_of(0.000001), "0.000001");
    assert_string_equal(text_of(0.00000123), "0.00000123");
    assert_string_equal(text_of(0.000000123), "1.23e-7");
    assert_string_equal(text_of(-DBL_MAX), "-1.7976931348623157e+308");
    assert_string_equal(text_of(5e-324), "5e-324");
    assert_string_equal(text_of(NAN), "null");
    assert_string_equal(text_of(INFINITY), "null");
    assert_string_equal(text_of(-INFINITY), "null");
}

static void test_number_integers(void **state)
{
    (void)state;
    static const int64_t numbers[] = {0, 1, -1, 9, 10, 99, 100, INT32_MAX, INT64_MAX, INT64_MIN};
    char text[TL_NUMBER_MAX + 1];
    char expected[TL_NUMBER_MAX + 1];
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        text[tl_format_signed(numbers[i], text)] = '\0';
        snprintf(expected, sizeof(expected), "%" PRId64, numbers[i]);
        assert_string_equal(text, expected);
    }
    text[tl_format_unsigned(UINT64_MAX, text)] = '\0';
    assert_string_equal(text, "18446744073709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_random_doubles),
        cmocka_unit_test(test_number_random_decimals),
        cmocka_unit_test(test_number_powers_and_neighbours),
        cmocka_unit_test(test_number_powers_of_two_of_javascript),
        cmocka_unit_test(test_number_javascript_layout),
        cmocka_unit_test(test_number_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
