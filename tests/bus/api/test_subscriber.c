// SPDX-License-Identifier: MIT
// The subscriber against bare publishers, which say also what no broadcaster would: joins and LIVE,
// order, duplicates and holes, and what is dropped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>
#include <talus/subscriber.h>
#include <talus/topic.h>

#include "bus/src/zmq/context.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"

#define ORIGIN "origin01"
#define OTHER  "origin02"

struct fixture {
    struct raw_publisher raw;
    talus_subscriber_t *subscriber;
    talus_subscriber_options_t options;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    raw_publisher_open(&fixture->raw, ZMQ_XPUB, ORIGIN, NULL);
    raw_publisher_bind(&fixture->raw, NULL);
    talus_subscriber_options_init(&fixture->options);
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    talus_subscriber_destroy(&fixture->subscriber);
    raw_publisher_close(&fixture->raw);
    free(fixture);
    return 0;
}

static talus_subscriber_stats_t stats_of(const struct fixture *fixture)
{
    talus_subscriber_stats_t stats;

    talus_subscriber_stats(fixture->subscriber, &stats);
    return stats;
}

// Makes the subscriber, connected to the bare publisher.
static void start(struct fixture *fixture)
{
    assert_int_equal(
        talus_subscriber_new(&fixture->subscriber, fixture->raw.endpoint, &fixture->options), 0);
}

// Makes the subscriber know a publisher.
static void greet(struct fixture *fixture, struct raw_publisher *raw, size_t origins)
{
    raw_publisher_expect(raw, "$bus/");
    raw_publish_head(raw, "$bus/$hello", 0);
    pump_until(fixture->subscriber, origins_are, origins);
    raw_publisher_expect_ready(raw);
}

static void start_known(struct fixture *fixture)
{
    start(fixture);
    greet(fixture, &fixture->raw, 1);
}

// Joins, with the head that answers it.
static void join_with_head(struct fixture *fixture, const char *session, const char *topic,
                           const char *head, uint64_t seq)
{
    assert_int_equal(talus_subscriber_join(fixture->subscriber, session), 0);
    raw_publisher_expect(&fixture->raw, topic);
    raw_publish_head(&fixture->raw, head, seq);
    expect_live(fixture->subscriber, session, true);
}

// Receives until the counter has its value; nothing may be delivered meanwhile.
static void expect_counted(const struct fixture *fixture, size_t counter, uint64_t value)
{
    const talus_delivery_t *delivery;

    for (int i = 0; i < EXPECT_DEADLINE_MS / 20; i++) {
        talus_subscriber_stats_t stats = stats_of(fixture);
        uint64_t now;
        memcpy(&now, (const char *)&stats + counter, sizeof now);
        if (now == value)
            return;
        assert_true(now < value);
        assert_int_equal(talus_subscriber_receive(fixture->subscriber, 20, &delivery),
                         TALUS_ETIMEOUT);
    }
    fail_msg("a counter never had its value");
}

#define EXPECT_COUNTED(fixture, counter, value)                                                    \
    expect_counted(fixture, offsetof(talus_subscriber_stats_t, counter), value)

// ---- LIVE

static void test_subscriber_without_broadcasters_is_live_at_once(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    assert_string_equal(expect_live(fixture->subscriber, "s", true)->newest, "");
}

static void test_subscriber_is_live_when_each_known_broadcaster_answered(void **state)
{
    struct fixture *fixture = *state;
    struct raw_publisher other;
    char endpoints[600];

    raw_publisher_open(&other, ZMQ_XPUB, OTHER, NULL);
    raw_publisher_bind(&other, NULL);
    stpcpy(stpcpy(stpcpy(endpoints, fixture->raw.endpoint), ","), other.endpoint);
    assert_int_equal(talus_subscriber_new(&fixture->subscriber, endpoints, &fixture->options), 0);
    assert_string_equal(talus_subscriber_endpoint(fixture->subscriber), endpoints);
    greet(fixture, &fixture->raw, 1);
    greet(fixture, &other, 2);

    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    raw_publisher_expect(&fixture->raw, "s/");
    raw_publisher_expect(&other, "s/");
    raw_publish_head(&other, "s/$head", 7);
    EXPECT_COUNTED(fixture, heads, 1);
    raw_publish_head(&other, "s/$head", 7); // again: it is the other one that is missing
    EXPECT_COUNTED(fixture, heads, 2);
    raw_publish_head(&fixture->raw, "s/$head", 0); // none yet, so it names no newest
    assert_string_equal(expect_live(fixture->subscriber, "s", true)->newest, OTHER ".7");
    raw_publisher_close(&other);
}

static void test_subscriber_is_live_incomplete_when_one_does_not_answer(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.live_timeout_ms = 30;
    start_known(fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "t"), 0);
    expect_live(fixture->subscriber, "s", false);
    expect_live(fixture->subscriber, "t", false);
    assert_int_equal(stats_of(fixture).live_incomplete, 2);

    // The silent one holds up no further join, until it speaks again.
    join_live(fixture->subscriber, "u");
    raw_publisher_expect(&fixture->raw, "u/");
    raw_publish_head(&fixture->raw, "u/$head", 0);
    EXPECT_COUNTED(fixture, heads, 1);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "v"), 0);
    expect_live(fixture->subscriber, "v", false);
}

static void test_subscriber_does_not_wait_for_who_is_gone(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    raw_publisher_expect(&fixture->raw, "s/");
    zmq_close(fixture->raw.socket);
    expect_live(fixture->subscriber, "s", true); // long before the time is over
    join_live(fixture->subscriber, "t");
    fixture->raw.socket = zmq_socket(fixture->raw.context, ZMQ_XPUB);
}

static void test_subscriber_ignored_broadcaster_is_not_waited_for(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.ignore_origin = ORIGIN;
    start_known(fixture);
    join_live(fixture->subscriber, "s");
    raw_publisher_expect(&fixture->raw, "s/");
    raw_publish_head(&fixture->raw, "s/$head", 5);
    raw_publish(&fixture->raw, "s/a", 6, 5);
    EXPECT_COUNTED(fixture, ignored, 1);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_subscriber_joined_again_is_live_again(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;

    start_known(fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0); // pending: one LIVE
    raw_publisher_expect(&fixture->raw, "s/");
    raw_publish_head(&fixture->raw, "s/$head", 2);
    expect_live(fixture->subscriber, "s", true);
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery), TALUS_ETIMEOUT);

    raw_publish(&fixture->raw, "s/a", 3, 2);
    expect_event(fixture->subscriber, ORIGIN ".3", "s", "a");
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    assert_string_equal(expect_live(fixture->subscriber, "s", true)->newest, ORIGIN ".3");
    assert_int_equal(stats_of(fixture).sessions, 1);
}

// ---- Leaving

static void test_subscriber_left_session_is_delivered_no_more(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "s"), TALUS_ENOTFOUND);
    join_with_head(fixture, "s", "s/", "s/$head", 0);
    join_with_head(fixture, "t", "t/", "t/$head", 0);
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "s"), TALUS_ENOTFOUND);
    assert_int_equal(stats_of(fixture).sessions, 1);
    raw_publish(&fixture->raw, "s/a", 1, 0);
    raw_publish(&fixture->raw, "t/a", 2, 0);
    expect_event(fixture->subscriber, ORIGIN ".2", "t", "a");
    assert_int_equal(stats_of(fixture).ignored, 1);
}

// The subscriber unsubscribes while it receives, and has nothing to deliver meanwhile.
static void expect_end_while_receiving(struct fixture *fixture, const char *topic)
{
    const talus_delivery_t *delivery;
    uint8_t frame[256];
    size_t size = strlen(topic);

    for (int i = 0; i < EXPECT_DEADLINE_MS / 20; i++) {
        int got = zmq_recv(fixture->raw.socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (got == (int)size + 1 && frame[0] == 0 && memcmp(frame + 1, topic, size) == 0)
            return;
        if (got < 0)
            assert_int_equal(talus_subscriber_receive(fixture->subscriber, 20, &delivery),
                             TALUS_ETIMEOUT);
    }
    fail_msg("%s is still subscribed to", topic);
}

static void test_subscriber_left_session_is_unsubscribed_in_the_end(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 0);
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "s"), 0);
    expect_end_while_receiving(fixture, "s/");
    // One that is left for long is new when it is joined again.
    join_with_head(fixture, "s", "s/", "s/$head", 9);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_subscriber_joined_soon_again_goes_on_where_it_was(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 0);
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "s"), 0);
    raw_publish(&fixture->raw, "s/a", 1, 0);
    EXPECT_COUNTED(fixture, ignored, 1);
    join_live(fixture->subscriber, "s");
    raw_publish(&fixture->raw, "s/a", 2, 1);
    expect_event(fixture->subscriber, ORIGIN ".2", "s", "a");
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_subscriber_left_before_live_still_waits_when_joined_again(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;

    start_known(fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery), TALUS_ETIMEOUT);
    raw_publisher_expect(&fixture->raw, "s/");
    raw_publish_head(&fixture->raw, "s/$head", 0);
    expect_live(fixture->subscriber, "s", true);
}

// ---- Order

static void test_subscriber_delivers_events_before_the_head(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    raw_publisher_expect(&fixture->raw, "s/");
    raw_publish(&fixture->raw, "s/a", 41, 40);
    raw_publish(&fixture->raw, "s/b", 43, 41);
    raw_publish_head(&fixture->raw, "s/$head", 43);
    raw_publish(&fixture->raw, "s/c", 50, 43);
    expect_event(fixture->subscriber, ORIGIN ".41", "s", "a");
    const talus_event_t *event = expect_event(fixture->subscriber, ORIGIN ".43", "s", "b");
    assert_int_equal(event->seq, 43);
    assert_int_equal(event->prev, 41);
    assert_int_equal(event->ts, 1);
    assert_string_equal(event->origin, ORIGIN);
    assert_string_equal(event->except, "");
    assert_int_equal(event->data_size, 1);
    assert_string_equal(expect_live(fixture->subscriber, "s", true)->newest, ORIGIN ".43");
    expect_event(fixture->subscriber, ORIGIN ".50", "s", "c");
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
    assert_int_equal(stats_of(fixture).delivered, 3);
}

static void test_subscriber_drops_what_it_had(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 5);
    raw_publish(&fixture->raw, "s/a", 5, 0); // not owed
    raw_publish(&fixture->raw, "s/a", 6, 5);
    raw_publish(&fixture->raw, "s/a", 6, 5);
    raw_publish(&fixture->raw, "s/a", 7, 6);
    expect_event(fixture->subscriber, ORIGIN ".6", NULL, NULL);
    expect_event(fixture->subscriber, ORIGIN ".7", NULL, NULL);
    assert_int_equal(stats_of(fixture).duplicates, 2);
    assert_int_equal(stats_of(fixture).received, 4);
}

static void test_subscriber_tells_holes_of_prev_and_heads(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 5);
    raw_publish(&fixture->raw, "s/a", 9, 7); // 7 is missing
    expect_gap(fixture->subscriber, "s", ORIGIN ".5", ORIGIN ".8", TALUS_GAP_HISTORY);
    expect_event(fixture->subscriber, ORIGIN ".9", NULL, NULL);
    assert_int_equal(stats_of(fixture).gaps_opened, 1);
    raw_publish_head(&fixture->raw, "s/$head", 9); // a repeat with no news
    raw_publish_head(&fixture->raw, "s/$head", 12);
    expect_gap(fixture->subscriber, "s", ORIGIN ".9", ORIGIN ".13", TALUS_GAP_HISTORY);
    assert_int_equal(stats_of(fixture).heads, 3);
    assert_int_equal(stats_of(fixture).gaps, 2);
    assert_int_equal(stats_of(fixture).gaps_opened, 2);
    raw_publish(&fixture->raw, "s/a", 13, 12); // told already
    expect_event(fixture->subscriber, ORIGIN ".13", NULL, NULL);
    assert_int_equal(stats_of(fixture).gaps_opened, 2);
}

static void test_subscriber_is_owed_everything_of_a_new_broadcaster(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    join_live(fixture->subscriber, "s");
    raw_publisher_expect(&fixture->raw, "s/");
    raw_publish_head(&fixture->raw, "s/$head", 3); // emitted before we were connected
    expect_gap(fixture->subscriber, "s", ORIGIN ".0", ORIGIN ".4", TALUS_GAP_HISTORY);
    assert_int_equal(stats_of(fixture).gaps_opened, 1);
}

static void test_subscriber_keeps_origins_apart(void **state)
{
    struct fixture *fixture = *state;
    uint8_t body[256];
    size_t size = raw_encode(body, OTHER, 6, 2, "\x80", 1);

    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 5);
    raw_publish_frames(&fixture->raw, "s/a", body, size); // its first: no baseline yet
    raw_publish(&fixture->raw, "s/a", 6, 5);
    expect_event(fixture->subscriber, ORIGIN ".6", NULL, NULL);
    expect_event(fixture->subscriber, OTHER ".6", NULL, NULL); // after a short wait for its head
    assert_int_equal(stats_of(fixture).unproven, 1);
    assert_int_equal(stats_of(fixture).origins, 2);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_subscriber_plain_publisher_is_welcome(void **state)
{
    struct fixture *fixture = *state;
    struct raw_publisher plain;
    const talus_delivery_t *delivery;

    assert_int_equal(
        talus_subscriber_new(&fixture->subscriber, "@tcp://127.0.0.1:*", &fixture->options), 0);
    join_live(fixture->subscriber, "s");
    raw_publisher_open(&plain, ZMQ_PUB, OTHER, NULL);
    raw_publisher_connect(&plain, talus_subscriber_endpoint(fixture->subscriber));
    // A PUB cannot tell when it is subscribed to, so it repeats itself until it is heard.
    uint64_t seq = 0;
    do {
        seq++;
        raw_publish(&plain, "s/a", seq, seq - 1);
    } while (talus_subscriber_receive(fixture->subscriber, 20, &delivery) != 0);
    raw_publish(&plain, "s/last", seq + 1, seq);
    raw_publish(&plain, "s/hole", seq + 10, seq + 9);
    while (strcmp(delivery->event->type, "last") != 0)
        assert_int_equal(
            talus_subscriber_receive(fixture->subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
    expect_gap(fixture->subscriber, "s", NULL, NULL, TALUS_GAP_HISTORY);
    expect_event(fixture->subscriber, NULL, "s", "hole");
    assert_int_equal(stats_of(fixture).gaps_opened, 1);
    assert_int_equal(stats_of(fixture).unproven, stats_of(fixture).delivered);
    assert_int_equal(stats_of(fixture).duplicates, 0);
    join_live(fixture->subscriber, "t"); // nobody waits for its heads
    raw_publisher_close(&plain);
}

static bool is_of_other(const talus_delivery_t *delivery)
{
    const char *id =
        delivery->kind == TALUS_DELIVERY_EVENT ? delivery->event->id : delivery->gap.after;

    return strncmp(id, OTHER ".", sizeof OTHER) == 0;
}

// Where the inbox dropped something, the marker that says that a publisher is no plain one may be
// among it: what is before its first event is told.
static void test_subscriber_takes_nobody_for_plain_after_a_drop(void **state)
{
    struct fixture *fixture = *state;
    uint8_t body[256];
    size_t size = raw_encode(body, OTHER, 9, 8, "\x80", 1);
    const talus_delivery_t *delivery;

    fixture->options.receive_high_water_mark = 1;
    fixture->options.repair_timeout_ms = 500;
    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 5);
    for (uint64_t seq = 6; stats_of(fixture).receive_dropped == 0; seq++)
        raw_publish(&fixture->raw, "s/a", seq, seq - 1); // until the guard reads for the owner
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    do { // it may be dropped, too
        assert_true(tl_monotonic_ms() < deadline);
        raw_publish_frames(&fixture->raw, "s/a", body, size);
    } while (talus_subscriber_receive(fixture->subscriber, 100, &delivery) != 0 ||
             !is_of_other(delivery));
    assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
    assert_int_equal(delivery->gap.reason, TALUS_GAP_HISTORY);
    assert_string_equal(delivery->gap.after, OTHER ".0");
    assert_string_equal(delivery->gap.first, OTHER ".9");
    expect_event(fixture->subscriber, OTHER ".9", NULL, NULL);
}

// ---- Everything

static void test_subscriber_everything_is_judged_by_seq(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    join_with_head(fixture, "*", "", "*/$head", 5);
    assert_int_equal(stats_of(fixture).sessions, 1);
    raw_publish(&fixture->raw, "s/a", 6, 0);
    raw_publish(&fixture->raw, "/all", 7, 0);
    raw_publish_head(&fixture->raw, "s/$head", 6); // the answer to somebody else
    raw_publish(&fixture->raw, "t/a", 9, 0);
    expect_event(fixture->subscriber, ORIGIN ".6", "s", "a");
    expect_event(fixture->subscriber, ORIGIN ".7", "", "all");
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
    expect_gap(fixture->subscriber, "*", ORIGIN ".7", ORIGIN ".9", TALUS_GAP_HISTORY);
    expect_event(fixture->subscriber, ORIGIN ".9", "t", "a");
    assert_int_equal(stats_of(fixture).gaps_opened, 1);
}

static void test_subscriber_everything_beside_sessions_delivers_once(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 5);
    join_with_head(fixture, "*", "", "*/$head", 5);
    raw_publish(&fixture->raw, "s/a", 8, 7); // 6 and 7 are missing, which is one hole
    raw_publish(&fixture->raw, "t/a", 9, 0);
    expect_gap(fixture->subscriber, "*", ORIGIN ".5", ORIGIN ".8", TALUS_GAP_HISTORY);
    expect_event(fixture->subscriber, ORIGIN ".8", "s", "a");
    expect_event(fixture->subscriber, ORIGIN ".9", "t", "a");
    assert_int_equal(stats_of(fixture).gaps_opened, 1);
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "*"), 0);
    raw_publish(&fixture->raw, "t/a", 10, 9);
    raw_publish(&fixture->raw, "s/a", 11, 8);
    expect_event(fixture->subscriber, ORIGIN ".11", "s", "a");
    assert_int_equal(stats_of(fixture).ignored, 1);
}

// What is lost before a session's first event belongs to all, also before the first head of all.
static void test_subscriber_everything_beside_sessions_is_owed_of_a_new_broadcaster(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    join_live(fixture->subscriber, "*");
    join_live(fixture->subscriber, "s");
    raw_publisher_expect(&fixture->raw, "s/");
    raw_publish_head(&fixture->raw, "$bus/$hello", 0);
    raw_publish(&fixture->raw, "s/a", 2, 0); // 1 was another session's
    expect_gap(fixture->subscriber, "*", ORIGIN ".0", ORIGIN ".2", TALUS_GAP_HISTORY);
    expect_event(fixture->subscriber, ORIGIN ".2", "s", "a");
    raw_publish_head(&fixture->raw, "*/$head", 2);
    raw_publish(&fixture->raw, "t/a", 3, 1);
    expect_event(fixture->subscriber, ORIGIN ".3", "t", "a");
    assert_int_equal(stats_of(fixture).gaps, 1);
}

static void test_subscriber_is_not_held_up_by_the_highest_seq(void **state)
{
    struct fixture *fixture = *state;
    const talus_delivery_t *delivery;

    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 1);
    raw_publish_head(&fixture->raw, "s/$head", UINT64_MAX); // is none
    raw_publish_head(&fixture->raw, "s/$head", UINT64_MAX - 1);
    expect_gap(fixture->subscriber, "s", ORIGIN ".1", ORIGIN ".18446744073709551615",
               TALUS_GAP_HISTORY);
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(stats_of(fixture).malformed, 1);
}

static void test_subscriber_everybody_is_a_session_of_its_own(void **state)
{
    struct fixture *fixture = *state;

    start_known(fixture);
    join_with_head(fixture, "", "/", "/$head", 0);
    raw_publish(&fixture->raw, "s/a", 1, 0);
    raw_publish(&fixture->raw, "/a", 2, 0);
    expect_event(fixture->subscriber, ORIGIN ".2", "", "a");
}

// ---- What is dropped

static void test_subscriber_drops_malformed_messages(void **state)
{
    struct fixture *fixture = *state;
    void *socket = fixture->raw.socket;
    uint8_t body[256];
    size_t size = raw_encode(body, ORIGIN, 1, 0, "\x80\x80", 2);
    uint64_t count = 0;

    start_known(fixture);
    join_with_head(fixture, "*", "", "*/$head", 0);
    assert_true(zmq_send(socket, "s/one-frame", 11, 0) > 0);
    EXPECT_COUNTED(fixture, malformed, ++count);
    assert_true(zmq_send(socket, "s/three", 7, ZMQ_SNDMORE) > 0);
    raw_publish_frames(&fixture->raw, "s/frames", "x", 1);
    EXPECT_COUNTED(fixture, malformed, ++count);
    raw_publish_frames(&fixture->raw, "s/trailing", body, size);
    EXPECT_COUNTED(fixture, malformed, ++count);
    raw_publish_frames(&fixture->raw, "s/empty", "", 0);
    EXPECT_COUNTED(fixture, malformed, ++count);
    raw_publish_frames(&fixture->raw, "s/$head", "\xc0", 1);
    EXPECT_COUNTED(fixture, malformed, ++count);
    raw_publish_frames(&fixture->raw, "$bus/$hello", "\xc0", 1);
    EXPECT_COUNTED(fixture, malformed, ++count);
    static const char *const topics[] = {"no-slash",  "s p/a",    "s/",  "s/a/b",
                                         "s/connect", "s/joined", "-/a", ""};
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        raw_publish(&fixture->raw, topics[i], 1, 0);
        EXPECT_COUNTED(fixture, malformed, ++count);
    }
    raw_publish(&fixture->raw, "s/$later", 1, 0); // of a later version: no harm
    raw_publish(&fixture->raw, "$later/x", 1, 0);
    raw_publish(&fixture->raw, "s/good", 1, 0);
    expect_event(fixture->subscriber, ORIGIN ".1", "s", "good");
    assert_int_equal(stats_of(fixture).malformed, count);
}

static void test_subscriber_drops_events_beyond_its_bounds(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t body[4096], data[2048];
    size_t size;

    fixture->options.max_body = 1024;
    fixture->options.max_depth = 3;
    fixture->options.max_bin = 1;
    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 0);
    memcpy(data, "\xc5\x04\x00", 3); // 1,024 bytes of bin
    size = raw_encode(body, ORIGIN, 1, 0, data, 1027);
    raw_publish_frames(&fixture->raw, "s/large", body, size);
    size = raw_encode(body, ORIGIN, 2, 1, "\x91\x91\x91\x91\xc0", 5);
    raw_publish_frames(&fixture->raw, "s/deep", body, size);
    size = raw_encode(body, ORIGIN, 3, 2, "\x92\xc4\x00\xc4\x00", 5);
    raw_publish_frames(&fixture->raw, "s/bin", body, size);
    raw_publish(&fixture->raw, "s/good", 4, 3);
    expect_gap(fixture->subscriber, "s", ORIGIN ".0", ORIGIN ".2", TALUS_GAP_REFUSED);
    expect_gap(fixture->subscriber, "s", ORIGIN ".1", ORIGIN ".3", TALUS_GAP_REFUSED);
    expect_gap(fixture->subscriber, "s", ORIGIN ".2", ORIGIN ".4", TALUS_GAP_REFUSED);
    expect_event(fixture->subscriber, ORIGIN ".4", "s", "good");
    assert_int_equal(stats_of(fixture).refused_bounds, 3);
    assert_int_equal(stats_of(fixture).gaps_opened, 0); // they came, if not to the caller
}

// ---- Bounds

static void send_of(struct fixture *fixture, const char *origin, uint64_t seq)
{
    uint8_t body[256];
    size_t size = raw_encode(body, origin, seq, 0, "\x80", 1);

    raw_publish_frames(&fixture->raw, "s/a", body, size);
}

static void test_subscriber_forgets_the_longest_silent_origin(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.max_origins = 3;
    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 0);
    static const char *const origins[] = {"plain001", "plain002", "plain001", "plain003"};
    for (size_t i = 0; i < 4; i++) {
        send_of(fixture, origins[i], i + 1);
        expect_event(fixture->subscriber, NULL, "s", "a");
        assert_true(stats_of(fixture).origins <= 3);
    }
    send_of(fixture, "plain001", 3); // still known
    EXPECT_COUNTED(fixture, duplicates, 1);
    send_of(fixture, "plain002", 2); // gave way, so this looks new
    expect_event(fixture->subscriber, "plain002.2", "s", "a");
}

static void test_subscriber_delivers_of_origins_beyond_the_bound(void **state)
{
    struct fixture *fixture = *state;

    fixture->options.max_origins = 1;
    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 0);
    send_of(fixture, "plain001", 1);
    expect_event(fixture->subscriber, "plain001.1", "s", "a");
    raw_publish(&fixture->raw, "s/a", 1, 0);
    expect_event(fixture->subscriber, ORIGIN ".1", "s", "a");
    assert_int_equal(stats_of(fixture).origins, 1);
}

static void test_subscriber_positions_stay_few_with_many_origins(void **state)
{
    struct fixture *fixture = *state;
    char origin[17] = "plain0000";

    fixture->options.max_origins = 8;
    start_known(fixture);
    join_with_head(fixture, "s", "s/", "s/$head", 0);
    for (unsigned i = 0; i < 1000; i++) {
        for (unsigned j = 0, n = i; j < 4; j++, n /= 10)
            origin[5 + j] = (char)('0' + n % 10);
        send_of(fixture, origin, 1);
        send_of(fixture, origin, 1);
        expect_event(fixture->subscriber, NULL, "s", "a");
    }
    EXPECT_COUNTED(fixture, duplicates, 1000);
    assert_int_equal(stats_of(fixture).origins, 8);
    raw_publish(&fixture->raw, "s/a", 3, 2); // the known one kept its place
    expect_gap(fixture->subscriber, "s", ORIGIN ".0", ORIGIN ".3", TALUS_GAP_HISTORY);
    expect_event(fixture->subscriber, ORIGIN ".3", NULL, NULL);
    assert_int_equal(stats_of(fixture).gaps_opened, 1);
}

static void test_subscriber_join_is_checked_and_bounded(void **state)
{
    struct fixture *fixture = *state;
    char longest[TALUS_SESSION_MAX + 2];

    memset(longest, 'x', sizeof longest);
    longest[TALUS_SESSION_MAX + 1] = '\0';
    fixture->options.max_sessions = 2;
    start(fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, longest), TALUS_ESESSION);
    longest[TALUS_SESSION_MAX] = '\0';
    join_live(fixture->subscriber, longest);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "a b"), TALUS_ESESSION);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "a/b"), TALUS_ESESSION);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "**"), TALUS_ESESSION);
    join_live(fixture->subscriber, "*");
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), TALUS_ELIMIT);
    join_live(fixture->subscriber, "*"); // no new one
    assert_int_equal(talus_subscriber_leave(fixture->subscriber, "*"), 0);
    join_live(fixture->subscriber, "s");
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "*"), TALUS_ELIMIT);
    assert_int_equal(stats_of(fixture).sessions, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_subscriber_without_broadcasters_is_live_at_once),
        TEST(test_subscriber_is_live_when_each_known_broadcaster_answered),
        TEST(test_subscriber_is_live_incomplete_when_one_does_not_answer),
        TEST(test_subscriber_does_not_wait_for_who_is_gone),
        TEST(test_subscriber_ignored_broadcaster_is_not_waited_for),
        TEST(test_subscriber_joined_again_is_live_again),
        TEST(test_subscriber_left_session_is_delivered_no_more),
        TEST(test_subscriber_left_session_is_unsubscribed_in_the_end),
        TEST(test_subscriber_joined_soon_again_goes_on_where_it_was),
        TEST(test_subscriber_left_before_live_still_waits_when_joined_again),
        TEST(test_subscriber_delivers_events_before_the_head),
        TEST(test_subscriber_drops_what_it_had),
        TEST(test_subscriber_tells_holes_of_prev_and_heads),
        TEST(test_subscriber_is_owed_everything_of_a_new_broadcaster),
        TEST(test_subscriber_keeps_origins_apart),
        TEST(test_subscriber_plain_publisher_is_welcome),
        TEST(test_subscriber_takes_nobody_for_plain_after_a_drop),
        TEST(test_subscriber_everything_is_judged_by_seq),
        TEST(test_subscriber_everything_beside_sessions_delivers_once),
        TEST(test_subscriber_everything_beside_sessions_is_owed_of_a_new_broadcaster),
        TEST(test_subscriber_is_not_held_up_by_the_highest_seq),
        TEST(test_subscriber_everybody_is_a_session_of_its_own),
        TEST(test_subscriber_drops_malformed_messages),
        TEST(test_subscriber_drops_events_beyond_its_bounds),
        TEST(test_subscriber_forgets_the_longest_silent_origin),
        TEST(test_subscriber_delivers_of_origins_beyond_the_bound),
        TEST(test_subscriber_positions_stay_few_with_many_origins),
        TEST(test_subscriber_join_is_checked_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
