// SPDX-License-Identifier: MIT
// The hash table: what is in it is found, whatever was inserted and removed before; walks; and no
// memory for more buckets.
#include "tests/common/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/table.h"
#include "tests/common/faults.h"

enum { MANY = 3000 };

struct item {
    int value; // so that the node is not first
    struct tl_node node;
    char name[24];
    bool is_in;
    unsigned met;
};

static struct item items[MANY];

static struct item *item_of(struct tl_node *node)
{
    return TL_TABLE_ENTRY(node, struct item, node);
}

static int make_items(void **state)
{
    (void)state;
    memset(items, 0, sizeof items);
    for (int i = 0; i < MANY; i++) {
        items[i].value = i;
        items[i].node.name = items[i].name;
        items[i].node.name_size = (size_t)snprintf(items[i].name, sizeof items[i].name, "%d", i);
    }
    return 0;
}

static void insert(struct tl_table *table, int i)
{
    tl_table_insert(table, &items[i].node);
    items[i].is_in = true;
    assert_true(tl_table_hash(items[i].name, strlen(items[i].name)) == items[i].node.hash);
}

static void expect_all(const struct tl_table *table)
{
    size_t count = 0;
    for (int i = 0; i < MANY; i++) {
        struct tl_node *node = tl_table_find(table, items[i].name, strlen(items[i].name));
        assert_ptr_equal(node, items[i].is_in ? &items[i].node : NULL);
        count += items[i].is_in;
    }
    assert_int_equal(table->count, count);
}

static void test_table_finds_what_is_in_it(void **state)
{
    (void)state;
    struct tl_table table;
    tl_table_init(&table);
    expect_all(&table);
    srand(7);
    for (int round = 0; round < 5 * MANY; round++) {
        int i = rand() % MANY;
        if (items[i].is_in) {
            tl_table_remove(&table, &items[i].node);
            items[i].is_in = false;
        } else {
            insert(&table, i);
        }
        if (round % 1000 == 0)
            expect_all(&table);
    }
    expect_all(&table);
    tl_table_fini(&table);
}

static void test_table_names_are_bytes(void **state)
{
    (void)state;
    struct tl_table table;
    struct tl_node empty = {.name = "", .name_size = 0};
    struct tl_node nul = {.name = "\0", .name_size = 1};
    struct tl_node two = {.name = "\0\0", .name_size = 2};
    tl_table_init(&table);
    tl_table_insert(&table, &empty);
    tl_table_insert(&table, &nul);
    assert_ptr_equal(tl_table_find(&table, "x", 0), &empty);
    assert_ptr_equal(tl_table_find(&table, "\0", 1), &nul);
    assert_null(tl_table_find(&table, "\0\0", 2));
    tl_table_insert(&table, &two);
    assert_ptr_equal(tl_table_find(&table, "\0\0", 2), &two);
    tl_table_fini(&table);
}

static void test_table_walk_meets_each_node_once(void **state)
{
    (void)state;
    struct tl_table table;
    tl_table_init(&table);
    assert_null(tl_table_first(&table));
    for (int i = 0; i < MANY; i++)
        insert(&table, i);
    for (struct tl_node *node = tl_table_first(&table); node; node = tl_table_next(&table, node))
        item_of(node)->met++;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(items[i].met, 1);
    tl_table_fini(&table);
}

static void test_table_walk_may_remove(void **state)
{
    (void)state;
    struct tl_table table;
    tl_table_init(&table);
    for (int i = 0; i < MANY; i++)
        insert(&table, i);
    for (struct tl_node *node = tl_table_first(&table), *next; node; node = next) {
        next = tl_table_next(&table, node);
        item_of(node)->met++;
        if (item_of(node)->value % 3 > 0) {
            tl_table_remove(&table, node);
            item_of(node)->is_in = false;
        }
    }
    for (int i = 0; i < MANY; i++)
        assert_int_equal(items[i].met, 1);
    expect_all(&table);
    tl_table_fini(&table);
}

static void test_table_take_all(void **state)
{
    (void)state;
    struct tl_table table;
    tl_table_init(&table);
    assert_null(tl_table_take_all(&table));
    for (int i = 0; i < MANY; i++)
        insert(&table, i);
    for (struct tl_node *node = tl_table_take_all(&table); node; node = node->next)
        item_of(node)->met++;
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(items[i].met, 1);
        items[i].is_in = false;
    }
    expect_all(&table);
    insert(&table, 5);
    expect_all(&table);
    tl_table_fini(&table);
}

// Each growth fails: then the buckets are long, and that is all.
static void test_table_without_memory(void **state)
{
    (void)state;
    struct tl_table table;
    tl_table_init(&table);
    for (int i = 0; i < MANY; i++) {
        faults_fail_allocation_after(0);
        insert(&table, i);
        assert_int_equal(faults_stop(), i >= TL_TABLE_FIRST_BUCKETS);
    }
    assert_int_equal(table.mask, TL_TABLE_FIRST_BUCKETS - 1);
    expect_all(&table);
    tl_table_remove(&table, &items[0].node);
    items[0].is_in = false;
    insert(&table, 0); // with memory again
    assert_true(table.mask > TL_TABLE_FIRST_BUCKETS - 1);
    expect_all(&table);
    tl_table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_table_finds_what_is_in_it, make_items),
        cmocka_unit_test_setup(test_table_names_are_bytes, make_items),
        cmocka_unit_test_setup(test_table_walk_meets_each_node_once, make_items),
        cmocka_unit_test_setup(test_table_walk_may_remove, make_items),
        cmocka_unit_test_setup(test_table_take_all, make_items),
        cmocka_unit_test_setup(test_table_without_memory, make_items),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
