// SPDX-License-Identifier: MIT
// Nothing is lost in silence: what PUB/SUB drops is healed, or told. All loss here is real: queues
// that are full, connections that are cut, broadcasters that are killed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talus.h>

#include "child.h"
#include "context.h"
#include "expect.h"
#include "scratch.h"
#include "tcp_proxy.h"

#define ENDPOINT_MAX  (SCRATCH_PATH_MAX + 64)
#define MANY_SESSIONS 10000
#define BIG           20000 // bytes of a payload: what a connection holds, a few of them fill
#define TCP           "tcp://127.0.0.1:*"

struct fixture {
    char root[SCRATCH_PATH_MAX];
    char bus[ENDPOINT_MAX];
    talus_broadcaster_options_t publishing;
    talus_subscriber_options_t options;
    talus_subscriber_t *subscriber;
    talus_broadcaster_t *broadcasters[2];
    struct tcp_proxy proxy;
    struct child child;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    scratch_make(fixture->root);
    snprintf(fixture->bus, sizeof fixture->bus, "ipc://%s/bus/*", fixture->root);
    talus_broadcaster_options_init(&fixture->publishing);
    talus_subscriber_options_init(&fixture->options);
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->child.pid)
        child_kill(&fixture->child);
    talus_subscriber_destroy(&fixture->subscriber);
    for (size_t i = 0; i < 2; i++)
        talus_broadcaster_destroy(&fixture->broadcasters[i]);
    tcp_proxy_stop(&fixture->proxy);
    scratch_remove(fixture->root);
    free(fixture);
    return 0;
}

static talus_broadcaster_t *broadcast(struct fixture *fixture, size_t i, const char *endpoint)
{
    assert_int_equal(
        talus_broadcaster_new(&fixture->broadcasters[i], endpoint, &fixture->publishing), 0);
    return fixture->broadcasters[i];
}

static talus_subscriber_t *subscribe(struct fixture *fixture, const char *endpoint)
{
    assert_int_equal(talus_subscriber_new(&fixture->subscriber, endpoint, &fixture->options), 0);
    return fixture->subscriber;
}

static talus_subscriber_stats_t stats_of(const struct fixture *fixture)
{
    talus_subscriber_stats_t stats;

    talus_subscriber_stats(fixture->subscriber, &stats);
    return stats;
}

static void emit_sized(talus_broadcaster_t *broadcaster, const char *session, size_t size)
{
    static uint8_t data[5 + BIG] = {0xc6, 0, 0, BIG >> 8, BIG & 0xff};
    const talus_emit_t event = {.session = session,
                                .type = "t",
                                .data = size > 0 ? data : NULL,
                                .data_size = size > 0 ? sizeof data : 0};

    int error = talus_emit(broadcaster, &event, NULL);
    if (error == TALUS_EQUEUEFULL) {
        assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
        error = talus_emit(broadcaster, &event, NULL);
    }
    assert_int_equal(error, 0);
}

static void emit(talus_broadcaster_t *broadcaster, const char *session)
{
    emit_sized(broadcaster, session, 0);
}

// Emits more than the way to a subscriber that does not read can hold, so that some is lost.
static void flood(talus_broadcaster_t *broadcaster, const char *session, int count)
{
    for (int i = 0; i < count; i++)
        emit_sized(broadcaster, session, BIG);
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
}

static void set_tiny_queues(struct fixture *fixture)
{
    fixture->publishing.send_high_water_mark = 5;
    fixture->options.receive_high_water_mark = 5;
    fixture->publishing.history_session_bytes = 256u << 20;
    fixture->publishing.history_bytes = 256u << 20;
}

static void expect_seqs(talus_subscriber_t *subscriber, uint64_t from, uint64_t upto)
{
    for (uint64_t seq = from; seq <= upto; seq++)
        assert_int_equal(expect_event(subscriber, NULL, NULL, NULL)->seq, seq);
}

static int port_of(const char *endpoint)
{
    return (int)strtol(strrchr(endpoint, ':') + 1, NULL, 10);
}

// ---- Full queues

static void test_heal_what_full_queues_drop(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 900 };

    set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber = subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "s");
    flood(broadcaster, "s", COUNT);
    emit(broadcaster, "s");
    expect_seqs(subscriber, 1, COUNT + 1);
    assert_true(stats_of(fixture).healed > 0); // some was lost indeed
    assert_int_equal(stats_of(fixture).gaps, 0);
}

// Nothing comes after the lost tail but the repeated head.
static void test_heal_the_last_events(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 900 };

    set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber = subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "s");
    flood(broadcaster, "s", COUNT);
    expect_seqs(subscriber, 1, COUNT);
    assert_true(stats_of(fixture).healed > 0);
    assert_int_equal(stats_of(fixture).gaps, 0);
}

static void test_heal_everything_by_seq(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 600 };
    char session[16];

    set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber = subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "*");
    for (int i = 0; i < COUNT; i++) {
        snprintf(session, sizeof session, "s%d", i % 7);
        flood(broadcaster, session, 1);
    }
    expect_seqs(subscriber, 1, COUNT);
    assert_true(stats_of(fixture).healed > 0);
    assert_int_equal(stats_of(fixture).gaps, 0);
}

// What history no longer has is told, and what it has comes.
static void test_heal_tells_what_history_has_no_more(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 900, KEPT = 10 };
    const talus_delivery_t *delivery;
    uint64_t next = 1;
    unsigned gaps = 0;

    set_tiny_queues(fixture);
    fixture->publishing.history_events = KEPT;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber = subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "s");
    flood(broadcaster, "s", COUNT);
    while (next <= COUNT) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        if (delivery->kind == TALUS_DELIVERY_GAP) {
            assert_int_equal(delivery->reason, TALUS_GAP_HISTORY);
            assert_int_equal(strtoull(strrchr(delivery->after, '.') + 1, NULL, 10), next - 1);
            next = strtoull(strrchr(delivery->first, '.') + 1, NULL, 10);
            gaps++;
        } else { // every event is there, or told to be missing: exactly once
            assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
            assert_int_equal(delivery->event->seq, next);
            next++;
        }
    }
    assert_int_equal(next, COUNT + 1);
    assert_true(gaps > 0);
    assert_int_equal(stats_of(fixture).gaps, gaps);
}

// What is held back is bounded; what does not fit is asked for once more.
static void test_heal_holds_back_a_bounded_number(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 900, HELD = 3 };
    const talus_delivery_t *delivery;

    set_tiny_queues(fixture);
    fixture->options.held_events = HELD;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber = subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    join_live(subscriber, "s");
    flood(broadcaster, "s", COUNT);
    for (uint64_t seq = 1; seq <= COUNT; seq++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
        assert_int_equal(delivery->event->seq, seq);
        assert_true(stats_of(fixture).held <= HELD);
        if (seq % 50 == 0)
            flood(broadcaster, "other", 1); // keeps the queues full
    }
    assert_int_equal(stats_of(fixture).gaps, 0);
}

// One that does not read costs the others nothing.
static void test_heal_slow_subscribers_are_slow_alone(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 600 };
    talus_subscriber_t *slow;

    set_tiny_queues(fixture);
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);
    const char *endpoint = talus_broadcaster_endpoint(broadcaster);
    talus_subscriber_t *subscriber = subscribe(fixture, endpoint);
    assert_int_equal(talus_subscriber_new(&slow, endpoint, &fixture->options), 0);
    join_live(subscriber, "s");
    join_live(slow, "s");
    for (int i = 0; i < COUNT; i++) {
        flood(broadcaster, "s", 1);
        expect_seqs(subscriber, (uint64_t)i + 1, (uint64_t)i + 1);
    }
    expect_seqs(slow, 1, COUNT); // it has its log, too
    talus_subscriber_destroy(&slow);
}

// ---- Connections

// The subscriber reaches the broadcaster through a proxy, and its replay socket without.
static talus_broadcaster_t *broadcast_behind_proxy(struct fixture *fixture, char *endpoint)
{
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);

    tcp_proxy_start(&fixture->proxy, port_of(talus_broadcaster_endpoint(broadcaster)));
    sprintf(endpoint, "tcp://127.0.0.1:%d", fixture->proxy.port);
    return broadcaster;
}

static void test_heal_after_a_cut(void **state)
{
    struct fixture *fixture = *state;
    char endpoint[64];

    talus_broadcaster_t *broadcaster = broadcast_behind_proxy(fixture, endpoint);
    talus_subscriber_t *subscriber = subscribe(fixture, endpoint);
    join_live(subscriber, "s");
    emit(broadcaster, "s");
    expect_seqs(subscriber, 1, 1);
    tcp_proxy_cut(&fixture->proxy, false);
    for (int i = 0; i < 500; i++)
        emit(broadcaster, "s"); // to nobody
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
    tcp_proxy_cut(&fixture->proxy, true);
    expect_seqs(subscriber, 2, 501); // the head that answers the new subscription tells
    emit(broadcaster, "s");
    expect_seqs(subscriber, 502, 502);
    assert_int_equal(stats_of(fixture).gaps, 0);
}

// Several ways to one broadcaster: each event once, whichever comes first.
static void test_heal_two_ways_to_one_broadcaster(void **state)
{
    struct fixture *fixture = *state;
    char both[3 * ENDPOINT_MAX];
    enum { COUNT = 2000 };

    snprintf(both, sizeof both, "%s," TCP, fixture->bus);
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, both);
    const char *tcp = strchr(talus_broadcaster_endpoint(broadcaster), ',') + 1;
    tcp_proxy_start(&fixture->proxy, port_of(tcp));
    snprintf(both, sizeof both, "%s,tcp://127.0.0.1:%d", fixture->bus, fixture->proxy.port);
    talus_subscriber_t *subscriber = subscribe(fixture, both);
    join_live(subscriber, "s");
    for (int i = 0; i < COUNT; i++) {
        emit(broadcaster, "s");
        if (i % 500 == 250)
            tcp_proxy_cut(&fixture->proxy, true); // the second way comes back mid-stream
    }
    expect_seqs(subscriber, 1, COUNT);
    assert_int_equal(stats_of(fixture).gaps, 0);
    assert_int_equal(stats_of(fixture).origins, 1);
}

// A broadcaster that is not listening any more, over tcp: lost after a time, and told once.
static void test_heal_tells_when_a_connection_stays_lost(void **state)
{
    struct fixture *fixture = *state;
    char endpoint[64], after[TALUS_ID_MAX + 1];

    fixture->options.origin_timeout_ms = 200;
    talus_broadcaster_t *broadcaster = broadcast_behind_proxy(fixture, endpoint);
    talus_subscriber_t *subscriber = subscribe(fixture, endpoint);
    join_live(subscriber, "s");
    emit(broadcaster, "s");
    strcpy(after, expect_event(subscriber, NULL, "s", NULL)->id);
    tcp_proxy_cut(&fixture->proxy, false);
    expect_gap(subscriber, "s", after, "", TALUS_GAP_ORIGIN_LOST);
    // It was not dead after all: nothing is lost by the alarm, nor comes twice.
    emit(broadcaster, "s");
    tcp_proxy_cut(&fixture->proxy, true);
    expect_seqs(subscriber, 2, 2);
}

// ---- Broadcasters come and go

static void test_heal_a_broadcaster_that_starts_later(void **state)
{
    struct fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    for (int i = 0; i < 100; i++)
        emit(broadcaster, "s"); // before it can have been met
    expect_seqs(subscriber, 1, 100);
    assert_int_equal(stats_of(fixture).gaps, 0);
}

static void test_heal_several_broadcasters_of_one_session(void **state)
{
    struct fixture *fixture = *state;
    enum { COUNT = 500 };
    uint64_t next[2] = {1, 1};

    set_tiny_queues(fixture);
    fixture->publishing.send_high_water_mark = 5;
    talus_broadcaster_t *one = broadcast(fixture, 0, fixture->bus);
    talus_broadcaster_t *other = broadcast(fixture, 1, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    join_live(subscriber, "s");
    for (int i = 0; i < COUNT; i++) {
        flood(one, "s", 1);
        flood(other, "s", 1);
    }
    for (int i = 0; i < 2 * COUNT; i++) {
        const talus_event_t *event = expect_event(subscriber, NULL, "s", NULL);
        int which = strcmp(event->origin, talus_broadcaster_origin(other)) == 0;
        assert_int_equal(event->seq, next[which]);
        next[which]++;
    }
    assert_true(stats_of(fixture).healed > 0);
    assert_int_equal(stats_of(fixture).gaps, 0);
}

static void test_heal_a_farewell_leaves_no_gap(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;

    join_live(subscriber, "s");
    emit(broadcaster, "s");
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    expect_seqs(subscriber, 1, 1);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(talus_subscriber_receive(subscriber, 0, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(stats_of(fixture).gaps, 0);
}

static void test_heal_tells_of_a_broadcaster_that_was_killed(void **state)
{
    struct fixture *fixture = *state;
    char after[TALUS_ID_MAX + 1], origin[TALUS_ORIGIN_MAX + 1];
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;

    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    join_live(subscriber, "quiet");
    child_tell(&fixture->child);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        const talus_event_t *event = expect_event(subscriber, NULL, "s", NULL);
        assert_int_equal(event->seq, seq);
        strcpy(after, event->id);
        strcpy(origin, event->origin);
    }
    child_kill(&fixture->child);
    // Nobody knows what it had sent, to any session: that is told, without an end.
    bool is_told[2] = {false};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
        assert_int_equal(delivery->reason, TALUS_GAP_ORIGIN_LOST);
        assert_string_equal(delivery->origin, origin);
        assert_string_equal(delivery->first, "");
        int which = strcmp(delivery->session, "quiet") == 0;
        assert_false(is_told[which]);
        is_told[which] = true;
        if (which == 0)
            assert_string_equal(delivery->after, after);
    }
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(stats_of(fixture).gaps, 2);
    // Its successor is another origin, and begins anew.
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    child_tell(&fixture->child);
    expect_seqs(subscriber, 1, 3);
}

// It came and went while the subscriber did nothing: no connection ever came about.
static void test_heal_tells_of_a_broadcaster_that_nobody_met(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    child_tell(&fixture->child);
    child_wait_said(&fixture->child);
    child_kill(&fixture->child);
    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
    assert_int_equal(delivery->reason, TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(delivery->session, "s");
    assert_string_equal(strchr(delivery->after, '.'), ".0");
    assert_string_equal(delivery->first, "");
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(stats_of(fixture).gaps, 1);
}

// A queue overflowed and the broadcaster died before it could be asked.
static void test_heal_a_killed_broadcaster_takes_its_history_along(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;
    uint64_t next = 1;
    bool is_over = false;

    fixture->options.receive_high_water_mark = 5;
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    child_start(&fixture->child, "flood", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    child_wait_said(&fixture->child); // it sent more than its queue holds
    child_kill(&fixture->child);
    while (!is_over) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        if (delivery->kind == TALUS_DELIVERY_EVENT) {
            assert_int_equal(delivery->event->seq, next);
            next++;
            continue;
        }
        assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
        assert_int_equal(delivery->reason, TALUS_GAP_ORIGIN_LOST);
        assert_int_equal(strtoull(strrchr(delivery->after, '.') + 1, NULL, 10), next - 1);
        is_over = !delivery->first[0];
        if (!is_over)
            next = strtoull(strrchr(delivery->first, '.') + 1, NULL, 10);
    }
}

// Ten thousand sessions across a restart: all are told of it, all are live with the successor.
static void test_heal_ten_thousand_sessions_across_a_restart(void **state)
{
    struct fixture *fixture = *state;
    static uint64_t got[MANY_SESSIONS];
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
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
        assert_true(delivery->complete);
    }
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    broadcaster = broadcast(fixture, 0, fixture->bus);
    // The new one emits before any subscription can have come: all of it is owed.
    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        emit(broadcaster, session);
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
    assert_int_equal(stats_of(fixture).gaps, 0);
}

// ---- Heads that do not come

// The queue that heads go through is full as well: they are asked for.
static void test_heal_asks_for_heads(void **state)
{
    struct fixture *fixture = *state;
    enum { SESSIONS = 3000 };
    const talus_delivery_t *delivery;
    char session[32];
    int lives = 0;

    fixture->publishing.send_high_water_mark = 1;
    fixture->options.receive_high_water_mark = 1;
    fixture->options.live_timeout_ms = 4000;
    broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    pump_until(subscriber, origins_are, 1);
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    }
    while (lives < SESSIONS) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
        assert_true(delivery->complete);
        lives++;
    }
    assert_true(stats_of(fixture).asked > 0);
}

// ---- Recovery

static void expect_recovered(talus_subscriber_t *subscriber, uint64_t request, const char *newest,
                             bool is_complete)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
    assert_int_equal(delivery->request, request);
    assert_int_equal(delivery->complete, is_complete);
    if (newest)
        assert_string_equal(delivery->newest, newest);
}

static void test_heal_recovers_what_came_after_an_event(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_event_id_t ids[2500];
    uint64_t request;

    for (int i = 0; i < 2500; i++)
        assert_int_equal(talus_emit(broadcaster, &event, &ids[i]), 0);
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
    join_live(subscriber, "s");
    assert_int_equal(talus_subscriber_recover(subscriber, "s", ids[1999].text, &request), 0);
    for (int i = 2000; i < 2500; i++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_REPLAYED);
        assert_int_equal(delivery->request, request);
        assert_string_equal(delivery->event->id, ids[i].text);
    }
    expect_recovered(subscriber, request, ids[2499].text, true);
    // Nothing newer.
    assert_int_equal(talus_subscriber_recover(subscriber, "s", ids[2499].text, &request), 0);
    expect_recovered(subscriber, request, ids[2499].text, true);
    // History holds a thousand.
    assert_int_equal(talus_subscriber_recover(subscriber, "s", ids[9].text, &request), 0);
    for (int i = 1500; i < 2500; i++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_string_equal(delivery->event->id, ids[i].text);
    }
    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
    assert_false(delivery->complete);
    assert_string_equal(delivery->after, ids[9].text);
    assert_string_equal(delivery->first, ids[1500].text);
    assert_int_equal(delivery->reason, TALUS_GAP_HISTORY);
    assert_true(delivery->is_only_origin);
    // Live events go on beside it.
    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
    expect_seqs(subscriber, 2501, 2501);
}

static void test_heal_recovers_large_histories_in_several_answers(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;
    char since[TALUS_ID_MAX + 1];
    uint64_t request;
    enum { COUNT = 5500 };

    fixture->publishing.history_events = 10000;
    fixture->publishing.history_session_bytes = 64u << 20;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber = subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    for (int i = 0; i < COUNT; i++)
        emit(broadcaster, "s");
    join_live(subscriber, "other");
    snprintf(since, sizeof since, "%s.0", talus_broadcaster_origin(broadcaster));
    assert_int_equal(talus_subscriber_recover(subscriber, "s", since, &request), 0);
    for (uint64_t seq = 1; seq <= COUNT; seq++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_REPLAYED);
        assert_int_equal(delivery->event->seq, seq);
    }
    expect_recovered(subscriber, request, NULL, true);
}

static void test_heal_recovery_of_a_lost_origin(void **state)
{
    struct fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    uint64_t request;

    assert_int_equal(talus_subscriber_recover(subscriber, "s", "nobody", &request), TALUS_EINVAL);
    assert_int_equal(talus_subscriber_recover(subscriber, "s", "somebody1.x", &request),
                     TALUS_EINVAL);
    assert_int_equal(talus_subscriber_recover(subscriber, "-s", "somebody1.1", &request),
                     TALUS_ESESSION);
    assert_int_equal(talus_subscriber_recover(subscriber, "s", "somebody1.17", &request), 0);
    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
    assert_int_equal(delivery->request, request);
    assert_false(delivery->complete);
    assert_string_equal(delivery->session, "s");
    assert_string_equal(delivery->origin, "somebody1");
    assert_string_equal(delivery->after, "somebody1.17");
    assert_string_equal(delivery->first, "");
    assert_int_equal(delivery->reason, TALUS_GAP_ORIGIN_LOST);
}

// ---- The child

static int run_child(const char *role, const char *endpoint)
{
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster;

    talus_broadcaster_options_init(&options);
    bool is_flood = strcmp(role, "flood") == 0;
    if (is_flood)
        options.send_high_water_mark = 5;
    if (talus_broadcaster_new(&broadcaster, endpoint, &options) != 0)
        return 1;
    child_say();
    child_await();
    static uint8_t data[5 + BIG] = {0xc6, 0, 0, BIG >> 8, BIG & 0xff};
    const talus_emit_t event = {.session = "s",
                                .type = "t",
                                .data = is_flood ? data : NULL,
                                .data_size = is_flood ? sizeof data : 0};
    for (int i = 0; i < (is_flood ? 900 : 3); i++) {
        if (talus_emit(broadcaster, &event, NULL) != 0)
            return 1;
    }
    if (talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS) != 0)
        return 1;
    child_say();
    child_await();
    talus_broadcaster_destroy(&broadcaster);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return run_child(argv[1], argv[2]);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_heal_what_full_queues_drop),
        TEST(test_heal_the_last_events),
        TEST(test_heal_everything_by_seq),
        TEST(test_heal_tells_what_history_has_no_more),
        TEST(test_heal_holds_back_a_bounded_number),
        TEST(test_heal_slow_subscribers_are_slow_alone),
        TEST(test_heal_after_a_cut),
        TEST(test_heal_two_ways_to_one_broadcaster),
        TEST(test_heal_tells_when_a_connection_stays_lost),
        TEST(test_heal_a_broadcaster_that_starts_later),
        TEST(test_heal_several_broadcasters_of_one_session),
        TEST(test_heal_a_farewell_leaves_no_gap),
        TEST(test_heal_tells_of_a_broadcaster_that_was_killed),
        TEST(test_heal_tells_of_a_broadcaster_that_nobody_met),
        TEST(test_heal_a_killed_broadcaster_takes_its_history_along),
        TEST(test_heal_ten_thousand_sessions_across_a_restart),
        TEST(test_heal_asks_for_heads),
        TEST(test_heal_recovers_what_came_after_an_event),
        TEST(test_heal_recovers_large_histories_in_several_answers),
        TEST(test_heal_recovery_of_a_lost_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
