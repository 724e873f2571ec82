// SPDX-License-Identifier: MIT
// Local callbacks: order, failures, changes from within, release, and changes from other threads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <talus/error.h>
#include <talus/log.h>

#include "bus/src/api/callbacks.h"

#define RECORD_MAX 64

static struct talus__callbacks callbacks;

// What happened, one letter each: callbacks write theirs, releases its upper case.
static char record[RECORD_MAX];
static size_t recorded;

static void note(char letter)
{
    assert_true(recorded + 1 < RECORD_MAX);
    record[recorded++] = letter;
    record[recorded] = '\0';
}

static int setup(void **state)
{
    (void)state;
    talus__callbacks_init(&callbacks);
    recorded = 0;
    record[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talus__callbacks_fini(&callbacks);
    return 0;
}

// Static, since the teardown's releases come after the test's own frame is gone.
struct actor {
    char letter;
    int result;
    uint64_t id;
    struct actor *removes; // NULL: none
    struct actor *adds;
};

static void on_release(void *arg)
{
    struct actor *actor = arg;

    note((char)(actor->letter - 'a' + 'A'));
}

static int on_event(const talus_event_t *event, void *arg);

static void add(struct actor *actor, const char *type)
{
    assert_int_equal(
        talus__callbacks_add(&callbacks, type, on_event, on_release, actor, &actor->id), 0);
}

static int on_event(const talus_event_t *event, void *arg)
{
    struct actor *actor = arg;

    assert_string_equal(event->id, "abcdefghijkl.1");
    note(actor->letter);
    if (actor->removes) {
        assert_int_equal(talus__callbacks_remove(&callbacks, actor->removes->id), 0);
        assert_int_equal(talus__callbacks_remove(&callbacks, actor->removes->id), TALUS_ENOTFOUND);
        actor->removes = NULL;
    }
    if (actor->adds) {
        add(actor->adds, NULL);
        actor->adds = NULL;
    }
    return actor->result;
}

static void run(const char *type)
{
    const talus_event_t event = {.session = "s", .type = type, .id = "abcdefghijkl.1"};

    talus__callbacks_run(&callbacks, &event);
}

static uint64_t failures(void)
{
    return atomic_load(&callbacks.failed);
}

static void test_callbacks_run_in_order_of_addition(void **state)
{
    (void)state;
    static struct actor a = {'a'}, b = {'b'}, c = {'c'};

    run("node-created");
    assert_false(talus__callbacks_any(&callbacks));
    add(&a, NULL);
    add(&b, "node-created");
    add(&c, "node-deleted");
    assert_true(talus__callbacks_any(&callbacks));
    run("node-created");
    assert_string_equal(record, "ab");
    run("node-deleted");
    assert_string_equal(record, "abac");
    run("node-create"); // no prefix matching
    assert_string_equal(record, "abaca");

    assert_int_equal(talus__callbacks_remove(&callbacks, a.id), 0);
    assert_string_equal(record, "abacaA");
    run("node-created");
    assert_string_equal(record, "abacaAb");
    assert_int_equal(talus__callbacks_remove(&callbacks, c.id), 0);
    assert_int_equal(talus__callbacks_remove(&callbacks, b.id), 0);
    assert_string_equal(record, "abacaAbCB");
    assert_false(talus__callbacks_any(&callbacks));
    assert_int_equal(talus__callbacks_remove(&callbacks, b.id), TALUS_ENOTFOUND);
    assert_int_equal(talus__callbacks_remove(&callbacks, 4711), TALUS_ENOTFOUND);
}

static char logged[256];

static void on_log(talus_log_level_t level, const char *line, void *arg)
{
    (void)level;
    (void)arg;
    strncpy(logged, line, sizeof logged - 1);
}

static void test_callbacks_failure_is_counted_and_logged(void **state)
{
    (void)state;
    static struct actor a = {.letter = 'a', .result = 0}, b = {.letter = 'b', .result = 42},
                        c = {.letter = 'c', .result = 0};

    talus_set_log(TALUS_LOG_WARNING, on_log, NULL);
    add(&a, NULL);
    add(&b, NULL);
    add(&c, NULL);
    run("t");
    assert_string_equal(record, "abc"); // the others still run
    assert_int_equal(failures(), 1);
    assert_non_null(strstr(logged, "abcdefghijkl.1"));
    assert_non_null(strstr(logged, "42"));
    run("t");
    assert_int_equal(failures(), 2);
    talus_set_log(TALUS_LOG_WARNING, NULL, NULL);
}

static void test_callbacks_may_remove_themselves(void **state)
{
    (void)state;
    static struct actor a = {'a'}, b = {'b'}, c = {'c'};
    b.removes = &b;

    add(&a, NULL);
    add(&b, NULL);
    add(&c, NULL);
    run("t");
    assert_string_equal(record, "abcB"); // released only when it is out of it
    run("t");
    assert_string_equal(record, "abcBac");
}

static void test_callbacks_removed_one_is_not_called_any_more(void **state)
{
    (void)state;
    static struct actor a = {'a'}, b = {'b'}, c = {'c'};
    a.removes = &b;

    add(&a, NULL);
    add(&b, NULL);
    add(&c, NULL);
    run("t"); // b was next in the list that this run began with
    assert_string_equal(record, "acB");
}

static void test_callbacks_added_from_within_hear_the_next_event(void **state)
{
    (void)state;
    static struct actor a = {'a'}, b = {'b'};
    a.adds = &b;

    add(&a, NULL);
    run("t");
    assert_string_equal(record, "a");
    run("t");
    assert_string_equal(record, "aab");
}

static void test_callbacks_fini_releases_the_rest(void **state)
{
    (void)state;
    static struct actor a = {'a'}, b = {'b'};

    add(&a, NULL);
    add(&b, "t");
    talus__callbacks_fini(&callbacks);
    assert_string_equal(record, "AB");
    talus__callbacks_init(&callbacks); // for the teardown
}

// ---- Many threads

#define THREADS 4
#define ROUNDS  3000

// Lives on the heap and is freed by release, so that a call after it is seen by the sanitizers.
struct counted {
    atomic_int calls;
    atomic_bool released;
};

static atomic_int alive;
static atomic_bool finished;

static int on_counted(const talus_event_t *event, void *arg)
{
    struct counted *counted = arg;

    (void)event;
    if (atomic_load(&counted->released))
        return 1; // after release: counted as a failure
    atomic_fetch_add(&counted->calls, 1);
    return 0;
}

static void on_counted_release(void *arg)
{
    struct counted *counted = arg;

    atomic_store(&counted->released, true);
    atomic_fetch_sub(&alive, 1);
    free(counted);
}

static void *run_emitter(void *arg)
{
    (void)arg;
    while (!atomic_load(&finished))
        run("t");
    return NULL;
}

static void *run_changer(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t ids[3];
        for (int k = 0; k < 3; k++) {
            struct counted *counted = calloc(1, sizeof *counted);
            atomic_fetch_add(&alive, 1);
            if (talus__callbacks_add(&callbacks, k ? "t" : NULL, on_counted, on_counted_release,
                                     counted, &ids[k]) != 0)
                return (void *)1;
        }
        for (int k = 0; k < 3; k++) {
            if (talus__callbacks_remove(&callbacks, ids[k]) != 0)
                return (void *)1;
        }
    }
    return NULL;
}

static void test_callbacks_change_while_others_run(void **state)
{
    (void)state;
    pthread_t emitters[THREADS / 2], changers[THREADS / 2];
    void *result;

    atomic_store(&alive, 0);
    atomic_store(&finished, false);
    for (int i = 0; i < THREADS / 2; i++) {
        assert_int_equal(pthread_create(&emitters[i], NULL, run_emitter, NULL), 0);
        assert_int_equal(pthread_create(&changers[i], NULL, run_changer, NULL), 0);
    }
    for (int i = 0; i < THREADS / 2; i++) {
        pthread_join(changers[i], &result);
        assert_null(result);
    }
    atomic_store(&finished, true);
    for (int i = 0; i < THREADS / 2; i++)
        pthread_join(emitters[i], NULL);
    assert_int_equal(atomic_load(&alive), 0); // each released, once
    assert_int_equal(failures(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_callbacks_run_in_order_of_addition),
        TEST(test_callbacks_failure_is_counted_and_logged),
        TEST(test_callbacks_may_remove_themselves),
        TEST(test_callbacks_removed_one_is_not_called_any_more),
        TEST(test_callbacks_added_from_within_hear_the_next_event),
        TEST(test_callbacks_fini_releases_the_rest),
        TEST(test_callbacks_change_while_others_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
