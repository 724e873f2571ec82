// SPDX-License-Identifier: MIT
// Random bytes of any number, and names of the alphabet of origins.
#include "tests/common/cmocka_all.h"

#include <string.h>

#include "common/event_id.h"
#include "common/random.h"

// Each place differs from 0 in some of 16 draws; a place that does not comes once in 2^128.
static void test_random_bytes_fill_all(void **state)
{
    (void)state;
    enum { SIZE = 32768 };
    static unsigned char bytes[SIZE + 1], seen[SIZE];
    assert_true(tl_random_bytes(bytes, 0));
    for (int round = 0; round < 16; round++) {
        bytes[SIZE] = 0;
        assert_true(tl_random_bytes(bytes, SIZE));
        assert_int_equal(bytes[SIZE], 0);
        for (size_t i = 0; i < SIZE; i++)
            seen[i] |= bytes[i];
    }
    for (size_t i = 0; i < SIZE; i++)
        assert_int_not_equal(seen[i], 0);
}

static void test_random_names(void **state)
{
    (void)state;
    bool seen[256] = {false};
    char last[17] = "";
    for (int round = 0; round < 1000; round++) {
        char name[18];
        memset(name, '!', sizeof name);
        assert_true(tl_random_name(name, 16));
        assert_int_equal(strlen(name), 16);
        assert_int_equal(name[17], '!');
        assert_true(tl_is_origin(name, 16));
        assert_string_not_equal(name, last);
        strcpy(last, name);
        for (int i = 0; i < 16; i++)
            seen[(unsigned char)name[i]] = true;
    }
    for (const char *c = "abcdefghijklmnopqrstuvwxyz0123456789"; *c; c++)
        assert_true(seen[(unsigned char)*c]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_bytes_fill_all),
        cmocka_unit_test(test_random_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
