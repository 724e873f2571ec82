// SPDX-License-Identifier: MIT
// Quantiles are known to 1.6 %, whatever the values.
#include "tests/common/cmocka_all.h"

#include <stdlib.h>

#include "clients/cli/bench/histogram.h"

static histogram_t histogram;

static int setup(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    return 0;
}

static void test_histogram_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(histogram_below(&histogram, 40), 0);
}

static void test_histogram_of_one_value_is_exact(void **state)
{
    (void)state;
    histogram_add(&histogram, 123456789);
    assert_int_equal(histogram_quantile(&histogram, 0), 123456789);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 123456789);
    assert_int_equal(histogram_quantile(&histogram, 1), 123456789);
}

static void test_histogram_small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 100; value++)
        histogram_add(&histogram, value);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 50);
    assert_int_equal(histogram_quantile(&histogram, 0.99), 99);
    assert_int_equal(histogram.max, 100);
    assert_int_equal(histogram_below(&histogram, 6), 63);
}

static void test_histogram_each_value_falls_close_to_itself(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 40; bits++) {
        uint64_t values[] = {(uint64_t)1 << bits, ((uint64_t)1 << bits) * 5 / 4,
                             ((uint64_t)2 << bits) - 1};
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            histogram_clear(&histogram);
            histogram_add(&histogram, values[i]);
            histogram_add(&histogram, UINT64_MAX);
            uint64_t found = histogram_quantile(&histogram, 0.5);
            if (values[i] >= ((uint64_t)1 << 40) - ((uint64_t)1 << 33))
                continue; // the last bucket is open
            assert_true(found >= values[i]);
            assert_true(found - values[i] <= values[i] / HISTOGRAM_STEPS);
        }
    }
}

static void test_histogram_huge_values_count_as_the_maximum(void **state)
{
    (void)state;
    histogram_add(&histogram, 5);
    histogram_add(&histogram, (uint64_t)1 << 50);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 5);
    assert_int_equal(histogram_quantile(&histogram, 1), (uint64_t)1 << 50);
    assert_int_equal(histogram_below(&histogram, 39), 1);
    assert_int_equal(histogram_below(&histogram, 40), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_histogram_of_nothing, setup),
        cmocka_unit_test_setup(test_histogram_of_one_value_is_exact, setup),
        cmocka_unit_test_setup(test_histogram_small_values_are_exact, setup),
        cmocka_unit_test_setup(test_histogram_each_value_falls_close_to_itself, setup),
        cmocka_unit_test_setup(test_histogram_huge_values_count_as_the_maximum, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
