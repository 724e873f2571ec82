// SPDX-License-Identifier: MIT
// talus_subscriber_join_since: what came since an event, then LIVE, then what is new; nothing twice
// and nothing missing without a gap.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/codec/request.h"
#include "common/clock.h"

#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/repair_fixture.h"
#include "tests/bus/support/replay_socket.h"

#define RAW "origin01"

// The id of a broadcaster's event.
static const char *id_of(const talus_broadcaster_t *broadcaster, unsigned seq)
{
    static char ids[4][TALUS_ID_MAX + 1];
    static unsigned next;
    char *id = ids[next++ % 4];

    snprintf(id, sizeof ids[0], "%s.%u", talus_broadcaster_origin(broadcaster), seq);
    return id;
}

static void emit(talus_broadcaster_t *broadcaster, const char *session, int count)
{
    for (int i = 0; i < count; i++)
        repair_emit(broadcaster, session);
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
}

static void join_since(talus_subscriber_t *subscriber, const char *session, const char *since)
{
    assert_int_equal(talus_subscriber_join_since(subscriber, session, since), 0);
}

static void expect_nothing(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, 0, &delivery), TALUS_ETIMEOUT);
}

// ---- One broadcaster

static void test_join_since_gives_what_was_missed(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    emit(broadcaster, "s", 10);
    emit(broadcaster, "t", 1);
    join_since(subscriber, "s", id_of(broadcaster, 4));
    repair_expect_seqs(subscriber, 5, 10);
    const talus_live_t *live = expect_live(subscriber, "s", true);
    assert_string_equal(live->newest, id_of(broadcaster, 10));
    assert_true(live->is_only_origin);
    emit(broadcaster, "s", 1);
    repair_expect_seqs(subscriber, 12, 12);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static void test_join_since_the_beginning(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    emit(broadcaster, "", 3);
    join_since(subscriber, "", id_of(broadcaster, 0));
    repair_expect_seqs(subscriber, 1, 3);
    expect_live(subscriber, "", true);
}

static void test_join_since_the_newest(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    emit(broadcaster, "s", 3);
    join_since(subscriber, "s", id_of(broadcaster, 3));
    assert_string_equal(expect_live(subscriber, "s", true)->newest, id_of(broadcaster, 3));
    emit(broadcaster, "s", 1);
    repair_expect_seqs(subscriber, 4, 4);
}

// What counts is what came after it; also of one that the broadcaster has not reached.
static void test_join_since_an_event_of_another_session(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    static const unsigned since[] = {4, 999999999};

    emit(broadcaster, "s", 1);
    emit(broadcaster, "t", 1);
    emit(broadcaster, "s", 1);
    emit(broadcaster, "t", 1);
    join_since(subscriber, "s", id_of(broadcaster, 2));
    repair_expect_seqs(subscriber, 3, 3);
    expect_live(subscriber, "s", true);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
        join_since(subscriber, "s", id_of(broadcaster, since[i]));
        assert_string_equal(expect_live(subscriber, "s", true)->newest,
                            id_of(broadcaster, 3 + 2 * i));
        emit(broadcaster, "s", 1);
        repair_expect_seqs(subscriber, 5 + 2 * i, 5 + 2 * i);
        emit(broadcaster, "t", 1);
    }
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static void test_join_since_more_than_the_history_has(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->publishing.history_events = 5;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    emit(broadcaster, "s", 20);
    join_since(subscriber, "s", id_of(broadcaster, 3));
    expect_gap(subscriber, "s", id_of(broadcaster, 3), id_of(broadcaster, 16), TALUS_GAP_HISTORY);
    repair_expect_seqs(subscriber, 16, 20);
    expect_live(subscriber, "s", true);
}

static void test_join_since_one_that_keeps_no_history(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->publishing.history_events = 0;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    emit(broadcaster, "s", 7);
    join_since(subscriber, "s", id_of(broadcaster, 3));
    expect_gap(subscriber, "s", id_of(broadcaster, 3), id_of(broadcaster, 8), TALUS_GAP_HISTORY);
    expect_live(subscriber, "s", true);
    emit(broadcaster, "s", 1);
    repair_expect_seqs(subscriber, 8, 8);
}

// ---- While events come all the time

enum { STREAM = 20000, SINCE = 20, BEFORE = 4000 };

struct stream {
    talus_broadcaster_t *broadcaster;
    atomic_bool is_over;
};

static void *emit_stream(void *arg)
{
    struct stream *stream = arg;
    const talus_emit_t event = {.session = "s", .type = "t"};

    for (int i = BEFORE; i < STREAM && !atomic_load(&stream->is_over); i++) {
        while (talus_emit(stream->broadcaster, &event, NULL) == TALUS_EQUEUEFULL)
            if (talus_broadcaster_flush(stream->broadcaster, 1000) != 0)
                break;
    }
    return NULL;
}

// Returns whether all of the stream came, each once, and one LIVE; `live_at`: after which.
static bool follows(talus_subscriber_t *subscriber, uint64_t *live_at)
{
    uint64_t seq = SINCE;
    unsigned lives = 0;

    while (seq < STREAM || lives == 0) {
        const talus_delivery_t *delivery;
        if (talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery) != 0)
            return false;
        if (delivery->kind == TALUS_DELIVERY_LIVE) {
            lives++;
            *live_at = seq;
        } else if (delivery->kind != TALUS_DELIVERY_EVENT || delivery->event->seq != ++seq) {
            return false;
        }
    }
    return lives == 1;
}

static void follow_stream(struct repair_fixture *fixture)
{
    uint64_t live_at = 0;
    pthread_t thread;

    fixture->publishing.history_events = STREAM;
    fixture->publishing.history_session_bytes = 64u << 20;
    struct stream stream = {.broadcaster = repair_broadcast(fixture, 0, fixture->bus)};
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    emit(stream.broadcaster, "s", BEFORE);
    assert_int_equal(pthread_create(&thread, NULL, emit_stream, &stream), 0);
    join_since(subscriber, "s", id_of(stream.broadcaster, SINCE));
    bool is_whole = follows(subscriber, &live_at);
    atomic_store(&stream.is_over, true);
    pthread_join(thread, NULL);
    assert_true(is_whole);
    assert_true(live_at >= BEFORE); // everything that was sent before the join came before it
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    assert_int_equal(repair_stats_of(fixture).held, 0);
}

static void test_join_since_while_events_come(void **state)
{
    follow_stream(*state);
}

// What does not fit is let go and asked for again.
static void test_join_since_with_little_room_to_hold_back(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->options.held_events = 8;
    follow_stream(fixture);
}

// What was let go, and has left the history by the time that it is asked for, is a gap.
static void test_join_since_beyond_what_is_held_back_and_kept(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;
    struct replay_socket replay;
    uint8_t body[TALUS__END_MAX];
    enum { HELD = 3, LAST = 20 };

    replay_open(&replay);
    fixture->options.held_events = HELD;
    fixture->options.repair_timeout_ms = EXPECT_DEADLINE_MS;
    raw_publisher_open(&raw, ZMQ_XPUB, RAW, NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, raw.endpoint);
    raw_publisher_expect(&raw, "$bus/");
    publish_head(&raw, "$bus/$hello", 7, replay.endpoint);
    pump_until(subscriber, origins_are, 1);
    join_since(subscriber, "s", RAW ".5");
    raw_publisher_expect(&raw, "s/");
    publish_head(&raw, "s/$head", 7, replay.endpoint);
    for (uint64_t seq = 8; seq <= LAST; seq++)
        raw_publish(&raw, "s/t", seq, seq - 1);
    assert_int_equal(replay_expect_request(&replay, subscriber), 5);
    replay_answer(&replay, raw.origin, 6, 7);
    repair_expect_seqs(subscriber, 6, 7);
    expect_live(subscriber, "s", true); // which does not wait for more than was sent before it
    repair_expect_seqs(subscriber, 8, 7 + HELD);
    uint64_t after = replay_expect_request(&replay, subscriber);
    const struct talus__end end = {
        .origin = raw.origin, .origin_size = strlen(raw.origin), .first = LAST + 1, .head = LAST};
    replay_send(&replay, "s/$end", body, talus__end_encode(body, &end));
    assert_in_range(after, 7, 7 + HELD);
    if (after < 7 + HELD)
        repair_expect_seqs(subscriber, 8 + HELD, 7 + HELD);
    expect_gap(subscriber, "s", RAW ".10", RAW ".21", TALUS_GAP_HISTORY);
    raw_publish(&raw, "s/t", LAST + 1, LAST);
    repair_expect_seqs(subscriber, LAST + 1, LAST + 1);
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// ---- Broadcasters that are not there

static void test_join_since_one_that_is_gone(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *gone = repair_broadcast(fixture, 0, fixture->bus);
    char since[TALUS_ID_MAX + 1];

    emit(gone, "s", 3);
    strcpy(since, id_of(gone, 2));
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    talus_broadcaster_t *other = repair_broadcast(fixture, 1, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    join_since(subscriber, "s", since);
    expect_gap(subscriber, "s", since, "", TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(expect_live(subscriber, "s", true)->newest, "");
    emit(other, "s", 1);
    repair_expect_seqs(subscriber, 1, 1);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

// It comes after all: what it sends after the event is delivered, and nothing before it.
static void test_join_since_one_that_comes_later(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, "@" TCP);
    struct raw_publisher raw;

    join_since(subscriber, "s", RAW ".5");
    expect_gap(subscriber, "s", RAW ".5", "", TALUS_GAP_ORIGIN_LOST);
    expect_live(subscriber, "s", true);
    raw_publisher_open(&raw, ZMQ_XPUB, RAW, NULL);
    raw_publisher_connect(&raw, talus_subscriber_endpoint(subscriber));
    raw_publisher_expect(&raw, "s/");
    raw_publish_head(&raw, "$bus/$hello", 6);
    raw_publish_head(&raw, "s/$head", 5);
    raw_publish(&raw, "s/t", 5, 4);
    raw_publish(&raw, "s/t", 6, 5);
    repair_expect_seqs(subscriber, 6, 6);
    raw_publisher_close(&raw);
}

// LIVE does not wait for ever. What came since the event is told once it answers.
static void test_join_since_one_that_does_not_answer_in_time(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;

    fixture->options.live_timeout_ms = 100;
    raw_publisher_open(&raw, ZMQ_XPUB, RAW, NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, raw.endpoint);
    raw_publisher_expect(&raw, "$bus/");
    raw_publish_head(&raw, "$bus/$hello", 7);
    pump_until(subscriber, origins_are, 1);
    join_since(subscriber, "s", RAW ".5");
    expect_live(subscriber, "s", false);
    join_since(subscriber, "t", RAW ".0"); // of which nothing would be told if it were lost
    expect_gap(subscriber, "t", RAW ".0", "", TALUS_GAP_ORIGIN_LOST);
    expect_live(subscriber, "t", true); // it is waited for no more
    raw_publisher_expect(&raw, "s/");
    raw_publish_head(&raw, "s/$head", 7);
    expect_gap(subscriber, "s", RAW ".5", RAW ".8", TALUS_GAP_HISTORY); // it names no history
    raw_publish(&raw, "s/t", 8, 7);
    repair_expect_seqs(subscriber, 8, 8);
    assert_int_equal(repair_stats_of(fixture).gaps, 2);
    raw_publisher_close(&raw);
}

// The child: emits five events to "s" when it is told to, and waits.
static int run_child(const char *endpoint)
{
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_broadcaster_t *broadcaster;

    if (talus_broadcaster_new(&broadcaster, endpoint, NULL) != 0)
        return 1;
    child_say();
    child_await();
    for (int i = 0; i < 5; i++)
        if (talus_emit(broadcaster, &event, NULL) != 0)
            return 1;
    if (talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS) != 0)
        return 1;
    child_say();
    child_await();
    return 0;
}

// It stands still, so LIVE comes without its answer; then it dies, and its ledger says what is
// missing.
static void test_join_since_one_that_dies_without_an_answer(void **state)
{
    struct repair_fixture *fixture = *state;
    char after[TALUS_ID_MAX + 1], first[TALUS_ID_MAX + 1];

    fixture->options.live_timeout_ms = 100;
    fixture->options.heartbeat_ms = 0; // that it stands still is not noticed
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    child_start(&fixture->child, "emit", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    expect_live(subscriber, "s", true);
    child_tell(&fixture->child);
    const talus_event_t *event = expect_event(subscriber, NULL, "s", NULL);
    snprintf(after, sizeof after, "%s.2", event->origin);
    snprintf(first, sizeof first, "%s.6", event->origin);
    repair_expect_seqs(subscriber, 2, 5);
    child_wait_said(&fixture->child);
    child_stop(&fixture->child);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    join_since(subscriber, "s", after);
    expect_live(subscriber, "s", false);
    child_kill(&fixture->child);
    expect_gap(subscriber, "s", after, first, TALUS_GAP_ORIGIN_LOST);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

// It answers, is asked, and says nothing more.
static void test_join_since_one_whose_history_is_silent(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;

    fixture->options.repair_timeout_ms = 100;
    raw_publisher_open(&raw, ZMQ_XPUB, RAW, NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, raw.endpoint);
    join_since(subscriber, "s", RAW ".5");
    raw_publisher_expect(&raw, "s/");
    publish_head(&raw, "s/$head", 7, "tcp://127.0.0.1:1");
    raw_publish(&raw, "s/t", 8, 7);
    expect_gap(subscriber, "s", RAW ".5", RAW ".8", TALUS_GAP_ORIGIN_LOST);
    const talus_delivery_t *delivery;
    bool is_live = false;
    for (int i = 0; i < 2; i++) { // the event had come before it was told; it may be on either side
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        is_live |= delivery->kind == TALUS_DELIVERY_LIVE;
        assert_true(delivery->kind == TALUS_DELIVERY_LIVE ||
                    (delivery->kind == TALUS_DELIVERY_EVENT && delivery->event->seq == 8));
    }
    assert_true(is_live);
    raw_publisher_close(&raw);
}

// ---- Several broadcasters

// Until LIVE: counts the events of each, and the gaps of the second, which must say so.
static void expect_both(struct repair_fixture *fixture, unsigned one_from, unsigned other_from,
                        unsigned newest, bool has_gap)
{
    const talus_delivery_t *delivery;
    uint64_t next[2] = {one_from, other_from};
    unsigned gaps = 0;

    for (;;) {
        assert_int_equal(
            talus_subscriber_receive(fixture->subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        if (delivery->kind == TALUS_DELIVERY_LIVE)
            break;
        if (delivery->kind == TALUS_DELIVERY_GAP) {
            assert_int_equal(delivery->gap.reason, TALUS_GAP_UNKNOWN);
            assert_string_equal(delivery->gap.after, id_of(fixture->broadcasters[1], 0));
            assert_string_equal(delivery->gap.first, id_of(fixture->broadcasters[1], newest + 1));
            gaps++;
            continue;
        }
        assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
        int which = strcmp(delivery->event->origin,
                           talus_broadcaster_origin(fixture->broadcasters[1])) == 0;
        assert_int_equal(delivery->event->seq, next[which]++);
    }
    assert_int_equal(next[0], newest + 1);
    assert_int_equal(next[1], newest + 1);
    assert_int_equal(gaps, has_gap);
}

static void test_join_since_with_another_broadcaster(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *one = repair_broadcast(fixture, 0, fixture->bus);
    talus_broadcaster_t *other = repair_broadcast(fixture, 1, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    char since[2 * TALUS_ID_MAX + 2];

    emit(one, "s", 3);
    emit(other, "s", 3);
    pump_until(subscriber, origins_are, 2);
    join_since(subscriber, "s", id_of(one, 1));
    expect_both(fixture, 2, 4, 3, true);
    emit(other, "s", 1);
    repair_expect_seqs(subscriber, 4, 4);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);

    emit(one, "s", 1);
    snprintf(since, sizeof since, "%s,%s", id_of(one, 1), id_of(other, 2));
    join_since(subscriber, "s", since);
    expect_both(fixture, 2, 3, 4, false);
    emit(other, "s", 1);
    repair_expect_seqs(subscriber, 5, 5);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

// LIVE comes when the gap was told, though nothing else happens that the subscriber would wake by.
static void test_join_since_is_live_without_more_news(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;

    raw_publisher_open(&raw, ZMQ_XPUB, RAW, NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, raw.endpoint);
    raw_publisher_expect(&raw, "$bus/");
    raw_publish_head(&raw, "$bus/$hello", 3);
    pump_until(subscriber, origins_are, 1);
    join_since(subscriber, "s", "somebody1.5");
    raw_publisher_expect(&raw, "s/");
    raw_publish_head(&raw, "s/$head", 3);
    expect_gap(subscriber, "s", RAW ".0", RAW ".4", TALUS_GAP_UNKNOWN);
    long long began = tl_monotonic_ms();
    expect_gap(subscriber, "s", "somebody1.5", "", TALUS_GAP_ORIGIN_LOST);
    expect_live(subscriber, "s", true);
    assert_true(tl_monotonic_ms() - began < EXPECT_DEADLINE_MS / 2); // not by its time-out
    raw_publisher_close(&raw);
}

// Events of one's own are owed nobody.
static void test_join_since_an_ignored_broadcaster(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *own = repair_broadcast(fixture, 0, fixture->bus);
    talus_broadcaster_t *other = repair_broadcast(fixture, 1, fixture->bus);

    fixture->options.ignore_origin = talus_broadcaster_origin(own);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    emit(own, "s", 3);
    pump_until(subscriber, origins_are, 2);
    join_since(subscriber, "s", id_of(own, 1));
    expect_live(subscriber, "s", true);
    emit(own, "s", 1);
    emit(other, "s", 1);
    repair_expect_seqs(subscriber, 1, 1);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// One that has sent nothing to the session, or nothing but presence, leaves nothing unknown.
static void test_join_since_with_others_that_sent_nothing(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *one = repair_broadcast(fixture, 0, fixture->bus);
    fixture->publishing.is_presence_only = true;
    talus_broadcaster_t *gateway = repair_broadcast(fixture, 1, fixture->bus);
    talus_broadcaster_t *third;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    assert_int_equal(talus_broadcaster_new(&third, fixture->bus, NULL), 0);
    emit(one, "s", 3);
    emit(gateway, "s", 3);
    emit(third, "t", 3);
    pump_until(subscriber, origins_are, 3);
    join_since(subscriber, "s", id_of(one, 1));
    repair_expect_seqs(subscriber, 2, 3);
    assert_string_equal(expect_live(subscriber, "s", true)->newest, id_of(one, 3));
    emit(third, "s", 1);
    repair_expect_seqs(subscriber, 4, 4);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    talus_broadcaster_destroy(&third);
}

// ---- Leaving, and "*"

static void test_join_since_and_leave(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    emit(broadcaster, "s", 10);
    pump_until(subscriber, origins_are, 1);
    for (unsigned received = 0; received <= 3; received++) { // left at once, and in between
        join_since(subscriber, "s", id_of(broadcaster, 4));
        repair_expect_seqs(subscriber, 5, 4 + received);
        assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
        expect_nothing(subscriber);
        assert_int_equal(repair_stats_of(fixture).held, 0);
    }
    join_since(subscriber, "s", id_of(broadcaster, 8));
    repair_expect_seqs(subscriber, 9, 10);
    expect_live(subscriber, "s", true);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    join_live(subscriber, "s"); // as any other: nothing older is owed
    emit(broadcaster, "s", 1);
    repair_expect_seqs(subscriber, 11, 11);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// An event that is none does not outlive its join.
static void test_join_since_nonsense_and_leave(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    emit(broadcaster, "s", 2);
    join_since(subscriber, "s", id_of(broadcaster, 4000000000));
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    join_live(subscriber, "s");
    emit(broadcaster, "s", 1);
    repair_expect_seqs(subscriber, 3, 3);
}

static void test_join_since_ends_when_everything_is_joined(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;
    const talus_delivery_t *delivery;
    int gaps = 0;

    raw_publisher_open(&raw, ZMQ_XPUB, RAW, NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, raw.endpoint);
    raw_publisher_expect(&raw, "$bus/");
    raw_publish_head(&raw, "$bus/$hello", 9);
    pump_until(subscriber, origins_are, 1);
    join_since(subscriber, "s", RAW ".5");
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    raw_publisher_expect(&raw, "");
    raw_publish_head(&raw, "*/$head", 9);
    raw_publish_head(&raw, "s/$head", 9);
    for (int lives = 0; lives < 2;) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        if (delivery->kind == TALUS_DELIVERY_LIVE) {
            lives++;
            continue;
        }
        assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
        assert_string_equal(delivery->session, "s");
        assert_string_equal(delivery->gap.after, RAW ".5");
        assert_string_equal(delivery->gap.first, "");
        assert_int_equal(delivery->gap.reason, TALUS_GAP_UNKNOWN);
        gaps++;
    }
    assert_int_equal(gaps, 1);
    raw_publish(&raw, "s/t", 10, 9);
    repair_expect_seqs(subscriber, 10, 10);
    expect_nothing(subscriber);
    raw_publisher_close(&raw);
}

// ---- Errors

static void test_join_since_refuses(void **state)
{
    struct repair_fixture *fixture = *state;
    static const char *const wrong[] = {"",
                                        ".",
                                        "nobody",
                                        "somebody1",
                                        "somebody1.",
                                        "somebody1.x",
                                        "somebody1.1x",
                                        ".1",
                                        "some body.1",
                                        "somebody1.99999999999999999999",
                                        "somebody1.1,",
                                        ",somebody1.1",
                                        "somebody1.1,,somebody2.1",
                                        "somebody1.1,somebody1.2",
                                        "somebody1.1 somebody2.2"};
    char many[65 * 16], *end = many;

    fixture->options.max_sessions = 2;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(talus_subscriber_join_since(subscriber, "s", wrong[i]), TALUS_EINVAL);
    assert_int_equal(talus_subscriber_join_since(subscriber, "-s", "somebody1.1"), TALUS_ESESSION);
    assert_int_equal(talus_subscriber_join_since(subscriber, "*", "somebody1.1"), TALUS_ESESSION);
    for (int i = 0; i < 65; i++)
        end += sprintf(end, "%ssomebody%02d.1", i ? "," : "", i);
    assert_int_equal(talus_subscriber_join_since(subscriber, "s", many), TALUS_EINVAL);
    *strrchr(many, ',') = '\0';
    join_since(subscriber, "s", many);
    assert_int_equal(talus_subscriber_join_since(subscriber, "s", "somebody1.1"), TALUS_EEXIST);
    join_since(subscriber, "t", "somebody1.1");
    assert_int_equal(talus_subscriber_join_since(subscriber, "u", "somebody1.1"), TALUS_ELIMIT);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_leave(subscriber, "t"), 0);
    join_live(subscriber, "*");
    assert_int_equal(talus_subscriber_join_since(subscriber, "u", "somebody1.1"), TALUS_EEXIST);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)

int main(int argc, char **argv)
{
    if (argc == 3)
        return run_child(argv[2]);
    const struct CMUnitTest tests[] = {
        TEST(test_join_since_gives_what_was_missed),
        TEST(test_join_since_the_beginning),
        TEST(test_join_since_the_newest),
        TEST(test_join_since_an_event_of_another_session),
        TEST(test_join_since_more_than_the_history_has),
        TEST(test_join_since_one_that_keeps_no_history),
        TEST(test_join_since_while_events_come),
        TEST(test_join_since_with_little_room_to_hold_back),
        TEST(test_join_since_beyond_what_is_held_back_and_kept),
        TEST(test_join_since_one_that_is_gone),
        TEST(test_join_since_one_that_comes_later),
        TEST(test_join_since_one_that_does_not_answer_in_time),
        TEST(test_join_since_one_that_dies_without_an_answer),
        TEST(test_join_since_one_whose_history_is_silent),
        TEST(test_join_since_with_another_broadcaster),
        TEST(test_join_since_is_live_without_more_news),
        TEST(test_join_since_an_ignored_broadcaster),
        TEST(test_join_since_with_others_that_sent_nothing),
        TEST(test_join_since_and_leave),
        TEST(test_join_since_nonsense_and_leave),
        TEST(test_join_since_ends_when_everything_is_joined),
        TEST(test_join_since_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
