// SPDX-License-Identifier: MIT
// One that asks a broadcaster without end, reads no answer, and dies: the broadcaster lives, what
// it keeps of the requests and answers is bounded, and others are served. The child is the client,
// so that this process is the broadcaster's alone.
//
// The memory in use is looked at when all requests were read. Its peak says nothing: while the bus
// thread gets no time on a busy machine, what arrives waits in ZeroMQ, without a bound in bytes,
// and the allocator keeps those pages (67 MB were seen once in a hundred floods).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus.h>

#include "bus/src/zmq/context.h"
#include "tests/bus/support/child.h"
#include "tests/bus/support/raw_replay_client.h"
#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/scratch.h"

#define SMALL_ASKS  200000
#define LARGE_ASKS  1000 // of 1,000 heads each: 64 MB, and as many answers
#define EVENTS      1000
#define DEATHS      3
#define MOST_GROWTH (16u << 20) // bytes

// ---- The child

static int flood(const char *endpoint)
{
    static char names[TALUS__HEADS_MAX][64];
    static const char *pointers[TALUS__HEADS_MAX];
    struct raw_replay_client client = {0};
    const int unbounded = 0;

    raw_replay_client_open(&client, endpoint, NULL, 1); // reads nothing
    zmq_setsockopt(client.socket, ZMQ_SNDHWM, &unbounded, sizeof unbounded);
    for (size_t i = 0; i < TALUS__HEADS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "a-session-with-a-rather-long-name-%zu", i);
        pointers[i] = names[i];
    }
    for (int i = 0; i < SMALL_ASKS; i++)
        raw_replay_client_ask(&client, "s", 0, EVENTS);
    for (int i = 0; i < LARGE_ASKS; i++)
        raw_replay_client_ask_heads(&client, pointers, TALUS__HEADS_MAX);
    child_say();
    child_await();
    return 0;
}

// ---- The broadcaster

static size_t memory_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

// What was freed last may still be on its way back from ZeroMQ's thread.
static void wait_bounded(size_t before)
{
    long long deadline = tl_monotonic_ms() + RAW_DEADLINE_MS;

    while (memory_in_use() > before + MOST_GROWTH) {
        if (tl_monotonic_ms() > deadline)
            fail_msg("the broadcaster keeps %zu kB more", (memory_in_use() - before) >> 10);
        sched_yield();
    }
}

// Waits until all that the children asked has arrived.
static void wait_asked(const talus_broadcaster_t *broadcaster, uint64_t children)
{
    long long deadline = tl_monotonic_ms() + RAW_DEADLINE_MS;
    talus_broadcaster_stats_t stats;

    do {
        assert_true(tl_monotonic_ms() < deadline);
        sched_yield();
        talus_broadcaster_stats(broadcaster, &stats);
    } while (stats.replay_requests < children * (SMALL_ASKS + LARGE_ASKS));
    assert_true(stats.replay_refused > 0);
}

static void emit_many(talus_broadcaster_t *broadcaster, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(
            talus_emit(broadcaster, &(talus_emit_t){.session = "s", .type = "t"}, NULL), 0);
    assert_int_equal(talus_broadcaster_flush(broadcaster, RAW_DEADLINE_MS), 0);
}

static void expect_served(const char *replay, uint64_t newest)
{
    struct raw_replay_client client = {0};

    raw_replay_client_open(&client, replay, NULL, 1000);
    raw_replay_client_ask(&client, "s", newest - 10, 100);
    for (uint64_t seq = newest - 9; seq <= newest; seq++)
        raw_replay_client_expect_event(&client, "s/t", seq);
    raw_replay_client_close(&client);
}

static void test_an_client_that_floods_and_dies(void **state)
{
    char root[SCRATCH_PATH_MAX], endpoint[SCRATCH_PATH_MAX + 16], replay[SCRATCH_PATH_MAX + 64];
    talus_broadcaster_t *broadcaster;
    uint64_t newest = EVENTS;

    (void)state;
    scratch_make(root);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/bus/*", root);
    assert_int_equal(talus_broadcaster_new(&broadcaster, endpoint, NULL), 0);
    snprintf(replay, sizeof replay, "ipc://%s/bus/%s.replay", root,
             talus_broadcaster_origin(broadcaster));
    emit_many(broadcaster, EVENTS);
    size_t before = memory_in_use();
    for (int i = 0; i < DEATHS; i++) {
        struct child child = {0};
        child_start(&child, "flood", replay);
        child_wait_said(&child);
        emit_many(broadcaster, EVENTS);
        newest += EVENTS;
        expect_served(replay, newest);
        wait_asked(broadcaster, (uint64_t)i + 1);
        wait_bounded(before); // while it lives, and reads nothing
        child_kill(&child);
        emit_many(broadcaster, EVENTS);
        newest += EVENTS;
        expect_served(replay, newest);
        wait_bounded(before);
    }
    talus_broadcaster_destroy(&broadcaster);
    scratch_remove(root);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "flood") == 0)
        return flood(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_client_that_floods_and_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
