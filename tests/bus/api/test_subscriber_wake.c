// SPDX-License-Identifier: MIT
// talus_subscriber_wake: a receive returns, whoever asks for it and whatever else there is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <talus/broadcaster.h>
#include <talus/error.h>
#include <talus/subscriber.h>

#include "tests/bus/support/api_fixture.h"
#include "tests/bus/support/expect.h"

#define ROUNDS 2000

static void begin_broadcast(struct api_fixture *fixture)
{
    assert_int_equal(talus_broadcaster_new(&fixture->broadcaster, fixture->bus, NULL), 0);
    pump_until(fixture->subscriber, origins_are, 1);
    join_live(fixture->subscriber, "s");
}

static talus_error_t receive(talus_subscriber_t *subscriber, int timeout_ms)
{
    const talus_delivery_t *delivery;

    return talus_subscriber_receive(subscriber, timeout_ms, &delivery);
}

static void expect_quiet(talus_subscriber_t *subscriber)
{
    talus_error_t error;

    while ((error = receive(subscriber, 0)) == 0)
        ;
    assert_int_equal(error, TALUS_ETIMEOUT);
}

// One that comes before the call is kept for it, and several are one.
static void test_wake_before_the_call_is_not_lost(void **state)
{
    struct api_fixture *fixture = *state;

    for (int i = 0; i < 3; i++)
        talus_subscriber_wake(fixture->subscriber);
    assert_int_equal(receive(fixture->subscriber, -1), TALUS_EWOKEN);
    assert_int_equal(receive(fixture->subscriber, 0), TALUS_ETIMEOUT);
    talus_subscriber_wake(fixture->subscriber);
    assert_int_equal(receive(fixture->subscriber, 0), TALUS_EWOKEN);
    assert_int_equal(receive(fixture->subscriber, 0), TALUS_ETIMEOUT);
}

// What there is to deliver comes after it, all of it.
static void test_wake_comes_before_what_there_is(void **state)
{
    struct api_fixture *fixture = *state;
    const talus_emit_t event = {.session = "s", .type = "t"};

    begin_broadcast(fixture);
    for (int i = 0; i < 3; i++)
        assert_int_equal(talus_emit(fixture->broadcaster, &event, NULL), 0);
    expect_event(fixture->subscriber, NULL, "s", "t");
    talus_subscriber_wake(fixture->subscriber);
    assert_int_equal(receive(fixture->subscriber, -1), TALUS_EWOKEN);
    for (int i = 0; i < 2; i++)
        expect_event(fixture->subscriber, NULL, "s", "t");
}

static bool is_readable(talus_subscriber_t *subscriber, int timeout_ms)
{
    struct pollfd item = {.fd = talus_subscriber_descriptor(subscriber), .events = POLLIN};
    int count = poll(&item, 1, timeout_ms);

    assert_true(count >= 0);
    return count == 1;
}

static void test_wake_makes_the_descriptor_readable(void **state)
{
    struct api_fixture *fixture = *state;
    const talus_emit_t event = {.session = "s", .type = "t"};

    begin_broadcast(fixture);
    expect_quiet(fixture->subscriber);
    for (int i = 0; i < 100; i++) {
        assert_false(is_readable(fixture->subscriber, 0));
        talus_subscriber_wake(fixture->subscriber);
        assert_true(is_readable(fixture->subscriber, 0));
        assert_int_equal(receive(fixture->subscriber, 0), TALUS_EWOKEN);
        assert_int_equal(receive(fixture->subscriber, 0), TALUS_ETIMEOUT);
    }
    // It does not swallow what makes it readable for events.
    assert_int_equal(talus_emit(fixture->broadcaster, &event, NULL), 0);
    assert_true(is_readable(fixture->subscriber, EXPECT_DEADLINE_MS));
    expect_event(fixture->subscriber, NULL, "s", "t");
}

// ---- Threads

struct waker {
    talus_subscriber_t *subscriber;
    atomic_uint woken; // by the thread
    atomic_uint told;  // to the owner
    atomic_bool is_over;
};

static void *wake_again_and_again(void *arg)
{
    struct waker *waker = arg;

    for (unsigned i = 1; i <= ROUNDS && !atomic_load(&waker->is_over); i++) {
        atomic_store(&waker->woken, i);
        talus_subscriber_wake(waker->subscriber);
        while (atomic_load(&waker->told) < i && !atomic_load(&waker->is_over))
            sched_yield();
    }
    return NULL;
}

// Each wake of the thread makes one call return. `events`: how many came meanwhile.
static void expect_woken(struct waker *waker, unsigned *events)
{
    unsigned told = 0;
    talus_error_t error = TALUS_OK;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, wake_again_and_again, waker), 0);
    while (told < ROUNDS && (error == TALUS_OK || error == TALUS_EWOKEN)) {
        error = receive(waker->subscriber, EXPECT_DEADLINE_MS);
        *events += error == TALUS_OK;
        if (error == TALUS_EWOKEN && atomic_load(&waker->woken) == told + 1)
            atomic_store(&waker->told, ++told);
        else if (error == TALUS_EWOKEN)
            break; // nobody had asked for it
    }
    atomic_store(&waker->is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(told, ROUNDS);
}

static void test_wake_ends_a_wait(void **state)
{
    struct api_fixture *fixture = *state;
    struct waker waker = {.subscriber = fixture->subscriber};
    unsigned events = 0;

    expect_woken(&waker, &events);
    assert_int_equal(events, 0);
    assert_int_equal(receive(fixture->subscriber, 0), TALUS_ETIMEOUT);
}

static void *emit_all_the_time(void *arg)
{
    struct api_fixture *fixture = arg;
    const talus_emit_t event = {.session = "s", .type = "t"};

    for (unsigned i = 0; i < 10 * ROUNDS; i++) {
        while (talus_emit(fixture->broadcaster, &event, NULL) == TALUS_EQUEUEFULL)
            sched_yield();
    }
    return NULL;
}

static void test_wake_is_told_in_a_flood(void **state)
{
    struct api_fixture *fixture = *state;
    struct waker waker = {.subscriber = fixture->subscriber};
    unsigned events = 0;
    pthread_t emitter;

    begin_broadcast(fixture);
    assert_int_equal(pthread_create(&emitter, NULL, emit_all_the_time, fixture), 0);
    expect_woken(&waker, &events);
    for (; events < 10 * ROUNDS; events++)
        expect_event(fixture->subscriber, NULL, "s", "t");
    pthread_join(emitter, NULL);
    talus_subscriber_stats_t stats;
    talus_subscriber_stats(fixture->subscriber, &stats);
    assert_int_equal(stats.delivered, 10 * ROUNDS);
    assert_int_equal(stats.gaps, 0);
}

// ---- Signals and forks

static talus_subscriber_t *volatile woken_by_signal;

static void on_alarm(int signal)
{
    int saved = errno;

    (void)signal;
    errno = ENOTTY; // which must be there afterwards
    talus_subscriber_wake(woken_by_signal);
    if (errno != ENOTTY)
        abort();
    errno = saved;
}

static void test_wake_from_a_signal_handler(void **state)
{
    struct api_fixture *fixture = *state;
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, before;
    const struct itimerval soon = {.it_value = {.tv_usec = 10000}};
    talus_error_t error;

    woken_by_signal = fixture->subscriber;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    error = receive(fixture->subscriber, -1);
    if (error == TALUS_ETIMEOUT && errno == EINTR) // the signal itself ended the wait
        error = receive(fixture->subscriber, -1);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(error, TALUS_EWOKEN);
    assert_int_equal(receive(fixture->subscriber, 0), TALUS_ETIMEOUT);
}

static void test_wake_in_a_forked_child_wakes_nobody(void **state)
{
    struct api_fixture *fixture = *state;
    int status;

    expect_quiet(fixture->subscriber);
    assert_false(is_readable(fixture->subscriber, 0));
    pid_t pid = fork();
    if (pid == 0) {
        talus_subscriber_wake(fixture->subscriber);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_false(is_readable(fixture->subscriber, 0));
    assert_int_equal(receive(fixture->subscriber, 0), TALUS_ETIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wake_before_the_call_is_not_lost, api_set_up,
                                        api_tear_down),
        cmocka_unit_test_setup_teardown(test_wake_comes_before_what_there_is, api_set_up,
                                        api_tear_down),
        cmocka_unit_test_setup_teardown(test_wake_makes_the_descriptor_readable, api_set_up,
                                        api_tear_down),
        cmocka_unit_test_setup_teardown(test_wake_ends_a_wait, api_set_up, api_tear_down),
        cmocka_unit_test_setup_teardown(test_wake_is_told_in_a_flood, api_set_up, api_tear_down),
        cmocka_unit_test_setup_teardown(test_wake_from_a_signal_handler, api_set_up, api_tear_down),
        cmocka_unit_test_setup_teardown(test_wake_in_a_forked_child_wakes_nobody, api_set_up,
                                        api_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
