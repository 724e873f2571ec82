// SPDX-License-Identifier: MIT
// Responses at ZeroMQ's replay sockets that make no sense: each is counted and dropped, what was
// requested is requested again, and in the end nothing is missing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/request.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/repair_fixture.h"
#include "tests/bus/support/replay_socket.h"

#define ORIGIN "origin01" // of the publisher

static struct raw_publisher raw;
static struct replay_socket replay;

static int set_up(void **state)
{
    int error = repair_set_up(state);
    struct repair_fixture *fixture = *state;

    fixture->options.repair_timeout_ms = EXPECT_DEADLINE_MS; // the nonsense comes sooner
    replay_open(&replay);
    return error;
}

static int tear_down(void **state)
{
    int error = repair_tear_down(state);

    raw_publisher_close(&raw);
    replay_close(&replay);
    return error;
}

static bool malformed_are(const talus_subscriber_stats_t *stats, uint64_t value)
{
    return stats->malformed >= value;
}

static void send_end_of(const char *topic, const char *origin)
{
    uint8_t body[TALUS__END_MAX];
    const struct talus__end end = {
        .origin = origin, .origin_size = strlen(origin), .first = 1, .head = 9};

    replay_send(&replay, topic, body, talus__end_encode(body, &end));
}

static void send_event_of(const char *topic, const char *origin)
{
    uint8_t body[256];

    replay_send(&replay, topic, body, raw_encode(body, origin, 6, 5, "\x80", 1));
}

static void send_mark(const char *topic, uint64_t seq)
{
    uint8_t body[TALUS__HEAD_BODY_MAX];
    const struct talus__head head = {.origin = ORIGIN,
                                     .origin_size = strlen(ORIGIN),
                                     .seq = seq,
                                     .replay = replay.endpoint,
                                     .replay_size = strlen(replay.endpoint)};

    replay_send(&replay, topic, body, talus__head_encode(body, sizeof body, &head));
}

static void other_publisher(void)
{
    send_event_of("s/t", "origin02");
}

static void other_session(void)
{
    send_event_of("x/t", ORIGIN);
}

static void end_without_body(void)
{
    replay_send(&replay, "s/$end", "\xc0", 1);
}

static void end_of_another_session(void)
{
    send_end_of("x/$end", ORIGIN);
}

static void end_of_another_publisher(void)
{
    send_end_of("s/$end", "origin02");
}

static void mark_instead(void)
{
    send_mark("s/$head", 9);
}

static void test_responses_that_make_no_sense_are_requested_again(void **state)
{
    static void (*const nonsense[])(void) = {other_publisher,          other_session,
                                             end_without_body,         end_of_another_session,
                                             end_of_another_publisher, mark_instead};
    struct repair_fixture *fixture = *state;
    size_t count = sizeof nonsense / sizeof nonsense[0];

    miss_events(fixture, &raw, replay.endpoint);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
        nonsense[i]();
    }
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    assert_int_equal(repair_stats_of(fixture).malformed, count);
    replay_answer(&replay, ORIGIN, 6, 9);
    repair_expect_seqs(fixture->subscriber, 6, 9);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// What is none of the bus's is passed over; the response goes on.
static void test_responses_pass_over_what_is_of_no_kind(void **state)
{
    struct repair_fixture *fixture = *state;

    miss_events(fixture, &raw, replay.endpoint);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    replay_send(&replay, "no topic", "?", 1);
    replay_send(&replay, "s/t", "?", 1);
    replay_send(&replay, "$bus/$hello", "?", 1);
    replay_send(&replay, "$bus/what", "?", 1);
    zmq_send(replay.router, replay.identity, replay.identity_size, ZMQ_SNDMORE);
    zmq_send(replay.router, "alone", 5, 0);
    zmq_send(replay.router, replay.identity, replay.identity_size, ZMQ_SNDMORE);
    for (int i = 0; i < 3; i++)
        zmq_send(replay.router, "three", 5, i < 2 ? ZMQ_SNDMORE : 0);
    replay_answer(&replay, ORIGIN, 6, 9);
    repair_expect_seqs(fixture->subscriber, 6, 9);
    assert_int_equal(repair_stats_of(fixture).malformed, 4);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static void test_responses_that_nobody_requested_are_dropped(void **state)
{
    struct repair_fixture *fixture = *state;

    miss_events(fixture, &raw, replay.endpoint);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    replay_answer(&replay, ORIGIN, 6, 9);
    repair_expect_seqs(fixture->subscriber, 6, 9);
    send_event_of("s/t", ORIGIN);
    send_end_of("s/$end", ORIGIN);
    send_mark("s/$head", 9);
    pump_until(fixture->subscriber, malformed_are, 3);
    raw_publish(&raw, "s/t", 11, 10); // it can be asked as before
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 9);
    replay_answer(&replay, ORIGIN, 10, 11);
    repair_expect_seqs(fixture->subscriber, 10, 11);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

// ---- Marks

// Waits for a request for marks, while the subscriber delivers nothing.
static void expect_mark_request(struct repair_fixture *fixture)
{
    const talus_delivery_t *delivery;
    struct talus__request request;
    uint8_t bytes[256];

    for (int i = 0; i < EXPECT_DEADLINE_MS / 20; i++) {
        size_t size = replay_take(&replay, bytes, sizeof bytes);
        if (size > 0) {
            assert_int_equal(talus__request_decode(bytes, size, &request), 0);
            assert_int_equal(request.kind, TALUS__REQUEST_HEAD);
            assert_int_equal(request.name_count, 2);
            return;
        }
        assert_int_equal(talus_subscriber_receive(fixture->subscriber, 20, &delivery),
                         TALUS_ETIMEOUT);
    }
    fail_msg("no mark is asked for");
}

static void test_responses_of_marks_that_make_no_sense_are_requested_again(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS / 10;
    join_raw(fixture, &raw, replay.endpoint);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "a"), 0);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "b"), 0);
    expect_mark_request(fixture);
    send_mark("a/$head", 5);
    expect_live(fixture->subscriber, "a", true);
    send_event_of("s/t", ORIGIN); // no mark: both are requested again
    expect_mark_request(fixture);
    send_end_of("b/$end", ORIGIN);
    expect_mark_request(fixture);
    send_mark("a/$head", 5);
    send_mark("b/$head", 5);
    send_mark("b/$head", 5); // one too many
    expect_live(fixture->subscriber, "b", true);
    pump_until(fixture->subscriber, malformed_are, 3);
}

// ---- Where to ask

static void test_responses_cannot_come_of_one_that_offers_none_after_all(void **state)
{
    struct repair_fixture *fixture = *state;

    join_raw(fixture, &raw, replay.endpoint);
    publish_head(&raw, "s/$head", 5, "");
    raw_publish(&raw, "s/t", 8, 7);
    expect_gap(fixture->subscriber, "s", ORIGIN ".5", ORIGIN ".8", TALUS_GAP_HISTORY);
    repair_expect_seqs(fixture->subscriber, 8, 8);
    assert_int_equal(repair_stats_of(fixture).replay_requests, 0);
}

static void test_responses_come_from_where_the_newest_mark_says(void **state)
{
    struct repair_fixture *fixture = *state;

    join_raw(fixture, &raw, "tcp://127.0.0.1:1");
    publish_head(&raw, "s/$head", 5, replay.endpoint);
    publish_head(&raw, "s/$head", 5, "nonsense"); // is none
    raw_publish(&raw, "s/t", 8, 7);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    replay_answer(&replay, ORIGIN, 6, 8);
    repair_expect_seqs(fixture->subscriber, 6, 8);
}

static void test_responses_cannot_come_from_an_impossible_endpoint(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->options.repair_timeout_ms = 200;
    miss_events(fixture, &raw, "tcp://no host:5");
    expect_gap(fixture->subscriber, "s", ORIGIN ".5", ORIGIN ".8", TALUS_GAP_ORIGIN_LOST);
    repair_expect_seqs(fixture->subscriber, 8, 9);
    assert_int_equal(repair_stats_of(fixture).replay_requests, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_responses_that_make_no_sense_are_requested_again),
        TEST(test_responses_pass_over_what_is_of_no_kind),
        TEST(test_responses_that_nobody_requested_are_dropped),
        TEST(test_responses_of_marks_that_make_no_sense_are_requested_again),
        TEST(test_responses_cannot_come_of_one_that_offers_none_after_all),
        TEST(test_responses_come_from_where_the_newest_mark_says),
        TEST(test_responses_cannot_come_from_an_impossible_endpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
