// SPDX-License-Identifier: MIT
// Nothing is lost in silence: what PUB/SUB drops is repaired, or reported as a gap. All loss here
// is real: queues that are full, connections that are cut.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bus/src/zmq/context.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/repair_fixture.h"

// ---- Full queues

static void test_repair_what_full_queues_drop(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 900 };

    repair_set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber =
        repair_subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "s");
    repair_flood(broadcaster, "s", COUNT);
    repair_emit(broadcaster, "s");
    repair_expect_seqs(subscriber, 1, COUNT + 1);
    assert_true(repair_stats_of(fixture).repaired > 0); // some was lost indeed
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// Nothing comes after the lost tail but the repeated head.
static void test_repair_the_last_events(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 900 };

    repair_set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber =
        repair_subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "s");
    repair_flood(broadcaster, "s", COUNT);
    repair_expect_seqs(subscriber, 1, COUNT);
    assert_true(repair_stats_of(fixture).repaired > 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static void test_repair_everything_by_seq(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 600 };
    char session[16];

    repair_set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber =
        repair_subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "*");
    for (int i = 0; i < COUNT; i++) {
        snprintf(session, sizeof session, "s%d", i % 7);
        repair_flood(broadcaster, session, 1);
    }
    repair_expect_seqs(subscriber, 1, COUNT);
    assert_true(repair_stats_of(fixture).repaired > 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// What history no longer has is told, and what it has comes.
static void test_repair_tells_what_history_has_no_more(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 900, KEPT = 10 };
    const talus_delivery_t *delivery;
    uint64_t next = 1;
    unsigned gaps = 0;

    repair_set_tiny_queues(fixture);
    fixture->publishing.history_events = KEPT;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber =
        repair_subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "s");
    repair_flood(broadcaster, "s", COUNT);
    while (next <= COUNT) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        if (delivery->kind == TALUS_DELIVERY_GAP) {
            assert_int_equal(delivery->gap.reason, TALUS_GAP_HISTORY);
            assert_int_equal(strtoull(strrchr(delivery->gap.after, '.') + 1, NULL, 10), next - 1);
            next = strtoull(strrchr(delivery->gap.first, '.') + 1, NULL, 10);
            gaps++;
        } else { // every event is there, or told to be missing: exactly once
            assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
            assert_int_equal(delivery->event->seq, next);
            next++;
        }
    }
    assert_int_equal(next, COUNT + 1);
    assert_true(gaps > 0);
    assert_int_equal(repair_stats_of(fixture).gaps, gaps);
}

// One that does not read costs the others nothing.
static void test_repair_slow_subscribers_are_slow_alone(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 600 };
    talus_subscriber_t *slow;

    repair_set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    const char *endpoint = talus_broadcaster_endpoint(broadcaster);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, endpoint);
    assert_int_equal(talus_subscriber_new(&slow, endpoint, &fixture->options), 0);
    join_live(subscriber, "s");
    join_live(slow, "s");
    for (int i = 0; i < COUNT; i++) {
        repair_flood(broadcaster, "s", 1);
        repair_expect_seqs(subscriber, (uint64_t)i + 1, (uint64_t)i + 1);
    }
    repair_expect_seqs(slow, 1, COUNT); // it has its log, too
    talus_subscriber_destroy(&slow);
}

// ---- Connections

// The subscriber reaches the broadcaster through a proxy, and its replay socket without.
static talus_broadcaster_t *broadcast_behind_proxy(struct repair_fixture *fixture, char *endpoint)
{
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);

    tcp_proxy_start(&fixture->proxy, repair_port_of(talus_broadcaster_endpoint(broadcaster)));
    sprintf(endpoint, "tcp://127.0.0.1:%d", fixture->proxy.port);
    return broadcaster;
}

static void test_repair_after_a_cut(void **state)
{
    struct repair_fixture *fixture = *state;
    char endpoint[64];

    talus_broadcaster_t *broadcaster = broadcast_behind_proxy(fixture, endpoint);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, endpoint);
    join_live(subscriber, "s");
    repair_emit(broadcaster, "s");
    repair_expect_seqs(subscriber, 1, 1);
    tcp_proxy_cut(&fixture->proxy, false);
    for (int i = 0; i < 500; i++)
        repair_emit(broadcaster, "s"); // to nobody
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
    tcp_proxy_cut(&fixture->proxy, true);
    repair_expect_seqs(subscriber, 2, 501); // the head that answers the new subscription tells
    repair_emit(broadcaster, "s");
    repair_expect_seqs(subscriber, 502, 502);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// Several ways to one broadcaster: each event once, whichever comes first.
static void test_repair_two_ways_to_one_broadcaster(void **state)
{
    struct repair_fixture *fixture = *state;
    char both[3 * ENDPOINT_MAX];
    enum { COUNT = 2000 };

    snprintf(both, sizeof both, "%s," TCP, fixture->bus);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, both);
    const char *tcp = strchr(talus_broadcaster_endpoint(broadcaster), ',') + 1;
    tcp_proxy_start(&fixture->proxy, repair_port_of(tcp));
    snprintf(both, sizeof both, "%s,tcp://127.0.0.1:%d", fixture->bus, fixture->proxy.port);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, both);
    join_live(subscriber, "s");
    for (int i = 0; i < COUNT; i++) {
        repair_emit(broadcaster, "s");
        if (i % 500 == 250)
            tcp_proxy_cut(&fixture->proxy, true); // the second way comes back mid-stream
    }
    repair_expect_seqs(subscriber, 1, COUNT);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    assert_int_equal(repair_stats_of(fixture).origins, 1);
}

// A broadcaster that is not listening any more, over tcp: lost after a time, and told once.
static void test_repair_tells_when_a_connection_stays_lost(void **state)
{
    struct repair_fixture *fixture = *state;
    char endpoint[64], after[TALUS_ID_MAX + 1];

    fixture->options.origin_timeout_ms = 200;
    talus_broadcaster_t *broadcaster = broadcast_behind_proxy(fixture, endpoint);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, endpoint);
    join_live(subscriber, "s");
    repair_emit(broadcaster, "s");
    strcpy(after, expect_event(subscriber, NULL, "s", NULL)->id);
    tcp_proxy_cut(&fixture->proxy, false);
    expect_gap(subscriber, "s", after, "", TALUS_GAP_ORIGIN_LOST);
    // It was not dead after all: nothing is lost by the alarm, nor comes twice.
    repair_emit(broadcaster, "s");
    tcp_proxy_cut(&fixture->proxy, true);
    repair_expect_seqs(subscriber, 2, 2);
}

static void test_repair_over_inproc(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 100 };

    repair_set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, "inproc://test-gaps");
    talus_subscriber_t *subscriber = repair_subscribe(fixture, "inproc://test-gaps");
    join_live(subscriber, "s");
    repair_flood(broadcaster, "s", COUNT);
    // No queue of ZeroMQ's is full over inproc, so that the loss is the inbox's.
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    while (repair_stats_of(fixture).receive_dropped == 0 && tl_monotonic_ms() < deadline)
        sched_yield();
    repair_expect_seqs(subscriber, 1, COUNT);
    assert_true(repair_stats_of(fixture).repaired > 0);
}

// A wildcard host in the replay endpoint is the host that one is connected to.
static void test_repair_at_a_wildcard_host(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { COUNT = 900 };
    char endpoint[64];

    repair_set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, "tcp://*:*");
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d",
             repair_port_of(talus_broadcaster_endpoint(broadcaster)));
    talus_subscriber_t *subscriber = repair_subscribe(fixture, endpoint);
    join_live(subscriber, "s");
    repair_flood(broadcaster, "s", COUNT);
    repair_expect_seqs(subscriber, 1, COUNT);
    assert_true(repair_stats_of(fixture).repaired > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_repair_what_full_queues_drop),
        TEST(test_repair_the_last_events),
        TEST(test_repair_everything_by_seq),
        TEST(test_repair_tells_what_history_has_no_more),
        TEST(test_repair_slow_subscribers_are_slow_alone),
        TEST(test_repair_after_a_cut),
        TEST(test_repair_two_ways_to_one_broadcaster),
        TEST(test_repair_tells_when_a_connection_stays_lost),
        TEST(test_repair_over_inproc),
        TEST(test_repair_at_a_wildcard_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
