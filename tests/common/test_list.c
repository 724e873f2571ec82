// SPDX-License-Identifier: MIT
// The intrusive list.
#include "common/list.h"

#include "tests/common/cmocka_all.h"

struct item {
    int number;
    struct tl_list link;
};

// The numbers in the list as decimal digits: 1, 2, 3 is 123.
static int digits(const struct tl_list *list)
{
    int value = 0;
    for (struct tl_list *link = list->next; link != list; link = link->next) {
        assert_ptr_equal(link->next->prev, link);
        value = value * 10 + TL_LIST_ENTRY(link, struct item, link)->number;
    }
    return value;
}

static void init_items(struct item *items, int count)
{
    for (int i = 0; i < count; i++) {
        items[i].number = i + 1;
        tl_list_init(&items[i].link);
    }
}

static void test_list_keeps_the_order_of_appending(void **state)
{
    (void)state;
    struct tl_list list;
    struct item items[3];
    tl_list_init(&list);
    init_items(items, 3);
    assert_true(tl_list_is_empty(&list));
    for (int i = 0; i < 3; i++)
        tl_list_append(&list, &items[i].link);
    assert_int_equal(digits(&list), 123);
}

static void test_list_remove_leaves_the_others_and_may_be_repeated(void **state)
{
    (void)state;
    struct tl_list list;
    struct item items[3];
    tl_list_init(&list);
    init_items(items, 3);
    for (int i = 0; i < 3; i++)
        tl_list_append(&list, &items[i].link);
    tl_list_remove(&items[1].link);
    tl_list_remove(&items[1].link);
    assert_true(tl_list_is_empty(&items[1].link));
    assert_int_equal(digits(&list), 13);
    tl_list_remove(&items[0].link);
    tl_list_remove(&items[2].link);
    assert_true(tl_list_is_empty(&list));
}

static void test_list_splice_moves_everything_to_the_end(void **state)
{
    (void)state;
    struct tl_list to;
    struct tl_list from;
    struct item items[4];
    tl_list_init(&to);
    tl_list_init(&from);
    init_items(items, 4);
    tl_list_splice(&to, &from);
    assert_true(tl_list_is_empty(&to));
    tl_list_append(&from, &items[0].link);
    tl_list_append(&from, &items[1].link);
    tl_list_splice(&to, &from);
    assert_int_equal(digits(&to), 12);
    assert_true(tl_list_is_empty(&from));
    tl_list_append(&from, &items[2].link);
    tl_list_append(&from, &items[3].link);
    tl_list_splice(&to, &from);
    assert_int_equal(digits(&to), 1234);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_keeps_the_order_of_appending),
        cmocka_unit_test(test_list_remove_leaves_the_others_and_may_be_repeated),
        cmocka_unit_test(test_list_splice_moves_everything_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
