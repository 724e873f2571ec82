// SPDX-License-Identifier: MIT
// Joining and leaving, on a transport in memory: when a join is live, and who it waits for.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <talus.h>

#include "common/clock.h"
#include "common/name_hash.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/feed_fixture.h"

#define A "alpha000"
#define B "beta0000"
#define C "gw00gamma"

static void test_join_is_live_at_once_where_nobody_is(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);

    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    const talus_live_t *live = expect_live(subscriber, "s", true);
    assert_string_equal(live->newest, "");
    assert_true(live->is_only_origin);
    assert_string_equal(talus_subscriber_endpoint(subscriber), "memory://");
}

static void test_join_waits_for_each_publisher(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    struct feed_publisher *a = feed_publisher(A);
    struct feed_publisher *b = feed_publisher(B);

    feed_publish(a, "s");
    feed_publish(b, "s");
    feed_publish(b, "s");
    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    feed_mark(a, "s");
    feed_expect_nothing(subscriber);
    feed_mark(b, "s");
    const talus_live_t *live = expect_live(subscriber, "s", true);
    assert_string_equal(live->newest, B ".2");
    assert_false(live->is_only_origin);
    assert_int_equal(feed_counts().mark_requests, 0);
}

static void test_join_gives_events_that_come_before_it_is_live(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    struct feed_publisher *a = feed_publisher(A);

    feed_expect_nothing(subscriber);
    feed_publish(a, "s");
    feed.is_mute = true;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    feed_publish(a, "s"); // comes after one that nobody owes
    expect_event(subscriber, A ".2", "s", "t");
    feed_mark(a, "s");
    const talus_live_t *live = expect_live(subscriber, "s", true);
    assert_string_equal(live->newest, A ".2");
    feed_publish(a, "s");
    expect_event(subscriber, A ".3", "s", "t");
    assert_int_equal(feed_counts().requests, 0);
}

static void test_join_is_incomplete_without_an_answer(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    feed_publisher(A);
    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    feed.is_deaf = true;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_join(subscriber, "t"), 0);
    expect_live(subscriber, "s", false);
    expect_live(subscriber, "t", false);
    assert_int_equal(feed_counts().mark_requests, 2);
    assert_int_equal(feed_counts().silenced, 1);
    assert_int_equal(feed_stats(fixture).live_incomplete, 2);
    assert_int_equal(talus_subscriber_join(subscriber, "u"), 0);
    expect_live(subscriber, "u", true); // it does not wait for the silent one
}

static void test_join_requests_marks_that_did_not_come(void **state)
{
    enum { SESSIONS = TALUS__MARKS_MOST + 10 };
    struct feed_fixture *fixture = *state;
    char session[FEED_SESSION_MAX];

    fixture->options.live_timeout_ms = 2000;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);
    feed_publish(a, "s7");
    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "s%d", i);
        assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    }
    feed_mark(a, "s3"); // that one comes
    expect_live(subscriber, "s3", true);
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "s%d", i);
        if (i != 3)
            assert_string_equal(expect_live(subscriber, session, true)->newest,
                                i == 7 ? A ".1" : "");
    }
    assert_int_equal(feed_counts().mark_requests, SESSIONS - 1);
    assert_int_equal(feed_counts().silenced, 0);
}

static void test_join_does_without_marks_that_cannot_be_requested(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    feed_publisher(A);
    feed_set_replay(feed_publisher(B), false);
    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    feed.request_marks_error = TALUS_ELIMIT;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    expect_live(subscriber, "s", false);
    assert_int_equal(feed_counts().mark_requests, 1); // nobody asks the other
    assert_int_equal(feed_counts().silenced, 2);
}

static void test_join_waits_while_the_transport_connects(void **state)
{
    feed.is_connecting = true;
    talus_subscriber_t *subscriber = feed_subscribe(*state);

    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    feed_expect_nothing(subscriber);
    struct feed_publisher *a = feed_publisher(A);
    feed_expect_nothing(subscriber); // it has answered; others may not be met yet
    feed_publish(a, "s");
    expect_event(subscriber, A ".1", "s", "t");
    feed_connect();
    assert_string_equal(expect_live(subscriber, "s", true)->newest, A ".1");
}

static void test_join_is_incomplete_while_one_is_away(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);

    join_live(subscriber, "early");
    feed_go_away(a);
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "late"), 0);
    expect_live(subscriber, "late", false);
    assert_int_equal(talus_subscriber_join(subscriber, "early"), 0);
    expect_live(subscriber, "early", true); // which it has answered
    assert_int_equal(feed_stats(fixture).live_incomplete, 1);
    feed_publish(a, "late"); // its event says that it is there again
    expect_event(subscriber, A ".1", "late", "t");
    assert_int_equal(feed_counts().heard, 1);
    join_live(subscriber, "later");
}

static void test_join_waits_no_more_for_one_that_is_lost(void **state)
{
    struct feed_fixture *fixture = *state;
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS * 2;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);
    struct feed_publisher *b = feed_publisher(B);

    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    feed_end(a, FEED_LEFT);
    feed_expect_nothing(subscriber); // there is the other
    feed_mark(b, "s");
    expect_live(subscriber, "s", true);
    assert_int_equal(feed_stats(fixture).origins, 1);
}

static void test_join_is_live_when_the_last_one_is_gone(void **state)
{
    struct feed_fixture *fixture = *state;
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS * 2;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);

    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    feed_expect_nothing(subscriber);
    feed_end(a, FEED_LEFT);
    expect_live(subscriber, "s", true);
    assert_int_equal(feed_stats(fixture).origins, 0);
}

// The newest event that LIVE names is no presence of clients, which nobody asks for again.
static void test_join_names_no_presence_as_newest(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    struct feed_publisher *a = feed_publisher(A);
    struct feed_publisher *gateway = feed_publisher(C);

    feed_publish(a, "s");
    feed_publish(gateway, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    const talus_live_t *live = expect_live(subscriber, "s", true);
    assert_string_equal(live->newest, A ".1");
    assert_true(live->is_only_origin);
}

static void test_join_ignores_a_publisher_that_is_to_be_ignored(void **state)
{
    struct feed_fixture *fixture = *state;
    fixture->options.ignore_origin = A;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);

    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    join_live(subscriber, "s"); // waits for nobody
    feed_mark(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).ignored, 1);
    assert_int_equal(feed_stats(fixture).heads, 1);
}

// ---- Origins whose names collide

// The lower halves of their hashes under a key of 0 are the same; others may choose such origins.
#define D "coll1aut"
#define E "coll30fr"

static void test_join_tells_apart_origins_that_collide(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    struct feed_publisher *d = feed_publisher(D);
    struct feed_publisher *e = feed_publisher(E);

    assert_int_equal((uint32_t)tl_name_hash(0, D, strlen(D)),
                     (uint32_t)tl_name_hash(0, E, strlen(E)));
    feed_publish(d, "s");
    feed_publish(e, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    assert_false(expect_live(subscriber, "s", true)->is_only_origin);
}

static void test_join_since_tells_of_one_that_is_gone_though_another_collides(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    struct feed_publisher *d = feed_publisher(D);

    feed_publish(d, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join_since(subscriber, "s", D ".1," E ".5"), 0);
    expect_gap(subscriber, "s", E ".5", "", TALUS_GAP_ORIGIN_LOST);
    expect_live(subscriber, "s", true);
}

// The same where that other one is gone by then, too.
static void test_join_since_tells_of_one_that_is_gone_though_a_lost_one_collides(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    struct feed_publisher *a = feed_publisher(A);
    struct feed_publisher *d = feed_publisher(D);

    feed_publish(d, "s");
    feed.is_mute = true;
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join_since(subscriber, "s", D ".1," E ".5"), 0);
    feed_mark(d, "s");
    feed_expect_nothing(subscriber);
    feed_end(d, FEED_LEFT);
    feed_expect_nothing(subscriber); // it waits for the other
    feed_mark(a, "s");
    expect_gap(subscriber, "s", E ".5", "", TALUS_GAP_ORIGIN_LOST);
    expect_live(subscriber, "s", true);
}

// ---- Joining everything while a join since an event catches up

// Publishes three events of "s" and joins it; the replay is held back.
static talus_subscriber_t *catch_up(struct feed_fixture *fixture, const char *since,
                                    struct feed_publisher **publisher)
{
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    feed.replays = FEED_WAITS;
    *publisher = feed_publisher(A);
    feed_lose_many(*publisher, "s", 3);
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join_since(subscriber, "s", since), 0);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_counts().open_requests, 1);
    return subscriber;
}

static void test_join_of_everything_gives_up_what_catches_up(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = catch_up(*state, A ".1", &a);

    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_gap(subscriber, "s", A ".1", "", TALUS_GAP_UNKNOWN);
    expect_live(subscriber, "s", true);
    expect_live(subscriber, "*", true);
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    feed_respond(); // what is known to be missing comes all the same
    feed_expect_seqs(subscriber, A, 2, 4);
    feed_expect_nothing(subscriber);
}

static void test_join_of_everything_that_fails_gives_up_nothing(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = catch_up(*state, A ".1", &a);

    feed.subscribe_error = TALUS_ESYSTEM;
    assert_int_equal(talus_subscriber_join(subscriber, "*"), TALUS_ESYSTEM);
    feed_expect_nothing(subscriber);
    feed_respond();
    feed_expect_seqs(subscriber, A, 2, 3);
    expect_live(subscriber, "s", true);
    feed_expect_nothing(subscriber);
}

// It is live within the call, and has taken over by then.
static void test_join_of_everything_that_waits_for_nobody_gives_up_what_catches_up(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = catch_up(*state, A ".0", &a);
    const talus_delivery_t *delivery;

    feed_go_away(a);
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_gap(subscriber, "s", A ".0", "", TALUS_GAP_UNKNOWN);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(talus_subscriber_receive(subscriber, 0, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
    }
    feed_expect_nothing(subscriber);
    feed_respond();
    feed_expect_seqs(subscriber, A, 1, 3);
    feed_expect_nothing(subscriber);
}

// ---- Leaving

static void test_join_again_while_it_lingers_is_live_at_once(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);

    join_live(subscriber, "s");
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), TALUS_ENOTFOUND);
    assert_int_equal(talus_subscriber_leave(subscriber, "t"), TALUS_ENOTFOUND);
    assert_int_equal(feed_stats(fixture).sessions, 0);
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_mark(a, "s"); // nobody misses it
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).ignored, 1);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    assert_string_equal(expect_live(subscriber, "s", true)->newest, A ".2");
    feed_publish(a, "s");
    expect_event(subscriber, A ".3", "s", "t");
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0); // joined already
    expect_live(subscriber, "s", true);
    assert_int_equal(feed_counts().subscriptions, 1);
    assert_int_equal(feed_counts().requests, 0);
}

// What comes while nobody wants it is neither missed nor given later.
static void test_join_again_goes_on_after_what_came_meanwhile(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);

    feed_expect_nothing(subscriber);
    join_live(subscriber, "s");
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    feed_publish(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    assert_string_equal(expect_live(subscriber, "s", true)->newest, A ".2");
    feed_publish(a, "s");
    expect_event(subscriber, A ".3", "s", "t");
    feed_send(a, 2);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_counts().requests, 0);
    assert_int_equal(feed_stats(fixture).ignored, 2);
}

static void test_leave_ends_the_subscription_later(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    const talus_delivery_t *delivery;
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    feed.unsubscribe_error = TALUS_ENOMEM; // is logged
    join_live(subscriber, "s");
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    assert_int_equal(feed_counts().subscriptions, 1);
    while (feed_counts().subscriptions > 0) {
        assert_true(tl_monotonic_ms() < deadline);
        assert_int_equal(talus_subscriber_receive(subscriber, 50, &delivery), TALUS_ETIMEOUT);
    }
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    expect_live(subscriber, "s", true);
    assert_int_equal(feed_counts().subscriptions, 1);
}

static void test_leave_keeps_few_sessions_that_linger(void **state)
{
    enum { MOST = 4096 };
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    char session[FEED_SESSION_MAX];

    for (int i = 0; i <= MOST; i++) {
        snprintf(session, sizeof session, "s%d", i);
        assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    }
    for (int i = 0; i < MOST; i++) {
        snprintf(session, sizeof session, "s%d", i);
        assert_int_equal(talus_subscriber_leave(subscriber, session), 0);
    }
    assert_int_equal(feed_counts().subscriptions, MOST + 1);
    snprintf(session, sizeof session, "s%d", MOST);
    assert_int_equal(talus_subscriber_leave(subscriber, session), 0);
    assert_int_equal(feed_counts().subscriptions, MOST);
}

static void test_leave_a_join_that_is_pending_ends_it(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);

    feed_expect_nothing(subscriber);
    feed.is_mute = true;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0); // waits on
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    feed_mark(a, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0); // and that answer counts
    expect_live(subscriber, "s", true);
}

// ---- Bounds

static void test_join_refuses_what_is_no_session_and_too_many(void **state)
{
    struct feed_fixture *fixture = *state;
    fixture->options.max_sessions = 2;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    assert_int_equal(talus_subscriber_join(subscriber, "/"), TALUS_ESESSION);
    assert_int_equal(talus_subscriber_join(subscriber, ""), 0);
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), TALUS_ELIMIT);
    expect_live(subscriber, "", true);
    expect_live(subscriber, "*", true);
    assert_int_equal(talus_subscriber_leave(subscriber, "*"), 0);
    feed.subscribe_error = TALUS_ENOMEM;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), TALUS_ENOMEM);
    assert_int_equal(feed_stats(fixture).sessions, 1);
    feed.subscribe_error = 0;
    join_live(subscriber, "s");
}

static void test_receive_delivers_a_publisher_too_many_unchecked(void **state)
{
    struct feed_fixture *fixture = *state;
    fixture->options.max_origins = 1;
    fixture->options.max_body = 2000;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);
    struct feed_publisher *b = feed_plain_publisher(B);

    join_live(subscriber, "s");
    feed_publish(b, "s");
    feed_send(b, 1);
    feed_publish_sized(b, "s", 4000);
    feed_publish(a, "s");
    expect_event(subscriber, B ".1", "s", "t");
    expect_event(subscriber, B ".1", "s", "t");
    expect_event(subscriber, A ".1", "s", "t");
    assert_int_equal(feed_stats(fixture).origins, 1);
}

// One that was merely heard gives way to another.
static void test_receive_forgets_who_was_merely_heard(void **state)
{
    struct feed_fixture *fixture = *state;
    fixture->options.max_origins = 2;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_plain_publisher(A);
    struct feed_publisher *b = feed_plain_publisher(B);
    struct feed_publisher *c = feed_plain_publisher(C);

    join_live(subscriber, "s");
    feed_publish(a, "s");
    feed_publish(b, "s");
    feed_send(a, 1); // it is heard last
    feed_publish(c, "s");
    feed_send(a, 1); // a duplicate
    feed_send(b, 1); // nobody knows it any more
    expect_event(subscriber, A ".1", "s", "t");
    expect_event(subscriber, B ".1", "s", "t");
    expect_event(subscriber, C ".1", "s", "t");
    expect_event(subscriber, B ".1", "s", "t");
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).duplicates, 2);
    assert_int_equal(feed_stats(fixture).unproven, 4);
}

// ---- Receiving

static bool is_readable(talus_subscriber_t *subscriber)
{
    struct pollfd item = {.fd = talus_subscriber_descriptor(subscriber), .events = POLLIN};

    return poll(&item, 1, 0) == 1;
}

static void test_receive_keeps_the_descriptor_readable_until_all_is_taken(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    struct feed_publisher *a = feed_publisher(A);

    join_live(subscriber, "s");
    assert_true(is_readable(subscriber)); // nobody has seen that there is no more
    feed_expect_nothing(subscriber);
    assert_false(is_readable(subscriber));
    feed_publish(a, "s");
    feed_publish(a, "s");
    assert_true(is_readable(subscriber));
    feed_expect_seqs(subscriber, A, 1, 2);
    assert_true(is_readable(subscriber));
    feed_expect_nothing(subscriber);
    assert_false(is_readable(subscriber));
    feed_end(a, FEED_UNKNOWN);
    assert_true(is_readable(subscriber));
    expect_gap(subscriber, "s", A ".2", "", TALUS_GAP_ORIGIN_LOST);
}

static void test_receive_waits_no_longer_than_it_may(void **state)
{
    talus_subscriber_t *subscriber = feed_subscribe(*state);
    const talus_delivery_t *delivery;
    long long begin = tl_monotonic_ms();

    assert_int_equal(talus_subscriber_receive(subscriber, 60, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(errno, EAGAIN);
    assert_true(tl_monotonic_ms() - begin >= 60);
}

// While a flood goes on of what is not to be delivered, its owner gets its turn.
static void test_receive_ends_within_a_flood(void **state)
{
    enum { FLOOD = 3000 };
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_publisher(A);

    join_live(subscriber, "s");
    for (int i = 0; i < FLOOD; i++)
        feed_malformed();
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    assert_true(feed_stats(fixture).malformed < FLOOD);
    assert_true(is_readable(subscriber));
    expect_event(subscriber, A ".1", "s", "t");
    assert_int_equal(feed_stats(fixture).malformed, FLOOD);
}

static void test_receive_counts_what_is_malformed(void **state)
{
    static const char body[] = "none";
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    join_live(subscriber, "s");
    feed_frames("s/t", body, sizeof body);
    feed_frames("t/t", body, sizeof body); // of a session that nobody has joined
    feed_malformed();
    feed_tell_malformed(3);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).malformed, 5);
    assert_int_equal(feed_stats(fixture).ignored, 1);
    assert_int_equal(feed_stats(fixture).received, 0);
}

static void test_receive_tells_that_the_transport_fails(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    const talus_delivery_t *delivery;

    feed.take_error = TALUS_ESYSTEM;
    assert_int_equal(talus_subscriber_receive(subscriber, -1, &delivery), TALUS_ESYSTEM);
    feed.take_error = 0;
    join_live(subscriber, "s");
}

static void test_open_tells_that_the_transport_fails(void **state)
{
    struct feed_fixture *fixture = *state;

    feed.open_error = TALUS_EACCESS;
    assert_int_equal(feed_open(&fixture->subscriber, &fixture->options), TALUS_EACCESS);
    assert_int_equal(errno, ENOANO);
    assert_null(fixture->subscriber);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_set_up, feed_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_join_is_live_at_once_where_nobody_is),
        TEST(test_join_waits_for_each_publisher),
        TEST(test_join_gives_events_that_come_before_it_is_live),
        TEST(test_join_is_incomplete_without_an_answer),
        TEST(test_join_requests_marks_that_did_not_come),
        TEST(test_join_does_without_marks_that_cannot_be_requested),
        TEST(test_join_waits_while_the_transport_connects),
        TEST(test_join_is_incomplete_while_one_is_away),
        TEST(test_join_waits_no_more_for_one_that_is_lost),
        TEST(test_join_is_live_when_the_last_one_is_gone),
        TEST(test_join_names_no_presence_as_newest),
        TEST(test_join_ignores_a_publisher_that_is_to_be_ignored),
        TEST(test_join_tells_apart_origins_that_collide),
        TEST(test_join_since_tells_of_one_that_is_gone_though_another_collides),
        TEST(test_join_since_tells_of_one_that_is_gone_though_a_lost_one_collides),
        TEST(test_join_of_everything_gives_up_what_catches_up),
        TEST(test_join_of_everything_that_fails_gives_up_nothing),
        TEST(test_join_of_everything_that_waits_for_nobody_gives_up_what_catches_up),
        TEST(test_join_again_while_it_lingers_is_live_at_once),
        TEST(test_join_again_goes_on_after_what_came_meanwhile),
        TEST(test_leave_ends_the_subscription_later),
        TEST(test_leave_keeps_few_sessions_that_linger),
        TEST(test_leave_a_join_that_is_pending_ends_it),
        TEST(test_join_refuses_what_is_no_session_and_too_many),
        TEST(test_receive_delivers_a_publisher_too_many_unchecked),
        TEST(test_receive_forgets_who_was_merely_heard),
        TEST(test_receive_keeps_the_descriptor_readable_until_all_is_taken),
        TEST(test_receive_waits_no_longer_than_it_may),
        TEST(test_receive_ends_within_a_flood),
        TEST(test_receive_counts_what_is_malformed),
        TEST(test_receive_tells_that_the_transport_fails),
        TEST(test_open_tells_that_the_transport_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
