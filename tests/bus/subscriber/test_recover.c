// SPDX-License-Identifier: MIT
// Recoveries, on a transport in memory: what a publisher sent after an event, and what is told
// where that cannot be had.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <talus.h>

#include "tests/bus/support/expect.h"
#include "tests/bus/support/feed_fixture.h"

#define A "alpha000"
#define B "beta0000"

static const talus_delivery_t *next(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    return delivery;
}

static uint64_t recover(talus_subscriber_t *subscriber, const char *session, const char *since)
{
    uint64_t request = 0;

    assert_int_equal(talus_subscriber_recover(subscriber, session, since, &request), 0);
    assert_true(request > 0);
    return request;
}

static void expect_replayed(talus_subscriber_t *subscriber, uint64_t request, uint64_t from,
                            uint64_t upto)
{
    for (uint64_t seq = from; seq <= upto; seq++) {
        const talus_delivery_t *delivery = next(subscriber);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_REPLAYED);
        assert_int_equal(delivery->replayed.request, request);
        assert_int_equal(delivery->replayed.event->seq, seq);
    }
}

static const talus_recovered_t *expect_recovered(talus_subscriber_t *subscriber, uint64_t request,
                                                 const char *newest)
{
    const talus_delivery_t *delivery = next(subscriber);

    assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
    assert_int_equal(delivery->recovered.request, request);
    assert_string_equal(delivery->recovered.newest, newest);
    return &delivery->recovered;
}

static void expect_missing(const talus_recovered_t *end, const char *after, const char *first,
                           talus_gap_reason_t reason)
{
    assert_non_null(end->gap);
    assert_string_equal(end->gap->after, after);
    assert_string_equal(end->gap->first, first);
    assert_int_equal(end->gap->reason, reason);
}

// A subscriber and a publisher that has sent `count` events to "s", which it has not joined.
static talus_subscriber_t *begin(struct feed_fixture *fixture, int count, struct feed_publisher **a)
{
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    *a = feed_publisher(A);
    for (int i = 0; i < count; i++)
        feed_publish(*a, "s");
    feed_expect_nothing(subscriber);
    return subscriber;
}

// ---- What can be had

static void test_recover_gives_what_came_after_an_event(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 4, &a);
    uint64_t request = recover(subscriber, "s", A ".2");

    feed_publish(a, "t");
    expect_replayed(subscriber, request, 3, 4);
    const talus_recovered_t *end = expect_recovered(subscriber, request, A ".4");
    assert_null(end->gap);
    assert_false(end->is_only_origin); // which is known of joined sessions alone
    assert_false(end->is_reached);
    feed_expect_nothing(subscriber);
    request = recover(subscriber, "s", A ".4");
    assert_null(expect_recovered(subscriber, request, A ".4")->gap);
    request = recover(subscriber, "u", A ".0");
    assert_null(expect_recovered(subscriber, request, A ".0")->gap);
}

static void test_recover_says_whether_the_session_is_there(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 2, &a);

    join_live(subscriber, "s");
    uint64_t request = recover(subscriber, "s", A ".1");
    expect_replayed(subscriber, request, 2, 2);
    const talus_recovered_t *end = expect_recovered(subscriber, request, A ".2");
    assert_true(end->is_only_origin);
    assert_true(end->is_reached);
    join_live(subscriber, "empty");
    request = recover(subscriber, "empty", A ".0");
    assert_true(expect_recovered(subscriber, request, A ".0")->is_reached);
    feed.replays = FEED_WAITS;
    request = recover(subscriber, "s", A ".2");
    feed_lose(a, "s");
    feed_respond();
    expect_replayed(subscriber, request, 3, 3);
    assert_false(expect_recovered(subscriber, request, A ".3")->is_reached);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    request = recover(subscriber, "s", A ".3");
    feed_respond();
    assert_false(expect_recovered(subscriber, request, A ".3")->is_reached);
}

static void test_recover_requests_in_parts(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 10, &a);

    feed.replay_most = 4;
    uint64_t request = recover(subscriber, "s", A ".1");
    expect_replayed(subscriber, request, 2, 10);
    assert_null(expect_recovered(subscriber, request, A ".10")->gap);
    assert_int_equal(feed_counts().requests, 3);
}

static void test_recover_several_at_once(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 3, &a);
    uint64_t one = recover(subscriber, "s", A ".0");
    uint64_t other = recover(subscriber, "s", A ".2");

    assert_int_not_equal(one, other);
    expect_replayed(subscriber, one, 1, 3);
    expect_recovered(subscriber, one, A ".3");
    expect_replayed(subscriber, other, 3, 3);
    expect_recovered(subscriber, other, A ".3");
}

// ---- What cannot

static void test_recover_tells_what_the_history_has_no_more(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 6, &a);

    feed_truncate(a, 4);
    uint64_t request = recover(subscriber, "s", A ".1");
    expect_replayed(subscriber, request, 4, 6);
    expect_missing(expect_recovered(subscriber, request, A ".6"), A ".1", A ".4",
                   TALUS_GAP_HISTORY);
    feed_truncate(a, 7); // it keeps nothing
    request = recover(subscriber, "s", A ".1");
    expect_missing(expect_recovered(subscriber, request, A ".6"), A ".1", A ".7",
                   TALUS_GAP_HISTORY);
}

static void test_recover_tells_what_a_response_leaves_out(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 3, &a);

    feed.lie = FEED_NOTHING;
    feed.lies = 1;
    uint64_t request = recover(subscriber, "s", A ".1");
    expect_missing(expect_recovered(subscriber, request, A ".3"), A ".1", A ".4",
                   TALUS_GAP_HISTORY);
    feed.lie = FEED_NO_BODY;
    feed.lies = 1;
    request = recover(subscriber, "s", A ".1");
    expect_missing(expect_recovered(subscriber, request, A ".3"), A ".1", A ".4",
                   TALUS_GAP_HISTORY);
    feed.lie = FEED_BEYOND;
    feed.lies = 1;
    request = recover(subscriber, "s", A ".2");
    expect_replayed(subscriber, request, 3, 3);
    expect_missing(expect_recovered(subscriber, request, A ".3"), A ".3", A ".8",
                   TALUS_GAP_HISTORY);
}

static void test_recover_passes_over_events_that_come_twice(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 3, &a);

    feed.lie = FEED_TWICE;
    feed.lies = 1;
    uint64_t request = recover(subscriber, "s", A ".0");
    expect_replayed(subscriber, request, 1, 3);
    assert_null(expect_recovered(subscriber, request, A ".3")->gap);
}

static void test_recover_refuses_what_was_not_requested(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(fixture, 3, &a);

    feed.lie = FEED_OTHER_SESSION;
    feed.lies = 1;
    uint64_t request = recover(subscriber, "s", A ".0");
    expect_replayed(subscriber, request, 1, 3);
    assert_null(expect_recovered(subscriber, request, A ".3")->gap);
    feed.lie = FEED_OTHER_PUBLISHER;
    feed.lies = 1;
    request = recover(subscriber, "s", A ".1");
    expect_replayed(subscriber, request, 2, 3);
    assert_null(expect_recovered(subscriber, request, A ".3")->gap);
    assert_int_equal(feed_counts().refused, 2);
    assert_int_equal(feed_stats(fixture).malformed, 2);
}

static void test_recover_tells_what_is_beyond_the_bounds(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;

    fixture->options.max_body = 2000;
    talus_subscriber_t *subscriber = begin(fixture, 1, &a);
    feed_publish_sized(a, "s", 4000);
    feed_publish(a, "s");
    uint64_t request = recover(subscriber, "s", A ".0");
    expect_replayed(subscriber, request, 1, 1);
    expect_replayed(subscriber, request, 3, 3);
    expect_missing(expect_recovered(subscriber, request, A ".3"), A ".1", A ".3",
                   TALUS_GAP_HISTORY);
    assert_int_equal(feed_stats(fixture).refused_bounds, 1);
}

// ---- Publishers that do not answer

static void test_recover_tells_that_nobody_knows_the_publisher(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 1, &a);
    uint64_t request = recover(subscriber, "s", B ".7");

    expect_missing(expect_recovered(subscriber, request, B ".7"), B ".7", "",
                   TALUS_GAP_ORIGIN_LOST);
    feed_set_replay(a, false);
    feed_expect_nothing(subscriber);
    request = recover(subscriber, "s", A ".0");
    uint64_t other = recover(subscriber, "", A ".0");
    expect_missing(expect_recovered(subscriber, request, A ".0"), A ".0", "",
                   TALUS_GAP_ORIGIN_LOST);
    expect_missing(expect_recovered(subscriber, other, A ".0"), A ".0", "", TALUS_GAP_ORIGIN_LOST);
    assert_int_equal(feed_counts().requests, 0);
}

// What the deliveries of a joined session bring is not missing.
static void test_recover_of_a_joined_session_knows_what_is_missing(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 5, &a);

    join_live(subscriber, "s"); // up to 5, nothing is owed
    feed.replays = FEED_WAITS;
    uint64_t before = recover(subscriber, "s", A ".2");
    uint64_t exactly = recover(subscriber, "s", A ".5");
    uint64_t beyond = recover(subscriber, "s", A ".9");
    feed_fail_requests();
    const talus_recovered_t *end = expect_recovered(subscriber, before, A ".5");
    expect_missing(end, A ".2", A ".6", TALUS_GAP_ORIGIN_LOST);
    assert_true(end->is_reached);
    end = expect_recovered(subscriber, exactly, A ".5");
    assert_null(end->gap);
    assert_true(end->is_reached);
    assert_false(end->is_answered);
    end = expect_recovered(subscriber, beyond, A ".9"); // the deliveries will bring up to there
    assert_null(end->gap);
    assert_false(end->is_reached);
    feed_expect_nothing(subscriber);
}

static void test_recover_that_fails_under_way_counts_what_had_come(void **state)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 6, &a);

    feed.replay_most = 2;
    uint64_t request = recover(subscriber, "s", A ".1");
    feed.request_error = TALUS_ELIMIT; // the rest cannot be requested
    expect_replayed(subscriber, request, 2, 3);
    expect_missing(expect_recovered(subscriber, request, A ".6"), A ".3", A ".7",
                   TALUS_GAP_HISTORY);
    feed.request_error = 0;
    feed_truncate(a, 3);
    request = recover(subscriber, "s", A ".1"); // a hole first, then the loss
    feed.replays = FEED_WAITS;
    expect_replayed(subscriber, request, 3, 4);
    feed_expect_nothing(subscriber);
    feed_fail_requests();
    expect_missing(expect_recovered(subscriber, request, A ".1"), A ".1", "",
                   TALUS_GAP_ORIGIN_LOST);
}

static void test_recover_fails_with_a_lost_publisher(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(fixture, 3, &a);

    feed.replays = FEED_WAITS;
    uint64_t request = recover(subscriber, "s", A ".1");
    feed_end(a, FEED_RECORD);
    expect_missing(expect_recovered(subscriber, request, A ".1"), A ".1", "",
                   TALUS_GAP_ORIGIN_LOST);
    assert_int_equal(feed_stats(fixture).origins, 0);
    request = recover(subscriber, "s", A ".1");
    expect_missing(expect_recovered(subscriber, request, A ".1"), A ".1", "",
                   TALUS_GAP_ORIGIN_LOST);
}

// The loss of a publisher ends its stream: what it had sent is told by that, not by deliveries.
static void test_recover_after_a_loss_without_end(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(fixture, 0, &a);

    join_live(subscriber, "s");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_end(a, FEED_UNKNOWN);
    expect_gap(subscriber, "s", A ".1", "", TALUS_GAP_ORIGIN_LOST);
    uint64_t request = recover(subscriber, "s", A ".1");
    expect_missing(expect_recovered(subscriber, request, A ".1"), A ".1", "",
                   TALUS_GAP_ORIGIN_LOST);
}

// ---- What is no recovery

static void test_recover_refuses_what_makes_no_sense(void **state)
{
    static const char *const wrong[] = {"",      A,       A ".",        ".1",
                                        A ".1x", A ".-1", "Upper000.1", A ".99999999999999999999"};
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 1, &a);
    uint64_t request = 0;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(talus_subscriber_recover(subscriber, "s", wrong[i], &request),
                         TALUS_EINVAL);
    assert_int_equal(talus_subscriber_recover(subscriber, "*", A ".1", &request), TALUS_ESESSION);
    feed.request_error = TALUS_ELIMIT;
    assert_int_equal(talus_subscriber_recover(subscriber, "s", A ".1", &request), TALUS_ELIMIT);
    assert_int_equal(request, 0);
    feed_expect_nothing(subscriber);
}

static void test_recover_has_a_bound(void **state)
{
    enum { MOST = 10000 };
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = begin(*state, 1, &a);
    uint64_t request = 0;

    for (int i = 0; i < MOST; i++)
        recover(subscriber, "s", B ".1"); // nobody knows it
    assert_int_equal(talus_subscriber_recover(subscriber, "s", A ".0", &request), TALUS_ELIMIT);
    for (uint64_t i = 1; i <= MOST; i++)
        expect_recovered(subscriber, i, B ".1");
    request = recover(subscriber, "s", A ".0");
    expect_replayed(subscriber, request, 1, 1);
    expect_recovered(subscriber, request, A ".1");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_set_up, feed_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_recover_gives_what_came_after_an_event),
        TEST(test_recover_says_whether_the_session_is_there),
        TEST(test_recover_requests_in_parts),
        TEST(test_recover_several_at_once),
        TEST(test_recover_tells_what_the_history_has_no_more),
        TEST(test_recover_tells_what_a_response_leaves_out),
        TEST(test_recover_passes_over_events_that_come_twice),
        TEST(test_recover_refuses_what_was_not_requested),
        TEST(test_recover_tells_what_is_beyond_the_bounds),
        TEST(test_recover_tells_that_nobody_knows_the_publisher),
        TEST(test_recover_of_a_joined_session_knows_what_is_missing),
        TEST(test_recover_that_fails_under_way_counts_what_had_come),
        TEST(test_recover_fails_with_a_lost_publisher),
        TEST(test_recover_after_a_loss_without_end),
        TEST(test_recover_refuses_what_makes_no_sense),
        TEST(test_recover_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
