// SPDX-License-Identifier: MIT
// The intrusive list.
#include "gateway/base/list.h"

#include "tests/gateway/protocol/cmocka_all.h"

struct item {
    int number;
    struct list link;
};

// The numbers in the list as decimal digits: 1, 2, 3 is 123.
static int digits(const struct list *list)
{
    int value = 0;
    for (struct list *link = list->next; link != list; link = link->next) {
        assert_ptr_equal(link->next->prev, link);
        value = value * 10 + LIST_ENTRY(link, struct item, link)->number;
    }
    return value;
}

static void init_items(struct item *items, int count)
{
    for (int i = 0; i < count; i++) {
        items[i].number = i + 1;
        list_init(&items[i].link);
    }
}

static void test_list_keeps_the_order_of_appending(void **state)
{
    (void)state;
    struct list list;
    struct item items[3];
    list_init(&list);
    init_items(items, 3);
    assert_true(list_is_empty(&list));
    for (int i = 0; i < 3; i++)
        list_append(&list, &items[i].link);
    assert_int_equal(digits(&list), 123);
}

static void test_list_remove_leaves_the_others_and_may_be_repeated(void **state)
{
    (void)state;
    struct list list;
    struct item items[3];
    list_init(&list);
    init_items(items, 3);
    for (int i = 0; i < 3; i++)
        list_append(&list, &items[i].link);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_true(list_is_empty(&items[1].link));
    assert_int_equal(digits(&list), 13);
    list_remove(&items[0].link);
    list_remove(&items[2].link);
    assert_true(list_is_empty(&list));
}

static void test_list_splice_moves_everything_to_the_end(void **state)
{
    (void)state;
    struct list to;
    struct list from;
    struct item items[4];
    list_init(&to);
    list_init(&from);
    init_items(items, 4);
    list_splice(&to, &from);
    assert_true(list_is_empty(&to));
    list_append(&from, &items[0].link);
    list_append(&from, &items[1].link);
    list_splice(&to, &from);
    assert_int_equal(digits(&to), 12);
    assert_true(list_is_empty(&from));
    list_append(&from, &items[2].link);
    list_append(&from, &items[3].link);
    list_splice(&to, &from);
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
