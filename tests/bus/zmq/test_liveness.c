// SPDX-License-Identifier: MIT
// Broadcasters that are away or dead: what is told of them, and that nobody asks the dead.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/src/subscriber/instance.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/presence.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/repair_fixture.h"
#include "tests/bus/support/stalled_log.h"

#define SESSIONS     200
#define HEARTBEAT_MS 100
#define TIMEOUT_MS   300

// ---- Away

static bool is_away(struct talus__publisher *publisher)
{
    return talus__presence_of(publisher)->is_away;
}

// And what it owes until then was told.
static bool is_told(struct talus__publisher *publisher)
{
    return talus__presence_of(publisher)->is_away && talus__presence_of(publisher)->is_told;
}

// Receives until it is so of the only broadcaster there is. Nothing is delivered until then.
static void wait_until(talus_subscriber_t *subscriber,
                       bool (*is_so)(struct talus__publisher *publisher))
{
    const struct talus__publishers *publishers = &subscriber->core.publishers;
    const talus_delivery_t *delivery;
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    for (;;) {
        for (size_t i = 0; i < publishers->slot_count; i++) {
            struct talus__publisher *publisher = publishers->slots[i].publisher;
            if (publisher && is_so(publisher))
                return;
        }
        assert_true(tl_monotonic_ms() < deadline);
        assert_int_equal(talus_subscriber_receive(subscriber, 10, &delivery), TALUS_ETIMEOUT);
    }
}

static talus_subscriber_t *subscribe_impatient(struct repair_fixture *fixture,
                                               int origin_timeout_ms)
{
    fixture->options.heartbeat_ms = HEARTBEAT_MS;
    fixture->options.heartbeat_timeout_ms = TIMEOUT_MS;
    fixture->options.origin_timeout_ms = origin_timeout_ms;
    return repair_subscribe(fixture, fixture->bus);
}

static void start_child(struct repair_fixture *fixture, const char *role)
{
    child_start(&fixture->child, role, fixture->bus);
    child_wait_said(&fixture->child);
}

static void serve_until_said(talus_subscriber_t *subscriber, struct child *child)
{
    struct pollfd item = {.fd = child->from, .events = POLLIN};
    const talus_delivery_t *delivery;
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    while (poll(&item, 1, 0) == 0) {
        assert_true(tl_monotonic_ms() < deadline);
        assert_int_equal(talus_subscriber_receive(subscriber, 10, &delivery), TALUS_ETIMEOUT);
    }
    child_wait_said(child);
}

// Its bus thread stands still, the rest of the process does not: what it emits after its absence
// was told is not sent before it is killed.
static void test_lost_what_is_emitted_after_an_absence_was_told(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe_impatient(fixture, 100);
    talus_subscriber_t *other;

    start_child(fixture, "stall");
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    repair_expect_seqs(subscriber, 1, 1);
    child_wait_said(&fixture->child);
    // That it becomes ready is where the child's bus thread stops.
    assert_int_equal(talus_subscriber_new(&other, fixture->bus, NULL), 0);
    serve_until_said(other, &fixture->child);
    talus_subscriber_destroy(&other);
    wait_until(subscriber, is_told);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    child_tell(&fixture->child);
    child_wait_said(&fixture->child); // it has emitted
    child_kill(&fixture->child);
    const talus_gap_t *gap = expect_gap(subscriber, "s", NULL, NULL, TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(strchr(gap->after, '.'), ".1");
    assert_string_equal(strchr(gap->first, '.'), ".3");
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

// It has not answered, though it may still come back: until it counts as lost, joins are live
// without it, and say so.
static void test_lost_joins_are_incomplete_while_one_is_away(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe_impatient(fixture, 3000);

    start_child(fixture, "spread");
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "early");
    child_stop(&fixture->child);
    wait_until(subscriber, is_away);
    assert_int_equal(talus_subscriber_join(subscriber, "late"), 0);
    expect_live(subscriber, "late", false);
    assert_int_equal(repair_stats_of(fixture).live_incomplete, 1);
    assert_int_equal(talus_subscriber_join(subscriber, "early"), 0); // which it has answered
    expect_live(subscriber, "early", true);
    wait_until(subscriber, is_told);
    join_live(subscriber, "later");
    assert_int_equal(repair_stats_of(fixture).live_incomplete, 1);
}

// ---- Dead

// It dies before it was met, and owes something to many sessions.
static void test_lost_the_dead_are_not_asked(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    char session[32];

    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        join_live(subscriber, session);
    }
    start_child(fixture, "spread");
    child_tell(&fixture->child);
    child_wait_said(&fixture->child);
    child_kill(&fixture->child);
    for (int i = 0; i < SESSIONS; i++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
        assert_int_equal(delivery->gap.reason, TALUS_GAP_ORIGIN_LOST);
        assert_string_not_equal(delivery->gap.first, "");
    }
    pump_until(subscriber, origins_are, 0);
    talus_subscriber_stats_t stats = repair_stats_of(fixture);
    assert_int_equal(stats.gaps, SESSIONS);
    assert_int_equal(stats.replay_requests, 0);
    assert_int_equal(stats.replay_timeouts, 0);
}

// ---- The child

static int emit_and_flush(talus_broadcaster_t *broadcaster, const char *session)
{
    const talus_emit_t event = {.session = session, .type = "t"};
    talus_error_t error = talus_emit(broadcaster, &event, NULL);

    return error ? error : talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS);
}

static int run_spread(talus_broadcaster_t *broadcaster)
{
    char session[32];

    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        if (emit_and_flush(broadcaster, session) != 0)
            return 1;
    }
    child_say();
    child_await();
    return 0;
}

static int run_stall(talus_broadcaster_t *broadcaster)
{
    const talus_emit_t event = {.session = "s", .type = "t"};

    if (emit_and_flush(broadcaster, "s") != 0)
        return 1;
    stalled_log_hold("is ready for");
    child_say();
    stalled_log_wait_held();
    child_say();
    child_await();
    if (talus_emit(broadcaster, &event, NULL) != 0)
        return 1;
    child_say();
    child_await();
    return 0;
}

static int run_child(const char *role, const char *endpoint)
{
    talus_broadcaster_t *broadcaster;

    stalled_log_open();
    if (talus_broadcaster_new(&broadcaster, endpoint, NULL) != 0)
        return 1;
    child_say();
    child_await();
    return strcmp(role, "stall") == 0 ? run_stall(broadcaster) : run_spread(broadcaster);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return run_child(argv[1], argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_lost_what_is_emitted_after_an_absence_was_told),
        TEST(test_lost_joins_are_incomplete_while_one_is_away),
        TEST(test_lost_the_dead_are_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
