// SPDX-License-Identifier: MIT
// Dates as JSON has them, beside the C library's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "bus/src/codec/json_time.h"

static void test_json_time_dates_agree_with_gmtime(void **state)
{
    (void)state;
    // 11 days and some seconds apart, from year 0 to 9999.
    for (int64_t seconds = -62167219200; seconds <= 253402300799; seconds += 951007) {
        time_t when = (time_t)seconds;
        struct tm tm;
        char expected[64];
        char text[TALUS__TIMESTAMP_MAX + 1];
        assert_non_null(gmtime_r(&when, &tm));
        snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
        text[talus__format_timestamp(seconds, 0, text)] = '\0';
        assert_string_equal(text, expected);
    }
}

static void test_json_time_longest_timestamps_fit(void **state)
{
    (void)state;
    char text[TALUS__TIMESTAMP_MAX];
    assert_true(talus__format_timestamp(INT64_MIN, 999999999, text) <= TALUS__TIMESTAMP_MAX);
    assert_true(talus__format_timestamp(INT64_MAX, 999999999, text) <= TALUS__TIMESTAMP_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_time_dates_agree_with_gmtime),
        cmocka_unit_test(test_json_time_longest_timestamps_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
