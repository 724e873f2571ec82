// SPDX-License-Identifier: MIT
// Joins with `since` whose histories have to be asked for: so many at a time, a queue for those
// behind them, which has a bound and a deadline, and a gap for whoever is past either. Nothing is
// received from the bus while a test looks, so that no answer can come in between.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gateway/bridge/bridge_fixture.h"

#define ASKED_MAX         64 // of one broadcaster, of ASKED_IN_ALL
#define ASKED_IN_ALL      96 // the last quarter is for those that are asked for nothing
#define WAITING_MAX       600
#define QUEUE_PATIENCE_MS 10000
#define ELSEWHERE         100 // events of a session that nobody is in: joins name them
#define MORE              20  // than may be asked for at a time

static struct bridge_options options_without_presence(void)
{
    struct bridge_options options;
    bridge_options_init(&options);
    options.presence_limit = 0; // rooms are not told who comes: there are hundreds
    options.max_histories = ASKED_IN_ALL;
    options.max_histories_of_one = ASKED_MAX;
    options.max_catch_ups_waiting = WAITING_MAX;
    options.catch_up_queue_ms = QUEUE_PATIENCE_MS;
    return options;
}

// A session "s" that is live, in which nobody is, and whose only event is ELSEWHERE + 1. The tests
// hold the bus up for a moment only: what was asked for has the broadcaster's deadline, in real
// time.
static void arrange(struct fixture *fixture)
{
    struct bridge_options options = options_without_presence();
    struct identity identity = {0};
    start_bridge(fixture, &options);
    for (int i = 0; i < ELSEWHERE; i++)
        assert_int_equal(
            talus_emit(fixture->bus, &(talus_emit_t){.session = "elsewhere", .type = "step"}, NULL),
            0);
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    put_join(client, "s", NULL);
    read_message(client, "42/graph,[\"joined\"");
    emit(fixture, "s", NULL);
    read_step(client, &identity, ELSEWHERE + 1);
    client_close(client);
}

static const char *event_id(const struct fixture *fixture, unsigned seq)
{
    static char id[TALUS_ID_MAX + 1];
    snprintf(id, sizeof id, "%s.%u", talus_broadcaster_origin(fixture->bus), seq);
    return id;
}

// Joins of clients that are gone when the answer comes, each with an event of its own if they are
// not more than ELSEWHERE; else several name the same.
static void post_joins_at(struct fixture *fixture, const char *origin, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bridge_request *request =
            bridge__new_request(&fixture->bridge->workers[0], BRIDGE_JOIN, "s", "nobody");
        assert_non_null(request);
        snprintf(request->since, sizeof request->since, "%s.%zu", origin, i % ELSEWHERE + 1);
        bridge__post_request(request);
    }
    harness_settle(&fixture->base);
}

static void post_joins(struct fixture *fixture, size_t count)
{
    post_joins_at(fixture, talus_broadcaster_origin(fixture->bus), count);
}

static struct client *connect_one(struct fixture *fixture)
{
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    return client;
}

static struct client *join_since(struct fixture *fixture, unsigned seq)
{
    struct client *client = connect_one(fixture);
    put_join(client, "s", event_id(fixture, seq));
    harness_settle(&fixture->base);
    return client;
}

static void expect_gap(struct fixture *fixture, struct client *client, unsigned seq)
{
    char gap[160];
    read_message(client, "42/graph,[\"joined\"");
    snprintf(gap, sizeof gap,
             "42/graph,[\"gap\",{\"session_id\":\"s\",\"after\":\"%s\",\"first\":\"\","
             "\"reason\":\"history\"}]",
             event_id(fixture, seq));
    assert_string_equal(read_message(client, "42/graph,[\"gap\""), gap);
    client_expect_silence(client);
}

static void expect_missed(struct client *client)
{
    struct identity identity;
    read_message(client, "42/graph,[\"joined\"");
    read_step(client, &identity, ELSEWHERE + 1);
    client_expect_silence(client);
}

struct wait {
    const struct fixture *fixture;
    size_t count;
};

static bool are_waiting(void *arg)
{
    const struct wait *wait = arg;
    return wait->fixture->bridge->catch_up_waiting == wait->count;
}

static void wait_waiting(struct fixture *fixture, size_t count)
{
    struct wait wait = {fixture, count};
    bed_wait(&fixture->base.bed, are_waiting, &wait);
}

static bool is_nobody_waiting(void *arg)
{
    const struct fixture *fixture = arg;
    return fixture->bridge->catch_up_waiting == 0 && bridge_is_idle(fixture->bridge, 0);
}

static void wait_answered(struct fixture *fixture)
{
    bed_wait(&fixture->base.bed, is_nobody_waiting, fixture);
    assert_int_equal(fixture->bridge->catch_up_count, 0);
}

static void expect_incomplete(const struct fixture *fixture, enum gw_metric why, int64_t count)
{
    for (int i = GW_SINCE_UNPROVEN; i <= GW_SINCE_QUEUE_FULL; i++)
        assert_int_equal(metric(fixture, (enum gw_metric)i), (enum gw_metric)i == why ? count : 0);
}

static void test_since_more_than_may_be_asked_for_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    struct client *clients[ASKED_MAX + MORE];
    arrange(fixture);
    for (unsigned i = 0; i < ASKED_MAX + MORE; i++)
        clients[i] = connect_one(fixture);
    hold_bus_up(fixture);
    for (unsigned i = 0; i < ASKED_MAX + MORE; i++)
        put_join(clients[i], "s", event_id(fixture, i + 1));
    wait_waiting(fixture, ASKED_MAX + MORE);
    assert_int_equal(fixture->bridge->catch_up_count, ASKED_MAX);
    assert_int_equal(count_clients(fixture, "s"), 0);
    let_bus_go_on(fixture);
    wait_answered(fixture);
    for (unsigned i = 0; i < ASKED_MAX + MORE; i++)
        expect_missed(clients[i]);
    expect_incomplete(fixture, GW_SINCE_QUEUE_FULL, 0);
    assert_int_equal(count_clients(fixture, "s"), ASKED_MAX + MORE);
    for (unsigned i = 0; i < ASKED_MAX + MORE; i++)
        client_close(clients[i]);
}

// One broadcaster, or a few, that do not answer leave room for others.
static void test_since_asks_one_broadcaster_for_so_much(void **state)
{
    enum { KEPT = ASKED_IN_ALL / 4, FOR_ALL = ASKED_IN_ALL - KEPT };
    struct fixture *fixture = *state;
    char origin[] = "third000";
    arrange(fixture);
    hold_bus_up(fixture);
    post_joins(fixture, ELSEWHERE);
    assert_int_equal(fixture->bridge->catch_up_count, ASKED_MAX);
    post_joins_at(fixture, "second00", ELSEWHERE);
    assert_int_equal(fixture->bridge->catch_up_count, FOR_ALL);
    for (size_t i = 1; i <= KEPT; i++) {
        snprintf(origin, sizeof origin, "third%03zu", i);
        post_joins_at(fixture, origin, 2);
        assert_int_equal(fixture->bridge->catch_up_count, FOR_ALL + i);
    }
    post_joins_at(fixture, "another1", 2);
    assert_int_equal(fixture->bridge->catch_up_count, ASKED_IN_ALL);
    assert_int_equal(fixture->bridge->catch_up_waiting, 2 * ELSEWHERE + 2 * KEPT + 2);
    let_bus_go_on(fixture);
    wait_answered(fixture);
    assert_int_equal(fixture->bridge->sources.count, 0);
    // Nobody knows those broadcasters; the first one has everything.
    expect_incomplete(fixture, GW_SINCE_NO_ANSWER, ELSEWHERE + 2 * KEPT + 2);
}

static void test_since_joins_with_the_same_event_share_a_history(void **state)
{
    enum { COUNT = 5 };
    struct fixture *fixture = *state;
    struct client *clients[COUNT];
    arrange(fixture);
    for (int i = 0; i < COUNT; i++)
        clients[i] = connect_one(fixture);
    hold_bus_up(fixture);
    for (int i = 0; i < COUNT; i++)
        put_join(clients[i], "s", event_id(fixture, 7));
    wait_waiting(fixture, COUNT);
    assert_int_equal(fixture->bridge->catch_up_count, 1);
    let_bus_go_on(fixture);
    wait_answered(fixture);
    for (int i = 0; i < COUNT; i++) {
        expect_missed(clients[i]);
        client_close(clients[i]);
    }
}

// Those that were asked for wait on: they have the broadcaster's deadline.
static void test_since_waits_for_so_long_to_be_asked_for(void **state)
{
    struct fixture *fixture = *state;
    arrange(fixture);
    hold_bus_up(fixture);
    post_joins(fixture, ASKED_MAX);
    struct client *client = join_since(fixture, ELSEWHERE);
    assert_int_equal(fixture->bridge->catch_up_waiting, ASKED_MAX + 1);
    live(fixture, client, QUEUE_PATIENCE_MS / PING_INTERVAL * PING_INTERVAL);
    harness_advance(&fixture->base, QUEUE_PATIENCE_MS % PING_INTERVAL - 1);
    client_expect_silence(client);
    harness_advance(&fixture->base, 1);
    expect_gap(fixture, client, ELSEWHERE);
    assert_int_equal(fixture->bridge->catch_up_count, ASKED_MAX);
    assert_int_equal(fixture->bridge->catch_up_waiting, ASKED_MAX);
    assert_int_equal(count_clients(fixture, "s"), 1);
    expect_incomplete(fixture, GW_SINCE_QUEUE_TIMEOUT, 1);
    client_close(client);
    let_bus_go_on(fixture);
    wait_answered(fixture);
}

static void test_since_past_the_queue_is_told_at_once(void **state)
{
    struct fixture *fixture = *state;
    arrange(fixture);
    hold_bus_up(fixture);
    post_joins(fixture, WAITING_MAX - 1);
    assert_int_equal(fixture->bridge->catch_up_waiting, WAITING_MAX - 1);
    struct client *last = join_since(fixture, 1);
    client_expect_silence(last);
    assert_int_equal(fixture->bridge->catch_up_waiting, WAITING_MAX);
    assert_int_equal(fixture->bridge->catch_up_count, ASKED_MAX);
    for (unsigned seq = 1; seq <= ELSEWHERE; seq += ELSEWHERE - 1) { // one that is asked for, too
        struct client *client = join_since(fixture, seq);
        expect_gap(fixture, client, seq);
        client_close(client);
    }
    expect_incomplete(fixture, GW_SINCE_QUEUE_FULL, 2);
    // Whoever has the newest event needs no history.
    struct client *newest = join_since(fixture, ELSEWHERE + 1);
    read_message(newest, "42/graph,[\"joined\"");
    client_expect_silence(newest);
    client_close(newest);
    assert_int_equal(fixture->bridge->catch_up_waiting, WAITING_MAX);
    let_bus_go_on(fixture);
    wait_answered(fixture);
    read_message(last, "42/graph,[\"joined\"");
    client_close(last);
}

// The same gap is told to all that share the history, and each of them counts.
static void test_since_more_than_a_client_may_miss_is_told(void **state)
{
    enum { COUNT = 3, EVENTS = 20, MISSED_MAX = 400 };
    struct fixture *fixture = *state;
    struct client *clients[COUNT];
    arrange(fixture);
    fixture->bridge->options.max_missed = MISSED_MAX;
    for (int i = 0; i < EVENTS; i++)
        emit(fixture, "s", NULL);
    for (int i = 0; i < COUNT; i++)
        clients[i] = connect_one(fixture);
    hold_bus_up(fixture);
    for (int i = 0; i < COUNT; i++)
        put_join(clients[i], "s", event_id(fixture, ELSEWHERE));
    wait_waiting(fixture, COUNT);
    let_bus_go_on(fixture);
    wait_answered(fixture);
    for (int i = 0; i < COUNT; i++) {
        expect_gap(fixture, clients[i], ELSEWHERE);
        client_close(clients[i]);
    }
    expect_incomplete(fixture, GW_SINCE_TOO_MUCH, COUNT);
    struct client *client = join_since(fixture, ELSEWHERE + 1); // which the log has
    expect_gap(fixture, client, ELSEWHERE + 1);
    client_close(client);
    expect_incomplete(fixture, GW_SINCE_TOO_MUCH, COUNT + 1);
}

// What the log has is not copied for one join after the other while their worker is behind.
static void test_since_in_the_log_waits_for_a_worker_that_is_behind(void **state)
{
    enum { COUNT = 3 };
    struct fixture *fixture = *state;
    struct client *clients[COUNT];
    arrange(fixture);
    emit(fixture, "s", NULL);
    emit(fixture, "s", NULL);
    for (int i = 0; i < COUNT; i++)
        clients[i] = connect_one(fixture);
    hold_bus_up(fixture);
    for (int i = 0; i < COUNT; i++)
        put_join(clients[i], "s", event_id(fixture, ELSEWHERE + 1));
    wait_waiting(fixture, COUNT);
    assert_int_equal(fixture->bridge->catch_up_count, 0); // nobody is asked
    // Who misses nothing is no burden.
    struct client *newest = join_since(fixture, ELSEWHERE + 3);
    read_message(newest, "42/graph,[\"joined\"");
    client_close(newest);
    let_bus_go_on(fixture);
    wait_answered(fixture);
    for (int i = 0; i < COUNT; i++) {
        struct identity identity;
        read_message(clients[i], "42/graph,[\"joined\"");
        read_step(clients[i], &identity, ELSEWHERE + 2);
        read_step(clients[i], &identity, ELSEWHERE + 3);
        client_expect_silence(clients[i]);
        client_close(clients[i]);
    }
    expect_incomplete(fixture, GW_SINCE_QUEUE_FULL, 0);
}

// The same, and then the log does not have it any more: its broadcaster is asked.
static void test_since_in_the_log_may_be_gone_from_it(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity;
    arrange(fixture);
    emit(fixture, "s", NULL);
    hold_bus_up(fixture);
    struct client *client = join_since(fixture, ELSEWHERE + 1);
    assert_int_equal(fixture->bridge->catch_up_waiting, 1);
    event_log_expire(&fixture->bridge->log, INT64_MAX);
    let_bus_go_on(fixture);
    wait_answered(fixture);
    read_message(client, "42/graph,[\"joined\"");
    read_step(client, &identity, ELSEWHERE + 2);
    client_close(client);
}

// Everything that waits is freed: AddressSanitizer sees to it.
static void test_since_ends_with_joins_that_wait(void **state)
{
    struct fixture *fixture = *state;
    arrange(fixture);
    hold_bus_up(fixture);
    post_joins(fixture, 2 * ELSEWHERE);
    assert_int_equal(fixture->bridge->catch_up_count, ASKED_MAX);
    assert_int_equal(fixture->bridge->catch_up_waiting, 2 * ELSEWHERE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bridge_setup_folder, bridge_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_since_more_than_may_be_asked_for_at_a_time),
        TEST(test_since_asks_one_broadcaster_for_so_much),
        TEST(test_since_joins_with_the_same_event_share_a_history),
        TEST(test_since_waits_for_so_long_to_be_asked_for),
        TEST(test_since_past_the_queue_is_told_at_once),
        TEST(test_since_more_than_a_client_may_miss_is_told),
        TEST(test_since_in_the_log_waits_for_a_worker_that_is_behind),
        TEST(test_since_in_the_log_may_be_gone_from_it),
        TEST(test_since_ends_with_joins_that_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
