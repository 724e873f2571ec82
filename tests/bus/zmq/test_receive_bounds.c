// SPDX-License-Identifier: MIT
// Subscribers whose owner stands still: what waits for them has a bound, in memory too; and what is
// dropped of a broadcaster's answer is asked for again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/context.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/repair_fixture.h"
#include "tests/bus/support/replay_socket.h"
#include "tests/bus/support/stalled_log.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)

static uint64_t replay_dropped(const talus_subscriber_stats_t *stats)
{
    return stats->replay_dropped;
}

static uint64_t malformed(const talus_subscriber_stats_t *stats)
{
    return stats->malformed;
}

static uint64_t receive_dropped(const talus_subscriber_stats_t *stats)
{
    return stats->receive_dropped;
}

// Waits until the counter is above `most`. Nobody calls the subscriber meanwhile.
static void stand_still_until(struct repair_fixture *fixture,
                              uint64_t (*counter)(const talus_subscriber_stats_t *stats),
                              uint64_t most)
{
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    for (;;) {
        talus_subscriber_stats_t stats = repair_stats_of(fixture);
        if (counter(&stats) > most)
            return;
        assert_true(tl_monotonic_ms() < deadline);
        pass_us(1000);
    }
}

// ---- Answers of which a part is dropped

enum { SESSIONS = 24, EVENTS = 1000, PAYLOAD = 840 };

static void emit_histories(talus_broadcaster_t *broadcaster)
{
    static uint8_t data[PAYLOAD] = {0xc5, (PAYLOAD - 3) >> 8, (PAYLOAD - 3) & 0xff};
    char session[32];

    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%02d", i);
        for (int j = 0; j < EVENTS; j++)
            assert_int_equal(
                talus_emit(broadcaster, &(talus_emit_t){session, "t", data, PAYLOAD, NULL}, NULL),
                0);
    }
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
}

// They are more than may wait, so that the end of some is dropped.
static void test_recoveries_are_whole(void **state)
{
    struct repair_fixture *fixture = *state;
    char since[TALUS_ID_MAX + 1], session[32];
    uint64_t requests[SESSIONS], replayed[SESSIONS] = {0};
    int recovered = 0;

    fixture->publishing.history_session_bytes = 4u << 20;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    pump_until(subscriber, origins_are, 1);
    emit_histories(broadcaster);
    snprintf(since, sizeof since, "%s.0", talus_broadcaster_origin(broadcaster));
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%02d", i);
        assert_int_equal(talus_subscriber_recover(subscriber, session, since, &requests[i]), 0);
    }
    stand_still_until(fixture, replay_dropped, 0);
    while (recovered < SESSIONS) {
        const talus_delivery_t *delivery;
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        bool is_replayed = delivery->kind == TALUS_DELIVERY_REPLAYED;
        uint64_t i =
            (is_replayed ? delivery->replayed.request : delivery->recovered.request) - requests[0];
        assert_in_range(i, 0, SESSIONS - 1);
        if (is_replayed) {
            assert_int_equal(delivery->replayed.event->seq, i * EVENTS + ++replayed[i]);
            continue;
        }
        assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
        assert_null(delivery->recovered.gap);
        assert_int_equal(replayed[i], EVENTS);
        recovered++;
    }
    assert_int_equal(repair_stats_of(fixture).replay_timeouts, 0); // it had answered
}

// Answers with all events of "s" after `after`. They are large, but for the last few, for which
// there is room where a large one has none.
static void answer_large(struct replay_socket *replay, const char *origin, uint64_t after,
                         uint64_t last)
{
    static uint8_t data[5 + BIG] = {0xc6, 0, 0, BIG >> 8, BIG & 0xff}, body[BIG + 256];

    for (uint64_t seq = after + 1; seq <= last; seq++) {
        bool is_small = seq + 5 > last;
        size_t size = raw_encode(body, origin, seq, seq - 1, is_small ? (const void *)"\x80" : data,
                                 is_small ? 1 : sizeof data);
        replay_send(replay, "s/t", body, size);
    }
    replay_send_end(replay, origin, last);
}

static void test_a_repair_needs_no_gap(void **state)
{
    struct repair_fixture *fixture = *state;
    struct replay_socket replay;
    struct raw_publisher raw;
    const talus_delivery_t *delivery;
    enum { LAST = 1005 };
    uint64_t seq = 5;

    replay_open(&replay);
    join_raw(fixture, &raw, replay.endpoint);
    publish_head(&raw, "s/$head", LAST, replay.endpoint);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    answer_large(&replay, raw.origin, 5, LAST);
    stand_still_until(fixture, replay_dropped, 0);
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    for (int requests = 1; seq < LAST;) {
        uint64_t after;
        assert_true(tl_monotonic_ms() < deadline);
        talus_error_t error = talus_subscriber_receive(fixture->subscriber, 20, &delivery);
        if (error == TALUS_ETIMEOUT) { // all was taken that had come, or more is still on its way
            if (!replay_take_request(&replay, &after))
                continue;
            assert_int_equal(after, seq);
            answer_large(&replay, raw.origin, seq, LAST);
            assert_true(++requests < 10);
            continue;
        }
        assert_int_equal(error, 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
        assert_int_equal(delivery->event->seq, ++seq);
    }
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// ---- Answers that do not hold what they should

static const talus_delivery_t *expect_recovered(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_RECOVERED);
    return delivery;
}

static void expect_replayed(talus_subscriber_t *subscriber, uint64_t first, uint64_t last)
{
    const talus_delivery_t *delivery;

    for (uint64_t seq = first; seq <= last; seq++) {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_REPLAYED);
        assert_int_equal(delivery->replayed.event->seq, seq);
    }
}

static void test_a_recovery_without_its_events_is_not_complete(void **state)
{
    struct repair_fixture *fixture = *state;
    struct replay_socket replay;
    struct raw_publisher raw;
    uint64_t request;

    replay_open(&replay);
    join_raw(fixture, &raw, replay.endpoint);
    assert_int_equal(talus_subscriber_recover(fixture->subscriber, "s", "origin01.2", &request), 0);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 2);
    replay_send_end(&replay, raw.origin, 9); // it says that 3 to 9 are kept
    const talus_delivery_t *delivery = expect_recovered(fixture->subscriber);
    assert_non_null(delivery->recovered.gap);
    assert_string_equal(delivery->recovered.newest, "origin01.9");
    assert_string_equal(delivery->recovered.gap->after, "origin01.2");
    assert_string_equal(delivery->recovered.gap->first, "origin01.10");
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// The history lets events go while it answers: what it still has after them is asked for.
static void test_a_recovery_goes_on_after_a_gap(void **state)
{
    struct repair_fixture *fixture = *state;
    struct replay_socket replay;
    struct raw_publisher raw;
    uint8_t body[256];
    uint64_t request;

    replay_open(&replay);
    join_raw(fixture, &raw, replay.endpoint);
    assert_int_equal(talus_subscriber_recover(fixture->subscriber, "s", "origin01.2", &request), 0);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 2);
    replay_send(&replay, "s/t", body, raw_encode(body, raw.origin, 3, 2, "\x80", 1));
    const struct talus__end end = {
        .origin = raw.origin, .origin_size = strlen(raw.origin), .first = 15, .head = 20};
    replay_send(&replay, "s/$end", body, talus__end_encode(body, &end));
    expect_replayed(fixture->subscriber, 3, 3);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 14);
    replay_answer(&replay, raw.origin, 15, 20);
    expect_replayed(fixture->subscriber, 15, 20);
    const talus_delivery_t *delivery = expect_recovered(fixture->subscriber);
    assert_non_null(delivery->recovered.gap);
    assert_string_equal(delivery->recovered.newest, "origin01.20");
    assert_string_equal(delivery->recovered.gap->after, "origin01.3");
    assert_string_equal(delivery->recovered.gap->first, "origin01.15");
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// Receives for a moment. Returns how many complete LIVEs came: 1 or 0.
static int receive_live(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;
    talus_error_t error = talus_subscriber_receive(subscriber, 20, &delivery);

    if (error == TALUS_ETIMEOUT)
        return 0;
    assert_int_equal(error, 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
    assert_true(delivery->live.complete);
    return 1;
}

// Answers for the heads that a request names, but for `silent`. Returns whether that was named.
static bool answer_heads(struct replay_socket *replay, struct talus__request request,
                         const char *silent)
{
    const struct talus__head head = {
        .origin = "origin01", .origin_size = strlen("origin01"), .seq = 0, .replay = ""};
    uint8_t body[TALUS__HEAD_BODY_MAX];
    const char *name;
    size_t name_size;
    bool is_named = false;

    while (talus__request_next_name(&request, &name, &name_size)) {
        char topic[64];
        snprintf(topic, sizeof topic, "%.*s/$head", (int)name_size, name);
        if (name_size == strlen(silent) && memcmp(name, silent, name_size) == 0)
            is_named = true;
        else
            replay_send(replay, topic, body, talus__head_encode(body, sizeof body, &head));
    }
    return is_named;
}

// Those that are asked for once more come all, those that had come included. Sessions that were
// joined a moment apart may be asked for in two requests.
static void test_heads_are_asked_for_once_more(void **state)
{
    struct repair_fixture *fixture = *state;
    static const char *const sessions[] = {"one", "two", "three"};
    struct replay_socket replay;
    struct raw_publisher raw;
    uint32_t unanswered = 0; // heads that were asked for together, and not all answered
    int lives = 0;

    fixture->options.live_timeout_ms = 20000; // of which half passes before they are asked for
    fixture->options.repair_timeout_ms = EXPECT_DEADLINE_MS;
    replay_open(&replay);
    join_raw(fixture, &raw, replay.endpoint);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(talus_subscriber_join(fixture->subscriber, sessions[i]), 0);
    for (long long deadline = tl_monotonic_ms() + 2 * EXPECT_DEADLINE_MS; lives < 3;) {
        struct talus__request request;
        uint8_t bytes[1024];
        assert_true(tl_monotonic_ms() < deadline);
        lives += receive_live(fixture->subscriber);
        size_t size = replay_take(&replay, bytes, sizeof bytes);
        if (size == 0)
            continue;
        assert_int_equal(talus__request_decode(bytes, size, &request), 0);
        assert_int_equal(request.kind, TALUS__REQUEST_HEAD);
        if (unanswered > 0)
            assert_int_equal(request.name_count, unanswered);
        if (answer_heads(&replay, request, unanswered > 0 ? "" : "three"))
            unanswered = request.name_count;
    }
    assert_true(unanswered > 0);
    assert_int_equal(repair_stats_of(fixture).malformed, 0);
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// ---- What the guard reads

// Publishes a marker, and more than may wait after it, and has the guard read them.
static void publish_into_inbox(struct repair_fixture *fixture, struct raw_publisher *raw,
                               const char *topic, const char *replay)
{
    uint64_t before = repair_stats_of(fixture).receive_dropped;

    publish_head(raw, topic, 5, replay);
    for (int i = 0; i < 5; i++)
        raw_publish_frames(raw, "$bus/$beat", "", 0);
    stand_still_until(fixture, receive_dropped, before);
}

// Also a message that waited in the inbox says through which connection it came, and from where.
static void test_what_has_waited_is_of_its_connection(void **state)
{
    struct repair_fixture *fixture = *state;
    struct replay_socket replay;
    struct raw_publisher raw;
    char endpoint[64];

    fixture->options.receive_high_water_mark = 1;
    fixture->options.origin_timeout_ms = 100;
    replay_open(&replay);
    snprintf(endpoint, sizeof endpoint, "tcp://*:%d", repair_port_of(replay.endpoint));
    raw_publisher_open(&raw, ZMQ_XPUB, "origin01", NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = repair_subscribe(fixture, raw.endpoint);
    raw_publisher_expect(&raw, "$bus/");
    publish_into_inbox(fixture, &raw, "$bus/$hello", endpoint);
    pump_until(subscriber, origins_are, 1);
    raw_publisher_expect_ready(&raw);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    raw_publisher_expect(&raw, "s/");
    publish_into_inbox(fixture, &raw, "s/$head", endpoint);
    expect_live(subscriber, "s", true);
    raw_publish(&raw, "s/t", 7, 6);
    assert_int_equal(replay_expect_request(&replay, subscriber), 5); // at the peer's address
    replay_answer(&replay, raw.origin, 6, 7);
    repair_expect_seqs(subscriber, 6, 7);
    raw_publisher_close(&raw); // and with it the connection
    expect_gap(subscriber, "s", "origin01.7", "", TALUS_GAP_ORIGIN_LOST);
    replay_close(&replay);
}

static void test_malformed_answers_are_told(void **state)
{
    struct repair_fixture *fixture = *state;
    struct replay_socket replay;
    struct raw_publisher raw;
    const talus_delivery_t *delivery;

    replay_open(&replay);
    stalled_log_open();
    miss_events(fixture, &raw, replay.endpoint);
    assert_int_equal(replay_expect_request(&replay, fixture->subscriber), 5);
    zmq_send(replay.router, replay.identity, replay.identity_size, ZMQ_SNDMORE);
    zmq_send(replay.router, "s/t", 3, ZMQ_SNDMORE);
    zmq_send(replay.router, "", 0, ZMQ_SNDMORE);
    zmq_send(replay.router, "", 0, 0);
    stand_still_until(fixture, malformed, 0);
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery), TALUS_ETIMEOUT);
    stalled_log_wait("it does not have two frames");
    assert_int_equal(repair_stats_of(fixture).malformed, 1);
    stalled_log_close();
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// ---- Memory

#define CONNECTIONS   10000
#define WAITING_BYTES ((size_t)1 << 20)
#define PACE_US       300                 // so that each event has a receive buffer to itself
#define MOST_GROWTH   (WAITING_BYTES * 5) // bytes: with what the rest of the process takes

static size_t memory_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void expect_little_growth(size_t before, size_t most)
{
    size_t after = memory_bytes();
    size_t growth = after > before ? after - before : 0;

    print_message("the process grew by %zu kB\n", growth / 1024);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(growth < most);
#else
    (void)most;
#endif
}

static void emit_paced(talus_broadcaster_t *broadcaster)
{
    static const uint8_t data[100] = {0xc4, 98};

    assert_int_equal(
        talus_emit(broadcaster, &(talus_emit_t){"s", "t", data, sizeof data, NULL}, NULL), 0);
    pass_us(PACE_US);
}

// Small events that come one at a time.
static void test_receive_bytes_bounds_memory(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->options.receive_bytes = WAITING_BYTES;
    fixture->publishing.history_session_bytes = 64 << 10;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    talus_subscriber_t *subscriber =
        repair_subscribe(fixture, talus_broadcaster_endpoint(broadcaster));
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    size_t before = memory_bytes();
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    while (repair_stats_of(fixture).receive_dropped == 0) {
        assert_true(tl_monotonic_ms() < deadline);
        emit_paced(broadcaster);
    }
    expect_little_growth(before, MOST_GROWTH);
    expect_event(subscriber, NULL, "s", "t");
}

// The same of what is held back while an event before it is asked for.
static void test_held_bytes_bounds_memory(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;
    struct replay_socket replay;
    const talus_delivery_t *delivery;
    uint8_t data[100] = {0xc4, 98}, body[256];
    uint64_t seq = 9, held;

    fixture->options.held_bytes = WAITING_BYTES;
    fixture->options.held_events = 1000000;
    fixture->options.repair_timeout_ms = 10 * EXPECT_DEADLINE_MS;
    replay_open(&replay); // it does not answer
    miss_events(fixture, &raw, replay.endpoint);
    size_t before = memory_bytes();
    do {
        held = repair_stats_of(fixture).held;
        for (int i = 0; i < 100; i++, seq++) {
            size_t size = raw_encode(body, raw.origin, seq + 1, seq, data, sizeof data);
            raw_publish_frames(&raw, "s/t", body, size);
            assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery),
                             TALUS_ETIMEOUT);
            pass_us(PACE_US);
        }
        assert_true(seq < 100000);
    } while (repair_stats_of(fixture).held > held);
    expect_little_growth(before, MOST_GROWTH);
    raw_publisher_close(&raw);
    replay_close(&replay);
}

// Connects, waits until it was accepted, and goes away.
static void knock(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    const struct linger no_linger = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char byte;

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof no_linger);
    close(fd);
}

// What is told of connections to a subscriber that stands still.
static void test_connections_take_no_memory(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, "@" TCP);
    int port = repair_port_of(talus_subscriber_endpoint(subscriber));

    for (int i = 0; i < 1000; i++)
        knock(port); // so that what grows once has grown
    size_t before = memory_bytes();
    for (int i = 0; i < CONNECTIONS; i++)
        knock(port);
    expect_little_growth(before, CONNECTIONS * 100);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    expect_live(subscriber, "s", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_receive_bytes_bounds_memory), // first, as there is no memory to use again yet
        TEST(test_held_bytes_bounds_memory),
        TEST(test_connections_take_no_memory),
        TEST(test_recoveries_are_whole),
        TEST(test_a_repair_needs_no_gap),
        TEST(test_a_recovery_without_its_events_is_not_complete),
        TEST(test_a_recovery_goes_on_after_a_gap),
        TEST(test_heads_are_asked_for_once_more),
        TEST(test_what_has_waited_is_of_its_connection),
        TEST(test_malformed_answers_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
