// SPDX-License-Identifier: MIT
// Broadcasters that start late, share a session, leave, are stopped and killed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bus/support/expect.h"
#include "tests/bus/support/repair_fixture.h"

#define MANY_SESSIONS 10000
#define FLOOD         900
#define DEAD_MS       2000  // longer than until a loss is told
#define MANY          20000 // events, fewer than the emit queue holds

// ---- Broadcasters come and go

static void test_repair_a_broadcaster_that_starts_later(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    for (int i = 0; i < 100; i++)
        repair_emit(broadcaster, "s"); // before it can have been met
    repair_expect_seqs(subscriber, 1, 100);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static void test_repair_several_broadcasters_of_one_session(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 500 };
    uint64_t next[2] = {1, 1};

    repair_set_tiny_queues(fixture);
    fixture->publishing.send_high_water_mark = 5;
    talus_broadcaster_t *one = repair_broadcast(fixture, 0, fixture->bus);
    talus_broadcaster_t *other = repair_broadcast(fixture, 1, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    join_live(subscriber, "s");
    for (int i = 0; i < COUNT; i++) {
        repair_flood(one, "s", 1);
        repair_flood(other, "s", 1);
    }
    for (int i = 0; i < 2 * COUNT; i++) {
        const talus_event_t *event = expect_event(subscriber, NULL, "s", NULL);
        int which = strcmp(event->origin, talus_broadcaster_origin(other)) == 0;
        assert_int_equal(event->seq, next[which]);
        next[which]++;
    }
    assert_true(repair_stats_of(fixture).repaired > 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static void test_repair_a_leave_leaves_no_gap(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;

    join_live(subscriber, "s");
    repair_emit(broadcaster, "s");
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    repair_expect_seqs(subscriber, 1, 1);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(talus_subscriber_receive(subscriber, 0, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// Its ledger says that it had sent nothing else: no session is told of anything.
static void test_repair_tells_nothing_of_a_killed_one_that_owed_nothing(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    join_live(subscriber, "quiet");
    child_tell(&fixture->child);
    repair_expect_seqs(subscriber, 1, 3);
    child_kill(&fixture->child);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    // Its successor is another origin, and begins anew.
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    child_tell(&fixture->child);
    repair_expect_seqs(subscriber, 1, 3);
}

// It is told from others when it is gone, too.
static void test_repair_knows_a_killed_one_as_the_only_one(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    char id[TALUS_ID_MAX + 1];
    uint64_t request;

    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    for (int i = 0; i < 3; i++)
        strcpy(id, expect_event(subscriber, NULL, "s", NULL)->id);
    child_kill(&fixture->child);
    pump_until(subscriber, origins_are, 0);
    for (int others = 0; others < 2; others++) {
        if (others > 0) {
            repair_emit(repair_broadcast(fixture, 0, fixture->bus), "s");
            expect_event(subscriber, NULL, "s", NULL);
        }
        assert_int_equal(talus_subscriber_recover(subscriber, "s", id, &request), 0);
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
        assert_int_equal(delivery->recovered.is_only_origin, others == 0);
    }
}

// It never emitted: an idle gateway, say.
static void test_repair_tells_nothing_of_a_killed_one_that_was_idle(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    for (int i = 0; i < 3; i++) {
        child_start(&fixture->child, "emit", fixture->bus);
        child_wait_said(&fixture->child);
        if (i > 0) // the first is killed before it was met
            pump_until(subscriber, origins_are, 1);
        child_kill(&fixture->child);
        pump_until(subscriber, origins_are, 0);
    }
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// One that is stopped while it sends: what the kernel still has is what comes, the rest is told, to
// the session that it was for.
static void test_repair_tells_what_a_killed_one_had_not_sent(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;
    uint64_t next = 1;

    fixture->options.receive_high_water_mark = 5;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    child_start(&fixture->child, "many", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    join_live(subscriber, "other");
    child_tell(&fixture->child);
    child_wait_said(&fixture->child); // it emitted MANY events, and did not wait for the bus thread
    child_kill(&fixture->child);
    while (next <= MANY) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_string_equal(delivery->session, "s");
        if (delivery->kind == TALUS_DELIVERY_EVENT) {
            assert_int_equal(delivery->event->seq, next);
            next++;
            continue;
        }
        assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
        assert_int_equal(strtoull(strrchr(delivery->gap.after, '.') + 1, NULL, 10), next - 1);
        assert_string_not_equal(delivery->gap.first, "");
        next = strtoull(strrchr(delivery->gap.first, '.') + 1, NULL, 10);
    }
    assert_int_equal(next, MANY + 1);
    pump_until(subscriber, origins_are, 0);
    assert_true(repair_stats_of(fixture).gaps > 0);
}

// It came and went while the subscriber did nothing: no connection ever came about.
static void test_repair_tells_of_a_broadcaster_that_nobody_met(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    child_tell(&fixture->child);
    child_wait_said(&fixture->child);
    child_kill(&fixture->child);
    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
    assert_int_equal(delivery->gap.reason, TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(delivery->session, "s");
    assert_string_equal(strchr(delivery->gap.after, '.'), ".0");
    assert_string_equal(strchr(delivery->gap.first, '.'), ".4");
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

// The same, but the session was joined after it had died, before the subscriber knew of it.
static void test_repair_owes_nothing_from_before_the_join(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "other");
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    child_tell(&fixture->child);
    child_wait_said(&fixture->child);
    child_kill(&fixture->child);
    join_live(subscriber, "s");
    assert_int_equal(talus_subscriber_receive(subscriber, DEAD_MS, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// A queue overflowed and the broadcaster died before it could be asked.
static void test_repair_a_killed_broadcaster_takes_its_history_along(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;
    uint64_t next = 1;

    fixture->options.receive_high_water_mark = 5;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    child_start(&fixture->child, "flood", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    child_wait_said(&fixture->child); // it sent more than its queue holds
    child_kill(&fixture->child);
    while (next <= FLOOD) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        if (delivery->kind == TALUS_DELIVERY_EVENT) {
            assert_int_equal(delivery->event->seq, next);
            next++;
            continue;
        }
        assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
        assert_int_equal(delivery->gap.reason, TALUS_GAP_ORIGIN_LOST);
        assert_int_equal(strtoull(strrchr(delivery->gap.after, '.') + 1, NULL, 10), next - 1);
        assert_string_not_equal(delivery->gap.first, "");
        next = strtoull(strrchr(delivery->gap.first, '.') + 1, NULL, 10);
    }
    assert_int_equal(next, FLOOD + 1);
}

// Ten thousand sessions across a restart: all are told of it, all are live with the successor.
static void test_repair_ten_thousand_sessions_across_a_restart(void **state)
{
    struct repair_fixture *fixture = *state;
    static uint64_t got[MANY_SESSIONS];
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    char session[32];
    int lives = 0, events = 0;

    memset(got, 0, sizeof got);
    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    }
    for (; lives < MANY_SESSIONS; lives++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
        assert_true(delivery->live.complete);
    }
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    // The new one emits before any subscription can have come: all of it is owed.
    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        repair_emit(broadcaster, session);
    }
    while (events < MANY_SESSIONS) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
        long number = strtol(delivery->session + strlen("session-"), NULL, 10);
        assert_int_equal(got[number], 0);
        got[number] = delivery->event->seq;
        assert_int_equal(got[number], number + 1);
        events++;
    }
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// A peer that is stopped is noticed by its heartbeats, and taken up again when it goes on.
static void test_repair_a_stopped_broadcaster(void **state)
{
    struct repair_fixture *fixture = *state;
    char endpoint[64];

    fixture->options.heartbeat_ms = 100;
    fixture->options.heartbeat_timeout_ms = 300;
    fixture->options.origin_timeout_ms = 100;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, "@" TCP);
    snprintf(endpoint, sizeof endpoint, ">%s", talus_subscriber_endpoint(subscriber));
    child_start(&fixture->child, "emit", endpoint);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    repair_expect_seqs(subscriber, 1, 3);
    child_wait_said(&fixture->child);
    child_stop(&fixture->child);
    expect_gap(subscriber, "s", NULL, "", TALUS_GAP_ORIGIN_LOST);
    child_continue(&fixture->child);
    child_tell(&fixture->child);
    repair_expect_seqs(subscriber, 4,
                       4); // by the connection or, if that came too late, by the replay
}

// The same across a kill: none is told of a loss, as there was none, and all hear the successor.
static void test_repair_ten_thousand_sessions_across_a_kill(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    char session[32];

    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    }
    for (int i = 0; i < MANY_SESSIONS; i++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
        assert_true(delivery->live.complete);
    }
    child_kill(&fixture->child);
    pump_until(subscriber, origins_are, 0);
    talus_broadcaster_t *successor = repair_broadcast(fixture, 0, fixture->bus);
    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        repair_emit(successor, session);
    }
    for (int i = 0; i < MANY_SESSIONS; i++)
        expect_event(subscriber, NULL, NULL, NULL);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    assert_int_equal(repair_stats_of(fixture).delivered, MANY_SESSIONS);
}

// ---- The child

static int run_child(const char *role, const char *endpoint)
{
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster;

    talus_broadcaster_options_init(&options);
    bool is_flood = strcmp(role, "flood") == 0;
    bool is_many = strcmp(role, "many") == 0;
    if (is_flood || is_many)
        options.send_high_water_mark = 5;
    if (*endpoint == '>')
        options.replay = TCP;
    if (talus_broadcaster_new(&broadcaster, endpoint, &options) != 0)
        return 1;
    child_say();
    child_await();
    static uint8_t data[5 + BIG] = {0xc6, 0, 0, BIG >> 8, BIG & 0xff};
    const talus_emit_t event = {.session = "s",
                                .type = "t",
                                .data = is_flood ? data : NULL,
                                .data_size = is_flood ? sizeof data : 0};
    for (int i = 0; i < (is_many ? MANY : is_flood ? FLOOD : 3); i++) {
        if (talus_emit(broadcaster, &event, NULL) != 0)
            return 1;
    }
    if (!is_many && talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS) != 0)
        return 1;
    child_say();
    child_await();
    if (talus_emit(broadcaster, &event, NULL) != 0)
        return 1;
    child_await();
    talus_broadcaster_destroy(&broadcaster);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return run_child(argv[1], argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_repair_a_broadcaster_that_starts_later),
        TEST(test_repair_several_broadcasters_of_one_session),
        TEST(test_repair_a_leave_leaves_no_gap),
        TEST(test_repair_tells_nothing_of_a_killed_one_that_owed_nothing),
        TEST(test_repair_knows_a_killed_one_as_the_only_one),
        TEST(test_repair_tells_nothing_of_a_killed_one_that_was_idle),
        TEST(test_repair_tells_what_a_killed_one_had_not_sent),
        TEST(test_repair_tells_of_a_broadcaster_that_nobody_met),
        TEST(test_repair_owes_nothing_from_before_the_join),
        TEST(test_repair_a_killed_broadcaster_takes_its_history_along),
        TEST(test_repair_ten_thousand_sessions_across_a_restart),
        TEST(test_repair_ten_thousand_sessions_across_a_kill),
        TEST(test_repair_a_stopped_broadcaster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
