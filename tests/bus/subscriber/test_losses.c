// SPDX-License-Identifier: MIT
// Lost publishers, on a transport in memory: what each session is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <talus.h>

#include "tests/bus/support/expect.h"
#include "tests/bus/support/feed_fixture.h"

#define A FEED_ORIGIN
#define B "beta0000"

static void test_losses_tell_what_was_sent(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    join_live(subscriber, "t");
    join_live(subscriber, "u");
    feed_publish(a, "s");
    feed_publish(a, "t");
    feed_lose(a, "s");
    feed_expect_seqs(subscriber, A, 1, 2);
    feed_end(a, FEED_RECORD);
    expect_gap(subscriber, "s", A ".1", A ".4", TALUS_GAP_ORIGIN_LOST);
    feed_expect_nothing(subscriber); // the others miss nothing
    assert_int_equal(feed_stats(fixture).origins, 0);
}

static void test_losses_tell_that_nobody_knows_what_was_sent(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    join_live(subscriber, "u");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_end(a, FEED_UNKNOWN);
    expect_gap(subscriber, "s", A ".1", "", TALUS_GAP_ORIGIN_LOST);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).origins, 0);
}

static void test_losses_tell_of_one_that_took_leave_what_is_known(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    join_live(subscriber, "t");
    feed.replays = FEED_WAITS;
    feed_publish(a, "t");
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_end(a, FEED_LEFT);
    expect_gap(subscriber, "s", A ".0", A ".3", TALUS_GAP_ORIGIN_LOST);
    feed_expect_seqs(subscriber, A, 3, 3);
    feed_expect_nothing(subscriber);
}

static void test_losses_end_repairs_that_are_under_way(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_expect_nothing(subscriber);
    feed_end(a, FEED_RECORD);
    expect_gap(subscriber, "s", A ".0", A ".2", TALUS_GAP_ORIGIN_LOST);
    feed_expect_seqs(subscriber, A, 2, 2);
    expect_gap(subscriber, "s", A ".2", A ".4", TALUS_GAP_ORIGIN_LOST);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).origins, 0);
}

// It was there when the session was live, and nothing of it came: what it sent was owed.
static void test_losses_tell_of_one_that_was_never_heard(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    join_live(subscriber, "s");
    feed.is_mute = true;
    struct feed_publisher *a = feed_publisher(A);
    struct feed_publisher *b = feed_publisher(B);
    feed_lose(a, "s");
    feed_lose(b, "other");
    feed_expect_nothing(subscriber);
    feed_end(b, FEED_RECORD);
    feed_end(a, FEED_RECORD);
    expect_gap(subscriber, "s", A ".0", A ".2", TALUS_GAP_ORIGIN_LOST);
    feed_expect_nothing(subscriber);
}

// A join that is pending is owed nothing of one that is lost before it is live.
static void test_losses_owe_nothing_to_a_join_that_is_pending(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "t", &a);

    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS * 2;
    feed.is_mute = true;
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    feed_lose(a, "s");
    feed_expect_nothing(subscriber);
    feed_end(a, FEED_RECORD);
    expect_live(subscriber, "s", true);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

static void test_losses_tell_everything_one_gap(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "*", &a);

    join_live(subscriber, "s");
    feed_publish(a, "s");
    feed_lose_many(a, "s", 2);
    feed_lose(a, "t");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_end(a, FEED_RECORD);
    expect_gap(subscriber, "*", A ".1", A ".5", TALUS_GAP_ORIGIN_LOST);
    feed_expect_nothing(subscriber);
}

// One that was told to be lost without an end is heard again, as it was merely cut off.
static void test_losses_end_when_the_publisher_is_heard_again(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_end(a, FEED_UNKNOWN);
    expect_gap(subscriber, "s", A ".1", A ".3", TALUS_GAP_ORIGIN_LOST);
    feed_expect_seqs(subscriber, A, 3, 3);
    feed_publish(a, "s"); // before the end of the loss is told
    expect_gap(subscriber, "s", A ".3", "", TALUS_GAP_ORIGIN_LOST);
    feed_expect_seqs(subscriber, A, 4, 4);
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 5, 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_set_up, feed_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_losses_tell_what_was_sent),
        TEST(test_losses_tell_that_nobody_knows_what_was_sent),
        TEST(test_losses_tell_of_one_that_took_leave_what_is_known),
        TEST(test_losses_end_repairs_that_are_under_way),
        TEST(test_losses_tell_of_one_that_was_never_heard),
        TEST(test_losses_owe_nothing_to_a_join_that_is_pending),
        TEST(test_losses_tell_everything_one_gap),
        TEST(test_losses_end_when_the_publisher_is_heard_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
