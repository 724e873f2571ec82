// SPDX-License-Identifier: MIT
// The ring of messages that wait for a subscriber, over a pair of inproc sockets; and the guard
// that fills it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/inbox.h"
#include "bus/src/zmq/sub/sub_socket.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/failing_memory.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define ALL        1000000 // for pulls that reach the end
#define LARGE      1000000 // bytes
#define LOOKS      50

struct fixture {
    void *context;
    void *sender;
    struct talus__inbox_bound bound;
    struct talus__inbox inbox;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    const int unbounded = 0;

    assert_non_null(fixture);
    fixture->context = zmq_ctx_new();
    fixture->sender = zmq_socket(fixture->context, ZMQ_PUSH);
    fixture->inbox.socket = zmq_socket(fixture->context, ZMQ_PULL);
    fixture->inbox.bound = &fixture->bound;
    fixture->bound.max_bytes = SIZE_MAX / 2;
    zmq_setsockopt(fixture->sender, ZMQ_SNDHWM, &unbounded, sizeof unbounded);
    zmq_setsockopt(fixture->inbox.socket, ZMQ_RCVHWM, &unbounded, sizeof unbounded);
    assert_int_equal(zmq_bind(fixture->inbox.socket, "inproc://inbox"), 0);
    assert_int_equal(zmq_connect(fixture->sender, "inproc://inbox"), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    talus__inbox_fini(&fixture->inbox);
    zmq_close(fixture->sender);
    zmq_close(fixture->inbox.socket);
    zmq_ctx_term(fixture->context);
    free(fixture);
    return 0;
}

// ---- What is sent and taken

static void send_sized(struct fixture *fixture, const char *topic, int number, size_t size)
{
    char *body = calloc(1, size + 16);

    assert_non_null(body);
    snprintf(body, 16, "%d", number);
    assert_true(zmq_send(fixture->sender, topic, strlen(topic), ZMQ_SNDMORE) >= 0);
    assert_true(zmq_send(fixture->sender, body, size, 0) >= 0);
    free(body);
}

// Sends events or markers `first` to `last`, whose bodies are numbers.
static void send_range(struct fixture *fixture, const char *topic, int first, int last)
{
    for (int number = first; number <= last; number++)
        send_sized(fixture, topic, number, 8);
}

// Returns how many bytes the body has.
static size_t expect_taken_from(struct talus__inbox *inbox, const char *topic, int number)
{
    struct talus__source source;
    char digits[16] = "";
    zmq_msg_t frames[2];

    assert_true(inbox->count > 0);
    zmq_msg_init(&frames[0]);
    zmq_msg_init(&frames[1]);
    talus__inbox_take(inbox, &frames[0], &frames[1], &source);
    assert_true(source.is_kept);
    assert_int_equal(zmq_msg_size(&frames[0]), strlen(topic));
    assert_memory_equal(zmq_msg_data(&frames[0]), topic, strlen(topic));
    size_t size = zmq_msg_size(&frames[1]);
    memcpy(digits, zmq_msg_data(&frames[1]), size < sizeof digits ? size : sizeof digits - 1);
    assert_int_equal(atoi(digits), number);
    zmq_msg_close(&frames[0]);
    zmq_msg_close(&frames[1]);
    return size;
}

static void expect_taken(struct fixture *fixture, const char *topic, int number)
{
    expect_taken_from(&fixture->inbox, topic, number);
}

static void expect_range(struct fixture *fixture, const char *topic, int first, int last)
{
    for (int number = first; number <= last; number++)
        expect_taken(fixture, topic, number);
}

static void pull_all(struct fixture *fixture)
{
    talus__inbox_pull(&fixture->inbox, ALL);
    assert_true(fixture->inbox.is_emptied);
}

static void expect_empty(const struct fixture *fixture)
{
    assert_int_equal(fixture->inbox.count, 0);
    assert_int_equal(fixture->inbox.bytes, 0);
    assert_int_equal(fixture->bound.bytes, 0);
}

// ---- The ring

static void test_the_order_is_kept(void **state)
{
    struct fixture *fixture = *state;

    send_range(fixture, "s/a", 1, 100);
    pull_all(fixture);
    assert_int_equal(fixture->inbox.count, 100);
    expect_range(fixture, "s/a", 1, 60);
    send_range(fixture, "s/a", 101, 1000); // the ring goes round, and grows
    pull_all(fixture);
    expect_range(fixture, "s/a", 61, 1000);
    expect_empty(fixture);
    assert_int_equal(fixture->bound.dropped, 0);
    send_range(fixture, "s/a", 1001, 1003);
    pull_all(fixture);
    expect_range(fixture, "s/a", 1001, 1003);
}

static void test_one_pull_is_bounded(void **state)
{
    struct fixture *fixture = *state;

    send_range(fixture, "s/a", 1, 25);
    talus__inbox_pull(&fixture->inbox, 10);
    assert_int_equal(fixture->inbox.count, 10);
    assert_false(fixture->inbox.is_emptied);
    talus__inbox_pull(&fixture->inbox, 15); // all is read, but that is not known
    assert_int_equal(fixture->inbox.count, 25);
    assert_false(fixture->inbox.is_emptied);
    talus__inbox_pull(&fixture->inbox, 10);
    assert_true(fixture->inbox.is_emptied);
    expect_range(fixture, "s/a", 1, 25);
}

// What is dropped counts too: dropping is no way to go on for ever.
static void test_a_pull_that_drops_is_bounded(void **state)
{
    struct fixture *fixture = *state;

    fixture->inbox.max_messages = 5;
    send_range(fixture, "s/a", 1, 25);
    talus__inbox_pull(&fixture->inbox, 10);
    assert_int_equal(fixture->bound.dropped, 5);
    assert_false(fixture->inbox.is_emptied);
}

static void test_messages_are_bounded(void **state)
{
    struct fixture *fixture = *state;

    fixture->inbox.max_messages = 10;
    send_range(fixture, "s/a", 1, 25);
    pull_all(fixture);
    assert_int_equal(fixture->inbox.count, 10);
    assert_int_equal(fixture->bound.dropped, 15);
    expect_taken(fixture, "s/a", 1);
    send_range(fixture, "s/a", 26, 27); // there is room for one
    pull_all(fixture);
    assert_int_equal(fixture->bound.dropped, 16);
    expect_range(fixture, "s/a", 2, 10);
    expect_taken(fixture, "s/a", 26);
    expect_empty(fixture);
}

static void test_bytes_are_bounded(void **state)
{
    struct fixture *fixture = *state;

    fixture->bound.max_bytes = 10 * (TALUS__INBOX_OVERHEAD + strlen("s/a") + 1000);
    for (int number = 1; number <= 12; number++)
        send_sized(fixture, "s/a", number, 1000);
    pull_all(fixture);
    assert_int_equal(fixture->inbox.count, 10);
    assert_int_equal(fixture->inbox.bytes, fixture->bound.max_bytes);
    assert_int_equal(fixture->bound.dropped, 2);
    expect_range(fixture, "s/a", 1, 10);
    expect_empty(fixture);
}

static void test_markers_have_a_quarter_more(void **state)
{
    static const char *const markers[] = {"s/$head", "$bus/$beat"};

    for (size_t i = 0; i < 2; i++) {
        struct fixture *fixture = *state;
        fixture->inbox.max_messages = 20;
        send_range(fixture, "s/a", 1, 30);
        send_range(fixture, markers[i], 1, 30);
        send_range(fixture, "s/a", 31, 31);
        pull_all(fixture);
        assert_int_equal(fixture->inbox.count, 20 + 20 / 4 + 1);
        assert_int_equal(fixture->bound.dropped, (i + 1) * (10 + 24 + 1));
        expect_range(fixture, "s/a", 1, 20);
        expect_range(fixture, markers[i], 1, 6);
        expect_empty(fixture);
    }
}

static void test_bytes_of_markers_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    size_t event = TALUS__INBOX_OVERHEAD + strlen("s/a") + 8;

    fixture->bound.max_bytes = 40 * event;
    send_range(fixture, "s/a", 1, 50);
    send_range(fixture, "$bus/$beat", 1, 50);
    pull_all(fixture);
    assert_in_range(fixture->inbox.count, 41, 50);
    assert_true(fixture->inbox.bytes <= fixture->bound.max_bytes / 4 * 5);
    assert_int_equal(fixture->inbox.count + fixture->bound.dropped, 100);
}

static void test_a_large_message_is_taken_alone(void **state)
{
    struct fixture *fixture = *state;

    fixture->bound.max_bytes = 1000;
    send_sized(fixture, "s/a", 1, LARGE);
    send_sized(fixture, "s/a", 2, LARGE);
    send_range(fixture, "s/a", 3, 3);
    pull_all(fixture);
    assert_int_equal(fixture->inbox.count, 1);
    assert_int_equal(fixture->bound.dropped, 2);
    expect_taken(fixture, "s/a", 1);
    expect_empty(fixture);
}

// Whether they are copied or not.
static void test_frames_of_all_sizes_come_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 33, 34, 35, 8191, 8192, 8193, 100000};
    struct fixture *fixture = *state;
    char topic[70];

    for (size_t length = 3; length < sizeof topic; length++) {
        memset(topic, 's', length);
        memcpy(topic + length - 2, "/a", 3);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            send_sized(fixture, topic, (int)i, sizes[i]);
        pull_all(fixture);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            int number = sizes[i] > 0 ? (int)i : 0;
            assert_int_equal(expect_taken_from(&fixture->inbox, topic, number), sizes[i]);
        }
    }
    expect_empty(fixture);
}

// ---- Streams: the inboxes of clients

static size_t size_in_ring(const char *topic, size_t size)
{
    return TALUS__INBOX_OVERHEAD + strlen(topic) + size;
}

// What ends an answer would else say that all of it has come.
static void test_a_stream_keeps_its_beginning(void **state)
{
    struct fixture *fixture = *state;

    fixture->inbox.is_stream = true;
    fixture->bound.max_bytes = 3 * size_in_ring("s/a", 1000);
    send_sized(fixture, "s/a", 1, 1000);
    send_sized(fixture, "s/a", 2, 1000);
    send_sized(fixture, "s/a", 3, 5000); // has no room
    send_sized(fixture, "s/a", 4, 8);    // would have
    send_sized(fixture, "s/$end", 5, 8);
    pull_all(fixture);
    assert_true(fixture->inbox.is_cut);
    assert_int_equal(fixture->bound.dropped, 3);
    expect_range(fixture, "s/a", 1, 2);
    expect_empty(fixture);
    send_sized(fixture, "s/$end", 6, 8); // it is not known yet that it must be asked again
    pull_all(fixture);
    expect_empty(fixture);
    fixture->inbox.is_cut = false;
    send_sized(fixture, "s/a", 3, 5000);
    pull_all(fixture);
    expect_taken(fixture, "s/a", 3);
}

static void test_a_stream_that_has_no_memory_keeps_its_beginning(void **state)
{
    struct fixture *fixture = *state;

    fixture->inbox.is_stream = true;
    send_range(fixture, "s/a", 1, 70);
    talus__inbox_pull(&fixture->inbox, 64);
    begin_failing(1); // when the ring has to grow
    pull_all(fixture);
    assert_true(end_failing());
    assert_int_equal(fixture->inbox.count, 64);
    assert_int_equal(fixture->bound.dropped, 6);
}

// On the bus, where `prev` and heads tell of a loss, room is used as it comes.
static void test_the_bus_is_no_stream(void **state)
{
    struct fixture *fixture = *state;

    fixture->bound.max_bytes = 2 * size_in_ring("s/a", 1000);
    send_sized(fixture, "s/a", 1, 1000);
    send_sized(fixture, "s/a", 2, 5000);
    send_sized(fixture, "s/a", 3, 8);
    pull_all(fixture);
    assert_int_equal(fixture->bound.dropped, 1);
    expect_taken(fixture, "s/a", 1);
    expect_taken(fixture, "s/a", 3);
}

// Another inbox with the same bound.
static void open_other(struct fixture *fixture, struct talus__inbox *other, void **sender)
{
    const int unbounded = 0;

    *other = (struct talus__inbox){.socket = zmq_socket(fixture->context, ZMQ_PULL),
                                   .bound = &fixture->bound,
                                   .is_stream = true,
                                   .least_bytes = fixture->inbox.least_bytes};
    *sender = zmq_socket(fixture->context, ZMQ_PUSH);
    zmq_setsockopt(*sender, ZMQ_SNDHWM, &unbounded, sizeof unbounded);
    zmq_setsockopt(other->socket, ZMQ_RCVHWM, &unbounded, sizeof unbounded);
    assert_int_equal(zmq_bind(other->socket, "inproc://other"), 0);
    assert_int_equal(zmq_connect(*sender, "inproc://other"), 0);
}

static void test_inboxes_share_a_bound(void **state)
{
    struct fixture *fixture = *state;
    struct fixture second = {.context = fixture->context};
    struct talus__inbox other;
    const size_t size = size_in_ring("s/a", 1000);

    fixture->inbox.is_stream = true;
    fixture->inbox.least_bytes = 2 * size;
    fixture->bound.max_bytes = 10 * size;
    open_other(fixture, &other, &second.sender);
    for (int number = 1; number <= 20; number++) {
        send_sized(fixture, "s/a", number, 1000);
        send_sized(&second, "s/a", number, 1000);
    }
    pull_all(fixture);
    talus__inbox_pull(&other, ALL);
    assert_int_equal(fixture->inbox.count, 10);
    assert_int_equal(other.count, 2); // its least
    assert_int_equal(fixture->bound.bytes, 12 * size);
    assert_int_equal(fixture->bound.dropped, 10 + 18);
    for (int number = 1; number <= 2; number++)
        expect_taken_from(&other, "s/a", number);
    other.is_cut = false;
    send_sized(&second, "s/a", 3, LARGE); // nothing is left for more than the least
    talus__inbox_pull(&other, ALL);
    assert_int_equal(other.count, 0);
    expect_range(fixture, "s/a", 1, 1);
    other.is_cut = false;
    send_sized(&second, "s/a", 3, LARGE); // there is: one message may be larger than the rest
    talus__inbox_pull(&other, ALL);
    assert_int_equal(other.count, 1);
    talus__inbox_fini(&other);
    expect_range(fixture, "s/a", 2, 10);
    expect_empty(fixture);
    zmq_close(second.sender);
    zmq_close(other.socket);
}

// ---- What is wrong

static void test_malformed_messages_are_counted(void **state)
{
    struct fixture *fixture = *state;

    send_range(fixture, "s/a", 1, 1);
    zmq_send(fixture->sender, "one", 3, 0);
    zmq_send(fixture->sender, "", 0, 0);
    for (int frames = 3; frames <= 5; frames++) {
        for (int i = 1; i <= frames; i++)
            zmq_send(fixture->sender, "s/a", 3, i < frames ? ZMQ_SNDMORE : 0);
    }
    send_range(fixture, "", 2, 2); // has two frames; what it says is for its reader to judge
    pull_all(fixture);
    assert_int_equal(fixture->bound.malformed, 5);
    assert_int_equal(fixture->bound.dropped, 0);
    expect_taken(fixture, "s/a", 1);
    expect_taken(fixture, "", 2);
    expect_empty(fixture);
}

static void test_memory_that_fails_drops(void **state)
{
    struct fixture *fixture = *state;

    send_range(fixture, "s/a", 1, 2);
    begin_failing(1); // of the ring: ZeroMQ's allocations are its own
    pull_all(fixture);
    assert_true(end_failing());
    assert_int_equal(fixture->bound.dropped, 1);
    expect_taken(fixture, "s/a", 2);
    send_range(fixture, "s/a", 3, 70);
    begin_failing(1); // when it has to grow
    pull_all(fixture);
    assert_true(end_failing());
    assert_int_equal(fixture->bound.dropped, 2);
    assert_int_equal(fixture->inbox.count, 67);
    expect_taken(fixture, "s/a", 3);
    talus__inbox_fini(&fixture->inbox); // with messages in it
    expect_empty(fixture);
}

// ---- The guard, at a post with more than it can read at once

struct flooded {
    struct talus__post post;
    atomic_int pulls;
    sem_t pulled; // once for each of them
};

static bool is_never_empty(void *arg)
{
    (void)arg;
    return false;
}

static bool pull_a_part(void *arg, bool is_away)
{
    struct flooded *flooded = arg;

    (void)is_away;
    atomic_fetch_add(&flooded->pulls, 1);
    sem_post(&flooded->pulled);
    return true;
}

static void wait_pulled(struct flooded *flooded)
{
    struct timespec deadline;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += EXPECT_DEADLINE_MS / 1000;
    assert_int_equal(sem_timedwait(&flooded->pulled, &deadline), 0);
}

static void test_an_owner_has_its_turn_under_a_flood(void **state)
{
    struct flooded flooded = {.post = {.is_empty = is_never_empty,
                                       .pull = pull_a_part,
                                       .arg = &flooded,
                                       .wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)}};

    (void)state;
    assert_int_equal(sem_init(&flooded.pulled, 0, 0), 0);
    assert_int_equal(talus__guard_add(&flooded.post), 0);
    talus__guard_ask(&flooded.post);
    for (int i = 0; i < LOOKS; i++) {
        wait_pulled(&flooded); // the guard is at it again, though the owner was there
        talus__post_enter(&flooded.post);
        int before = atomic_load(&flooded.pulls);
        sched_yield(); // to the guard, which must not read now
        assert_int_equal(atomic_load(&flooded.pulls), before);
        while (sem_trywait(&flooded.pulled) == 0)
            continue; // the next one is to come after this
        talus__post_leave(&flooded.post, false);
    }
    talus__guard_remove(&flooded.post, false);
    sem_destroy(&flooded.pulled);
    close(flooded.post.wake);
}

// A socket that cannot subscribe is no matter of its endpoint.
static void test_sub_socket_tells_that_it_cannot_subscribe(void **state)
{
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_PUSH);

    (void)state;
    assert_int_equal(talus__sub_subscribe(socket, "s/", 2), TALUS_ESYSTEM);
    assert_int_equal(talus__sub_unsubscribe(socket, "s/", 2), TALUS_ESYSTEM);
    zmq_close(socket);
    zmq_ctx_term(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_order_is_kept),
        TEST(test_one_pull_is_bounded),
        TEST(test_a_pull_that_drops_is_bounded),
        TEST(test_messages_are_bounded),
        TEST(test_bytes_are_bounded),
        TEST(test_markers_have_a_quarter_more),
        TEST(test_bytes_of_markers_are_bounded),
        TEST(test_a_large_message_is_taken_alone),
        TEST(test_frames_of_all_sizes_come_whole),
        TEST(test_a_stream_keeps_its_beginning),
        TEST(test_a_stream_that_has_no_memory_keeps_its_beginning),
        TEST(test_the_bus_is_no_stream),
        TEST(test_inboxes_share_a_bound),
        TEST(test_malformed_messages_are_counted),
        TEST(test_memory_that_fails_drops),
        cmocka_unit_test(test_an_owner_has_its_turn_under_a_flood),
        cmocka_unit_test(test_sub_socket_tells_that_it_cannot_subscribe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
