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
    assert_int_equal(tl_event_id_write(id, "abcdefgh01234567", 16, UINT64_MAX), TL_EVENT_ID_MAX);
    assert_string_equal(id, "abcdefgh01234567.18446744073709551615");
    assert_int_equal(tl_event_id_write(id, "abcdefghi", 8, 0), 10);
    assert_string_equal(id, "abcdefgh.0");
    tl_event_id_format(id, "abcdefgh", 10);
    assert_string_equal(id, "abcdefgh.10");
    assert_true(tl_event_id_is_of(id, "abcdefgh"));
    assert_true(tl_event_id_is_of(id, "abcdefgh.2"));
    assert_false(tl_event_id_is_of(id, "abcdefgh1.2"));
    assert_false(tl_event_id_is_of("abcdefgh1.2", id));
}

static void test_event_id_origins(void **state)
{
    (void)state;
    assert_true(tl_is_origin("k3v9q2mx", 8));
    assert_true(tl_is_origin("abcdefgh01234567", 16));
    assert_false(tl_is_origin("k3v9q2mx", 7));
    assert_false(tl_is_origin("abcdefgh012345678", 17));
    for (int byte = 0; byte < 256; byte++) {
        char text[8] = {'a', 'a', 'a', 'a', 'a', 'a', 'a', (char)byte};
        bool is_origin = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
        assert_int_equal(tl_is_origin(text, 8), is_origin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_id_is_split),
        cmocka_unit_test(test_event_id_refuses_what_is_none),
        cmocka_unit_test(test_event_id_is_formatted),
        cmocka_unit_test(test_event_id_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
