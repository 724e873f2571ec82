// SPDX-License-Identifier: MIT
// The pool of message memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bus/src/base/pool.h"

#define MANY 3000 // more than the pool keeps of a size

static int teardown(void **state)
{
    (void)state;
    talus__pool_trim();
    return 0;
}

static void test_pool_gives_enough(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 255, 256, 257, 512, 513, 2048, 2049, 100000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t capacity = 0;
        uint8_t *block = talus__pool_alloc(sizes[i], &capacity);
        assert_non_null(block);
        assert_true(capacity >= sizes[i]);
        memset(block, 0xa5, capacity); // the sanitizers see whether it is ours
        talus__pool_free(block, capacity);
    }
}

static void test_pool_reuses_blocks(void **state)
{
    (void)state;
    size_t first_capacity, second_capacity, other_capacity;
    void *first = talus__pool_alloc(300, &first_capacity);

    talus__pool_free(first, first_capacity);
    void *other = talus__pool_alloc(200, &other_capacity); // of another size
    void *second = talus__pool_alloc(400, &second_capacity);
    assert_ptr_equal(first, second);
    assert_int_equal(first_capacity, second_capacity);
    assert_ptr_not_equal(first, other);
    talus__pool_free(second, second_capacity);
    talus__pool_free(other, other_capacity);
    talus__pool_trim();
}

static void test_pool_is_bounded(void **state)
{
    (void)state;
    static void *blocks[MANY];
    size_t capacity;

    // Twice, so that its rings go round. Whatever it does not keep must be freed: the leak checker
    // and the trim see to the rest.
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            blocks[i] = talus__pool_alloc(100, &capacity);
            assert_non_null(blocks[i]);
            memset(blocks[i], round, capacity);
        }
        for (int i = 0; i < MANY; i++)
            talus__pool_free(blocks[i], capacity);
    }
}

#define THREADS 4
#define HELD    8
#define ROUNDS  30000

static void *run_user(void *arg)
{
    uint64_t mark = (uint64_t)(uintptr_t)arg;
    uint64_t *held[HELD] = {NULL};
    size_t capacity[HELD];

    for (uint64_t i = 0; i < ROUNDS; i++) {
        size_t k = i % HELD;
        if (held[k]) {
            if (held[k][0] != (mark | k)) // somebody else was given it too
                return (void *)1;
            talus__pool_free(held[k], capacity[k]);
        }
        held[k] = talus__pool_alloc(8 << (i % 8), &capacity[k]);
        held[k][0] = mark | k;
    }
    for (size_t k = 0; k < HELD; k++)
        talus__pool_free(held[k], capacity[k]);
    return NULL;
}

static void test_pool_gives_a_block_to_one_thread(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    void *result;

    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_user, (void *)((i + 1) << 8)), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_pool_gives_enough, teardown),
        cmocka_unit_test_teardown(test_pool_reuses_blocks, teardown),
        cmocka_unit_test_teardown(test_pool_is_bounded, teardown),
        cmocka_unit_test_teardown(test_pool_gives_a_block_to_one_thread, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
