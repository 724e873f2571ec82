// SPDX-License-Identifier: MIT
// Who is ready, by subscriptions and heartbeats. Ticks stand for time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/zmq/pub/ready.h"

#define ONE        "abcdefghijkl"
#define OTHER      "mnopqrstuvwx"
#define TICK_MS    500
#define TIMEOUT_MS 1500
#define TICKS      4 // the first that makes more than the time-out

static struct talus__ready ready;

static int setup(void **state)
{
    (void)state;
    talus__ready_init(&ready);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talus__ready_fini(&ready);
    return 0;
}

static void add(const char *name)
{
    assert_int_equal(talus__ready_add(&ready, name, strlen(name)), 0);
}

static bool beat(const char *name, int every_ms)
{
    return talus__ready_beat(&ready, name, strlen(name), every_ms);
}

static bool tick(void)
{
    return talus__ready_tick(&ready, TICK_MS, TIMEOUT_MS);
}

static void expect_counts(size_t count, size_t silent)
{
    assert_int_equal(talus__ready_count(&ready), count);
    assert_int_equal(atomic_load(&ready.silent), silent);
}

static void test_ready_is_silent_after_missed_ticks(void **state)
{
    (void)state;
    add(ONE);
    add(OTHER);
    assert_true(beat(ONE, TICK_MS));
    assert_true(beat(OTHER, TICK_MS));
    for (int i = 1; i < TICKS; i++) {
        assert_true(tick());
        assert_true(beat(OTHER, TICK_MS));
        expect_counts(2, 0);
    }
    assert_true(tick());
    expect_counts(1, 1);
    assert_false(talus__ready_contains(&ready, ONE));
    assert_true(talus__ready_contains(&ready, OTHER));
    assert_true(beat(ONE, TICK_MS));
    expect_counts(2, 0);
    assert_true(talus__ready_contains(&ready, ONE));
}

// Its own interval is longer than the time-out.
static void test_ready_waits_for_three_beats(void **state)
{
    (void)state;
    add(ONE);
    assert_true(beat(ONE, 2 * TICK_MS));
    for (int i = 0; i < 6; i++) {
        assert_true(tick());
        expect_counts(1, 0);
    }
    assert_true(tick());
    expect_counts(0, 1);
    assert_false(tick()); // nobody is waited for
}

static void test_ready_never_misses_one_that_never_beat(void **state)
{
    (void)state;
    add(ONE);
    for (int i = 0; i < 3 * TICKS; i++)
        assert_false(tick());
    expect_counts(1, 0);
    assert_true(beat(ONE, TICK_MS));
    assert_true(beat(ONE, 0)); // beats no more
    for (int i = 0; i < 3 * TICKS; i++)
        assert_false(tick());
    expect_counts(1, 0);
}

static void silence(const char *name)
{
    assert_true(beat(name, TICK_MS));
    for (int i = 0; i < TICKS; i++)
        tick();
    assert_false(talus__ready_contains(&ready, name));
}

static void test_ready_silent_ones_end_and_come_again(void **state)
{
    (void)state;
    add(ONE);
    silence(ONE);
    talus__ready_remove(&ready, ONE, strlen(ONE));
    expect_counts(0, 0);
    add(ONE);
    expect_counts(1, 0);
    silence(ONE);
    expect_counts(0, 1);
    assert_true(beat(ONE, 0));
    expect_counts(1, 0);
    silence(ONE);
    add(ONE); // it has connected again
    expect_counts(1, 0);
    talus__ready_remove(&ready, ONE, strlen(ONE));
    talus__ready_remove(&ready, ONE, strlen(ONE));
    expect_counts(0, 0);
}

static void test_ready_keeps_nothing_of_strangers(void **state)
{
    (void)state;
    char name[16];

    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "stranger%07d", i);
        assert_false(beat(name, TICK_MS));
    }
    assert_int_equal(ready.table.count, 0);
    assert_false(tick());
    for (unsigned i = 0; i < TALUS__READY_MAX; i++) {
        snprintf(name, sizeof name, "stranger%07u", i);
        add(name);
    }
    assert_int_equal(talus__ready_add(&ready, ONE, strlen(ONE)), TALUS_ELIMIT);
    expect_counts(TALUS__READY_MAX, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ready_is_silent_after_missed_ticks),
        TEST(test_ready_waits_for_three_beats),
        TEST(test_ready_never_misses_one_that_never_beat),
        TEST(test_ready_silent_ones_end_and_come_again),
        TEST(test_ready_keeps_nothing_of_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
