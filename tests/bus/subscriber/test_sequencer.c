// SPDX-License-Identifier: MIT
// The sequencer against a model: random schedules of loss, duplication, reordering, restarts,
// time-outs and replays that lie. A seed that fails is printed; TALUS_SEQUENCER_SEED runs it alone,
// TALUS_SEQUENCER_SCHEDULES sets how many are run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tests/bus/subscriber/sequencer_world.h"

enum { SCHEDULES = 200000 };

// ---- One thing at a time

struct bench {
    struct talus__sequencer sequencer;
    struct talus__stream session;
    struct talus__repair repair;
    struct talus__action action;
};

static struct talus__event_place place_in(struct bench *bench, uint64_t seq, uint64_t prev)
{
    struct talus__event_place place = {.session = &bench->session, .wants_session = true};

    talus__sequencer_place(&place, seq, prev);
    return place;
}

static enum talus__verdict feed(struct bench *bench, uint64_t seq, uint64_t prev)
{
    struct talus__event_place place = place_in(bench, seq, prev);

    return talus__sequencer_event(&bench->sequencer, &place, seq);
}

static enum talus__action_kind next_of(struct bench *bench)
{
    assert_true(talus__sequencer_next(&bench->sequencer, &bench->action));
    assert_ptr_equal(bench->action.repair, &bench->repair);
    return bench->action.kind;
}

static void expect_nothing(struct bench *bench)
{
    assert_false(talus__sequencer_next(&bench->sequencer, &bench->action));
}

// A repair of what lies between 1 and `target`, which is requested.
static struct bench open_bench(uint64_t target)
{
    return (struct bench){
        .session = {.last = 1, .delivered = 1, .has_baseline = true},
        .repair.target = target,
        .sequencer = {.max_events = 1, .max_bytes = 100},
    };
}

static void request(struct bench *bench)
{
    talus__sequencer_open(&bench->sequencer, &bench->session, &bench->repair, bench->repair.target);
    assert_int_equal(next_of(bench), TALUS__ACTION_REQUEST);
    assert_int_equal(bench->action.after, 1);
    talus__sequencer_requested(&bench->repair);
    assert_int_equal(bench->session.state, TALUS__STREAM_REQUESTED);
}

// The first event of a publisher without marks is delivered at once while a join is pending.
static void test_a_plain_publisher_owes_nothing_before_its_first_event(void **state)
{
    struct bench bench = {0};

    (void)state;
    assert_int_equal(feed(&bench, 7, 6), TALUS__VERDICT_DELIVER);
    assert_int_equal(feed(&bench, 9, 8), TALUS__VERDICT_HOLD);
}

// What comes by itself ends a repair, and gives what is held its turn, without any replay.
static void test_late_events_end_a_repair(void **state)
{
    struct bench bench = open_bench(2);
    struct talus__held held = {.seq = 3, .prev = 2, .bytes = 1};

    (void)state;
    request(&bench);
    assert_int_equal(feed(&bench, 3, 2), TALUS__VERDICT_HOLD);
    assert_true(talus__sequencer_hold(&bench.sequencer, &bench.repair, &held));
    assert_int_equal(feed(&bench, 2, 1), TALUS__VERDICT_DELIVER);
    assert_int_equal(next_of(&bench), TALUS__ACTION_DELIVER);
    struct talus__event_place place = place_in(&bench, 3, 2);
    assert_int_equal(talus__sequencer_release(&place, 3), TALUS__VERDICT_DELIVER);
    assert_int_equal(next_of(&bench), TALUS__ACTION_DONE);
    assert_int_equal(bench.session.state, TALUS__STREAM_IN_STEP);
    expect_nothing(&bench);
}

// What there was no room for is requested, though nothing later ever comes.
static void test_what_is_let_go_is_requested(void **state)
{
    struct bench bench = open_bench(2);
    struct talus__held held = {.seq = 3, .prev = 2, .bytes = 101};

    (void)state;
    request(&bench);
    assert_int_equal(feed(&bench, 3, 2), TALUS__VERDICT_HOLD);
    assert_false(talus__sequencer_hold(&bench.sequencer, &bench.repair, &held));
    assert_int_equal(feed(&bench, 2, 1), TALUS__VERDICT_DELIVER);
    talus__sequencer_end(&bench.sequencer, &bench.repair, 1, 1);
    assert_int_equal(next_of(&bench), TALUS__ACTION_REQUEST);
    assert_int_equal(bench.action.after, 2);
}

// An event is held while the hole before it is not known to the repair.
static void test_what_is_held_names_what_is_missing(void **state)
{
    struct bench bench = open_bench(2);
    struct talus__held held = {.seq = 9, .prev = 5, .bytes = 1};

    (void)state;
    request(&bench);
    assert_true(talus__sequencer_hold(&bench.sequencer, &bench.repair, &held));
    assert_int_equal(feed(&bench, 2, 1), TALUS__VERDICT_DELIVER);
    expect_nothing(&bench);
    talus__sequencer_end(&bench.sequencer, &bench.repair, 2, 1);
    assert_int_equal(next_of(&bench), TALUS__ACTION_GAP);
    assert_int_equal(bench.action.after, 2);
    assert_int_equal(bench.action.before, 6);
}

// A loss is told once; and again when the publisher was heard meanwhile.
static void test_a_loss_is_told_until_the_publisher_is_heard(void **state)
{
    struct bench bench = open_bench(1);

    (void)state;
    for (uint64_t seq = 2; seq < 4; seq++) {
        talus__sequencer_open(&bench.sequencer, &bench.session, &bench.repair, 0);
        talus__sequencer_lose(&bench.sequencer, &bench.repair);
        assert_int_equal(next_of(&bench), TALUS__ACTION_GAP);
        assert_int_equal(bench.action.before, 0);
        assert_int_equal(bench.action.cause, TALUS__CAUSE_LOST);
        assert_int_equal(next_of(&bench), TALUS__ACTION_DONE);
        assert_int_equal(bench.session.state, TALUS__STREAM_ENDED);
        assert_int_equal(feed(&bench, seq, seq - 1), TALUS__VERDICT_DELIVER);
        assert_int_equal(bench.session.state, TALUS__STREAM_IN_STEP);
    }
    expect_nothing(&bench);
}

// ---- Schedules

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void test_random_schedules(void **state)
{
    static struct world world;
    uint64_t only = number_of("TALUS_SEQUENCER_SEED", 0);
    uint64_t count = number_of("TALUS_SEQUENCER_SCHEDULES", SCHEDULES);
    unsigned long deliveries = 0, gaps = 0, requests = 0;

    (void)state;
    for (uint64_t seed = only ? only : 1; seed <= (only ? only : count); seed++) {
        world_run(&world, seed, only != 0);
        if (world.problem)
            fail_msg("%s (TALUS_SEQUENCER_SEED=%llu, kind %d)", world.problem,
                     (unsigned long long)seed, (int)world.kind);
        deliveries += world.deliveries;
        gaps += world.gaps;
        requests += world.requests;
    }
    print_message("%lu deliveries, %lu gaps, %lu requests\n", deliveries, gaps, requests);
    assert_true(only || (deliveries > count && gaps > count / 10 && requests > count / 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_publisher_owes_nothing_before_its_first_event),
        cmocka_unit_test(test_late_events_end_a_repair),
        cmocka_unit_test(test_what_is_let_go_is_requested),
        cmocka_unit_test(test_what_is_held_names_what_is_missing),
        cmocka_unit_test(test_a_loss_is_told_until_the_publisher_is_heard),
        cmocka_unit_test(test_random_schedules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
