// SPDX-License-Identifier: MIT
// Short lives: what a broadcaster emits and leaves behind at once arrives, or is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <talus.h>

#include "bus/src/zmq/context.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/repair_fixture.h"

#define CHILDREN 8
#define LIVES    13  // of each
#define HELD_MS  500 // how long first events wait for subscribers that live

static int emit_one(const char *endpoint)
{
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster;

    talus_broadcaster_options_init(&options);
    options.linger_ms = EXPECT_DEADLINE_MS;
    talus_error_t error = talus_broadcaster_new(&broadcaster, endpoint, &options);
    if (error)
        return error;
    error = talus_emit(broadcaster, &event, NULL);
    talus_error_t closed = talus_broadcaster_close(&broadcaster);
    return error ? error : closed;
}

// The last of the broadcasters is forgotten when all that it had sent was read. Nothing is
// delivered until then.
static void wait_forgotten(struct repair_fixture *fixture)
{
    const talus_delivery_t *delivery;
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    while (repair_stats_of(fixture).origins > 0) {
        assert_true(tl_monotonic_ms() < deadline);
        assert_int_equal(talus_subscriber_receive(fixture->subscriber, 100, &delivery),
                         TALUS_ETIMEOUT);
    }
}

static void expect_nothing_more(struct repair_fixture *fixture)
{
    wait_forgotten(fixture);
    assert_int_equal(repair_stats_of(fixture).gaps, 0);
}

static void test_handover_short_lives_deliver(void **state)
{
    struct repair_fixture *fixture = *state;
    struct child children[CHILDREN];
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    for (int i = 0; i < CHILDREN; i++)
        child_start(&children[i], "short", fixture->bus);
    for (int i = 0; i < CHILDREN * LIVES; i++)
        assert_int_equal(expect_event(subscriber, NULL, "s", "t")->seq, 1);
    for (int i = 0; i < CHILDREN; i++)
        child_finish(&children[i]);
    expect_nothing_more(fixture);
}

// A subscriber that does not come to be ready in time: the caller gets an error, and the subscriber
// is told what it missed, and no more.
static void test_handover_says_what_it_could_not_do(void **state)
{
    struct repair_fixture *fixture = *state;
    const talus_emit_t event = {.session = "s", .type = "t"};
    const talus_delivery_t *delivery;
    char origin[TALUS_ORIGIN_MAX + 1];

    fixture->publishing.linger_ms = 50;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    join_live(subscriber, "s");
    join_live(subscriber, "other");
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, fixture->bus);
    strcpy(origin, talus_broadcaster_origin(broadcaster));
    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
    assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), TALUS_ETIMEOUT);
    assert_null(fixture->broadcasters[0]);
    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
    assert_int_equal(delivery->gap.reason, TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(delivery->session, "s");
    assert_string_equal(delivery->gap.origin, origin);
    assert_string_equal(strchr(delivery->gap.after, '.'), ".0");
    assert_string_equal(strchr(delivery->gap.first, '.'), ".3");
    wait_forgotten(fixture);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

// Nothing was emitted: nobody is waited for, and nobody is told of anything.
static void test_handover_of_nothing_is_quick(void **state)
{
    struct repair_fixture *fixture = *state;

    talus_subscriber_t *subscriber = repair_subscribe(fixture, fixture->bus);
    join_live(subscriber, "s");
    for (int i = 0; i < 20; i++) {
        repair_broadcast(fixture, 0, fixture->bus);
        assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), 0);
    }
    expect_nothing_more(fixture);
    assert_int_equal(talus_broadcaster_close(NULL), 0);
    assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), 0);
}

// ---- Subscribers that are not ready in time

// A subscriber that lives in the directory and does not receive, so it is never ready.
static void start_unready(struct repair_fixture *fixture, int linger_ms)
{
    fixture->publishing.linger_ms = linger_ms;
    join_live(repair_subscribe(fixture, fixture->bus), "s");
    repair_emit(repair_broadcast(fixture, 0, fixture->bus), "s");
}

static long long cpu_ms(void)
{
    struct timespec used;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return used.tv_sec * 1000LL + used.tv_nsec / 1000000;
}

static void test_handover_waits_without_spinning(void **state)
{
    struct repair_fixture *fixture = *state;

    start_unready(fixture, 6 * HELD_MS);
    long long before = cpu_ms();
    assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), TALUS_ETIMEOUT);
    assert_true(cpu_ms() - before < HELD_MS);
}

static void on_alarm(int number)
{
    (void)number;
}

// The time is the caller's, and a signal does not end it.
static void test_handover_goes_on_after_a_signal(void **state)
{
    struct repair_fixture *fixture = *state;
    const struct sigaction action = {.sa_handler = on_alarm};
    struct sigaction before;
    const struct itimerval soon = {.it_value = {.tv_usec = 10000},
                                   .it_interval = {.tv_usec = 10000}};
    const struct itimerval never = {.it_value = {0}};
    const int linger_ms = 400;

    start_unready(fixture, linger_ms);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    long long begun = tl_monotonic_ms();
    talus_error_t error = talus_broadcaster_close(&fixture->broadcasters[0]);
    long long took = tl_monotonic_ms() - begun;
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(error, TALUS_ETIMEOUT);
    assert_true(took >= linger_ms / 2);
}

static bool silent_are(const talus_broadcaster_stats_t *stats, uint64_t value)
{
    return stats->silent == value;
}

static bool beats_reach(const talus_broadcaster_stats_t *stats, uint64_t value)
{
    return stats->heartbeats >= value;
}

static void serve_until(bool (*is_so)(const talus_broadcaster_stats_t *stats, uint64_t value),
                        uint64_t value, struct repair_fixture *fixture)
{
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    talus_broadcaster_stats_t stats;
    const talus_delivery_t *delivery;

    do {
        assert_true(tl_monotonic_ms() < deadline);
        assert_int_equal(talus_subscriber_receive(fixture->subscriber, 10, &delivery),
                         TALUS_ETIMEOUT);
        talus_broadcaster_stats(fixture->broadcasters[0], &stats);
    } while (!is_so(&stats, value));
}

// Makes the subscriber meet the broadcaster through the proxy alone: the broadcaster's sockets in
// the directory cannot be reached, its ledger can.
static void meet_by_proxy(struct repair_fixture *fixture)
{
    char endpoint[2 * ENDPOINT_MAX], file[ENDPOINT_MAX];

    snprintf(endpoint, sizeof endpoint, "%s," TCP, fixture->bus);
    talus_broadcaster_t *broadcaster = repair_broadcast(fixture, 0, endpoint);
    for (int i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/bus/%s.%s", fixture->root,
                 talus_broadcaster_origin(broadcaster), i == 0 ? "pub" : "replay");
        assert_int_equal(unlink(file), 0);
    }
    tcp_proxy_start(&fixture->proxy, repair_port_of(talus_broadcaster_endpoint(broadcaster)));
    snprintf(endpoint, sizeof endpoint, "%s,tcp://127.0.0.1:%d", fixture->bus, fixture->proxy.port);
    repair_subscribe(fixture, endpoint);
    serve_until(beats_reach, 1, fixture);
}

// The subscription to the session does not arrive in time, that to the bus has: a leave would
// come, and say that nothing is missing.
static void test_handover_that_fails_says_no_leave(void **state)
{
    struct repair_fixture *fixture = *state;
    char after[TALUS_ID_MAX + 1], first[TALUS_ID_MAX + 1];

    fixture->options.heartbeat_ms = 100;
    fixture->options.heartbeat_timeout_ms = EXPECT_DEADLINE_MS;
    fixture->options.live_timeout_ms = 100;
    fixture->publishing.heartbeat_ms = 100;
    fixture->publishing.heartbeat_timeout_ms = 300;
    fixture->publishing.linger_ms = 200;
    meet_by_proxy(fixture);
    const char *origin = talus_broadcaster_origin(fixture->broadcasters[0]);
    snprintf(after, sizeof after, "%s.0", origin);
    snprintf(first, sizeof first, "%s.2", origin);
    tcp_proxy_hold(&fixture->proxy, true);
    serve_until(silent_are, 1, fixture);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    expect_live(fixture->subscriber, "s", false);
    repair_emit(fixture->broadcasters[0], "s");
    assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), TALUS_ETIMEOUT);
    tcp_proxy_hold(&fixture->proxy, false);
    expect_gap(fixture->subscriber, "s", after, first, TALUS_GAP_ORIGIN_LOST);
    wait_forgotten(fixture);
    assert_int_equal(repair_stats_of(fixture).gaps, 1);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        for (int i = 0; i < LIVES; i++) {
            if (emit_one(argv[2]) != 0)
                return 1;
        }
        child_await();
        return 0;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, repair_set_up, repair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_handover_short_lives_deliver),    TEST(test_handover_says_what_it_could_not_do),
        TEST(test_handover_of_nothing_is_quick),    TEST(test_handover_waits_without_spinning),
        TEST(test_handover_goes_on_after_a_signal), TEST(test_handover_that_fails_says_no_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
