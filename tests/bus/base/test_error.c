// SPDX-License-Identifier: MIT
// Names and texts of errors.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <talus/error.h>

struct error {
    int number;
    const char *name;
    const char *text;
};

#define ERROR_ROW(name, number, text) {number, "TALUS_E" #name, text},
static const struct error errors[] = {TALUS_ERROR_MAP(ERROR_ROW)};
#define ERROR_COUNT (sizeof(errors) / sizeof(errors[0]))

static void test_error_numbers_are_negative_and_unique(void **state)
{
    (void)state;
    assert_int_equal(ERROR_COUNT, 24);
    for (size_t i = 0; i < ERROR_COUNT; i++) {
        assert_true(errors[i].number < 0);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(errors[i].number, errors[j].number);
    }
}

static void test_error_names_and_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ERROR_COUNT; i++) {
        assert_string_equal(talus_error_name(errors[i].number), errors[i].name);
        assert_string_equal(talus_strerror(errors[i].number), errors[i].text);
        assert_true(strlen(errors[i].text) > 0);
    }
    assert_string_equal(talus_error_name(TALUS_EQUEUEFULL), "TALUS_EQUEUEFULL");
    assert_string_equal(talus_strerror(TALUS_EQUEUEFULL), "the emit queue is full");
}

static void test_error_knows_success_and_strangers(void **state)
{
    (void)state;
    assert_string_equal(talus_error_name(0), "TALUS_OK");
    assert_string_equal(talus_strerror(0), "success");
    int strangers[] = {1, -13, -20, -1000, INT32_MAX, INT32_MIN}; // two had a name once
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        assert_string_equal(talus_error_name(strangers[i]), "TALUS_EUNKNOWN");
        assert_string_equal(talus_strerror(strangers[i]), "unknown error");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_numbers_are_negative_and_unique),
        cmocka_unit_test(test_error_names_and_texts),
        cmocka_unit_test(test_error_knows_success_and_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
