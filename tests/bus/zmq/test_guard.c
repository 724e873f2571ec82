// SPDX-License-Identifier: MIT
// The guard hears of what waits for a subscriber, also if the subscriber has taken in what ZeroMQ's
// descriptor had to tell: connecting and disconnecting do that. It leaves what waits to an owner
// that goes on taking messages.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/subscriber/instance.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/directory/directory.h"
#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/instance.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/repair_fixture.h"

#define BOUND 5 // messages
#define FLOOD 1000

// ---- A post that keeps the guard busy

struct busy_post {
    struct talus__post post;
    atomic_bool is_held;
    atomic_bool is_released;
};

static bool is_released(void *arg)
{
    struct busy_post *busy = arg;

    return atomic_load(&busy->is_released);
}

static bool hold(void *arg, bool is_away)
{
    struct busy_post *busy = arg;

    (void)is_away;
    atomic_store(&busy->is_held, true);
    while (!atomic_load(&busy->is_released))
        pass_ms(1);
    return false;
}

static void hold_guard(struct busy_post *busy)
{
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    *busy = (struct busy_post){.post = {.is_empty = is_released,
                                        .pull = hold,
                                        .arg = busy,
                                        .wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)}};
    assert_int_equal(talus__guard_add(&busy->post), 0);
    talus__guard_ask(&busy->post);
    while (!atomic_load(&busy->is_held)) {
        assert_true(tl_monotonic_ms() < deadline);
        pass_ms(1);
    }
}

static void release_guard(struct busy_post *busy)
{
    atomic_store(&busy->is_released, true);
}

static void end_busy_post(struct busy_post *busy)
{
    talus__guard_remove(&busy->post, false);
    close(busy->post.wake);
}

// ---- A post that never gets empty

struct full_post {
    struct talus__post post;
    pthread_t owner;
    atomic_int by_owner;
    atomic_int by_guard;
};

static bool is_never_empty(void *arg)
{
    (void)arg;
    return false;
}

static bool count_pull(void *arg, bool is_away)
{
    struct full_post *full = arg;

    (void)is_away;
    atomic_fetch_add(pthread_equal(pthread_self(), full->owner) ? &full->by_owner : &full->by_guard,
                     1);
    return false;
}

// ---- A broadcaster that accepts connections and says nothing

static int listen_silently(const struct repair_fixture *fixture, const char *name,
                           struct talus__claim *claim)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char directory[SCRATCH_PATH_MAX];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    scratch_join(directory, fixture->root, "bus");
    assert_true(fd >= 0);
    assert_in_range(
        snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.pub", directory, name), 1,
        sizeof address.sun_path - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(talus__directory_claim(directory, TALUS__ROLE_PUBLISHER, name, claim), 0);
    return fd;
}

// ---- The subscriber

// Until an event comes; then until nothing does.
static void exchange(talus_subscriber_t *subscriber, struct raw_publisher *raw, uint64_t *seq)
{
    const talus_delivery_t *delivery;
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    do {
        assert_true(tl_monotonic_ms() < deadline);
        raw_publish(raw, "s/t", *seq + 1, *seq);
        ++*seq;
    } while (talus_subscriber_receive(subscriber, 20, &delivery) != 0);
    while (talus_subscriber_receive(subscriber, 20, &delivery) == 0)
        assert_true(tl_monotonic_ms() < deadline);
}

// Until the guard has done all that it was asked for, and there was nothing.
static void settle(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    do {
        while (atomic_load(&talus__zmq_receive_of(subscriber->core.transport)->post.is_asked)) {
            assert_true(tl_monotonic_ms() < deadline);
            pass_ms(1);
        }
        assert_int_equal(talus_subscriber_receive(subscriber, 0, &delivery), TALUS_ETIMEOUT);
    } while (atomic_load(&talus__zmq_receive_of(subscriber->core.transport)->post.is_asked));
}

static void wait_until_dropped(struct repair_fixture *fixture, uint64_t before)
{
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    while (repair_stats_of(fixture).receive_dropped == before) {
        assert_true(tl_monotonic_ms() < deadline);
        pass_ms(1);
    }
}

// It joins while an event has just come, of which the guard has not heard yet; joining connects to
// a broadcaster that has just come. Then it stands still.
static void test_the_guard_is_told_after_connecting(void **state)
{
    struct repair_fixture *fixture = *state;
    struct raw_publisher raw;
    struct busy_post busy;
    struct talus__claim claim;
    char endpoints[ENDPOINT_MAX + 300];
    uint64_t seq = 0;

    raw_publisher_open(&raw, ZMQ_PUB, "plain001", NULL);
    raw_publisher_bind(&raw, NULL);
    snprintf(endpoints, sizeof endpoints, "%s,%s", fixture->bus, raw.endpoint);
    fixture->options.receive_high_water_mark = BOUND;
    talus_subscriber_t *subscriber = repair_subscribe(fixture, endpoints);
    join_live(subscriber, "s");
    exchange(subscriber, &raw, &seq);
    struct pollfd input = {.fd = talus_subscriber_descriptor(subscriber), .events = POLLIN};
    settle(subscriber);
    hold_guard(&busy);
    assert_int_equal(poll(&input, 1, 0), 0);
    raw_publish(&raw, "s/t", seq + 1, seq);
    assert_int_equal(poll(&input, 1, EXPECT_DEADLINE_MS), 1);
    int silent = listen_silently(fixture, "silent01", &claim);
    assert_int_equal(talus_subscriber_join(subscriber, "other"), 0);
    uint64_t before = repair_stats_of(fixture).receive_dropped;
    release_guard(&busy);
    for (int i = 0; i < FLOOD; i++, seq++)
        raw_publish(&raw, "s/t", seq + 2, seq + 1);
    wait_until_dropped(fixture, before);
    end_busy_post(&busy);
    talus__directory_release(&claim, false);
    close(silent);
    raw_publisher_close(&raw);
}

// One that goes on, but never gets to the end, reads by itself; one that stands still is read for.
static void test_an_owner_that_goes_on_is_left_alone(void **state)
{
    struct full_post full = {.post = {.is_empty = is_never_empty,
                                      .pull = count_pull,
                                      .arg = &full,
                                      .wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)},
                             .owner = pthread_self()};
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    (void)state;
    assert_int_equal(talus__guard_add(&full.post), 0);
    // A pause of this thread may let the guard read, but not as often as it is asked to.
    while (atomic_load(&full.by_owner) < atomic_load(&full.by_guard) + 5) {
        assert_true(tl_monotonic_ms() < deadline);
        talus__post_enter(&full.post);
        talus__post_tend(&full.post);
        talus__post_leave(&full.post, false);
        pass_ms(1);
    }
    int before = atomic_load(&full.by_guard);
    while (atomic_load(&full.by_guard) == before) {
        assert_true(tl_monotonic_ms() < deadline);
        pass_ms(1);
    }
    talus__guard_remove(&full.post, false);
    close(full.post.wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_guard_is_told_after_connecting, repair_set_up,
                                        repair_tear_down),
        cmocka_unit_test(test_an_owner_that_goes_on_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
