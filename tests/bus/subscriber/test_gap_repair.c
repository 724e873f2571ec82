// SPDX-License-Identifier: MIT
// Gap repair, on a transport in memory: what is missing is requested and comes in its place, or a
// gap is told over exactly that.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <talus.h>

#include "bus/src/subscriber/instance.h"
#include "common/clock.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/feed_fixture.h"

#define A FEED_ORIGIN
#define B "beta0000"

// ---- What comes back

static void test_gap_repair_brings_what_was_lost_in_its_place(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    feed_publish(a, "s");
    feed_lose_many(a, "s", 2);
    feed_publish(a, "s");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).held, 2);
    assert_int_equal(feed_stats(fixture).gaps_opened, 1);
    assert_int_equal(feed_counts().after, 1);
    feed_respond();
    feed_expect_seqs(subscriber, A, 2, 5);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).held, 0);
    assert_int_equal(feed_stats(fixture).repaired, 2); // the others were there
    assert_int_equal(feed_stats(fixture).gaps, 0);
    assert_int_equal(feed_counts().open_requests, 0);
}

static void test_gap_repair_notices_the_last_event_by_a_mark(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed_lose(a, "s");
    feed_publish(a, "t"); // nobody has joined that
    feed_mark(a, "s");
    feed_mark(a, "t");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_expect_nothing(subscriber);
}

static void test_gap_repair_drops_what_comes_again(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    for (int i = 0; i < 3; i++)
        feed_publish(a, "s");
    feed_send(a, 2);
    feed_send(a, 1);
    feed.lie = FEED_TWICE;
    feed.lies = 1;
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_send(a, 5); // while it is held
    feed_expect_seqs(subscriber, A, 1, 5);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).duplicates, 2); // those of the streams that had them
    assert_int_equal(feed_stats(fixture).held, 0);
}

static void test_gap_repair_requests_a_long_gap_in_parts(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replay_most = 3;
    feed_lose_many(a, "s", 10);
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 11);
    assert_int_equal(feed_counts().requests, 4);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

// What does not fit among the held events is let go, and requested in its turn.
static void test_gap_repair_holds_no_more_than_it_may(void **state)
{
    enum { EVENTS = 200 };
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;

    fixture->options.held_events = 7;
    fixture->options.held_bytes = 100000;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);
    feed.replays = FEED_WAITS;
    feed_lose(a, "s");
    for (int i = 0; i < EVENTS; i++)
        feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).held, 7);
    feed.replays = FEED_ANSWERS;
    feed_respond();
    feed_expect_seqs(subscriber, A, 1, EVENTS + 1);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

static void test_gap_repair_holds_no_more_bytes_than_it_may(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;

    fixture->options.held_bytes = 25000;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);
    feed.replays = FEED_WAITS;
    feed_lose(a, "s");
    for (int i = 0; i < 5; i++)
        feed_publish_sized(a, "s", 10000);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).held, 2);
    feed_respond();
    feed.replays = FEED_ANSWERS;
    feed_expect_seqs(subscriber, A, 1, 1);
    for (uint64_t seq = 2; seq <= 6; seq++) {
        const talus_event_t *event = expect_event(subscriber, NULL, "s", "t");
        assert_int_equal(event->seq, seq);
        assert_int_equal(event->data_size, 10003);
        assert_int_equal(((const char *)event->data)[10002], 'x');
    }
    feed_expect_nothing(subscriber);
}

static void test_gap_repair_tries_again_what_could_not_be_requested(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.request_error = TALUS_ELIMIT;
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_counts().requests, 1);
    feed.request_error = 0;
    feed_expect_seqs(subscriber, A, 1, 2);
    assert_int_equal(feed_counts().requests, 2);
}

// Gaps that wait for different things, and one that waits for none.
static void test_gap_repair_gives_each_gap_its_time(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);
    struct feed_publisher *b = feed_publisher(B);
    struct feed_publisher *plain = feed_plain_publisher("plain000");

    feed.replays = FEED_WAITS;
    feed_publish(plain, "s");
    feed_lose(a, "s");
    feed_publish(a, "s"); // is requested
    expect_event(subscriber, "plain000.1", "s", "t");
    feed_expect_nothing(subscriber);
    feed.request_error = TALUS_ELIMIT;
    feed_lose(b, "s");
    feed_publish(b, "s"); // cannot be, and is tried again after a tenth of a second
    feed_lose(plain, "s");
    feed_publish(plain, "s"); // waits for head_wait_ms, which is less
    feed_expect_nothing(subscriber);
    feed.request_error = 0;
    feed.replays = FEED_ANSWERS;
    expect_gap(subscriber, "s", "plain000.1", "plain000.3", TALUS_GAP_HISTORY);
    expect_event(subscriber, "plain000.3", "s", "t");
    feed_expect_seqs(subscriber, B, 1, 2);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_counts().open_requests, 1);
    feed_respond();
    feed_expect_seqs(subscriber, A, 1, 2);
}

// One that was merely heard says where it can be asked while its event waits.
static void test_gap_repair_waits_for_the_way_to_ask(void **state)
{
    struct feed_fixture *fixture = *state;
    fixture->options.head_wait_ms = EXPECT_DEADLINE_MS * 2;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_plain_publisher(A);

    join_live(subscriber, "s");
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    feed_return(a);
    feed_expect_seqs(subscriber, A, 1, 2);
    assert_int_equal(feed_stats(fixture).unproven, 0);
}

// ---- What does not

static void test_gap_repair_tells_what_the_history_has_no_more(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed_publish(a, "s");
    feed_lose_many(a, "s", 6);
    feed_publish(a, "s");
    feed_truncate(a, 5);
    feed_expect_seqs(subscriber, A, 1, 1);
    expect_gap(subscriber, "s", A ".1", A ".5", TALUS_GAP_HISTORY);
    feed_expect_seqs(subscriber, A, 5, 8);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).gaps, 1);
}

// What the probe gap_closed says of a gap, as long as it is open.
static void expect_failed(const struct feed_fixture *fixture, bool has_failed)
{
    assert_non_null(fixture->subscriber->repairs.first);
    assert_int_equal(fixture->subscriber->repairs.first->has_failed, has_failed);
}

static void test_gap_repair_says_whether_it_has_failed(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    feed_lose_many(a, "s", 3);
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    expect_failed(fixture, false);
    feed_truncate(a, 3); // the first two are gone, and the rest comes
    feed_respond();
    expect_gap(subscriber, "s", A ".0", A ".3", TALUS_GAP_HISTORY);
    expect_failed(fixture, true);
    feed_expect_seqs(subscriber, A, 3, 4);
    feed_expect_nothing(subscriber);
    assert_null(fixture->subscriber->repairs.first);
    feed_lose(a, "s"); // and this one is had
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    feed_respond();
    feed_expect_seqs(subscriber, A, 5, 5);
    expect_failed(fixture, false);
    feed_expect_seqs(subscriber, A, 6, 6);
    feed_expect_nothing(subscriber);
}

static void test_gap_repair_tells_at_once_of_one_without_history(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed_set_replay(a, false);
    feed_publish(a, "s");
    feed_lose_many(a, "s", 2);
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    expect_gap(subscriber, "s", A ".1", A ".4", TALUS_GAP_HISTORY);
    feed_expect_seqs(subscriber, A, 4, 4);
    assert_int_equal(feed_counts().requests, 0);
}

// Nothing proves what a plain publisher had sent before its first event.
static void test_gap_repair_tells_the_gaps_of_a_plain_publisher_after_its_first_event(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_plain_publisher(A);

    join_live(subscriber, "s");
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 2, 2); // after head_wait_ms
    feed_lose(a, "s");
    feed_publish(a, "s");
    expect_gap(subscriber, "s", A ".2", A ".4", TALUS_GAP_HISTORY);
    feed_expect_seqs(subscriber, A, 4, 4);
    assert_int_equal(feed_stats(fixture).unproven, 2);
}

// Its marks may be among what was dropped, so it counts as plain only later.
static void test_gap_repair_waits_longer_where_marks_may_have_been_dropped(void **state)
{
    struct feed_fixture *fixture = *state;
    talus_subscriber_t *subscriber = feed_subscribe(fixture);
    struct feed_publisher *a = feed_plain_publisher(A);
    long long begin_at = tl_monotonic_ms();

    join_live(subscriber, "s");
    feed.dropped = 1;
    feed_lose(a, "s");
    feed_publish(a, "s");
    expect_gap(subscriber, "s", A ".0", A ".2", TALUS_GAP_HISTORY);
    feed_expect_seqs(subscriber, A, 2, 2);
    assert_true(tl_monotonic_ms() - begin_at >= fixture->options.repair_timeout_ms);
}

static void test_gap_repair_tells_that_a_publisher_does_not_answer(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    feed_fail_requests();
    expect_gap(subscriber, "s", A ".0", A ".2", TALUS_GAP_ORIGIN_LOST);
    feed_expect_seqs(subscriber, A, 2, 2);
    expect_gap(subscriber, "s", A ".2", A ".4", TALUS_GAP_ORIGIN_LOST);
    feed_expect_seqs(subscriber, A, 4, 4);
    feed_expect_nothing(subscriber);
    feed.replays = FEED_ANSWERS; // it answers again
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 5, 6);
}

// ---- Responses that lie

static void expect_repair_in_spite_of(struct feed_fixture *fixture, enum feed_lie lie)
{
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.lie = lie;
    feed.lies = 2;
    feed_lose_many(a, "s", 2);
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 3);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_counts().refused, 2);
    assert_int_equal(feed_stats(fixture).malformed, 2);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

static void test_gap_repair_refuses_events_of_another_publisher(void **state)
{
    expect_repair_in_spite_of(*state, FEED_OTHER_PUBLISHER);
}

static void test_gap_repair_refuses_events_of_another_session(void **state)
{
    expect_repair_in_spite_of(*state, FEED_OTHER_SESSION);
}

static void test_gap_repair_tells_a_gap_over_what_is_said_not_to_be_there(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.lie = FEED_NOTHING;
    feed.lies = 1;
    feed_lose_many(a, "s", 2);
    feed_publish(a, "s");
    expect_gap(subscriber, "s", A ".0", A ".3", TALUS_GAP_HISTORY);
    feed_expect_seqs(subscriber, A, 3, 3);
    feed.lie = FEED_NO_BODY;
    feed.lies = 1;
    feed_lose(a, "s");
    feed_publish(a, "s");
    expect_gap(subscriber, "s", A ".3", A ".5", TALUS_GAP_HISTORY);
    feed_expect_seqs(subscriber, A, 5, 5);
    assert_int_equal(feed_stats(fixture).malformed, 2);
    feed.lie = FEED_BEYOND;
    feed.lies = 1;
    feed_lose(a, "s");
    feed_mark(a, "s");
    feed_expect_seqs(subscriber, A, 6, 6); // which it gave all the same
    feed_expect_nothing(subscriber);
}

// ---- Refused events

static void test_gap_repair_tells_what_is_beyond_the_bounds(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;

    fixture->options.max_body = 2000;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);
    feed_publish(a, "s");
    feed_publish_sized(a, "s", 4000); // as it comes
    feed_expect_seqs(subscriber, A, 1, 1);
    expect_gap(subscriber, "s", A ".1", A ".3", TALUS_GAP_REFUSED);
    feed_lose(a, "s");
    feed_publish_sized(a, "s", 4000); // replayed, or held
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 3, 3);
    expect_gap(subscriber, "s", A ".3", A ".5", TALUS_GAP_REFUSED);
    feed_expect_seqs(subscriber, A, 5, 5);
    feed.replays = FEED_WAITS;
    feed_lose(a, "s");
    feed_publish_sized(a, "s", 4000); // held
    feed_expect_nothing(subscriber);
    feed_fail_requests();
    expect_gap(subscriber, "s", A ".5", A ".7", TALUS_GAP_ORIGIN_LOST);
    expect_gap(subscriber, "s", A ".6", A ".8", TALUS_GAP_REFUSED);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).refused_bounds, 3);
}

// ---- Leaving

static void test_gap_repair_ends_with_the_session(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    assert_int_equal(feed_stats(fixture).held, 0);
    feed_respond(); // which nobody waits for any more
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    expect_live(subscriber, "s", true);
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    feed_fail_requests();
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).gaps, 0);
    assert_int_equal(feed_counts().open_requests, 0);
}

// ---- "*"

static void test_gap_repair_of_everything_goes_by_all_events(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "*", &a);

    join_live(subscriber, "s");
    feed_publish(a, "s");
    feed_lose(a, "t");
    feed_lose(a, "s");
    feed_publish(a, "u");
    feed_lose(a, "s");
    feed_mark(a, "s"); // is not what tells
    feed_expect_seqs(subscriber, A, 1, 4);
    feed_expect_nothing(subscriber);
    feed_mark(a, "*");
    feed_expect_seqs(subscriber, A, 5, 5);
    feed_truncate(a, 8);
    feed_lose_many(a, "t", 2);
    feed_publish(a, "t");
    expect_gap(subscriber, "*", A ".5", A ".8", TALUS_GAP_HISTORY);
    feed_expect_seqs(subscriber, A, 8, 8);
}

// What a session misses when "*" is joined is brought by the stream of all.
static void test_gap_repair_of_everything_takes_over(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    join_live(subscriber, "t");
    feed_publish(a, "t");
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_lose(a, "t");
    feed_publish(a, "s");
    feed_publish(a, "t");
    expect_event(subscriber, A ".1", "t", "t");
    expect_event(subscriber, A ".2", "s", "t");
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_counts().open_requests, 2);
    feed.replays = FEED_ANSWERS;
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_live(subscriber, "*", true);
    feed_expect_seqs(subscriber, A, 3, 6); // the event of "s" before is not given again
    feed_respond();                        // the sessions' own requests
    feed_expect_nothing(subscriber);
    feed_publish(a, "v");
    feed_expect_seqs(subscriber, A, 7, 7);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

// The same where no mark of all comes: it takes over when the join's time is over.
static void test_gap_repair_of_everything_takes_over_without_a_mark(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);
    struct feed_publisher *b = feed_publisher(B);

    feed.replays = FEED_WAITS;
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_lose(b, "s");
    feed_publish(b, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_expect_nothing(subscriber);
    feed.is_mute = feed.is_deaf = true;
    feed.replays = FEED_ANSWERS;
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_live(subscriber, "*", false);
    for (int i = 0; i < 4; i++)
        expect_event(subscriber, NULL, "s", "t");
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).gaps, 0);
    feed_publish(a, "v");
    expect_event(subscriber, A ".4", "v", "t");
}

// It asks for no more than the session misses, which was joined after an event of long ago.
static void test_gap_repair_of_everything_takes_over_after_since(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "t", &a);

    feed_publish(a, "s");
    feed_publish(a, "s");
    assert_int_equal(talus_subscriber_join_since(subscriber, "s", A ".2"), 0);
    expect_live(subscriber, "s", true);
    feed.replays = FEED_WAITS;
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_nothing(subscriber);
    feed.is_mute = feed.is_deaf = true;
    feed.replays = FEED_ANSWERS;
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_live(subscriber, "*", false);
    feed_expect_seqs(subscriber, A, 3, 4);
    feed_expect_nothing(subscriber);
}

// A loss that nobody has noticed when "*" becomes live: the session's next event shows it, and
// waits for what is before it; so does the session's mark. Others are not asked for.
static void test_gap_repair_of_everything_notices_what_was_lost_before(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    join_live(subscriber, "t");
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_lose(a, "u");
    feed_lose(a, "t");
    feed_expect_seqs(subscriber, A, 1, 1);
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_live(subscriber, "*", true);
    feed_publish(a, "u");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 5, 5);
    feed_expect_seqs(subscriber, A, 2, 2);
    feed_expect_seqs(subscriber, A, 6, 6);
    feed_lose(a, "t");
    feed_mark(a, "t"); // says nothing of what is missing before; the session's replay does
    feed_expect_seqs(subscriber, A, 4, 4);
    feed_expect_nothing(subscriber);
    feed_mark(a, "*");
    feed_expect_seqs(subscriber, A, 7, 7);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

// The first mark of a new publisher may be a session's. What it sent to others is owed to "*", too.
static void test_gap_repair_of_everything_is_owed_of_a_new_publisher(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "*", &a);

    join_live(subscriber, "s");
    feed.is_mute = true;
    struct feed_publisher *b = feed_publisher(B);
    feed_lose(b, "t");
    feed_lose(b, "s");
    feed_mark(b, "s");
    feed_expect_nothing(subscriber);
    feed_mark(b, "*");
    feed_expect_seqs(subscriber, B, 1, 2);
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

// What a session was told to miss does not come any more when "*" asks for more.
static void test_gap_repair_of_everything_brings_nothing_that_was_told(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    join_live(subscriber, "t");
    feed.replays = FEED_WAITS;
    feed_publish(a, "t");
    feed_lose(a, "s");
    feed_mark(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_expect_nothing(subscriber);
    feed_fail_requests();
    expect_gap(subscriber, "s", A ".0", A ".3", TALUS_GAP_ORIGIN_LOST);
    feed_lose(a, "t");
    feed_lose(a, "s");
    feed_mark(a, "t");
    feed_expect_nothing(subscriber);
    feed.replays = FEED_ANSWERS;
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_live(subscriber, "*", true);
    feed_expect_seqs(subscriber, A, 3, 4); // from 1 on, after the event of "t"
    feed_expect_nothing(subscriber);
}

// The mark of a join of "*" that was given up meanwhile takes nothing from the sessions.
static void test_gap_repair_of_everything_given_up_takes_nothing_over(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &a);

    feed.replays = FEED_WAITS;
    feed_publish(a, "s");
    feed_lose(a, "s");
    feed_lose(a, "t");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 1, 1);
    feed_expect_nothing(subscriber);
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    assert_int_equal(talus_subscriber_leave(subscriber, "*"), 0);
    feed.replays = FEED_ANSWERS;
    feed_expect_nothing(subscriber);
    feed_respond();
    feed_expect_seqs(subscriber, A, 2, 2);
    feed_expect_seqs(subscriber, A, 4, 4);
    feed_expect_nothing(subscriber);
}

static void test_gap_repair_of_everything_ends_and_sessions_go_on(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *a;
    talus_subscriber_t *subscriber = feed_join(fixture, "*", &a);

    join_live(subscriber, "s");
    feed_publish(a, "s");
    feed_publish(a, "t");
    feed_expect_seqs(subscriber, A, 1, 2);
    assert_int_equal(talus_subscriber_leave(subscriber, "*"), 0);
    feed_publish(a, "t");
    feed_lose(a, "s");
    feed_publish(a, "s");
    feed_expect_seqs(subscriber, A, 4, 5);
    assert_int_equal(talus_subscriber_join(subscriber, "*"), 0);
    expect_live(subscriber, "*", true); // it lingers
    feed_publish(a, "t");
    feed_expect_seqs(subscriber, A, 6, 6);
    assert_int_equal(feed_stats(fixture).gaps, 0);
}

// ---- One order for all publishers

static void test_gap_repair_goes_by_the_order_of_the_transport(void **state)
{
    struct feed_fixture *fixture = *state;
    struct feed_publisher *stream;
    talus_subscriber_t *subscriber = feed_join(fixture, "s", &stream);

    feed_publish_sequenced(stream, "one00000", "s", false);
    feed_publish_sequenced(stream, "two00000", "t", false);
    feed_publish_sequenced(stream, "two00000", "s", true);
    feed_publish_sequenced(stream, "one00000", "s", false);
    // Ids are of who has emitted the event, whatever its place in the order.
    expect_event(subscriber, "one00000.1001", "s", "t");
    expect_event(subscriber, "two00000.1003", "s", "t");
    expect_event(subscriber, "one00000.1004", "s", "t");
    feed_expect_nothing(subscriber);
    assert_int_equal(feed_counts().after, 1);
    assert_int_equal(feed_stats(fixture).origins, 1); // the order itself
    feed_send(stream, 3);
    feed_expect_nothing(subscriber);
    feed_truncate(stream, 7);
    feed_publish_sequenced(stream, "one00000", "s", true);
    feed_publish_sequenced(stream, "two00000", "s", true);
    feed_publish_sequenced(stream, "one00000", "s", true);
    feed_mark(stream, "s");
    expect_gap(subscriber, "s", A ".4", A ".7", TALUS_GAP_HISTORY);
    expect_event(subscriber, "one00000.1007", "s", "t");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, feed_set_up, feed_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_gap_repair_brings_what_was_lost_in_its_place),
        TEST(test_gap_repair_notices_the_last_event_by_a_mark),
        TEST(test_gap_repair_drops_what_comes_again),
        TEST(test_gap_repair_requests_a_long_gap_in_parts),
        TEST(test_gap_repair_holds_no_more_than_it_may),
        TEST(test_gap_repair_holds_no_more_bytes_than_it_may),
        TEST(test_gap_repair_tries_again_what_could_not_be_requested),
        TEST(test_gap_repair_gives_each_gap_its_time),
        TEST(test_gap_repair_waits_for_the_way_to_ask),
        TEST(test_gap_repair_tells_what_the_history_has_no_more),
        TEST(test_gap_repair_says_whether_it_has_failed),
        TEST(test_gap_repair_tells_at_once_of_one_without_history),
        TEST(test_gap_repair_tells_the_gaps_of_a_plain_publisher_after_its_first_event),
        TEST(test_gap_repair_waits_longer_where_marks_may_have_been_dropped),
        TEST(test_gap_repair_tells_that_a_publisher_does_not_answer),
        TEST(test_gap_repair_refuses_events_of_another_publisher),
        TEST(test_gap_repair_refuses_events_of_another_session),
        TEST(test_gap_repair_tells_a_gap_over_what_is_said_not_to_be_there),
        TEST(test_gap_repair_tells_what_is_beyond_the_bounds),
        TEST(test_gap_repair_ends_with_the_session),
        TEST(test_gap_repair_of_everything_goes_by_all_events),
        TEST(test_gap_repair_of_everything_takes_over),
        TEST(test_gap_repair_of_everything_takes_over_without_a_mark),
        TEST(test_gap_repair_of_everything_takes_over_after_since),
        TEST(test_gap_repair_of_everything_notices_what_was_lost_before),
        TEST(test_gap_repair_of_everything_is_owed_of_a_new_publisher),
        TEST(test_gap_repair_of_everything_brings_nothing_that_was_told),
        TEST(test_gap_repair_of_everything_given_up_takes_nothing_over),
        TEST(test_gap_repair_of_everything_ends_and_sessions_go_on),
        TEST(test_gap_repair_goes_by_the_order_of_the_transport),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
