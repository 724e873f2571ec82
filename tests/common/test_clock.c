// SPDX-License-Identifier: MIT
// Clocks, and moments of which 0 is never.
#include "tests/common/cmocka_all.h"

#include <time.h>

#include "common/clock.h"

static void test_clock_goes_on(void **state)
{
    (void)state;
    for (int round = 0; round < 1000; round++) {
        long long before_ns = tl_monotonic_ns();
        long long ms = tl_monotonic_ms();
        long long after_ns = tl_monotonic_ns();
        assert_true(before_ns / 1000000 <= ms && ms <= after_ns / 1000000);
    }
    time_t before = time(NULL);
    unsigned long long us = tl_now_us();
    assert_true(us / 1000000 + 1 >= (unsigned long long)before);
    assert_true(us / 1000000 <= (unsigned long long)time(NULL) + 1);
}

static void test_clock_deadlines(void **state)
{
    (void)state;
    assert_int_equal(tl_deadline(-1), -1);
    assert_int_equal(tl_left_until(-1), -1);
    assert_int_equal(tl_left_until(tl_deadline(0)), 0);
    assert_int_equal(tl_left_until(1), 0);
    int left = tl_left_until(tl_deadline(1000000));
    assert_true(left > 900000 && left <= 1000000);
    assert_int_equal(tl_earlier(0, 0), 0);
    assert_int_equal(tl_earlier(0, 5), 5);
    assert_int_equal(tl_earlier(5, 0), 5);
    assert_int_equal(tl_earlier(5, 4), 4);
    assert_int_equal(tl_earlier(4, 5), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_goes_on),
        cmocka_unit_test(test_clock_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
