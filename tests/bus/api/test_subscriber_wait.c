// SPDX-License-Identifier: MIT
// How one waits for a subscriber: time-outs, signals, the descriptor, other processes; and what it
// refuses to be made of.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/broadcaster.h>
#include <talus/error.h>
#include <talus/subscriber.h>

#include "tests/bus/support/api_fixture.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/scratch.h"

#define BATCHED_EVENTS 10000

static bool is_readable(talus_subscriber_t *subscriber)
{
    struct pollfd item = {.fd = talus_subscriber_descriptor(subscriber), .events = POLLIN};
    int count = poll(&item, 1, 0);

    assert_true(count >= 0);
    return count == 1;
}

static void drain(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;
    int error;

    while ((error = talus_subscriber_receive(subscriber, 0, &delivery)) == 0)
        ;
    assert_int_equal(error, TALUS_ETIMEOUT);
}

// ---- Time-outs

static void test_subscriber_receive_times_out(void **state)
{
    struct api_fixture *fixture = *state;
    const talus_delivery_t *delivery = NULL;

    errno = EINTR;
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery), TALUS_ETIMEOUT);
    assert_int_not_equal(errno, EINTR);
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, 5, &delivery), TALUS_ETIMEOUT);
    assert_null(delivery);
}

static void on_alarm(int signal)
{
    (void)signal;
}

static void test_subscriber_receive_is_interrupted_by_a_signal(void **state)
{
    struct api_fixture *fixture = *state;
    const talus_delivery_t *delivery;
    struct sigaction action = {.sa_handler = on_alarm}, before;
    const struct itimerval soon = {.it_value = {.tv_usec = 10000},
                                   .it_interval = {.tv_usec = 10000}};
    const struct itimerval never = {.it_value = {0}};

    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_int_equal(talus_subscriber_receive(fixture->subscriber, -1, &delivery), TALUS_ETIMEOUT);
    assert_int_equal(errno, EINTR);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    sigaction(SIGALRM, &before, NULL);
}

// ---- The descriptor

static void test_subscriber_descriptor_rests_when_drained(void **state)
{
    struct api_fixture *fixture = *state;

    drain(fixture->subscriber);
    assert_false(is_readable(fixture->subscriber));
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    assert_true(is_readable(fixture->subscriber));
    drain(fixture->subscriber);
    assert_false(is_readable(fixture->subscriber));
}

static void test_subscriber_descriptor_tells_of_the_rest(void **state)
{
    struct api_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster;

    assert_int_equal(talus_broadcaster_new(&broadcaster, fixture->bus, NULL), 0);
    pump_until(fixture->subscriber, origins_are, 1);
    join_live(fixture->subscriber, "s");
    for (int i = 0; i < 100; i++)
        assert_int_equal(talus_emit(broadcaster, &(talus_emit_t){"s", "a", NULL, 0, NULL}, NULL),
                         0);
    for (int i = 0; i < 100; i++) {
        struct pollfd item = {.fd = talus_subscriber_descriptor(fixture->subscriber),
                              .events = POLLIN};
        assert_int_equal(poll(&item, 1, EXPECT_DEADLINE_MS), 1); // one at a time, by poll alone
        expect_event(fixture->subscriber, NULL, "s", "a");
    }
    drain(fixture->subscriber);
    assert_false(is_readable(fixture->subscriber));
    talus_broadcaster_destroy(&broadcaster);
}

static void test_subscriber_descriptor_tells_of_the_live_deadline(void **state)
{
    struct api_fixture *fixture = *state;
    talus_subscriber_options_t options;
    struct raw_publisher raw;
    const talus_delivery_t *delivery;
    int error;

    talus_subscriber_destroy(&fixture->subscriber);
    talus_subscriber_options_init(&options);
    options.live_timeout_ms = 50;
    raw_publisher_open(&raw, ZMQ_XPUB, "origin01", NULL);
    raw_publisher_bind(&raw, NULL);
    assert_int_equal(talus_subscriber_new(&fixture->subscriber, raw.endpoint, &options), 0);
    raw_publisher_expect(&raw, "$bus/");
    raw_publish_head(&raw, "$bus/$hello", 0);
    pump_until(fixture->subscriber, origins_are, 1);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    do {
        struct pollfd item = {.fd = talus_subscriber_descriptor(fixture->subscriber),
                              .events = POLLIN};
        assert_int_equal(poll(&item, 1, EXPECT_DEADLINE_MS), 1);
        error = talus_subscriber_receive(fixture->subscriber, 0, &delivery);
    } while (error == TALUS_ETIMEOUT);
    assert_int_equal(error, 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
    assert_false(delivery->live.complete);
    raw_publisher_close(&raw);
}

// Emits in batches of random size, each when the one before has been received whole, so that every
// batch finds the receiver asleep.
struct batches {
    talus_broadcaster_t *broadcaster;
    atomic_uint received;
    atomic_bool has_failed;
};

static unsigned next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 16;
}

static void *emit_batches(void *arg)
{
    struct batches *batches = arg;
    uint32_t seed = 20240607;
    unsigned emitted = 0;

    while (emitted < BATCHED_EVENTS) {
        unsigned size = 1 + next_random(&seed) % 40;
        for (; size > 0 && emitted < BATCHED_EVENTS; size--, emitted++) {
            const talus_emit_t emit = {.session = emitted % 3 ? "s" : "t", .type = "a"};
            if (talus_emit(batches->broadcaster, &emit, NULL) != 0)
                atomic_store(&batches->has_failed, true);
        }
        while (atomic_load(&batches->received) < emitted && !atomic_load(&batches->has_failed))
            sched_yield();
    }
    return NULL;
}

static void test_subscriber_descriptor_misses_no_wake_up(void **state)
{
    struct api_fixture *fixture = *state;
    struct batches batches = {.received = 0};
    struct pollfd item = {.fd = talus_subscriber_descriptor(fixture->subscriber), .events = POLLIN};
    const talus_delivery_t *delivery;
    pthread_t thread;
    uint32_t seed = 1;
    int ready = 1, error = 0;

    assert_int_equal(talus_broadcaster_new(&batches.broadcaster, fixture->bus, NULL), 0);
    pump_until(fixture->subscriber, origins_are, 1);
    join_live(fixture->subscriber, "s");
    join_live(fixture->subscriber, "t");
    assert_int_equal(pthread_create(&thread, NULL, emit_batches, &batches), 0);
    while (atomic_load(&batches.received) < BATCHED_EVENTS && ready == 1) {
        ready = poll(&item, 1, EXPECT_DEADLINE_MS);
        while ((error = talus_subscriber_receive(fixture->subscriber, 0, &delivery)) == 0) {
            if (delivery->kind == TALUS_DELIVERY_EVENT)
                atomic_fetch_add(&batches.received, 1);
        }
        if (error != TALUS_ETIMEOUT)
            break;
        // Joining and leaving read the socket's descriptor, too, and must not swallow a wake-up.
        char session[2] = {(char)('A' + next_random(&seed) % 26), '\0'};
        if (next_random(&seed) % 2)
            talus_subscriber_leave(fixture->subscriber, session);
        else if (talus_subscriber_join(fixture->subscriber, session) != 0)
            break;
    }
    unsigned received = atomic_load(&batches.received);
    atomic_store(&batches.has_failed, received < BATCHED_EVENTS);
    pthread_join(thread, NULL);
    talus_broadcaster_destroy(&batches.broadcaster);
    assert_int_equal(received, BATCHED_EVENTS);
    talus_subscriber_stats_t stats;
    talus_subscriber_stats(fixture->subscriber, &stats);
    assert_int_equal(stats.delivered, BATCHED_EVENTS);
    assert_int_equal(stats.gaps_opened, 0);
    assert_int_equal(stats.live_incomplete, 0);
}

// A flood of what is for nobody must not keep a call that asked not to wait.
static void test_subscriber_receive_without_waiting_returns_in_a_flood(void **state)
{
    struct api_fixture *fixture = *state;
    struct raw_publisher raw;
    const talus_delivery_t *delivery;
    talus_subscriber_stats_t stats;

    talus_subscriber_destroy(&fixture->subscriber);
    raw_publisher_open(&raw, ZMQ_XPUB, "origin01", NULL);
    raw_publisher_bind(&raw, NULL);
    assert_int_equal(talus_subscriber_new(&fixture->subscriber, raw.endpoint, NULL), 0);
    join_live(fixture->subscriber, "s");
    raw_publisher_expect(&raw, "s/");
    for (int i = 0; i < 20000; i++)
        raw_publish_frames(&raw, "s/a", "x", 1);
    do {
        uint64_t before;
        talus_subscriber_stats(fixture->subscriber, &stats);
        before = stats.malformed;
        assert_int_equal(talus_subscriber_receive(fixture->subscriber, 0, &delivery),
                         TALUS_ETIMEOUT);
        talus_subscriber_stats(fixture->subscriber, &stats);
        assert_true(stats.malformed - before <= 2048);
        // Either it was drained, or the descriptor says that it was not.
        struct pollfd item = {.fd = talus_subscriber_descriptor(fixture->subscriber),
                              .events = POLLIN};
        if (stats.malformed < 20000)
            assert_int_equal(poll(&item, 1, EXPECT_DEADLINE_MS), 1);
    } while (stats.malformed < 20000);
    raw_publisher_close(&raw);
}

// ---- Forks

static int use_in_child(struct api_fixture *fixture)
{
    const talus_delivery_t *delivery;

    if (talus_subscriber_join(fixture->subscriber, "t") != TALUS_EFORKED)
        return 1;
    if (talus_subscriber_leave(fixture->subscriber, "s") != TALUS_EFORKED)
        return 2;
    if (talus_subscriber_receive(fixture->subscriber, 0, &delivery) != TALUS_EFORKED)
        return 3;
    talus_subscriber_destroy(&fixture->subscriber);
    return fixture->subscriber ? 4 : 0;
}

static void test_subscriber_is_of_no_use_in_a_forked_child(void **state)
{
    struct api_fixture *fixture = *state;
    talus_broadcaster_t *broadcaster;
    char directory[SCRATCH_PATH_MAX];
    int status;

    assert_int_equal(talus_broadcaster_new(&broadcaster, fixture->bus, NULL), 0);
    pump_until(fixture->subscriber, origins_are, 1);
    join_live(fixture->subscriber, "s");
    pid_t pid = fork();
    if (pid == 0)
        _exit(use_in_child(fixture));
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);

    // The parent's is as it was, and its lock file in its place.
    scratch_join(directory, fixture->root, "bus");
    assert_true(scratch_has(directory, ".sub.lock"));
    assert_int_equal(talus_emit(broadcaster, &(talus_emit_t){"s", "a", NULL, 0, NULL}, NULL), 0);
    expect_event(fixture->subscriber, NULL, "s", "a");
    talus_broadcaster_destroy(&broadcaster);
    talus_subscriber_destroy(&fixture->subscriber);
    assert_int_equal(scratch_count(directory), 0);
}

// ---- Making one

static void test_subscriber_options_out_of_range_are_refused(void **state)
{
    struct api_fixture *fixture = *state;
    talus_subscriber_t *subscriber = NULL;
    talus_subscriber_options_t defaults, bad[11];

    talus_subscriber_options_init(&defaults);
    for (size_t i = 0; i < 11; i++)
        bad[i] = defaults;
    bad[0].ignore_origin = "Not An Origin";
    bad[1].max_body = 0;
    bad[2].max_depth = 0;
    bad[3].max_depth = 65;
    bad[4].max_sessions = 0;
    bad[5].max_origins = 0;
    bad[6].receive_high_water_mark = -1;
    bad[7].live_timeout_ms = -1;
    bad[8].directory_mode = 0070;
    bad[9].directory_mode = 01777;
    bad[10].max_body = (size_t)1 << 40;
    for (size_t i = 0; i < 11; i++)
        assert_int_equal(talus_subscriber_new(&subscriber, fixture->bus, &bad[i]), TALUS_EINVAL);
    assert_null(subscriber);
    defaults.ignore_origin = "";
    assert_int_equal(talus_subscriber_new(&subscriber, fixture->bus, &defaults), 0);
    talus_subscriber_destroy(&subscriber);
    talus_subscriber_destroy(&subscriber);
    talus_subscriber_destroy(NULL);
}

static void expect_refused(const char *endpoint, int error)
{
    talus_subscriber_t *subscriber = NULL;

    assert_int_equal(talus_subscriber_new(&subscriber, endpoint, NULL), error);
    assert_null(subscriber);
}

static void test_subscriber_endpoints_that_cannot_be_had_are_refused(void **state)
{
    struct api_fixture *fixture = *state;
    talus_subscriber_t *bound = NULL;
    char endpoint[ENDPOINT_MAX + 160];

    expect_refused("nonsense", TALUS_EENDPOINT);
    expect_refused("@tcp://192.0.2.1:5570", TALUS_EADDRNOTAVAIL);
    expect_refused("@tcp://nointerface0:5570", TALUS_EADDRNOTAVAIL);
    expect_refused("tcp://127.0.0.1:1,", TALUS_EENDPOINT);
    expect_refused("ipc:///dev/null/bus/*", TALUS_ESYSTEM);
    memset(endpoint, 'x', sizeof endpoint);
    memcpy(endpoint, "ipc:///", 7);
    strcpy(endpoint + 120, "/*");
    expect_refused(endpoint, TALUS_EPATHTOOLONG);

    assert_int_equal(talus_subscriber_new(&bound, "@tcp://127.0.0.1:*", NULL), 0);
    stpcpy(stpcpy(endpoint, "@"), talus_subscriber_endpoint(bound));
    assert_null(strchr(endpoint, '*'));
    expect_refused(endpoint, TALUS_EADDRINUSE);
    talus_subscriber_destroy(&bound);

    stpcpy(stpcpy(stpcpy(endpoint, "@ipc://"), fixture->root), "/socket");
    assert_int_equal(talus_subscriber_new(&bound, endpoint, NULL), 0);
    expect_refused(endpoint, TALUS_EADDRINUSE);
    talus_subscriber_destroy(&bound);
    assert_false(scratch_has(fixture->root, "socket")); // it leaves nothing behind

    // What came before the one that failed is undone.
    stpcpy(stpcpy(endpoint, fixture->bus), ",@tcp://256.0.0.1:1");
    char directory[SCRATCH_PATH_MAX];
    scratch_join(directory, fixture->root, "bus");
    assert_int_equal(scratch_count(directory), 1);
    expect_refused(endpoint, TALUS_EADDRNOTAVAIL);
    assert_int_equal(scratch_count(directory), 1);
}

static void test_subscriber_says_where_it_listens(void **state)
{
    struct api_fixture *fixture = *state;
    talus_subscriber_t *subscriber = NULL;
    char endpoint[ENDPOINT_MAX + 64];

    assert_string_equal(talus_subscriber_endpoint(fixture->subscriber), fixture->bus);
    stpcpy(stpcpy(endpoint, fixture->bus), ",@tcp://127.0.0.1:*,>tcp://[::1]:1");
    assert_int_equal(talus_subscriber_new(&subscriber, endpoint, NULL), 0);
    const char *said = talus_subscriber_endpoint(subscriber);
    assert_memory_equal(said, fixture->bus, strlen(fixture->bus));
    assert_non_null(strstr(said, ",tcp://127.0.0.1:"));
    assert_non_null(strstr(said, ",tcp://[::1]:1"));
    talus_subscriber_destroy(&subscriber);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, api_set_up, api_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_subscriber_receive_times_out),
        TEST(test_subscriber_receive_is_interrupted_by_a_signal),
        TEST(test_subscriber_descriptor_rests_when_drained),
        TEST(test_subscriber_descriptor_tells_of_the_rest),
        TEST(test_subscriber_descriptor_tells_of_the_live_deadline),
        TEST(test_subscriber_descriptor_misses_no_wake_up),
        TEST(test_subscriber_receive_without_waiting_returns_in_a_flood),
        TEST(test_subscriber_is_of_no_use_in_a_forked_child),
        TEST(test_subscriber_options_out_of_range_are_refused),
        TEST(test_subscriber_endpoints_that_cannot_be_had_are_refused),
        TEST(test_subscriber_says_where_it_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
