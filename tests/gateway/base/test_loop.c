// SPDX-License-Identifier: MIT
// Turns of the loop: the order of the phases, tasks, and deadlines under a clock of the test's own.
#include "gateway/base/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/common/cmocka_all.h"

struct fixture {
    struct gw_loop *loop;
    int64_t now;
    char trace[256];
};

static struct fixture fixture;

static int64_t read_clock(void *arg)
{
    return *(int64_t *)arg;
}

static int setup(void **state)
{
    (void)state;
    memset(&fixture, 0, sizeof fixture);
    fixture.loop = gw_loop_new();
    fixture.now = 1000;
    if (fixture.loop)
        gw_loop_set_clock(fixture.loop, read_clock, &fixture.now);
    return fixture.loop ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    gw_loop_destroy(&fixture.loop);
    return fixture.loop ? -1 : 0;
}

static void trace(const char *word)
{
    size_t size = strlen(fixture.trace);
    snprintf(fixture.trace + size, sizeof fixture.trace - size, "%s%s", size ? " " : "", word);
}

struct named_task {
    struct gw_task task;
    const char *name;
    enum gw_phase next_phase; // where it schedules `next`
    struct named_task *next;
};

static void run_named(struct gw_task *task)
{
    struct named_task *named = TL_LIST_ENTRY(task, struct named_task, task);
    trace(named->name);
    if (named->next)
        gw_task_schedule(fixture.loop, named->next_phase, &named->next->task);
}

static void named_init(struct named_task *named, const char *name)
{
    *named = (struct named_task){.name = name};
    gw_task_init(&named->task, run_named);
}

struct named_deadline {
    struct gw_deadline deadline;
    const char *name;
    struct named_task *task; // scheduled for distribution
    struct gw_deadline_queue *again;
    struct named_deadline *stops;
};

static void expire_named(struct gw_deadline *deadline)
{
    struct named_deadline *named = TL_LIST_ENTRY(deadline, struct named_deadline, deadline);
    trace(named->name);
    if (named->task)
        gw_task_schedule(fixture.loop, GW_PHASE_DISTRIBUTE, &named->task->task);
    if (named->again)
        gw_deadline_start(named->again, deadline);
    if (named->stops)
        gw_deadline_stop(&named->stops->deadline);
}

static void named_deadline_init(struct named_deadline *named, const char *name)
{
    *named = (struct named_deadline){.name = name};
    gw_deadline_init(&named->deadline, expire_named);
}

// ---- Phases

static void on_input(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    trace("input");
    uv_poll_stop(poll);
    struct named_task *tasks = poll->data;
    gw_task_schedule(fixture.loop, GW_PHASE_REAP, &tasks[0].task);
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &tasks[1].task);
    gw_task_schedule(fixture.loop, GW_PHASE_DISTRIBUTE, &tasks[2].task);
}

static void test_loop_runs_phases_in_order(void **state)
{
    (void)state;
    int ends[2];
    uv_poll_t poll;
    struct named_task tasks[3];
    struct named_deadline late;
    struct gw_deadline_queue queue;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(uv_poll_init(gw_loop_uv(fixture.loop), &poll, ends[0]), 0);
    assert_int_equal(uv_poll_start(&poll, UV_READABLE, on_input), 0);
    named_init(&tasks[0], "reap");
    named_init(&tasks[1], "flush");
    named_init(&tasks[2], "distribute");
    poll.data = tasks;
    gw_deadline_queue_init(&queue, fixture.loop, 50);
    named_deadline_init(&late, "deadline");
    gw_deadline_start(&queue, &late.deadline);
    fixture.now += 50;

    gw_loop_turn(fixture.loop, false);
    assert_string_equal(fixture.trace, "input deadline distribute flush reap");

    gw_deadline_queue_fini(&queue);
    uv_close((uv_handle_t *)&poll, NULL);
    gw_loop_turn(fixture.loop, false);
    close(ends[0]);
    close(ends[1]);
}

static void test_loop_task_of_a_later_phase_runs_in_the_same_turn(void **state)
{
    (void)state;
    struct named_task distribute;
    struct named_task flush;
    named_init(&distribute, "distribute");
    named_init(&flush, "flush");
    distribute.next = &flush;
    distribute.next_phase = GW_PHASE_FLUSH;
    gw_task_schedule(fixture.loop, GW_PHASE_DISTRIBUTE, &distribute.task);
    assert_false(gw_loop_turn(fixture.loop, true));
    assert_string_equal(fixture.trace, "distribute flush");
}

static void test_loop_task_of_a_phase_that_is_over_runs_in_the_next_turn(void **state)
{
    (void)state;
    struct named_task flush;
    struct named_task same;
    struct named_task earlier;
    named_init(&flush, "flush");
    named_init(&same, "same");
    named_init(&earlier, "earlier");
    flush.next = &same;
    flush.next_phase = GW_PHASE_FLUSH;
    same.next = &earlier;
    same.next_phase = GW_PHASE_DISTRIBUTE;
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &flush.task);
    assert_true(gw_loop_turn(fixture.loop, true));
    assert_string_equal(fixture.trace, "flush");
    assert_true(gw_loop_turn(fixture.loop, true)); // does not wait: a task does
    assert_string_equal(fixture.trace, "flush same");
    assert_false(gw_loop_turn(fixture.loop, true));
    assert_string_equal(fixture.trace, "flush same earlier");
}

static void test_loop_task_scheduled_twice_runs_once(void **state)
{
    (void)state;
    struct named_task first;
    struct named_task second;
    named_init(&first, "first");
    named_init(&second, "second");
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &first.task);
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &second.task);
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &first.task);
    gw_loop_turn(fixture.loop, true);
    assert_string_equal(fixture.trace, "first second");
}

static struct named_task *cancelled_by_run;

static void run_cancelling(struct gw_task *task)
{
    (void)task;
    trace("canceller");
    gw_task_cancel(&cancelled_by_run->task);
}

static void test_loop_task_can_be_cancelled_until_it_runs(void **state)
{
    (void)state;
    struct gw_task canceller;
    struct named_task victim;
    struct named_task other;
    gw_task_init(&canceller, run_cancelling);
    named_init(&victim, "victim");
    named_init(&other, "other");
    cancelled_by_run = &victim;
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &canceller);
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &victim.task);
    gw_task_schedule(fixture.loop, GW_PHASE_FLUSH, &other.task);
    gw_loop_turn(fixture.loop, true);
    assert_string_equal(fixture.trace, "canceller other");
    assert_false(gw_task_is_scheduled(&victim.task));
    gw_task_cancel(&victim.task);
}

static void run_freeing(struct gw_task *task)
{
    trace("freed");
    free(task);
}

static void test_loop_task_may_be_freed_while_it_runs(void **state)
{
    (void)state;
    struct gw_task *task = malloc(sizeof *task);
    assert_non_null(task);
    gw_task_init(task, run_freeing);
    gw_task_schedule(fixture.loop, GW_PHASE_REAP, task);
    gw_loop_turn(fixture.loop, true);
    assert_string_equal(fixture.trace, "freed");
}

// ---- Running and stopping

static void test_loop_run_returns_when_nothing_is_left(void **state)
{
    (void)state;
    struct named_task tasks[2];
    named_init(&tasks[0], "one");
    named_init(&tasks[1], "two");
    tasks[0].next = &tasks[1];
    tasks[0].next_phase = GW_PHASE_DISTRIBUTE;
    gw_task_schedule(fixture.loop, GW_PHASE_REAP, &tasks[0].task);
    gw_loop_run(fixture.loop);
    assert_string_equal(fixture.trace, "one two");
    gw_loop_run(fixture.loop);
}

static void run_stopping(struct gw_task *task)
{
    (void)task;
    trace("stop");
    gw_loop_stop(fixture.loop);
}

static void test_loop_stop_lets_the_turn_finish(void **state)
{
    (void)state;
    struct gw_task stop;
    struct named_task reap;
    struct named_task next;
    gw_task_init(&stop, run_stopping);
    named_init(&reap, "reap");
    named_init(&next, "next");
    reap.next = &next;
    reap.next_phase = GW_PHASE_DISTRIBUTE;
    gw_task_schedule(fixture.loop, GW_PHASE_DISTRIBUTE, &stop);
    gw_task_schedule(fixture.loop, GW_PHASE_REAP, &reap.task);
    gw_loop_run(fixture.loop);
    assert_string_equal(fixture.trace, "stop reap");
    gw_loop_run(fixture.loop);
    assert_string_equal(fixture.trace, "stop reap next");
}

static void test_loop_waits_for_deadlines_of_the_real_clock(void **state)
{
    (void)state;
    struct gw_deadline_queue queue;
    struct named_deadline deadline;
    gw_loop_set_clock(fixture.loop, NULL, NULL);
    gw_deadline_queue_init(&queue, fixture.loop, 20);
    named_deadline_init(&deadline, "due");
    int64_t start = (int64_t)(uv_hrtime() / 1000000);
    gw_deadline_start(&queue, &deadline.deadline);
    gw_loop_run(fixture.loop);
    assert_string_equal(fixture.trace, "due");
    assert_true((int64_t)(uv_hrtime() / 1000000) - start >= 19);
    gw_deadline_queue_fini(&queue);
}

struct dawdler {
    struct gw_task task;
    struct gw_deadline_queue queue;
    struct named_deadline deadline;
};

static void start_and_dawdle(struct gw_task *task)
{
    struct dawdler *dawdler = TL_LIST_ENTRY(task, struct dawdler, task);
    gw_deadline_start(&dawdler->queue, &dawdler->deadline.deadline);
    usleep(5000);
}

// libuv runs the timer before it waits, and then waits without one.
static void test_loop_does_not_wait_when_a_deadline_is_over_already(void **state)
{
    struct dawdler dawdler;
    int pipes[2];
    uv_poll_t poll; // nothing comes, but libuv waits for it
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    uv_poll_init(gw_loop_uv(fixture.loop), &poll, pipes[0]);
    uv_poll_start(&poll, UV_READABLE, on_input);
    gw_loop_set_clock(fixture.loop, NULL, NULL);
    gw_deadline_queue_init(&dawdler.queue, fixture.loop, 1);
    named_deadline_init(&dawdler.deadline, "over");
    gw_task_init(&dawdler.task, start_and_dawdle);
    gw_task_schedule(fixture.loop, GW_PHASE_REAP, &dawdler.task);
    gw_loop_turn(fixture.loop, true);
    alarm(10); // it would wait for ever
    gw_loop_turn(fixture.loop, true);
    alarm(0);
    assert_string_equal(fixture.trace, "over");
    gw_deadline_queue_fini(&dawdler.queue);
    uv_close((uv_handle_t *)&poll, NULL);
    gw_loop_turn(fixture.loop, false);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_loop_destroy_is_null_safe_and_nulls(void **state)
{
    (void)state;
    struct gw_loop *none = NULL;
    gw_loop_destroy(&none);
    struct gw_loop *loop = gw_loop_new();
    gw_loop_destroy(&loop);
    assert_null(loop);
}

static void test_loop_scratch_is_one_buffer(void **state)
{
    (void)state;
    size_t size = 0;
    uint8_t *scratch = gw_loop_scratch(fixture.loop, &size);
    assert_int_equal(size, 64 * 1024);
    memset(scratch, 1, size);
    assert_ptr_equal(gw_loop_scratch(fixture.loop, &size), scratch);
}

// ---- Deadlines

static void turn_at(int64_t now)
{
    fixture.now = now;
    gw_loop_turn(fixture.loop, false);
}

static void test_deadlines_expire_in_order_and_not_before(void **state)
{
    (void)state;
    struct gw_deadline_queue queue;
    struct named_deadline a;
    struct named_deadline b;
    gw_deadline_queue_init(&queue, fixture.loop, 3600 * 1000);
    named_deadline_init(&a, "a");
    named_deadline_init(&b, "b");
    gw_deadline_start(&queue, &a.deadline);
    fixture.now += 10;
    gw_deadline_start(&queue, &b.deadline);
    turn_at(1000 + 3600 * 1000 - 1);
    assert_string_equal(fixture.trace, "");
    turn_at(1000 + 3600 * 1000);
    assert_string_equal(fixture.trace, "a");
    assert_false(gw_deadline_is_started(&a.deadline));
    assert_true(gw_deadline_is_started(&b.deadline));
    turn_at(1000 + 3600 * 1000 + 10);
    assert_string_equal(fixture.trace, "a b");
    turn_at(1000 + 7200 * 1000);
    assert_string_equal(fixture.trace, "a b");
    gw_deadline_queue_fini(&queue);
}

static void test_deadline_started_anew_moves_to_the_end(void **state)
{
    (void)state;
    struct gw_deadline_queue queue;
    struct gw_deadline_queue slower;
    struct named_deadline a;
    struct named_deadline b;
    gw_deadline_queue_init(&queue, fixture.loop, 100);
    gw_deadline_queue_init(&slower, fixture.loop, 1000);
    named_deadline_init(&a, "a");
    named_deadline_init(&b, "b");
    gw_deadline_start(&queue, &a.deadline);
    gw_deadline_start(&queue, &b.deadline);
    fixture.now += 50;
    gw_deadline_start(&queue, &a.deadline);
    turn_at(1100);
    assert_string_equal(fixture.trace, "b");
    gw_deadline_start(&slower, &a.deadline);
    turn_at(2099);
    assert_string_equal(fixture.trace, "b");
    turn_at(2100);
    assert_string_equal(fixture.trace, "b a");
    gw_deadline_queue_fini(&queue);
    gw_deadline_queue_fini(&slower);
}

static void test_deadline_stopped_does_not_expire(void **state)
{
    (void)state;
    struct gw_deadline_queue queue;
    struct named_deadline a;
    struct named_deadline b;
    gw_deadline_queue_init(&queue, fixture.loop, 100);
    named_deadline_init(&a, "a");
    named_deadline_init(&b, "b");
    gw_deadline_start(&queue, &a.deadline);
    gw_deadline_start(&queue, &b.deadline);
    gw_deadline_stop(&b.deadline);
    gw_deadline_stop(&b.deadline);
    turn_at(5000);
    assert_string_equal(fixture.trace, "a");
    gw_deadline_queue_fini(&queue);
}

static void test_deadline_can_stop_another_that_is_due_too(void **state)
{
    (void)state;
    struct gw_deadline_queue queue;
    struct named_deadline a;
    struct named_deadline b;
    gw_deadline_queue_init(&queue, fixture.loop, 100);
    named_deadline_init(&a, "a");
    named_deadline_init(&b, "b");
    a.stops = &b;
    gw_deadline_start(&queue, &a.deadline);
    gw_deadline_start(&queue, &b.deadline);
    turn_at(5000);
    assert_string_equal(fixture.trace, "a");
    gw_deadline_queue_fini(&queue);
}

static void test_deadline_that_starts_itself_again_expires_once_a_turn(void **state)
{
    (void)state;
    struct gw_deadline_queue queue;
    struct named_deadline ping;
    gw_deadline_queue_init(&queue, fixture.loop, 0); // counts as one millisecond
    named_deadline_init(&ping, "ping");
    ping.again = &queue;
    gw_deadline_start(&queue, &ping.deadline);
    turn_at(1010);
    assert_string_equal(fixture.trace, "ping");
    turn_at(1011);
    assert_string_equal(fixture.trace, "ping ping");
    gw_deadline_queue_fini(&queue);
}

static void test_deadline_queue_fini_stops_what_is_in_it(void **state)
{
    (void)state;
    struct gw_deadline_queue queue;
    struct named_deadline a;
    gw_deadline_queue_init(&queue, fixture.loop, 100);
    named_deadline_init(&a, "a");
    gw_deadline_start(&queue, &a.deadline);
    gw_deadline_queue_fini(&queue);
    assert_false(gw_deadline_is_started(&a.deadline));
    turn_at(5000);
    assert_string_equal(fixture.trace, "");
}

static void test_loop_deadlines_are_one_queue_a_delay(void **state)
{
    (void)state;
    struct gw_deadline_queue *queue = gw_loop_deadlines(fixture.loop, 2000);
    assert_non_null(queue);
    assert_ptr_equal(gw_loop_deadlines(fixture.loop, 2000), queue);
    assert_ptr_not_equal(gw_loop_deadlines(fixture.loop, 2001), queue);
    struct named_deadline a;
    named_deadline_init(&a, "a");
    gw_deadline_start(queue, &a.deadline);
    turn_at(3000);
    assert_string_equal(fixture.trace, "a");
}

int main(void)
{
#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_loop_runs_phases_in_order),
        LOOP_TEST(test_loop_task_of_a_later_phase_runs_in_the_same_turn),
        LOOP_TEST(test_loop_task_of_a_phase_that_is_over_runs_in_the_next_turn),
        LOOP_TEST(test_loop_task_scheduled_twice_runs_once),
        LOOP_TEST(test_loop_task_can_be_cancelled_until_it_runs),
        LOOP_TEST(test_loop_task_may_be_freed_while_it_runs),
        LOOP_TEST(test_loop_run_returns_when_nothing_is_left),
        LOOP_TEST(test_loop_stop_lets_the_turn_finish),
        LOOP_TEST(test_loop_waits_for_deadlines_of_the_real_clock),
        LOOP_TEST(test_loop_does_not_wait_when_a_deadline_is_over_already),
        LOOP_TEST(test_loop_destroy_is_null_safe_and_nulls),
        LOOP_TEST(test_loop_scratch_is_one_buffer),
        LOOP_TEST(test_deadlines_expire_in_order_and_not_before),
        LOOP_TEST(test_deadline_started_anew_moves_to_the_end),
        LOOP_TEST(test_deadline_stopped_does_not_expire),
        LOOP_TEST(test_deadline_can_stop_another_that_is_due_too),
        LOOP_TEST(test_deadline_that_starts_itself_again_expires_once_a_turn),
        LOOP_TEST(test_deadline_queue_fini_stops_what_is_in_it),
        LOOP_TEST(test_loop_deadlines_are_one_queue_a_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
