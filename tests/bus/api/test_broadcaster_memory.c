// SPDX-License-Identifier: MIT
// What happens when memory is short: each allocation of a call fails in turn.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talus.h>

#include "bus/src/base/pool.h"
#include "bus/src/broadcaster/sessions.h"
#include "tests/bus/support/failing_memory.h"
#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/scratch.h"

static void test_memory_making_a_broadcaster(void **state)
{
    (void)state;
    char directory[SCRATCH_PATH_MAX], path[SCRATCH_PATH_MAX], bus_path[SCRATCH_PATH_MAX];
    char list[3 * SCRATCH_PATH_MAX];
    talus_broadcaster_t *bus = NULL;
    int nth = 0, error;

    scratch_make(directory);
    scratch_join(path, directory, "s");
    scratch_join(bus_path, directory, "bus");
    snprintf(list, sizeof list, "ipc://%s/s,ipc://%s/bus/*,tcp://127.0.0.1:*", directory,
             directory);
    do {
        begin_failing(++nth);
        error = talus_broadcaster_new(&bus, list, NULL);
        if (end_failing()) {
            assert_int_equal(error, TALUS_ENOMEM);
            assert_null(bus);
            assert_int_not_equal(access(path, F_OK), 0);
            bool has_bus = access(bus_path, F_OK) == 0; // it stays, empty
            assert_int_equal(scratch_count(directory), has_bus ? 1 : 0);
            assert_true(!has_bus || scratch_count(bus_path) == 0);
        }
    } while (error);
    assert_true(nth > 10); // it was no walk-over
    talus_broadcaster_destroy(&bus);
    scratch_remove(directory);
}

static void test_memory_emitting(void **state)
{
    (void)state;
    talus_broadcaster_t *bus;
    talus_broadcaster_stats_t stats;
    struct raw_subscriber raw;
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_event_id_t id = {"untouched"};
    int nth = 0, error;

    assert_int_equal(talus_broadcaster_new(&bus, "tcp://127.0.0.1:*", NULL), 0);
    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(bus));
    raw_subscribe_live(&raw, "");
    do {
        talus__pool_trim(); // else there is memory
        begin_failing(++nth);
        error = talus_emit(bus, &event, &id);
        if (end_failing()) {
            assert_int_equal(error, TALUS_ENOMEM);
            assert_string_equal(id.text, "untouched");
        }
    } while (error);
    assert_true(nth > 1);
    talus_broadcaster_stats(bus, &stats);
    assert_int_equal(stats.refused_memory, nth - 1);
    raw_expect_event(&raw, "s/t");
    assert_int_equal(raw.body.seq, 1); // the failed ones took no number
    raw_close(&raw);
    talus_broadcaster_destroy(&bus);
}

static int calls;

static int on_event(const talus_event_t *event, void *arg)
{
    (void)event;
    (void)arg;
    calls++;
    return 0;
}

static void on_release(void *arg)
{
    ++*(int *)arg;
}

static void test_memory_callbacks(void **state)
{
    (void)state;
    talus_broadcaster_t *bus;
    const talus_emit_t event = {.session = "s", .type = "t"};
    uint64_t ids[3];
    int released = 0, nth = 0, error;

    assert_int_equal(talus_broadcaster_new(&bus, "inproc://memory", NULL), 0);
    do {
        begin_failing(++nth);
        error = talus_broadcaster_on(bus, NULL, on_event, on_release, &released, &ids[0]);
        if (end_failing())
            assert_int_equal(error, TALUS_ENOMEM);
    } while (error);
    assert_true(nth > 1);
    assert_int_equal(released, 0); // not by a call that failed
    for (int i = 1; i < 3; i++)
        assert_int_equal(talus_broadcaster_on(bus, NULL, on_event, on_release, &released, &ids[i]),
                         0);

    // Ending one always succeeds; it is only released later.
    begin_failing(1);
    assert_int_equal(talus_broadcaster_off(bus, ids[1]), 0);
    assert_true(end_failing());
    assert_int_equal(talus_broadcaster_off(bus, ids[1]), TALUS_ENOTFOUND);
    assert_int_equal(talus_emit(bus, &event, NULL), 0);
    assert_int_equal(calls, 2);
    assert_int_equal(released, 0);
    assert_int_equal(talus_broadcaster_off(bus, ids[0]), 0);
    assert_int_equal(released, 2);
    talus_broadcaster_destroy(&bus);
    assert_int_equal(released, 3);
}

static uint64_t advance(struct talus__sessions *sessions, const char *name, size_t size,
                        uint64_t seq)
{
    uint64_t prev;

    talus__sessions_advance(sessions, name, size, seq, &prev);
    return prev;
}

// A session that cannot be remembered is as one that was forgotten: `prev` may be too high.
static void test_memory_sessions(void **state)
{
    (void)state;
    struct talus__sessions sessions;

    talus__sessions_init(&sessions, 100);
    assert_int_equal(advance(&sessions, "a", 1, 1), 0);
    begin_failing(1);
    assert_int_equal(advance(&sessions, "b", 1, 2), 0);
    assert_true(end_failing());
    assert_int_equal(talus__sessions_last(&sessions, "b", 1), 2);
    assert_int_equal(talus__sessions_last(&sessions, "a", 1), 1);
    assert_int_equal(advance(&sessions, "b", 1, 3), 2);
    assert_int_equal(advance(&sessions, "b", 1, 4), 3);
    talus__sessions_fini(&sessions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_making_a_broadcaster),
        cmocka_unit_test(test_memory_emitting),
        cmocka_unit_test(test_memory_callbacks),
        cmocka_unit_test(test_memory_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
