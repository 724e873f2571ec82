// SPDX-License-Identifier: MIT
// The heartbeats of subscribers: one that is stopped is not counted as ready until it goes on.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "bus/src/subscriber/instance.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/instance.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/repair_fixture.h"

#define HEARTBEAT_MS 100
#define TIMEOUT_MS   300
#define MANY         12 // heartbeats: far more than would be missed
#define STRANGERS    5000
#define SUBSCRIBER   "abcdefghijkl"

static talus_broadcaster_stats_t stats_of(const talus_broadcaster_t *broadcaster)
{
    talus_broadcaster_stats_t stats;

    talus_broadcaster_stats(broadcaster, &stats);
    return stats;
}

static int set_up(void **state)
{
    assert_int_equal(repair_set_up(state), 0);
    struct repair_fixture *fixture = *state;
    fixture->options.heartbeat_ms = HEARTBEAT_MS;
    fixture->options.heartbeat_timeout_ms = TIMEOUT_MS;
    fixture->publishing.heartbeat_ms = HEARTBEAT_MS;
    fixture->publishing.heartbeat_timeout_ms = TIMEOUT_MS;
    fixture->publishing.linger_ms = 1;
    return 0;
}

// Nothing is joined, so nothing comes.
static void serve(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, 10, &delivery), TALUS_ETIMEOUT);
}

// Waits until `is_so`, and returns the milliseconds that it took. `subscriber`: NULL, or served
// meanwhile.
static long long wait_until(bool (*is_so)(const talus_broadcaster_stats_t *stats, uint64_t value),
                            uint64_t value, const talus_broadcaster_t *broadcaster,
                            talus_subscriber_t *subscriber)
{
    long long begun = tl_monotonic_ms();

    for (;;) {
        talus_broadcaster_stats_t stats = stats_of(broadcaster);
        if (is_so(&stats, value))
            return tl_monotonic_ms() - begun;
        assert_true(tl_monotonic_ms() < begun + EXPECT_DEADLINE_MS);
        if (subscriber)
            serve(subscriber);
        else
            poll(NULL, 0, 10);
    }
}

static bool ready_are(const talus_broadcaster_stats_t *stats, uint64_t value)
{
    return stats->subscribers == value;
}

static bool silent_are(const talus_broadcaster_stats_t *stats, uint64_t value)
{
    return stats->silent == value;
}

static bool beats_reach(const talus_broadcaster_stats_t *stats, uint64_t value)
{
    return stats->heartbeats >= value;
}

static bool ignored_reach(const talus_broadcaster_stats_t *stats, uint64_t value)
{
    return stats->heartbeats_ignored >= value;
}

static void start_and_hear(struct repair_fixture *fixture, talus_broadcaster_t *broadcaster,
                           const char *role, const char *endpoint)
{
    child_start(&fixture->child, role, endpoint);
    child_wait_said(&fixture->child);
    wait_until(ready_are, 1, broadcaster, NULL);
    wait_until(beats_reach, 1, broadcaster, NULL);
}

// ---- Subscribers that are stopped

static void stop_and_go_on(struct repair_fixture *fixture, talus_broadcaster_t *broadcaster,
                           const char *endpoint)
{
    size_t ready = 99;

    start_and_hear(fixture, broadcaster, "listen", endpoint);
    talus_broadcaster_stats_t before = stats_of(broadcaster);
    child_stop(&fixture->child);
    assert_true(wait_until(silent_are, 1, broadcaster, NULL) >= TIMEOUT_MS - HEARTBEAT_MS);
    assert_int_not_equal(talus_broadcaster_wait_subscribers(broadcaster, 1, 1, &ready), 0);
    assert_int_equal(ready, 0);
    assert_int_equal(stats_of(broadcaster).subscribers, 0);
    child_continue(&fixture->child);
    assert_int_equal(talus_broadcaster_wait_subscribers(broadcaster, 1, EXPECT_DEADLINE_MS, &ready),
                     0);
    assert_int_equal(ready, 1);
    wait_until(beats_reach, before.heartbeats + MANY, broadcaster, NULL);
    talus_broadcaster_stats_t after = stats_of(broadcaster);
    assert_int_equal(after.subscriptions, before.subscriptions); // heartbeats are none
    assert_int_equal(after.silent, 0);
}

static void test_heartbeat_of_a_stopped_subscriber_on_ipc(void **state)
{
    struct repair_fixture *fixture = *state;

    stop_and_go_on(fixture, repair_broadcast(fixture, 0, fixture->bus), fixture->bus);
}

static void test_heartbeat_of_a_stopped_subscriber_on_tcp(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);

    stop_and_go_on(fixture, broadcaster, talus_broadcaster_endpoint(broadcaster));
}

// As it lives in the directory.
static void test_heartbeat_a_stopped_subscriber_is_waited_for(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);

    start_and_hear(fixture, broadcaster, "listen", fixture->bus);
    child_stop(&fixture->child);
    wait_until(silent_are, 1, broadcaster, NULL);
    assert_int_equal(talus_broadcaster_wait_subscribers(broadcaster, 0, 1, NULL), TALUS_ETIMEOUT);
    child_continue(&fixture->child);
    assert_int_equal(talus_broadcaster_wait_subscribers(broadcaster, 0, EXPECT_DEADLINE_MS, NULL),
                     0);
}

// The connection stands, but nothing comes through it.
static void test_heartbeat_of_a_subscriber_that_is_cut_off(void **state)
{
    struct repair_fixture *fixture = *state;
    char endpoint[64];
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);

    tcp_proxy_start(&fixture->proxy, repair_port_of(talus_broadcaster_endpoint(broadcaster)));
    snprintf(endpoint, sizeof endpoint, "tcp://localhost:%d", fixture->proxy.port); // a name, too
    start_and_hear(fixture, broadcaster, "listen", endpoint);
    tcp_proxy_hold(&fixture->proxy, true);
    wait_until(silent_are, 1, broadcaster, NULL);
    assert_int_equal(stats_of(broadcaster).subscribers, 0);
    tcp_proxy_hold(&fixture->proxy, false);
    wait_until(ready_are, 1, broadcaster, NULL);
    assert_int_equal(stats_of(broadcaster).silent, 0);
}

// It stands still in what it does with an event, say: its process lives.
static void test_heartbeat_of_an_owner_that_does_not_call(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);

    start_and_hear(fixture, broadcaster, "rest", fixture->bus);
    child_tell(&fixture->child);
    child_wait_said(&fixture->child);
    wait_until(beats_reach, stats_of(broadcaster).heartbeats + MANY, broadcaster, NULL);
    assert_int_equal(stats_of(broadcaster).subscribers, 1);
    assert_int_equal(stats_of(broadcaster).silent, 0);
}

// ---- Bounds

static void test_heartbeat_of_strangers_is_counted(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    struct raw_subscriber raw;
    char topic[128];

    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(broadcaster));
    snprintf(topic, sizeof topic, "$ready/" SUBSCRIBER "/%s",
             talus_broadcaster_origin(broadcaster));
    raw_subscribe(&raw, topic);
    for (int i = 0; i < STRANGERS; i++) {
        snprintf(topic, sizeof topic, "$beat/stranger%06d/1", i);
        raw_subscribe(&raw, topic);
    }
    wait_until(ignored_reach, STRANGERS, broadcaster, NULL);
    talus_broadcaster_stats_t stats = stats_of(broadcaster);
    assert_int_equal(stats.heartbeats_ignored, STRANGERS);
    assert_int_equal(stats.subscriptions, 1);
    assert_int_equal(stats.subscribers, 1); // it has never beaten, and is not missed
    assert_int_equal(stats.silent, 0);
    raw_subscribe(&raw, "$beat/" SUBSCRIBER "/100");
    wait_until(silent_are, 1, broadcaster, NULL);
    raw_subscribe(&raw, "$beat/" SUBSCRIBER "/0");
    wait_until(ready_are, 1, broadcaster, NULL);
    raw_close(&raw);
}

static void exhaust(talus_subscriber_t *subscriber)
{
    talus__enter(subscriber);
    talus__zmq_receive_of(subscriber->core.transport)->heartbeat.unproven = TALUS__UNPROVEN_MOST;
    talus__leave(subscriber);
}

static bool is_withdrawn(talus_subscriber_t *subscriber)
{
    talus__enter(subscriber);
    bool is_so = talus__zmq_receive_of(subscriber->core.transport)->heartbeat.is_withdrawn;
    talus__leave(subscriber);
    return is_so;
}

// What is sent to a broadcaster that does not read it has a bound. At the bound the subscriber
// takes leave of being judged, and counts as ready with the others; it begins again when all is
// well. That a thousand heartbeats have gone is not waited for, but said.
static void test_heartbeat_ends_beside_a_stopped_broadcaster(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    child_start(&fixture->child, "broadcast", fixture->bus);
    child_wait_said(&fixture->child);
    wait_until(beats_reach, 2, broadcaster, subscriber);
    exhaust(subscriber); // all is well: that is found at once
    wait_until(beats_reach, stats_of(broadcaster).heartbeats + 2, broadcaster, subscriber);
    assert_false(is_withdrawn(subscriber));

    child_stop(&fixture->child);
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    for (uint64_t seen = 0; !is_withdrawn(subscriber);) {
        assert_true(tl_monotonic_ms() < deadline);
        serve(subscriber);
        talus_broadcaster_stats_t stats = stats_of(broadcaster);
        assert_int_equal(stats.subscribers, 1);
        // Within the bound it beats on.
        if (seen == 0)
            seen = stats.heartbeats;
        if (stats.heartbeats >= seen + MANY)
            exhaust(subscriber);
    }
    uint64_t beats = stats_of(broadcaster).heartbeats;
    long long until = tl_monotonic_ms() + 3 * TIMEOUT_MS;
    while (tl_monotonic_ms() < until)
        serve(subscriber);
    assert_in_range(stats_of(broadcaster).heartbeats, beats, beats + 2); // the last, and the leave
    assert_int_equal(stats_of(broadcaster).subscribers, 1);
    child_continue(&fixture->child);
    wait_until(beats_reach, beats + MANY, broadcaster, subscriber);
    assert_int_equal(stats_of(broadcaster).subscribers, 1);
}

// ---- The child

static int broadcast(const char *endpoint)
{
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster;

    talus_broadcaster_options_init(&options);
    options.heartbeat_ms = HEARTBEAT_MS;
    if (talus_broadcaster_new(&broadcaster, endpoint, &options) != 0)
        return 1;
    child_say();
    child_await();
    talus_broadcaster_destroy(&broadcaster);
    return 0;
}

static int run_child(const char *role, const char *endpoint)
{
    talus_subscriber_options_t options;
    talus_subscriber_t *subscriber;
    const talus_delivery_t *delivery;

    if (strcmp(role, "broadcast") == 0)
        return broadcast(endpoint);
    struct pollfd told = {.fd = strcmp(role, "rest") == 0 ? 0 : -1, .events = POLLIN};
    talus_subscriber_options_init(&options);
    options.heartbeat_ms = HEARTBEAT_MS;
    options.heartbeat_timeout_ms = TIMEOUT_MS;
    if (talus_subscriber_new(&subscriber, endpoint, &options) != 0)
        return 1;
    child_say();
    while (poll(&told, 1, 0) == 0) {
        if (talus_subscriber_receive(subscriber, 20, &delivery) != TALUS_ETIMEOUT)
            return 1;
    }
    child_await();
    child_say();
    child_await();
    return 1;
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 3)
        return run_child(arguments[1], arguments[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, repair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_heartbeat_of_a_stopped_subscriber_on_ipc),
        TEST(test_heartbeat_of_a_stopped_subscriber_on_tcp),
        TEST(test_heartbeat_a_stopped_subscriber_is_waited_for),
        TEST(test_heartbeat_of_a_subscriber_that_is_cut_off),
        TEST(test_heartbeat_of_an_owner_that_does_not_call),
        TEST(test_heartbeat_of_strangers_is_counted),
        TEST(test_heartbeat_ends_beside_a_stopped_broadcaster),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
