// SPDX-License-Identifier: MIT
// The emit queue and its wake-up.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/wakeup.h"
#include "bus/src/broadcaster/queue.h"
#include "bus/src/codec/body.h"

#define PUTTERS     4
#define EVENTS_EACH 20000
#define DEADLINE_MS 30000
#define ROOMY_BYTES ((size_t)1 << 30)
#define PAYLOAD_NIL "\xc0"

// The queues are static: gcc's AddressSanitizer, when it looks for uses of dead frames, gives them
// no frame that is aligned to a cache line.

static struct talus__message *new_message(const char *session, const void *data, size_t size)
{
    struct talus__message *message;
    const struct talus__message_parts parts = {.origin = "abcdefghijkl",
                                               .session = session,
                                               .session_size = strlen(session),
                                               .type = "t",
                                               .type_size = 1,
                                               .data = data,
                                               .data_size = size,
                                               .ts = 1,
                                               .max_body = 4096};

    assert_int_equal(talus__message_new(&message, &parts), 0);
    return message;
}

static void put_ok(struct talus__queue *queue, uint64_t expected_seq)
{
    uint64_t seq = 0;

    assert_int_equal(talus__queue_put(queue, new_message("s", PAYLOAD_NIL, 1), &seq), 0);
    assert_int_equal(seq, expected_seq);
}

static void put_refused(struct talus__queue *queue)
{
    struct talus__message *message = new_message("s", PAYLOAD_NIL, 1);
    uint64_t seq = 0;

    assert_int_equal(talus__queue_put(queue, message, &seq), TALUS_EQUEUEFULL);
    talus__message_unref(message);
}

static void take_ok(struct talus__queue *queue, uint64_t expected_seq)
{
    struct talus__message *message = talus__queue_take(queue);
    const struct talus__limits limits = {.max_body = 4096, .max_depth = 32, .max_bin = 10};
    struct talus__body body;

    assert_non_null(message);
    assert_int_equal(message->seq, expected_seq);
    assert_int_equal(
        talus__body_decode(talus__message_body(message), message->body_size, &limits, &body), 0);
    assert_int_equal(body.seq, expected_seq);
    talus__message_unref(message);
}

static void test_queue_rounds_its_capacity_up(void **state)
{
    (void)state;
    static struct talus__queue queue;
    const struct {
        size_t events, capacity;
    } cases[] = {{1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1000, 1024}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(talus__queue_init(&queue, cases[i].events, ROOMY_BYTES), 0);
        for (size_t n = 1; n <= cases[i].capacity; n++)
            put_ok(&queue, n);
        put_refused(&queue);
        talus__queue_fini(&queue); // with messages in it: the leak checker sees that they go
    }
}

static void test_queue_refused_put_takes_no_seq(void **state)
{
    (void)state;
    static struct talus__queue queue;

    assert_int_equal(talus__queue_init(&queue, 4, ROOMY_BYTES), 0);
    assert_false(talus__queue_has_message(&queue));
    assert_null(talus__queue_take(&queue));
    uint64_t put = 0, taken = 0;
    for (int round = 0; round < 10; round++) {
        while (put - taken < 4)
            put_ok(&queue, ++put);
        put_refused(&queue);
        put_refused(&queue);
        assert_true(talus__queue_has_message(&queue));
        assert_int_equal(talus__queue_newest(&queue), put);
        take_ok(&queue, ++taken);
        put_ok(&queue, ++put);
        put_refused(&queue);
        while (taken < put)
            take_ok(&queue, ++taken);
        assert_null(talus__queue_take(&queue));
    }
    talus__queue_fini(&queue);
}

static void test_queue_bounds_bytes(void **state)
{
    (void)state;
    static struct talus__queue queue;
    struct talus__message *probe = new_message("s", PAYLOAD_NIL, 1);
    size_t size = talus__message_size(probe);
    talus__message_unref(probe);

    assert_int_equal(talus__queue_init(&queue, 64, 3 * size + size / 2), 0);
    put_ok(&queue, 1);
    put_ok(&queue, 2);
    put_ok(&queue, 3);
    put_refused(&queue);
    take_ok(&queue, 1);
    put_ok(&queue, 4);
    put_refused(&queue);

    // What is larger than the whole bound never fits, also when the queue is empty.
    take_ok(&queue, 2);
    take_ok(&queue, 3);
    take_ok(&queue, 4);
    uint8_t data[2048];
    uint64_t seq;
    memset(data, 0xc0, sizeof data);
    struct talus__message *large = new_message("s", data, sizeof data);
    assert_true(talus__message_size(large) > 3 * size + size / 2);
    assert_int_equal(talus__queue_put(&queue, large, &seq), TALUS_EQUEUEFULL);
    talus__message_unref(large);
    put_ok(&queue, 5);
    talus__queue_fini(&queue);
}

struct putter {
    pthread_t thread;
    struct talus__queue *queue;
    struct talus__wakeup *wakeup; // NULL: none
    unsigned number;
    uint64_t refused;
};

// Puts messages whose payload is the putter's number and a count.
static void *run_putter(void *arg)
{
    struct putter *putter = arg;

    for (uint32_t i = 0; i < EVENTS_EACH; i++) {
        uint32_t data[2] = {putter->number, i};
        struct talus__message *message = new_message("s", data, sizeof data);
        uint64_t seq;
        while (talus__queue_put(putter->queue, message, &seq) != 0) {
            putter->refused++;
            sched_yield();
        }
        if (putter->wakeup)
            talus__wakeup_notify(putter->wakeup);
    }
    return NULL;
}

static void start_putters(struct putter *putters, struct talus__queue *queue,
                          struct talus__wakeup *wakeup)
{
    for (unsigned i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){.queue = queue, .wakeup = wakeup, .number = i};
        assert_int_equal(pthread_create(&putters[i].thread, NULL, run_putter, &putters[i]), 0);
    }
}

static void check_order(struct talus__message *message, uint64_t seq, uint32_t *next)
{
    uint32_t data[2];

    assert_int_equal(message->seq, seq);
    memcpy(data, talus__message_body(message) + message->body_size - sizeof data, sizeof data);
    assert_in_range(data[0], 0, PUTTERS - 1);
    assert_int_equal(data[1], next[data[0]]);
    next[data[0]]++;
    talus__message_unref(message);
}

static void test_queue_keeps_order_of_many_threads(void **state)
{
    (void)state;
    static struct talus__queue queue;
    struct putter putters[PUTTERS];
    uint32_t next[PUTTERS] = {0};

    assert_int_equal(talus__queue_init(&queue, 64, ROOMY_BYTES), 0); // small: it is often full
    start_putters(putters, &queue, NULL);
    for (uint64_t seq = 1; seq <= (uint64_t)PUTTERS * EVENTS_EACH;) {
        struct talus__message *message = talus__queue_take(&queue);
        if (message)
            check_order(message, seq++, next);
        else
            sched_yield();
    }
    for (unsigned i = 0; i < PUTTERS; i++) {
        pthread_join(putters[i].thread, NULL);
        assert_int_equal(next[i], EVENTS_EACH);
    }
    assert_null(talus__queue_take(&queue));
    assert_int_equal(talus__queue_newest(&queue), (uint64_t)PUTTERS * EVENTS_EACH);
    talus__queue_fini(&queue);
}

// The taker sleeps whenever the queue is empty. A wake-up that is lost ends in the deadline.
static void test_wakeup_is_never_lost(void **state)
{
    (void)state;
    static struct talus__queue queue;
    struct talus__wakeup wakeup;
    struct putter putters[PUTTERS];
    uint32_t next[PUTTERS] = {0};
    uint64_t slept = 0;

    assert_int_equal(talus__queue_init(&queue, 1024, ROOMY_BYTES), 0);
    assert_int_equal(talus__wakeup_init(&wakeup), 0);
    start_putters(putters, &queue, &wakeup);
    for (uint64_t seq = 1; seq <= (uint64_t)PUTTERS * EVENTS_EACH;) {
        struct talus__message *message = talus__queue_take(&queue);
        if (message) {
            check_order(message, seq++, next);
            continue;
        }
        struct pollfd item = {.fd = wakeup.fd, .events = POLLIN};
        talus__wakeup_begin_sleep(&wakeup);
        if (!talus__queue_has_message(&queue)) {
            assert_int_equal(poll(&item, 1, DEADLINE_MS), 1);
            slept++;
        }
        talus__wakeup_end_sleep(&wakeup, item.revents != 0);
    }
    for (unsigned i = 0; i < PUTTERS; i++)
        pthread_join(putters[i].thread, NULL);
    print_message("slept %llu times\n", (unsigned long long)slept);
    talus__wakeup_fini(&wakeup);
    talus__queue_fini(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_rounds_its_capacity_up),
        cmocka_unit_test(test_queue_refused_put_takes_no_seq),
        cmocka_unit_test(test_queue_bounds_bytes),
        cmocka_unit_test(test_queue_keeps_order_of_many_threads),
        cmocka_unit_test(test_wakeup_is_never_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
