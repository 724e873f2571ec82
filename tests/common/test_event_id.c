// SPDX-License-Identifier: MIT
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/event_id.h"

static void test_event_id_is_split(void **state)
{
    uint64_t seq = 7;
    (void)state;
    assert_int_equal(tl_event_id_split("abcdefgh.0", &seq), 8);
    assert_int_equal(seq, 0);
    assert_int_equal(tl_event_id_split("abcdefgh01234567.18446744073709551615", &seq), 16);
    assert_int_equal(seq, UINT64_MAX);
}

static void test_event_id_refuses_what_is_none(void **state)
{
    static const char *const none[] = {
        "",
        ".",
        "abcdefgh",
        "abcdefgh.",
        "abcdefg.1",
        ".1",
        "abcdefgh.x",
        "abcdefgh.1x",
        "abcdefgh. 1",
        "abcdefgh.-1",
        "abcdefgh.+1",
        "abcdefgh.01",
        "Abcdefgh.1",
        "abcdefgh.1.2",
        "abcdefgh012345678.1",
        "abcdefgh.18446744073709551616",
    };
    uint64_t seq = 7;
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(tl_event_id_split(none[i], &seq), 0);
        assert_int_equal(seq, 7);
        assert_false(tl_event_id_check(none[i], strlen(none[i])));
    }
    assert_true(tl_event_id_check("abcdefgh.1", 10));
    assert_false(tl_event_id_check("abcdefgh.1\0x", 12));
}

static void test_event_id_is_formatted(void **state)
{
    char id[TL_EVENT_ID_MAX + 1];
    (void)state;
    tl_event_id_format(id, "abcdefgh.1", UINT64_MAX);
    assert_string_equal(id, "abcdefgh.18446744073709551615");
    assert_true(tl_event_id_is_of(id, "abcdefgh"));
    assert_true(tl_event_id_is_of(id, "abcdefgh.2"));
    assert_false(tl_event_id_is_of(id, "abcdefgh1.2"));
    assert_false(tl_event_id_is_of("abcdefgh1.2", id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_id_is_split),
        cmocka_unit_test(test_event_id_refuses_what_is_none),
        cmocka_unit_test(test_event_id_is_formatted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
