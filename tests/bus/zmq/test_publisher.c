// SPDX-License-Identifier: MIT
// The bus thread as subscribers meet it: heads, readiness, waiting, several endpoints.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <talus.h>

#include "bus/src/zmq/context.h"
#include "bus/src/zmq/directory/directory.h"
#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/scratch.h"
#include "tests/bus/support/stalled_log.h"

#define SUBSCRIBER "abcdefghijkl"
#define OTHER      "mnopqrstuvwx"

static talus_broadcaster_t *bus;
static struct raw_subscriber raw;

static int setup(void **state)
{
    (void)state;
    stalled_log_open();
    assert_int_equal(talus_broadcaster_new(&bus, "tcp://127.0.0.1:*", NULL), 0);
    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(bus));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talus_broadcaster_destroy(&bus);
    raw_close(&raw);
    stalled_log_close();
    return 0;
}

static void emit_to(talus_broadcaster_t *broadcaster, const char *session)
{
    const talus_emit_t event = {.session = session, .type = "t"};

    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
}

static void emit(const char *session)
{
    emit_to(bus, session);
}

static talus_broadcaster_stats_t stats(void)
{
    talus_broadcaster_stats_t now;

    talus_broadcaster_stats(bus, &now);
    return now;
}

// A head arrives before it is counted; an event sent after it, after.
static void settle(void)
{
    emit("settle");
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
}

static void subscribe_ready(struct raw_subscriber *subscriber, const char *name, const char *origin)
{
    char topic[128];

    snprintf(topic, sizeof topic, "$ready/%s/%s", name, origin);
    raw_subscribe(subscriber, topic);
}

// ---- Heads

static void test_publisher_head_names_the_newest_event(void **state)
{
    (void)state;
    emit("a");
    emit("b");
    emit("a");
    emit(NULL);
    emit("c");
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
    raw_subscribe(&raw, "a/");
    assert_int_equal(raw_expect_head(&raw, "a/$head"), 3);
    assert_int_equal(raw.head.origin_size, strlen(talus_broadcaster_origin(bus)));
    assert_memory_equal(raw.head.origin, talus_broadcaster_origin(bus), raw.head.origin_size);
    raw_subscribe(&raw, "b/");
    assert_int_equal(raw_expect_head(&raw, "b/$head"), 2);
    raw_subscribe(&raw, "none/");
    assert_int_equal(raw_expect_head(&raw, "none/$head"), 0);
    raw_subscribe(&raw, "/");
    assert_int_equal(raw_expect_head(&raw, "/$head"), 4);
    raw_subscribe(&raw, "$bus/");
    assert_int_equal(raw_expect_head(&raw, "$bus/$hello"), 5);
    settle();
    assert_int_equal(stats().heads, 5);
    assert_int_equal(stats().subscriptions, 5);
    raw_subscribe(&raw, "");
    assert_int_equal(raw_expect_head(&raw, "*/$head"), 6);
}

static void test_publisher_answers_each_subscription(void **state)
{
    (void)state;
    struct raw_subscriber other;

    raw_subscribe(&raw, "s/");
    assert_int_equal(raw_expect_head(&raw, "s/$head"), 0);
    emit("s");
    raw_expect_event(&raw, "s/t");
    raw_open(&other, NULL);
    raw_connect(&other, talus_broadcaster_endpoint(bus));
    raw_subscribe(&other, "s/"); // not the topic's first subscription
    assert_int_equal(raw_expect_head(&other, "s/$head"), 1);
    assert_int_equal(raw_expect_head(&raw, "s/$head"), 1); // it reaches whoever is there
    raw_unsubscribe(&other, "s/");
    raw_subscribe(&other, "s/");
    assert_int_equal(raw_expect_head(&other, "s/$head"), 1);
    raw_close(&other);
}

static void test_publisher_answers_nothing_else(void **state)
{
    (void)state;
    char longest[400];
    memset(longest, 'x', sizeof longest);
    memcpy(longest + sizeof longest - 2, "/", 2);
    const char *others[] = {"s",        "s/t", "s/$head", "$else/",           "$ready/",
                            "$ready/x", "-s/", "*/",      "$ready/abc/def/g", longest};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        raw_subscribe(&raw, others[i]);
    raw_subscribe(&raw, "live/");
    assert_int_equal(raw_expect_head(&raw, "live/$head"), 0); // the first that comes
    settle();
    assert_int_equal(stats().heads, 1);
    assert_int_equal(stats().subscriptions, sizeof others / sizeof others[0] + 1);
}

// An XSUB may send anything upstream.
static void test_publisher_survives_strange_messages(void **state)
{
    (void)state;
    static const char subscription[] = "\1live/";
    const int none = 0;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_XSUB);

    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_connect(socket, talus_broadcaster_endpoint(bus)), 0);
    const struct {
        const char *bytes;
        size_t size;
        int flags;
    } frames[] = {{"", 0, 0},         {"\2live/", 6, 0},
                  {"hello", 5, 0},    {"one", 3, ZMQ_SNDMORE},
                  {"\1two/", 5, 0},   {"\0", 1, 0},
                  {"\0never/", 7, 0}, {subscription, sizeof subscription - 1, 0}};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        assert_int_equal(zmq_send(socket, frames[i].bytes, frames[i].size, frames[i].flags),
                         frames[i].size);
    char topic[32];
    const int deadline = RAW_DEADLINE_MS;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &deadline, sizeof deadline);
    assert_int_equal(zmq_recv(socket, topic, sizeof topic, 0), 10);
    assert_memory_equal(topic, "live/$head", 10);
    zmq_close(socket);
    zmq_ctx_term(context);
}

#define MANY 10000

static void test_publisher_answers_ten_thousand_at_once(void **state)
{
    (void)state;
    static unsigned heads[MANY];
    char text[32];
    unsigned index;

    memset(heads, 0, sizeof heads);
    for (int i = 0; i < MANY; i += 100) {
        snprintf(text, sizeof text, "s%d", i);
        emit(text);
    }
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "s%d/", i);
        raw_subscribe(&raw, text);
    }
    for (int i = 0; i < MANY; i++) {
        if (!raw_receive(&raw, RAW_DEADLINE_MS))
            fail_msg("only %d heads came", i);
        assert_int_equal(sscanf(raw.topic, "s%u/$head", &index), 1);
        assert_in_range(index, 0, MANY - 1);
        assert_int_equal(heads[index]++, 0);
        assert_int_equal(talus__head_decode(raw.frame, raw.frame_size, &raw.head), 0);
        assert_int_equal(raw.head.seq, index % 100 == 0 ? index / 100 + 1 : 0);
    }
    settle();
    assert_int_equal(stats().subscriptions, MANY);
    assert_int_equal(stats().heads, MANY);
}

// No event after a head may be missing, whatever goes on meanwhile.
static void *run_emitter(void *arg)
{
    for (int i = 0; i < 20000; i++)
        emit_to(arg, "busy");
    return NULL;
}

static void test_publisher_joins_while_events_flow_miss_nothing(void **state)
{
    (void)state;
    pthread_t emitter;
    uint64_t last = 0;

    assert_int_equal(pthread_create(&emitter, NULL, run_emitter, bus), 0);
    while (last < 20000) {
        // Each round joins anew, follows for a while, and leaves.
        struct raw_subscriber joiner;
        raw_open(&joiner, NULL);
        raw_connect(&joiner, talus_broadcaster_endpoint(bus));
        last = raw_subscribe_live(&joiner, "busy/");
        for (int i = 0; i < 2000 && last < 20000; i++) {
            raw_expect_event(&joiner, "busy/t");
            assert_int_equal(joiner.body.seq, last + 1);
            assert_int_equal(joiner.body.prev, last);
            last++;
        }
        raw_close(&joiner);
    }
    pthread_join(emitter, NULL);
}

// ---- Readiness

static void test_publisher_counts_ready_subscribers(void **state)
{
    (void)state;
    const char *origin = talus_broadcaster_origin(bus);
    struct raw_subscriber other;
    size_t ready = 99;

    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 0, 0, &ready), 0);
    assert_int_equal(ready, 0);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, 0, &ready), TALUS_ENOSUBSCRIBER);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, 1, NULL), TALUS_ENOSUBSCRIBER);

    subscribe_ready(&raw, SUBSCRIBER, "another0origin");
    subscribe_ready(&raw, SUBSCRIBER, origin);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, RAW_DEADLINE_MS, &ready), 0);
    assert_int_equal(ready, 1);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 2, 1, &ready), TALUS_ETIMEOUT);
    assert_int_equal(ready, 1);

    raw_open(&other, NULL);
    raw_connect(&other, talus_broadcaster_endpoint(bus));
    subscribe_ready(&other, OTHER, origin);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 2, -1, &ready), 0);
    assert_int_equal(ready, 2);
    assert_int_equal(stats().subscribers, 2);
    raw_close(&other); // its end counts as its unsubscribing
    stalled_log_wait(OTHER " left");
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 2, 0, &ready), TALUS_ETIMEOUT);
    assert_int_equal(ready, 1);

    char topic[128];
    snprintf(topic, sizeof topic, "$ready/" SUBSCRIBER "/%s", origin);
    raw_unsubscribe(&raw, topic);
    stalled_log_wait(SUBSCRIBER " left");
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, 0, &ready), TALUS_ENOSUBSCRIBER);
    assert_int_equal(stats().subscribers, 0);
}

// Subscriptions made before the readiness are live when it is seen.
static void test_publisher_ready_means_subscribed(void **state)
{
    (void)state;
    char session[32], topic[48];

    for (int i = 0; i < 1000; i++) {
        snprintf(session, sizeof session, "s%d/", i);
        raw_subscribe(&raw, session);
    }
    subscribe_ready(&raw, SUBSCRIBER, talus_broadcaster_origin(bus));
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, RAW_DEADLINE_MS, NULL), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(session, sizeof session, "s%d", i);
        emit(session);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(topic, sizeof topic, "s%d/t", i);
        raw_expect_event(&raw, topic);
    }
}

// ---- Several endpoints, and who connects

static void test_publisher_serves_several_endpoints(void **state)
{
    (void)state;
    char directory[SCRATCH_PATH_MAX], list[2 * SCRATCH_PATH_MAX], endpoints[2 * SCRATCH_PATH_MAX];
    struct raw_subscriber raws[3];
    talus_broadcaster_t *several;

    scratch_make(directory);
    snprintf(list, sizeof list, "tcp://127.0.0.1:*,@ipc://%s/s,inproc://several", directory);
    assert_int_equal(talus_broadcaster_new(&several, list, NULL), 0);
    snprintf(endpoints, sizeof endpoints, "%s", talus_broadcaster_endpoint(several));
    assert_null(strchr(endpoints, '*'));
    void *context = talus__context_ref();
    char *rest = NULL, *endpoint = strtok_r(endpoints, ",", &rest);
    for (int i = 0; i < 3; i++, endpoint = strtok_r(NULL, ",", &rest)) {
        assert_non_null(endpoint);
        raw_open(&raws[i], i == 2 ? context : NULL);
        raw_connect(&raws[i], endpoint);
        assert_int_equal(raw_subscribe_live(&raws[i], ""), 0);
    }
    assert_null(endpoint);
    emit_to(several, "s");
    for (int i = 0; i < 3; i++) {
        raw_expect_event(&raws[i], "s/t");
        assert_int_equal(raws[i].body.seq, 1);
        raw_close(&raws[i]);
    }
    talus__context_unref();
    talus_broadcaster_destroy(&several);
    scratch_remove(directory);
}

static void test_publisher_connects_to_a_subscriber(void **state)
{
    (void)state;
    char endpoint[128], list[160];
    struct raw_subscriber bound;
    talus_broadcaster_t *connecting;

    raw_open(&bound, NULL);
    raw_bind(&bound, endpoint, sizeof endpoint);
    raw_subscribe(&bound, "s/");
    snprintf(list, sizeof list, ">%s", endpoint);
    assert_int_equal(talus_broadcaster_new(&connecting, list, NULL), 0);
    assert_string_equal(talus_broadcaster_endpoint(connecting), endpoint);
    assert_int_equal(raw_expect_head(&bound, "s/$head"), 0);
    emit_to(connecting, "s");
    raw_expect_event(&bound, "s/t");
    raw_close(&bound);
    talus_broadcaster_destroy(&connecting);
}

// ---- The bus directory

static char bus_path[SCRATCH_PATH_MAX];

static int setup_directory(void **state)
{
    char list[SCRATCH_PATH_MAX + 16];

    (void)state;
    stalled_log_open();
    scratch_make(bus_path);
    snprintf(list, sizeof list, "ipc://%s/*", bus_path);
    assert_int_equal(talus_broadcaster_new(&bus, list, NULL), 0);
    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(bus));
    return 0;
}

static int teardown_directory(void **state)
{
    teardown(state);
    scratch_remove(bus_path);
    return 0;
}

// What was sent while nobody was there is not kept for whoever binds there next.
static void test_publisher_keeps_nothing_for_a_successor(void **state)
{
    (void)state;
    struct raw_subscriber first, second;
    char endpoint[128], connected[160];
    talus_broadcaster_t *other;

    raw_open(&first, NULL);
    raw_bind(&first, endpoint, sizeof endpoint);
    snprintf(connected, sizeof connected, ">%s", endpoint);
    assert_int_equal(talus_broadcaster_new(&other, connected, NULL), 0);
    raw_subscribe_live(&first, "s/");
    emit_to(other, "s");
    raw_expect_event(&first, "s/t");
    raw_close(&first);
    for (int i = 0; i < 1000; i++)
        emit_to(other, "s");
    assert_int_equal(talus_broadcaster_flush(other, RAW_DEADLINE_MS), 0);
    raw_open(&second, NULL);
    assert_int_equal(zmq_bind(second.socket, endpoint), 0);
    raw_subscribe(&second, "s/");
    assert_int_equal(raw_expect_head(&second, "s/$head"), 1001); // the first that comes
    raw_close(&second);
    talus_broadcaster_destroy(&other);
}

static void test_publisher_waits_for_all_who_live_in_the_directory(void **state)
{
    (void)state;
    const char *origin = talus_broadcaster_origin(bus);
    struct talus__claim claim, other;
    size_t ready;

    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 0, 0, NULL), 0);
    assert_int_equal(talus__directory_claim(bus_path, TALUS__ROLE_SUBSCRIBER, SUBSCRIBER, &claim),
                     0);
    assert_int_equal(talus__directory_claim(bus_path, TALUS__ROLE_SUBSCRIBER, OTHER, &other), 0);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 0, 1, &ready), TALUS_ETIMEOUT);
    assert_int_equal(ready, 0);
    subscribe_ready(&raw, SUBSCRIBER, origin);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, 1, NULL), TALUS_ETIMEOUT);
    subscribe_ready(&raw, OTHER, origin);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, RAW_DEADLINE_MS, &ready), 0);
    assert_int_equal(ready, 2);
    talus__directory_release(&claim, false);
    talus__directory_release(&other, false);
}

// A subscriber that never gets ready must not hold up the emitter once it is dead: the death itself
// ends the wait, as nothing else happens.
static void test_publisher_waits_for_no_dead_subscriber(void **state)
{
    (void)state;
    int claimed[2];
    char byte;

    assert_int_equal(pipe(claimed), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct talus__claim claim;
        if (talus__directory_claim(bus_path, TALUS__ROLE_SUBSCRIBER, SUBSCRIBER, &claim) == 0 &&
            write(claimed[1], "c", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(claimed[0], &byte, 1), 1);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 0, 1, NULL), TALUS_ETIMEOUT);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 0, RAW_DEADLINE_MS, NULL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(claimed[0]);
    close(claimed[1]);
}

// ---- Signals

static void on_alarm(int number)
{
    (void)number;
}

static struct sigaction alarm_before;

// Sends SIGALRM every 10 ms, since the first may come before the wait.
static void start_alarms(void)
{
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    const struct itimerval soon = {.it_value = {.tv_usec = 10000},
                                   .it_interval = {.tv_usec = 10000}};

    assert_int_equal(sigaction(SIGALRM, &action, &alarm_before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
}

static void stop_alarms(void)
{
    const struct itimerval never = {.it_value = {0}};

    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    sigaction(SIGALRM, &alarm_before, NULL);
}

static void test_publisher_wait_for_subscribers_ends_at_a_signal(void **state)
{
    (void)state;
    size_t ready = 99;

    start_alarms();
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, RAW_DEADLINE_MS, &ready),
                     TALUS_ETIMEOUT);
    assert_int_equal(errno, EINTR);
    assert_int_equal(ready, 0);
    stop_alarms();
    errno = EINTR;
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, 0, &ready), TALUS_ENOSUBSCRIBER);
    assert_int_not_equal(errno, EINTR);
    subscribe_ready(&raw, SUBSCRIBER, talus_broadcaster_origin(bus));
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, RAW_DEADLINE_MS, NULL), 0);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 2, 1, NULL), TALUS_ETIMEOUT);
    assert_int_not_equal(errno, EINTR);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_DIRECTORY(name)                                                                       \
    cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
    const struct CMUnitTest tests[] = {
        TEST(test_publisher_head_names_the_newest_event),
        TEST(test_publisher_answers_each_subscription),
        TEST(test_publisher_answers_nothing_else),
        TEST(test_publisher_survives_strange_messages),
        TEST(test_publisher_answers_ten_thousand_at_once),
        TEST(test_publisher_joins_while_events_flow_miss_nothing),
        TEST(test_publisher_counts_ready_subscribers),
        TEST(test_publisher_wait_for_subscribers_ends_at_a_signal),
        TEST(test_publisher_ready_means_subscribed),
        TEST(test_publisher_serves_several_endpoints),
        TEST(test_publisher_connects_to_a_subscriber),
        TEST(test_publisher_keeps_nothing_for_a_successor),
        TEST_DIRECTORY(test_publisher_waits_for_all_who_live_in_the_directory),
        TEST_DIRECTORY(test_publisher_waits_for_no_dead_subscriber),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
