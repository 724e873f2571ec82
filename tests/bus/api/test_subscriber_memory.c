// SPDX-License-Identifier: MIT
// What happens to a subscriber when memory is short: each allocation of a call fails in turn.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <talus/broadcaster.h>
#include <talus/error.h>
#include <talus/subscriber.h>

#include "tests/bus/support/expect.h"
#include "tests/bus/support/failing_memory.h"
#include "tests/bus/support/scratch.h"

#define ENDPOINT_MAX (3 * SCRATCH_PATH_MAX)

struct fixture {
    char root[SCRATCH_PATH_MAX];
    char directory[SCRATCH_PATH_MAX];
    char bus[ENDPOINT_MAX];
    talus_broadcaster_t *broadcaster;
    talus_subscriber_t *subscriber;
};

static int set_up(void **state)
{
    static struct fixture fixture;

    scratch_make(fixture.root);
    scratch_join(fixture.directory, fixture.root, "bus");
    snprintf(fixture.bus, sizeof fixture.bus, "ipc://%s/*", fixture.directory);
    *state = &fixture;
    return talus_broadcaster_new(&fixture.broadcaster, fixture.bus, NULL);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    talus_subscriber_destroy(&fixture->subscriber);
    talus_broadcaster_destroy(&fixture->broadcaster);
    scratch_remove(fixture->root);
    return 0;
}

static void exchange(struct fixture *fixture, const char *session)
{
    const talus_emit_t event = {.session = session, .type = "a"};
    talus_event_id_t id;

    assert_int_equal(talus_emit(fixture->broadcaster, &event, &id), 0);
    // Whoever met the broadcaster late, for want of memory, is owed what came before, too.
    while (strcmp(expect_event(fixture->subscriber, NULL, session, "a")->id, id.text) != 0)
        ;
}

static bool heads_are(const talus_subscriber_stats_t *stats, uint64_t value)
{
    return stats->heads >= value;
}

static void test_memory_making_a_subscriber(void **state)
{
    struct fixture *fixture = *state;
    char list[2 * ENDPOINT_MAX];
    size_t before = scratch_count(fixture->directory);
    int nth = 0, survived = 0;
    bool has_failed;

    snprintf(list, sizeof list, "%s,@tcp://127.0.0.1:*,>tcp://127.0.0.1:1,@ipc://%s/own",
             fixture->bus, fixture->root);
    do {
        begin_failing(++nth);
        talus_error_t error = talus_subscriber_new(&fixture->subscriber, list, NULL);
        has_failed = end_failing();
        if (error) {
            assert_int_equal(error, TALUS_ENOMEM);
            assert_null(fixture->subscriber);
        } else if (has_failed) { // it could do without, and makes good later
            survived++;
            assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
            pump_until(fixture->subscriber, heads_are, 1);
            join_live(fixture->subscriber, "s");
            exchange(fixture, "s");
        }
        talus_subscriber_destroy(&fixture->subscriber);
        assert_int_equal(scratch_count(fixture->directory), before);
        assert_false(scratch_has(fixture->root, "own"));
    } while (has_failed);
    assert_true(nth - survived > 10); // it was no walk-over
}

static void test_memory_joining(void **state)
{
    struct fixture *fixture = *state;
    talus_subscriber_stats_t stats;
    int nth = 0, error;

    assert_int_equal(talus_subscriber_new(&fixture->subscriber, fixture->bus, NULL), 0);
    do {
        begin_failing(++nth);
        error = talus_subscriber_join(fixture->subscriber, "s");
        bool has_failed = end_failing();
        assert_int_equal(error, has_failed ? TALUS_ENOMEM : 0);
        talus_subscriber_stats(fixture->subscriber, &stats);
        assert_int_equal(stats.sessions, error ? 0 : 1);
    } while (error);
    assert_true(nth > 1);
    expect_live(fixture->subscriber, "s", true);
    exchange(fixture, "s");
}

static void test_memory_receiving(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;
    talus_subscriber_options_t options;
    int failures = 0;

    talus_subscriber_options_init(&options);
    options.live_timeout_ms = 1000; // a head without a place is as good as none
    for (int nth = 1; nth <= 4; nth++) {
        assert_int_equal(talus_subscriber_new(&fixture->subscriber, fixture->bus, &options), 0);
        assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
        begin_failing(nth);
        assert_int_equal(
            talus_subscriber_receive(fixture->subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
        failures += end_failing();
        // Whatever was missing, an event is delivered.
        exchange(fixture, "s");
        talus_subscriber_destroy(&fixture->subscriber);
    }
    assert_true(failures > 0);
}

// Whatever fails while events are asked for and held back: in the end they are there, in order.
static void test_memory_repair(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;
    const talus_emit_t event = {.session = "s", .type = "a"};
    int failures = 0;

    for (int nth = 1; nth <= 14; nth++) {
        talus_broadcaster_t *late;
        assert_int_equal(talus_subscriber_new(&fixture->subscriber, fixture->bus, NULL), 0);
        join_live(fixture->subscriber, "s");
        assert_int_equal(talus_broadcaster_new(&late, fixture->bus, NULL), 0);
        for (int i = 0; i < 3; i++) // owed from the first on
            assert_int_equal(talus_emit(late, &event, NULL), 0);
        begin_failing(nth);
        for (uint64_t seq = 1; seq <= 3; seq++) {
            assert_int_equal(
                talus_subscriber_receive(fixture->subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
            assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
            assert_int_equal(delivery->event->seq, seq);
        }
        failures += end_failing();
        talus_subscriber_destroy(&fixture->subscriber);
        talus_broadcaster_destroy(&late);
    }
    assert_true(failures > 0);
}

// Whatever fails, what came since the event comes, in order, and LIVE.
static void test_memory_joining_since(void **state)
{
    struct fixture *fixture = *state;
    const talus_emit_t event = {.session = "s", .type = "a"};
    int failures = 0;

    for (int nth = 1; nth <= 14; nth++) {
        talus_broadcaster_t *broadcaster;
        talus_event_id_t id;
        const talus_delivery_t *delivery;
        assert_int_equal(talus_broadcaster_new(&broadcaster, fixture->bus, NULL), 0);
        assert_int_equal(talus_emit(broadcaster, &event, &id), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
        assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
        assert_int_equal(talus_subscriber_new(&fixture->subscriber, fixture->bus, NULL), 0);
        begin_failing(nth);
        talus_error_t error = talus_subscriber_join_since(fixture->subscriber, "s", id.text);
        if (error) {
            assert_int_equal(error, TALUS_ENOMEM);
            failures += end_failing();
            begin_failing(100000);
            assert_int_equal(talus_subscriber_join_since(fixture->subscriber, "s", id.text), 0);
        }
        for (unsigned lives = 0, seq = 1; lives == 0 || seq < 3;) {
            assert_int_equal(
                talus_subscriber_receive(fixture->subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
            lives += delivery->kind == TALUS_DELIVERY_LIVE;
            if (delivery->kind == TALUS_DELIVERY_EVENT)
                assert_int_equal(delivery->event->seq, ++seq);
            assert_int_not_equal(delivery->kind, TALUS_DELIVERY_GAP);
        }
        failures += end_failing();
        talus_subscriber_destroy(&fixture->subscriber);
        talus_broadcaster_destroy(&broadcaster);
    }
    assert_true(failures > 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_memory_making_a_subscriber), TEST(test_memory_joining),
        TEST(test_memory_receiving),           TEST(test_memory_repair),
        TEST(test_memory_joining_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
