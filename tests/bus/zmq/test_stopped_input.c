// SPDX-License-Identifier: MIT
// Subscribers that stand still while a broadcaster floods them and dies. With a high-water mark at
// the receiving socket, libzmq 4.3.4 aborted the process then: when a heartbeat was due, or when
// the peer had sent a PING. And broadcasters, and processes of subscribers, that stand still.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/zmq/connection_times.h"
#include "bus/src/zmq/context.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/repair_fixture.h"
#include "tests/bus/support/zmtp.h"

#define TEST(name)   cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)
#define BOUND        50 // messages
#define FLOOD        5000
#define HEARTBEATS   4 // for which the subscriber stands still after the death
#define HEARTBEAT_MS 100
#define ROUND        800  // events of BIG bytes
#define PAUSE_MS     800  // less than TALUS__TCP_MAXRT_MS
#define PILE         1000 // events …
#define PILE_BYTES   60000

// Looks at the statistics until the subscriber, which nobody calls meanwhile, has dropped that
// many.
static void wait_until_dropped(struct repair_fixture *fixture, uint64_t count)
{
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    while (repair_stats_of(fixture).receive_dropped < count) {
        assert_true(tl_monotonic_ms() < deadline);
        pass_ms(1);
    }
}

// Time is what is tested: nothing may happen, the process stays alive, while a heartbeat on the
// connection that was lost would fall due. On a busy machine this takes longer, and cannot fail.
static void stand_still(void)
{
    pass_ms(HEARTBEATS * HEARTBEAT_MS);
}

static talus_subscriber_t *subscribe_bounded(struct repair_fixture *fixture, const char *endpoint)
{
    fixture->options.receive_high_water_mark = BOUND;
    fixture->options.heartbeat_ms = HEARTBEAT_MS;
    return repair_subscribe(fixture, endpoint);
}

// The child: floods session "s" when it is told to, and waits.
static int flood(const char *endpoint)
{
    talus_broadcaster_t *broadcaster;

    if (talus_broadcaster_new(&broadcaster, endpoint, NULL) != 0)
        return 1;
    child_say();
    child_await();
    for (int i = 0; i < FLOOD; i++)
        if (talus_emit(broadcaster, &(talus_emit_t){"s", "a", NULL, 0, NULL}, NULL) != 0)
            return 1;
    if (talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS) != 0)
        return 1;
    child_say();
    child_await();
    return 0;
}

static void start_flood(struct repair_fixture *fixture, talus_subscriber_t *subscriber)
{
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    child_wait_said(&fixture->child);
    wait_until_dropped(fixture, 1);
}

static void test_stopped_input_and_a_killed_broadcaster(void **state)
{
    struct repair_fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe_bounded(fixture, fixture->bus);

    child_start(&fixture->child, "flood", fixture->bus);
    child_wait_said(&fixture->child);
    start_flood(fixture, subscriber);
    child_kill(&fixture->child);
    stand_still();
    repair_expect_seqs(subscriber, 1, BOUND); // in order, and then what was lost is told
    const talus_delivery_t *delivery;
    do {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    } while (delivery->kind != TALUS_DELIVERY_GAP);
}

static void test_stopped_input_and_a_cut_connection(void **state)
{
    struct repair_fixture *fixture = *state;
    char endpoint[64];

    fixture->options.receive_high_water_mark = BOUND;
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);
    tcp_proxy_start(&fixture->proxy, repair_port_of(talus_broadcaster_endpoint(broadcaster)));
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", fixture->proxy.port);
    talus_subscriber_t *subscriber = subscribe_bounded(fixture, endpoint);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    for (int i = 0; i < 900; i++)
        repair_emit(broadcaster, "s");
    wait_until_dropped(fixture, 1);
    tcp_proxy_cut(&fixture->proxy, true);
    stand_still();
    repair_expect_seqs(subscriber, 1, 900);
    assert_true(repair_stats_of(fixture).repaired > 0);
}

// ---- A publisher that speaks ZMTP by hand

static void test_stopped_input_and_a_ping(void **state)
{
    struct repair_fixture *fixture = *state;
    static const unsigned char message[] = {1, 3, 's', '/', 'a', 0, 1, 0xc0};
    talus_subscriber_t *subscriber = subscribe_bounded(fixture, "@" TCP);

    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    expect_live(subscriber, "s", true);
    int fd = zmtp_connect(repair_port_of(talus_subscriber_endpoint(subscriber)), "PUB");
    for (int i = 0; i < FLOOD; i++)
        zmtp_send(fd, message, sizeof message);
    zmtp_ping(fd);
    close(fd);
    wait_until_dropped(fixture, 1);
    const talus_delivery_t *delivery;
    assert_int_equal(talus_subscriber_receive(subscriber, HEARTBEAT_MS, &delivery), TALUS_ETIMEOUT);
    assert_in_range(repair_stats_of(fixture).malformed, BOUND, FLOOD);
}

// ---- Broadcasters that stand still

// How long a broadcaster was silent when it was taken for away, by the beats that were missed; 0:
// none was yet.
static long long silent_ms;

static void note_silence(talus_log_level_t level, const char *line, void *arg)
{
    const char *at = strstr(line, "has been silent for ");

    (void)level, (void)arg;
    if (at)
        silent_ms = strtoll(at + strlen("has been silent for "), NULL, 10);
}

// Joins do not wait for it. Each is live without it, and says so.
static void test_a_stopped_broadcaster_is_noticed(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;

    fixture->options.origin_timeout_ms = EXPECT_DEADLINE_MS;
    fixture->options.live_timeout_ms = 20000;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    child_start(&fixture->child, "flood", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    repair_expect_seqs(subscriber, 1, FLOOD);
    child_wait_said(&fixture->child);
    silent_ms = 0;
    talus_set_log(TALUS_LOG_INFO, note_silence, NULL);
    child_stop(&fixture->child);
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    while (silent_ms == 0) {
        assert_true(tl_monotonic_ms() < deadline);
        assert_int_equal(talus_subscriber_receive(subscriber, 20, &delivery), TALUS_ETIMEOUT);
    }
    talus_set_log(TALUS_LOG_WARNING, NULL, NULL);
    // In beats, as time on a busy machine says little: the fourth of half a second.
    assert_int_equal(silent_ms, 2000);
    assert_int_equal(talus_subscriber_join(subscriber, "other"), 0);
    expect_live(subscriber, "other", false);
    child_continue(&fixture->child);
}

// ---- Subscribers over tcp that are slow, or stopped

// The child: expects all events of session "s", in order, and says so after each round of them.
static int read_in_rounds(const char *endpoint)
{
    talus_subscriber_options_t options;
    talus_subscriber_t *subscriber;
    const talus_delivery_t *delivery;
    uint64_t seq = 0;

    talus_subscriber_options_init(&options);
    options.live_timeout_ms = EXPECT_DEADLINE_MS;
    if (talus_subscriber_new(&subscriber, endpoint, &options) != 0 ||
        talus_subscriber_join(subscriber, "s") != 0)
        return 1;
    for (;;) {
        talus_error_t error = talus_subscriber_receive(subscriber, -1, &delivery);
        if (error == TALUS_ETIMEOUT)
            continue; // it was stopped: EINTR
        if (error)
            return 1;
        bool is_next = delivery->kind == TALUS_DELIVERY_EVENT && delivery->event->seq == ++seq;
        if (!is_next && delivery->kind != TALUS_DELIVERY_LIVE)
            return 1;
        if (seq % ROUND == 0)
            child_say();
    }
}

static talus_broadcaster_t *start_reader(struct repair_fixture *fixture)
{
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, TCP);

    child_start(&fixture->child, "read", talus_broadcaster_endpoint(broadcaster));
    child_wait_said(&fixture->child); // its LIVE
    assert_int_equal(talus_broadcaster_wait_subscribers(broadcaster, 1, EXPECT_DEADLINE_MS, NULL),
                     0);
    return broadcaster;
}

// Emits a round, which is more than the kernel holds for the connection, while it stands still.
static void stop_reader(struct repair_fixture *fixture, talus_broadcaster_t *broadcaster, int ms)
{
    child_stop(&fixture->child);
    repair_flood(broadcaster, "s", ROUND);
    pass_ms(ms);
    child_continue(&fixture->child);
}

// It stands still most of the time, all in all for longer than TALUS__TCP_MAXRT_MS, and something
// waits for it always. If the connection were cut, the history could not make good for it.
static void test_a_slow_reader_is_not_cut(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->publishing.history_session_bytes = 1; // an event
    talus_broadcaster_t *broadcaster = start_reader(fixture);
    for (int ms = 0; ms < TALUS__TCP_MAXRT_MS + 1000; ms += PAUSE_MS) {
        stop_reader(fixture, broadcaster, PAUSE_MS);
        child_wait_said(&fixture->child);
    }
}

// The kernel cuts the connection of one that reads nothing for TALUS__TCP_MAXRT_MS (Linux before
// 5.11 only if its host is gone). What it has not got is asked for when it goes on.
static void test_a_stopped_reader_gets_everything(void **state)
{
    struct repair_fixture *fixture = *state;

    fixture->publishing.history_session_bytes = 256u << 20;
    fixture->publishing.history_bytes = 256u << 20;
    fixture->publishing.history_events = 10000;
    talus_broadcaster_t *broadcaster = start_reader(fixture);
    stop_reader(fixture, broadcaster, TALUS__TCP_MAXRT_MS + 1000);
    child_wait_said(&fixture->child);
}

// The child: emits more to session "s" than connections take at once, and stands still.
static int stop_behind(const char *endpoint)
{
    static uint8_t data[PILE_BYTES] = {0xc5, (PILE_BYTES - 3) >> 8, (PILE_BYTES - 3) & 0xff};
    talus_broadcaster_t *broadcaster;

    if (talus_broadcaster_new(&broadcaster, endpoint, NULL) != 0)
        return 1;
    child_say();
    child_await();
    for (int i = 0; i < PILE; i++)
        if (talus_emit(broadcaster, &(talus_emit_t){"s", "a", data, sizeof data, NULL}, NULL) != 0)
            return 1;
    raise(SIGSTOP);
    child_await();
    return 0;
}

// What it had emitted and not sent is missing as long as it stands still, and told.
static void test_a_stopped_broadcaster_in_a_bus_directory(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_delivery_t *delivery;

    fixture->options.origin_timeout_ms = 100;
    fixture->options.repair_timeout_ms = EXPECT_DEADLINE_MS;
    fixture->options.live_timeout_ms = 10 * EXPECT_DEADLINE_MS; // no join may wait for so long
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    child_start(&fixture->child, "stop", fixture->bus);
    child_wait_said(&fixture->child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&fixture->child);
    do {
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    } while (delivery->kind == TALUS_DELIVERY_EVENT);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
    assert_int_equal(delivery->gap.reason, TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(delivery->session, "s");
    join_live(subscriber, "other");
    child_continue(&fixture->child);
}

// ---- Dropped markers

// The head of a broadcaster that came meanwhile is dropped, and its first events are: it is no
// plain publisher for all that, of which nobody knows what was before.
static void test_stopped_input_drops_a_head(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;
    enum { MARKERS = BOUND / 4 + 1, DROPPED = BOUND + 2 };
    const talus_delivery_t *delivery;

    fixture->options.head_wait_ms = 20;
    fixture->options.heartbeat_timeout_ms = EXPECT_DEADLINE_MS;
    raw_publisher_open(&raw, ZMQ_XPUB, "first001", NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = subscribe_bounded(fixture, raw.endpoint);
    raw_publisher_expect(&raw, "$bus/");
    raw_publish_head(&raw, "$bus/$hello", 0);
    pump_until(subscriber, origins_are, 1);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    raw_publisher_expect(&raw, "s/");
    raw_publish_head(&raw, "s/$head", 0);
    expect_live(subscriber, "s", true);
    for (uint64_t seq = 1; seq <= 2 * BOUND; seq++)
        raw_publish(&raw, "s/t", seq, seq - 1);
    for (int i = 0; i < MARKERS; i++)
        raw_publish_head(&raw, "s/$head", 0);
    raw.origin = "second01";
    raw_publish_head(&raw, "s/$head", 0);
    raw_publish(&raw, "s/t", 1, 0);
    wait_until_dropped(fixture, DROPPED);
    repair_expect_seqs(subscriber, 1, BOUND);
    raw_publish(&raw, "s/t", 2, 1);
    assert_int_equal(talus_subscriber_receive(subscriber, 200, &delivery), TALUS_ETIMEOUT);
    raw_publish_head(&raw, "s/$head", 2); // it comes again, as beats do
    expect_gap(subscriber, "s", "second01.0", "second01.2", TALUS_GAP_HISTORY);
    expect_event(subscriber, "second01.2", "s", "t");
    raw_publisher_close(&raw);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "flood") == 0)
        return flood(argv[2]);
    if (argc == 3 && strcmp(argv[1], "stop") == 0)
        return stop_behind(argv[2]);
    if (argc == 3 && strcmp(argv[1], "read") == 0)
        return read_in_rounds(argv[2]);
    const struct CMUnitTest tests[] = {
        TEST(test_stopped_input_and_a_killed_broadcaster),
        TEST(test_stopped_input_and_a_cut_connection),
        TEST(test_stopped_input_and_a_ping),
        TEST(test_a_stopped_broadcaster_is_noticed),
        TEST(test_a_stopped_broadcaster_in_a_bus_directory),
        TEST(test_a_slow_reader_is_not_cut),
        TEST(test_stopped_input_drops_a_head),
        TEST(test_a_stopped_reader_gets_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
