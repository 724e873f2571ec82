// SPDX-License-Identifier: MIT
// Ids: their alphabet and length, and that each bit of them varies.
#include "gateway/base/random.h"

#include <stdlib.h>
#include <string.h>

#include "tests/common/cmocka_all.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void test_random_id_is_of_the_alphabet(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        char id[GW_ID_SIZE + 1];
        memset(id, '!', sizeof id);
        assert_true(gw_random_id(id));
        assert_int_equal(strlen(id), GW_ID_SIZE);
        assert_int_equal(strspn(id, ALPHABET), GW_ID_SIZE);
    }
}

static int compare_ids(const void *one, const void *other)
{
    return strcmp(one, other);
}

static void test_random_id_is_never_given_twice(void **state)
{
    (void)state;
    static char ids[1000][GW_ID_SIZE + 1];
    for (int i = 0; i < 1000; i++)
        assert_true(gw_random_id(ids[i]));
    qsort(ids, 1000, sizeof ids[0], compare_ids);
    for (int i = 1; i < 1000; i++)
        assert_string_not_equal(ids[i - 1], ids[i]);
}

// After 1,000 ids a character's bit that was never 0 or never 1 is stuck: chance does that once in
// 2^993.
static void test_random_id_varies_in_every_bit(void **state)
{
    (void)state;
    unsigned ones[GW_ID_SIZE] = {0};
    unsigned zeros[GW_ID_SIZE] = {0};
    for (int i = 0; i < 1000; i++) {
        char id[GW_ID_SIZE + 1];
        assert_true(gw_random_id(id));
        for (int at = 0; at < GW_ID_SIZE; at++) {
            unsigned bits = (unsigned)(strchr(ALPHABET, id[at]) - ALPHABET);
            ones[at] |= bits;
            zeros[at] |= ~bits & 63;
        }
    }
    for (int at = 0; at < GW_ID_SIZE; at++) {
        assert_int_equal(ones[at], 63);
        assert_int_equal(zeros[at], 63);
    }
}

static void test_random_id_hides_a_tag(void **state)
{
    (void)state;
    char id[GW_ID_SIZE + 1];
    for (unsigned tag = 0; tag < GW_ID_TAGS_MAX; tag++) {
        unsigned ones = 0;
        for (int i = 0; i < 1000; i++) {
            assert_true(gw_random_id_tagged(id, tag));
            assert_int_equal(strlen(id), GW_ID_SIZE);
            assert_int_equal(strspn(id, ALPHABET), GW_ID_SIZE);
            assert_int_equal(gw_id_tag(id), tag);
            ones |= (unsigned)(strchr(ALPHABET, id[GW_ID_SIZE - 1]) - ALPHABET);
        }
        assert_int_equal(ones, 63); // the last character varies like the others
    }
}

static void test_random_id_of_another_form_has_no_tag(void **state)
{
    (void)state;
    char id[GW_ID_SIZE + 2] = "";
    assert_int_equal(gw_id_tag(id), -1);
    memset(id, 'A', GW_ID_SIZE + 1);
    assert_int_equal(gw_id_tag(id), -1); // too long
    id[GW_ID_SIZE] = '\0';
    assert_int_equal(gw_id_tag(id), 0);
    for (int at = 0; at < GW_ID_SIZE; at++) {
        char kept = id[at];
        id[at] = '+';
        assert_int_equal(gw_id_tag(id), -1);
        id[at] = kept;
    }
    id[GW_ID_SIZE - 1] = '\0';
    assert_int_equal(gw_id_tag(id), -1); // too short
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_id_is_of_the_alphabet),
        cmocka_unit_test(test_random_id_is_never_given_twice),
        cmocka_unit_test(test_random_id_varies_in_every_bit),
        cmocka_unit_test(test_random_id_hides_a_tag),
        cmocka_unit_test(test_random_id_of_another_form_has_no_tag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
