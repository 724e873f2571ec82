// SPDX-License-Identifier: MIT
// What is made of broadcasters' answers: none, nonsense, heads that were asked for, recoveries.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/request.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/repair_fixture.h"
#include "tests/bus/support/replay_socket.h"

// ---- Strange broadcasters

static void expect_lost_then_events(struct repair_fixture *fixture)
{
    expect_gap(fixture->subscriber, "s", "origin01.5", "origin01.8", TALUS_GAP_ORIGIN_LOST);
    repair_expect_seqs(fixture->subscriber, 8, 9);
    assert_true(repair_stats_of(fixture).replay_timeouts > 0);
    assert_int_equal(repair_stats_of(fixture).held, 0);
}

static void test_repair_gives_up_on_one_that_does_not_answer(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;

    fixture->options.repair_timeout_ms = 300;
    miss_events(fixture, &raw, "tcp://127.0.0.1:1");
    expect_lost_then_events(fixture);
    raw_publish(&raw, "s/t", 10, 9);
    repair_expect_seqs(fixture->subscriber, 10, 10);
    raw_publisher_close(&raw);
}

static bool has_asked(const talus_subscriber_stats_t *stats, uint64_t value)
{
    return stats->replay_requests >= value;
}

static void test_repair_gives_up_on_one_that_answers_nonsense(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;
    char endpoint[64], identity[256], request[256];
    size_t size = sizeof endpoint;
    uint8_t body[256];
    const int deadline = EXPECT_DEADLINE_MS, no_linger = 0;
    void *context = zmq_ctx_new();
    void *router = zmq_socket(context, ZMQ_ROUTER);

    zmq_setsockopt(router, ZMQ_RCVTIMEO, &deadline, sizeof deadline);
    zmq_setsockopt(router, ZMQ_LINGER, &no_linger, sizeof no_linger);
    assert_int_equal(zmq_bind(router, TCP), 0);
    assert_int_equal(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    fixture->options.repair_timeout_ms = 5000; // the nonsense comes sooner
    miss_events(fixture, &raw, endpoint);
    pump_until(fixture->subscriber, has_asked, 1);
    int identity_size = zmq_recv(router, identity, sizeof identity, 0);
    assert_true(identity_size > 0);
    assert_true(zmq_recv(router, request, sizeof request, 0) > 0);
    size_t body_size = raw_encode(body, "origin02", 6, 5, "\x80", 1); // another's event
    const struct {
        const char *topic;
        const void *body;
        size_t body_size;
    } answers[] = {
        {"s/t", body, body_size}, {"s/$end", "\xc0", 1}, {"x/$end", body, body_size},
        {"s/$head", "\x80", 1},   {"$bus/what", "?", 1}, {"no topic", "", 0},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        zmq_send(router, identity, (size_t)identity_size, ZMQ_SNDMORE);
        zmq_send(router, answers[i].topic, strlen(answers[i].topic), ZMQ_SNDMORE);
        zmq_send(router, answers[i].body, answers[i].body_size, 0);
    }
    expect_lost_then_events(fixture);
    assert_true(repair_stats_of(fixture).malformed > 0);
    raw_publisher_close(&raw);
    zmq_close(router);
    zmq_ctx_term(context);
}

// ---- A bound on what is held back

static bool has_received(const talus_subscriber_stats_t *stats, uint64_t value)
{
    return stats->received >= value;
}

// Of what comes after a hole, so much is held back; what does not fit is asked for once more.
static void test_repair_holds_back_a_bounded_number(void **state)
{
    struct repair_fixture *fixture = *state;
    struct replay_socket replay;
    struct raw_publisher raw;
    enum { HELD = 3, LAST = 40 };

    replay_open(&replay);
    fixture->options.held_events = HELD;
    fixture->options.repair_timeout_ms = EXPECT_DEADLINE_MS;
    miss_events(fixture, &raw, replay.endpoint); // 6 and 7; 8 and 9 have come
    for (uint64_t seq = 10; seq <= LAST; seq++)
        raw_publish(&raw, "s/t", seq, seq - 1);
    pump_until(fixture->subscriber, has_received, LAST - 7);
    assert_int_equal(repair_stats_of(fixture).held, HELD);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    replay_answer(&replay, raw.origin, 6, 7);
    repair_expect_seqs(fixture->subscriber, 6, 7 + HELD);
    uint64_t after = replay_expect_request(&replay, fixture->subscriber);
    assert_in_range(after, 7, 7 + HELD); // what was held need not be asked for
    replay_answer(&replay, raw.origin, after + 1, LAST);
    repair_expect_seqs(fixture->subscriber, 8 + HELD, LAST);
    assert_int_equal(repair_stats_of(fixture).held, 0);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    raw_publish(&raw, "s/t", LAST + 1, LAST);
    repair_expect_seqs(fixture->subscriber, LAST + 1, LAST + 1);
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// ---- Everything beside sessions

// Answers a request for everything with the events 6 to 9 of "s", and 10 of "t".
static void answer_everything(struct replay_socket *replay, const char *origin)
{
    uint8_t body[256];
    const struct talus__end end = {.origin = origin,
                                   .origin_size = strlen(origin),
                                   .first = 1,
                                   .head = 10,
                                   .is_complete = true};

    for (uint64_t seq = 6; seq <= 9; seq++)
        replay_send(replay, "s/t", body, raw_encode(body, origin, seq, seq - 1, "\x80", 1));
    replay_send(replay, "t/t", body, raw_encode(body, origin, 10, 0, "\x80", 1));
    replay_send(replay, "*/$end", body, talus__end_encode(body, &end));
}

// What a session misses when everything is joined is asked for again as a part of everything. The
// answer to the session's own request comes to nobody.
static void test_repair_everything_takes_over_from_sessions(void **state)
{
    struct repair_fixture *fixture = *state;
    struct replay_socket replay;
    struct raw_publisher raw;

    replay_open(&replay);
    fixture->options.repair_timeout_ms = EXPECT_DEADLINE_MS;
    miss_events(fixture, &raw, replay.endpoint); // 6 and 7; 8 and 9 have come
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "*"), 0);
    raw_publisher_expect(&raw, "");
    publish_head(&raw, "*/$head", 10, replay.endpoint);
    expect_live(fixture->subscriber, "*", true);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    assert_int_equal(repair_stats_of(fixture).held, 0);
    replay_answer(&replay, raw.origin, 6, 7);
    answer_everything(&replay, raw.origin);
    repair_expect_seqs(fixture->subscriber, 6, 10);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    raw_publish(&raw, "s/t", 11, 9);
    repair_expect_seqs(fixture->subscriber, 11, 11);
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// ---- Heads that do not come

// The queue that heads go through is full as well: they are asked for.
static void test_repair_asks_for_heads(void **state)
{
    struct repair_fixture *fixture = *state;
    enum { SESSIONS = 3000 };
    const talus_delivery_t *delivery;
    char session[32];
    int lives = 0;

    fixture->publishing.send_high_water_mark = 1;
    fixture->options.receive_high_water_mark = 1;
    fixture->options.live_timeout_ms = 10000; // half of it passes before they are asked for
    repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    pump_until(subscriber, origins_are, 1);
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    }
    while (lives < SESSIONS) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
        assert_true(delivery->live.complete);
        lives++;
    }
    assert_true(repair_stats_of(fixture).replay_requests > 0);
}

// ---- Recovery

static const talus_delivery_t *expect_recovered(talus_subscriber_t *subscriber, uint64_t request,
                                                const char *newest, bool is_complete)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
    assert_int_equal(delivery->recovered.request, request);
    assert_int_equal(!delivery->recovered.gap, is_complete);
    if (newest)
        assert_string_equal(delivery->recovered.newest, newest);
    return delivery;
}

static void test_repair_recovers_what_came_after_an_event(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
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
        assert_int_equal(delivery->replayed.request, request);
        assert_string_equal(delivery->replayed.event->id, ids[i].text);
    }
    expect_recovered(subscriber, request, ids[2499].text, true);
    // Nothing newer.
    assert_int_equal(talus_subscriber_recover(subscriber, "s", ids[2499].text, &request), 0);
    expect_recovered(subscriber, request, ids[2499].text, true);
    // History holds a thousand.
    assert_int_equal(talus_subscriber_recover(subscriber, "s", ids[9].text, &request), 0);
    for (int i = 1500; i < 2500; i++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_string_equal(delivery->replayed.event->id, ids[i].text);
    }
    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
    assert_non_null(delivery->recovered.gap);
    assert_string_equal(delivery->recovered.gap->after, ids[9].text);
    assert_string_equal(delivery->recovered.gap->first, ids[1500].text);
    assert_int_equal(delivery->recovered.gap->reason, TALUS_GAP_HISTORY);
    assert_true(delivery->recovered.is_only_origin);
    // Live events go on beside it.
    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
    repair_expect_seqs(subscriber, 2501, 2501);
}

static void test_repair_recovers_large_histories_in_several_answers(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;
    char since[TALUS_ID_MAX + 1];
    uint64_t request;
    enum { COUNT = 5500 };

    fixture->publishing.history_events = 10000;
    fixture->publishing.history_session_bytes = 64u << 20;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber =
        repair_subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    for (int i = 0; i < COUNT; i++)
        repair_emit(broadcaster, "s");
    join_live(subscriber, "other");
    snprintf(since, sizeof since, "%s.0", talus_broadcaster_origin(broadcaster));
    assert_int_equal(talus_subscriber_recover(subscriber, "s", since, &request), 0);
    for (uint64_t seq = 1; seq <= COUNT; seq++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_REPLAYED);
        assert_int_equal(delivery->replayed.event->seq, seq);
    }
    expect_recovered(subscriber, request, NULL, true);
}

static void test_repair_recovery_of_a_lost_origin(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
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
    assert_int_equal(delivery->recovered.request, request);
    assert_non_null(delivery->recovered.gap);
    assert_string_equal(delivery->session, "s");
    assert_string_equal(delivery->recovered.gap->origin, "somebody1");
    assert_string_equal(delivery->recovered.gap->after, "somebody1.17");
    assert_string_equal(delivery->recovered.gap->first, "");
    assert_int_equal(delivery->recovered.gap->reason, TALUS_GAP_ORIGIN_LOST);
}

// What the session's own deliveries go on after is known, whether or not the broadcaster answers.
static void test_recovery_without_an_answer_says_what_deliveries_bring(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;
    static const struct {
        const char *session, *since, *newest, *first; // `first` NULL: complete
        bool is_reached;
    } cases[] = {{"s", "origin01.5", "origin01.5", NULL, true},
                 {"s", "origin01.3", "origin01.5", "origin01.6", true},
                 {"s", "origin01.9", "origin01.9", NULL, false}, // the deliveries are behind it
                 {"x", "origin01.3", "origin01.3", "", false}};
    uint64_t request;

    fixture->options.repair_timeout_ms = 100;
    join_raw(fixture, &raw, "tcp://127.0.0.1:1");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(talus_subscriber_recover(fixture->subscriber, cases[i].session,
                                                  cases[i].since, &request),
                         0);
        const talus_delivery_t *delivery =
            expect_recovered(fixture->subscriber, request, cases[i].newest, !cases[i].first);
        assert_false(delivery->recovered.is_answered);
        assert_int_equal(delivery->recovered.is_reached, cases[i].is_reached);
        if (!cases[i].first)
            continue;
        assert_int_equal(delivery->recovered.gap->reason, TALUS_GAP_ORIGIN_LOST);
        assert_string_equal(delivery->recovered.gap->after, cases[i].since);
        assert_string_equal(delivery->recovered.gap->first, cases[i].first);
    }
    raw_publisher_close(&raw);
}

// A session that is not joined delivers nothing, one that is has reached its baseline.
static void test_recovery_says_whether_deliveries_have_reached_it(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_event_id_t id;
    uint64_t request;

    assert_int_equal(talus_emit(broadcaster, &event, &id), 0);
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
    pump_until(subscriber, origins_are, 1);
    for (int is_joined = 0; is_joined < 2; is_joined++) {
        if (is_joined)
            join_live(subscriber, "s");
        assert_int_equal(talus_subscriber_recover(subscriber, "s", id.text, &request), 0);
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
        assert_int_equal(delivery->recovered.is_reached, is_joined);
    }
}

static void emit_one(talus_broadcaster_t *broadcaster, const char *session)
{
    const talus_emit_t event = {.session = session, .type = "t"};

    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
}

static void test_live_says_whether_several_have_sent(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_broadcaster_t *one = repair_broadcast(fixture, 0, fixture->bus);
    talus_broadcaster_t *other = repair_broadcast(fixture, 1, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    static const struct {
        const char *session;
        bool is_only_origin;
    } cases[] = {{"of-both", false}, {"of-one", true}, {"of-nobody", true}};

    emit_one(one, "of-both");
    emit_one(one, "of-one");
    emit_one(other, "of-both");
    pump_until(subscriber, origins_are, 2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const talus_delivery_t *delivery;
        assert_int_equal(talus_subscriber_join(subscriber, cases[i].session), 0);
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
        assert_true(delivery->live.complete);
        assert_int_equal(delivery->live.is_only_origin, cases[i].is_only_origin);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_repair_gives_up_on_one_that_does_not_answer),
        TEST(test_repair_gives_up_on_one_that_answers_nonsense),
        TEST(test_repair_holds_back_a_bounded_number),
        TEST(test_repair_everything_takes_over_from_sessions),
        TEST(test_repair_asks_for_heads),
        TEST(test_repair_recovers_what_came_after_an_event),
        TEST(test_repair_recovers_large_histories_in_several_answers),
        TEST(test_repair_recovery_of_a_lost_origin),
        TEST(test_recovery_without_an_answer_says_what_deliveries_bring),
        TEST(test_recovery_says_whether_deliveries_have_reached_it),
        TEST(test_live_says_whether_several_have_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
