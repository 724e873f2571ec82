// SPDX-License-Identifier: MIT
// UTF-8: every code point, the edges of what is no code point, and repair.
#include "tests/common/cmocka_all.h"

#include <string.h>

#include "common/utf8.h"
#include "tests/common/utf8_repairs.h"

static size_t encode(uint32_t point, uint8_t out[4])
{
    static const uint8_t LEAD[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t size = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    out[0] = (uint8_t)(LEAD[size] | point);
    return size;
}

static void test_utf8_every_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x200000; point++) {
        uint8_t bytes[4];
        size_t size = encode(point, bytes);
        bool is_good = point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
        if (tl_utf8_is_valid(bytes, size) != is_good)
            fail_msg("U+%X", point);
        for (size_t cut = 1; cut < size; cut++)
            if (tl_utf8_is_valid(bytes, cut))
                fail_msg("U+%X cut at %zu", point, cut);
    }
}

static void test_utf8_overlong_forms_are_invalid(void **state)
{
    (void)state;
    static const char *const FORMS[] = {
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf8\x88\x80\x80",
        "\xff",
        "\xfe",
        "\x80",
        "\xbf",
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++)
        assert_false(tl_utf8_is_valid((const uint8_t *)FORMS[i], strlen(FORMS[i])));
}

static void test_utf8_feed_stops_and_goes_on_anywhere(void **state)
{
    (void)state;
    const char *text = "plain ascii of some length, \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 and on";
    size_t size = strlen(text);
    for (size_t cut = 0; cut <= size; cut++) {
        uint32_t utf8 = TL_UTF8_START;
        assert_true(tl_utf8_feed(&utf8, (const uint8_t *)text, cut));
        assert_true(tl_utf8_feed(&utf8, (const uint8_t *)text + cut, size - cut));
        assert_int_equal(utf8, TL_UTF8_START);
    }
}

static void test_utf8_error_is_found_at_every_place(void **state)
{
    (void)state;
    for (size_t size = 1; size < 40; size++) {
        for (size_t at = 0; at < size; at++) {
            uint8_t bytes[40];
            memset(bytes, 'a', sizeof bytes);
            bytes[at] = 0xff;
            assert_false(tl_utf8_is_valid(bytes, size));
        }
    }
}

static void test_utf8_repair_replaces_maximal_subparts(void **state)
{
    (void)state;
    for (size_t i = 0; i < UTF8_REPAIR_COUNT; i++) {
        struct tl_buffer out;
        tl_buffer_init(&out, 100);
        assert_true(tl_utf8_append_repaired(&out, (const uint8_t *)UTF8_REPAIRS[i].in,
                                            strlen(UTF8_REPAIRS[i].in)));
        assert_int_equal(out.size, strlen(UTF8_REPAIRS[i].out));
        if (out.size > 0)
            assert_memory_equal(out.bytes, UTF8_REPAIRS[i].out, out.size);
        tl_buffer_fini(&out);
    }
}

static void test_utf8_decode_gives_the_code_point(void **state)
{
    (void)state;
    for (uint32_t point = 0; point < 0x110000; point++) {
        uint8_t bytes[5];
        size_t size = encode(point, bytes);
        size_t length;
        bytes[size] = 0x80; // belongs to the next
        bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
        assert_int_equal(tl_utf8_decode(bytes, size + 1, &length),
                         is_surrogate ? TL_UTF8_INVALID : point);
        assert_int_equal(length, is_surrogate ? 1 : size);
        if (size > 1) {
            assert_int_equal(tl_utf8_decode(bytes, size - 1, &length), TL_UTF8_INVALID);
            assert_int_equal(length, is_surrogate ? 1 : size - 1);
        }
    }
}

static void test_utf8_cut_keeps_characters_whole(void **state)
{
    (void)state;
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"; // 1, 2, 3, 4 and 1 bytes
    static const size_t ends[] = {0, 1, 3, 6, 10, 11};
    for (size_t max = 0, end = 0; max < sizeof text + 2; max++) {
        if (end + 1 < sizeof ends / sizeof *ends && ends[end + 1] <= max)
            end++;
        assert_int_equal(tl_utf8_cut(text, max), ends[end]);
        if (max < sizeof text)
            assert_int_equal(tl_utf8_whole(text, max), ends[end]);
    }
    // What is no beginning of a character is not cut off.
    static const char *const OTHERS[] = {"",      "a\xff", "\x80\x80\x80\x80",
                                         "a\xc0", "\xe2x", "a\xbf"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        assert_int_equal(tl_utf8_whole(OTHERS[i], strlen(OTHERS[i])), strlen(OTHERS[i]));
}

static void test_utf8_repair_keeps_the_bound(void **state)
{
    (void)state;
    struct tl_buffer out;
    tl_buffer_init(&out, 5);
    assert_false(tl_utf8_append_repaired(&out, (const uint8_t *)"\xff\xff", 2));
    tl_buffer_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_every_code_point),
        cmocka_unit_test(test_utf8_overlong_forms_are_invalid),
        cmocka_unit_test(test_utf8_feed_stops_and_goes_on_anywhere),
        cmocka_unit_test(test_utf8_error_is_found_at_every_place),
        cmocka_unit_test(test_utf8_repair_replaces_maximal_subparts),
        cmocka_unit_test(test_utf8_decode_gives_the_code_point),
        cmocka_unit_test(test_utf8_cut_keeps_characters_whole),
        cmocka_unit_test(test_utf8_repair_keeps_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
