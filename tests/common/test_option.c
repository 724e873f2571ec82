// SPDX-License-Identifier: MIT
// Values of options: what each kind takes, what it refuses, and how that is explained.
#include "tests/common/cmocka_all.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/option.h"

static const struct tl_option count = {.kind = TL_OPTION_INTEGER, .min = 1, .max = 1e12};
static const struct tl_option rate = {
    .kind = TL_OPTION_DECIMAL, .min = 0.01, .max = 1e5, .unit = "events a second"};
static const struct tl_option interval = {
    .kind = TL_OPTION_MILLISECONDS, .min = 10, .max = 86400000};
static const struct tl_option wait = {.kind = TL_OPTION_SECONDS, .min = 0, .max = 1e6};
static const struct tl_option limit = {.kind = TL_OPTION_BYTES, .min = 0, .max = 1e12};
static const struct tl_option mode = {.kind = TL_OPTION_MODE, .min = 0700, .max = 0777};

static void expect_integer(const struct tl_option *option, const char *text, uint64_t expected)
{
    struct tl_option_value value;
    if (!tl_option_parse(option, text, &value))
        fail_msg("\"%s\" was refused", text);
    assert_int_equal(value.integer, expected);
}

static void expect_decimal(const struct tl_option *option, const char *text, double expected)
{
    struct tl_option_value value;
    if (!tl_option_parse(option, text, &value))
        fail_msg("\"%s\" was refused", text);
    if (fabs(value.decimal - expected) > 1e-12 * expected)
        fail_msg("\"%s\" is %.17g", text, value.decimal);
}

static void expect_refused(const struct tl_option *option, const char *const *texts)
{
    for (; *texts; texts++) {
        struct tl_option_value value = {.integer = 77, .decimal = 7.5};
        if (tl_option_parse(option, *texts, &value))
            fail_msg("\"%s\" was taken", *texts);
        assert_int_equal(value.integer, 77);
        assert_true(value.decimal == 7.5);
    }
}

#define REFUSED(option, ...) expect_refused(option, (const char *const[]){__VA_ARGS__, NULL})

static void test_option_numbers(void **state)
{
    (void)state;
    expect_integer(&count, "1", 1);
    expect_integer(&count, "0001", 1);
    expect_integer(&count, "1000000000000", 1000000000000);
    REFUSED(&count, "", "0", "-1", "+1", " 1", "1 ", "1.0", "1.", "0x10", "1e3", "1k", "5s",
            "1000000000001", "99999999999999999999999", "nan", "inf");
    expect_decimal(&rate, "0.01", 0.01);
    expect_decimal(&rate, ".5", 0.5);
    expect_decimal(&rate, "5.", 5);
    expect_decimal(&rate, "100000", 1e5);
    REFUSED(&rate, "", ".", "0", "0.001", "100000.1", "1e3", "1,5", "1..5", "-1", "2s", "nan");
}

static void test_option_times(void **state)
{
    (void)state;
    expect_integer(&interval, "250", 250);
    expect_integer(&interval, "250ms", 250);
    expect_integer(&interval, "5s", 5000);
    expect_integer(&interval, "1.5s", 1500);
    expect_integer(&interval, "1.001s", 1001);
    expect_integer(&interval, "0.07s", 70);
    expect_integer(&interval, "2m", 120000);
    expect_integer(&interval, "24h", 86400000);
    REFUSED(&interval, "9", "9ms", "0.009s", "25h", "1441m", "10.5", "10.5ms", "1.0005s", "5 s",
            "5S", "5sec", "s", "ms", "", "-5s", "5ss", "1m30s", "1e3ms");
    expect_decimal(&wait, "0.5", 0.5);
    expect_decimal(&wait, "500ms", 0.5);
    expect_decimal(&wait, "0.25ms", 0.00025);
    expect_decimal(&wait, "2m", 120);
    expect_decimal(&wait, "0", 0);
    REFUSED(&wait, "1000001", "278h", "x", "1d", "1 m");
}

static void test_option_sizes(void **state)
{
    (void)state;
    expect_integer(&limit, "0", 0);
    expect_integer(&limit, "1048576", 1048576);
    expect_integer(&limit, "64k", 64000);
    expect_integer(&limit, "64kB", 64000);
    expect_integer(&limit, "64KiB", 65536);
    expect_integer(&limit, "16MiB", 16777216);
    expect_integer(&limit, "1.5M", 1500000);
    expect_integer(&limit, "3MB", 3000000);
    expect_integer(&limit, "2GiB", 2147483648);
    expect_integer(&limit, "1G", 1000000000);
    expect_integer(&limit, "1GB", 1000000000);
    expect_integer(&limit, "1.5KiB", 1536);
    REFUSED(&limit, "1001G", "1B", "1K", "1kb", "1kiB", "1T", "0.5", "0.0001k", "16 MiB", "MiB",
            "16MiBs", "-1k", "5s");
}

static void test_option_modes(void **state)
{
    (void)state;
    expect_integer(&mode, "700", 0700);
    expect_integer(&mode, "0770", 0770);
    expect_integer(&mode, "00777", 0777);
    REFUSED(&mode, "", "77", "0670", "01770", "0780", "rwx", "000700", "0o700", " 700");
}

static void expect_explained(const struct tl_option *option, const char *text, const char *expected)
{
    char why[256];
    tl_option_explain(option, text, why, sizeof why);
    assert_string_equal(why, expected);
    char small[20];
    tl_option_explain(option, text, small, sizeof small);
    assert_memory_equal(small, expected, sizeof small - 1);
    assert_int_equal(small[sizeof small - 1], '\0');
}

static void test_option_explanations(void **state)
{
    (void)state;
    expect_explained(&count, "x", "takes a number from 1 to 1000000000000, not \"x\"");
    expect_explained(&rate, "0",
                     "takes a number of events a second from 0.01 to 100000, not \"0\"");
    expect_explained(&interval, "9",
                     "takes a number of milliseconds from 10 to 86400000, or a time such as 500ms, "
                     "5s or 2m, not \"9\"");
    expect_explained(&wait, "",
                     "takes a number of seconds from 0 to 1000000, or a time such as 500ms, 5s or "
                     "2m, not \"\"");
    expect_explained(&limit, "-1",
                     "takes a number of bytes from 0 to 1000000000000, or a size such as 64k or "
                     "16MiB, not \"-1\"");
    expect_explained(&mode, "rwx", "takes an octal mode from 0700 to 0777, not \"rwx\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_option_numbers),      cmocka_unit_test(test_option_times),
        cmocka_unit_test(test_option_sizes),        cmocka_unit_test(test_option_modes),
        cmocka_unit_test(test_option_explanations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
