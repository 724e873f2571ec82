// SPDX-License-Identifier: MIT
// The loop: libuv waits for descriptors, everything else about a turn is here.
//
// Invariants: a task is in at most one list; each queue's deadlines are in order of due time,
// because its delay is constant and the clock never steps back; the timer is armed no later than
// the earliest deadline while libuv waits (earlier is harmless: the turn finds nothing due and arms
// it again, which saves touching it whenever a deadline moves on).
#include "gateway/base/loop.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/base/fd_watcher.h"
#include "gateway/base/log.h"

enum { SCRATCH_SIZE = 64 * 1024 };

struct shared_queue {
    struct gw_deadline_queue queue;
    struct shared_queue *next;
};

struct gw_loop {
    uv_loop_t uv;
    uv_async_t wakeup;
    uv_timer_t timer;
    struct gw_fd_watchers watchers;
    int64_t armed_due; // of the timer, while it is active
    struct tl_list tasks[GW_PHASE_COUNT];
    struct tl_list queues; // struct gw_deadline_queue
    struct shared_queue *shared_queues;
    _Atomic(struct gw_loop_message *) messages; // newest first
    int64_t (*clock)(void *arg);
    void *clock_arg;
    int64_t before; // the turn before this one
    bool is_stopping;
    bool is_in_turn;
    uint8_t scratch[SCRATCH_SIZE];
};

// The loop whose turn this thread is in.
static _Thread_local struct gw_loop *current;

// ---- Life

// Both only end the wait: what is due, and the messages, are looked at in every turn.
static void on_wakeup(uv_async_t *wakeup)
{
    (void)wakeup;
}

static void on_timer(uv_timer_t *timer)
{
    uv_stop(timer->loop); // it may run before the wait, which then must not begin
}

static bool open_handles(struct gw_loop *loop)
{
    int result = uv_loop_init(&loop->uv);
    if (result == 0) {
        result = uv_async_init(&loop->uv, &loop->wakeup, on_wakeup);
        if (result == 0)
            result = uv_timer_init(&loop->uv, &loop->timer);
        if (result == 0)
            result = gw_fd_watchers_init(&loop->watchers, loop, &loop->uv);
        if (result != 0)
            uv_loop_close(&loop->uv);
    }
    if (result != 0)
        gw_log(GW_LOG_ERROR, "loop", "cannot create an event loop: %s", uv_strerror(result));
    return result == 0;
}

struct gw_loop *gw_loop_new(void)
{
    struct gw_loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        gw_log(GW_LOG_ERROR, "loop", "cannot create an event loop: out of memory");
        return NULL;
    }
    if (!open_handles(loop)) {
        free(loop);
        return NULL;
    }
    uv_unref((uv_handle_t *)&loop->wakeup);
    for (int phase = 0; phase < GW_PHASE_COUNT; phase++)
        tl_list_init(&loop->tasks[phase]);
    tl_list_init(&loop->queues);
    atomic_init(&loop->messages, NULL);
    return loop;
}

static struct gw_loop_message *take_messages(struct gw_loop *loop);

static void drop_messages(struct gw_loop *loop)
{
    struct gw_loop_message *next;
    for (struct gw_loop_message *message = take_messages(loop); message; message = next) {
        next = message->next;
        if (message->drop)
            message->drop(message);
    }
}

static void free_shared_queues(struct gw_loop *loop)
{
    while (loop->shared_queues) {
        struct shared_queue *shared = loop->shared_queues;
        loop->shared_queues = shared->next;
        gw_deadline_queue_fini(&shared->queue);
        free(shared);
    }
}

// Handles that are being closed take a turn or two to leave libuv and be reaped; more than these
// few turns only help if something was left open.
static bool close_handles(struct gw_loop *loop)
{
    enum { LAST_TURNS = 8 };
    uv_close((uv_handle_t *)&loop->wakeup, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    gw_fd_watchers_close(&loop->watchers);
    int result = uv_loop_close(&loop->uv);
    for (int i = 0; i < LAST_TURNS && result == UV_EBUSY; i++) {
        gw_loop_turn(loop, false);
        result = uv_loop_close(&loop->uv);
    }
    return result == 0;
}

void gw_loop_destroy(struct gw_loop **loop_pointer)
{
    struct gw_loop *loop = *loop_pointer;
    *loop_pointer = NULL;
    if (!loop)
        return;
    drop_messages(loop);
    bool is_watching = loop->watchers.count > 0;
    if (!close_handles(loop) || is_watching) {
        // Its memory stays: libuv, or a watcher, still points into it.
        gw_log(GW_LOG_ERROR, "loop", "an event loop was destroyed with something open on it");
        assert(false && "everything on a loop must be closed before the loop is destroyed");
        return;
    }
    drop_messages(loop); // of those last turns
    free_shared_queues(loop);
    free(loop);
}

// ---- The turn

static bool has_tasks(const struct gw_loop *loop)
{
    for (int phase = 0; phase < GW_PHASE_COUNT; phase++)
        if (!tl_list_is_empty(&loop->tasks[phase]))
            return true;
    return false;
}

// The earliest due time into *due; false if no deadline is started.
static bool find_earliest_due(const struct gw_loop *loop, int64_t *due)
{
    bool is_found = false;
    for (struct tl_list *link = loop->queues.next; link != &loop->queues; link = link->next) {
        struct gw_deadline_queue *queue = TL_LIST_ENTRY(link, struct gw_deadline_queue, link);
        if (tl_list_is_empty(&queue->deadlines))
            continue;
        int64_t first = TL_LIST_ENTRY(queue->deadlines.next, struct gw_deadline, link)->due;
        if (!is_found || first < *due)
            *due = first;
        is_found = true;
    }
    return is_found;
}

static void arm_timer(struct gw_loop *loop)
{
    bool is_armed = uv_is_active((uv_handle_t *)&loop->timer);
    int64_t due = 0;
    if (uv_is_closing((uv_handle_t *)&loop->timer))
        return;
    if (!find_earliest_due(loop, &due)) {
        if (is_armed)
            uv_timer_stop(&loop->timer);
        return;
    }
    if (is_armed && loop->armed_due <= due)
        return;
    uv_update_time(&loop->uv);
    int64_t delay = due - gw_loop_now(loop);
    loop->armed_due = due;
    uv_timer_start(&loop->timer, on_timer, delay > 0 ? (uint64_t)delay : 0, 0);
}

static struct gw_loop_message *take_messages(struct gw_loop *loop)
{
    struct gw_loop_message *newest =
        atomic_exchange_explicit(&loop->messages, NULL, memory_order_acquire);
    struct gw_loop_message *oldest = NULL;
    while (newest) {
        struct gw_loop_message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void deliver_messages(struct gw_loop *loop)
{
    struct gw_loop_message *next;
    for (struct gw_loop_message *message = take_messages(loop); message; message = next) {
        next = message->next;
        message->deliver(message);
    }
}

bool gw_loop_is_busy(const struct gw_loop *loop)
{
    return has_tasks(loop) || atomic_load_explicit(&loop->messages, memory_order_relaxed) != NULL;
}

static void run_input(struct gw_loop *loop, bool may_wait)
{
    arm_timer(loop);
    uv_run(&loop->uv, may_wait && !gw_loop_is_busy(loop) ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    deliver_messages(loop);
}

// A deadline that was due at `now`, or NULL. Looked up again for each, since what runs may add and
// remove deadlines and queues; what it starts is due later than `now`.
static struct gw_deadline *find_due(const struct gw_loop *loop, int64_t now)
{
    for (struct tl_list *link = loop->queues.next; link != &loop->queues; link = link->next) {
        struct gw_deadline_queue *queue = TL_LIST_ENTRY(link, struct gw_deadline_queue, link);
        if (tl_list_is_empty(&queue->deadlines))
            continue;
        struct gw_deadline *first = TL_LIST_ENTRY(queue->deadlines.next, struct gw_deadline, link);
        if (first->due <= now)
            return first;
    }
    return NULL;
}

static void expire_deadlines(struct gw_loop *loop)
{
    int64_t now = gw_loop_now(loop);
    struct gw_deadline *deadline;
    while ((deadline = find_due(loop, now))) {
        gw_deadline_stop(deadline);
        deadline->expired(deadline);
    }
}

static void run_phase(struct gw_loop *loop, enum gw_phase phase)
{
    struct tl_list present;
    tl_list_init(&present);
    tl_list_splice(&present, &loop->tasks[phase]);
    while (!tl_list_is_empty(&present)) {
        struct gw_task *task = TL_LIST_ENTRY(present.next, struct gw_task, link);
        tl_list_remove(&task->link);
        task->run(task);
    }
}

static bool is_alive(const struct gw_loop *loop)
{
    int64_t due = 0;
    return uv_loop_alive(&loop->uv) || gw_loop_is_busy(loop) || find_earliest_due(loop, &due);
}

bool gw_loop_turn(struct gw_loop *loop, bool may_wait)
{
    assert(!loop->is_in_turn);
    loop->is_in_turn = true;
    loop->before = gw_loop_now(loop);
    current = loop;
    run_input(loop, may_wait);
    expire_deadlines(loop);
    run_phase(loop, GW_PHASE_DISTRIBUTE);
    run_phase(loop, GW_PHASE_FLUSH);
    run_phase(loop, GW_PHASE_REAP);
    current = NULL;
    loop->is_in_turn = false;
    return is_alive(loop);
}

void gw_loop_run(struct gw_loop *loop)
{
    loop->is_stopping = false;
    while (gw_loop_turn(loop, true) && !loop->is_stopping)
        ;
}

void gw_loop_stop(struct gw_loop *loop)
{
    loop->is_stopping = true;
}

void gw_loop_expect_messages(struct gw_loop *loop, bool is_expected)
{
    if (is_expected)
        uv_ref((uv_handle_t *)&loop->wakeup);
    else
        uv_unref((uv_handle_t *)&loop->wakeup);
}

uv_loop_t *gw_loop_uv(struct gw_loop *loop)
{
    return &loop->uv;
}

int64_t gw_loop_now(const struct gw_loop *loop)
{
    return loop->clock ? loop->clock(loop->clock_arg) : (int64_t)uv_now(&loop->uv);
}

int64_t gw_loop_before(const struct gw_loop *loop)
{
    return loop->before;
}

void gw_loop_set_clock(struct gw_loop *loop, int64_t (*clock)(void *arg), void *arg)
{
    loop->clock = clock;
    loop->clock_arg = arg;
}

struct gw_fd_watchers *gw_loop_fd_watchers(struct gw_loop *loop)
{
    return &loop->watchers;
}

uint8_t *gw_loop_scratch(struct gw_loop *loop, size_t *size)
{
    *size = sizeof loop->scratch;
    return loop->scratch;
}

// ---- Tasks

void gw_task_init(struct gw_task *task, void (*run)(struct gw_task *task))
{
    tl_list_init(&task->link);
    task->run = run;
}

void gw_task_schedule(struct gw_loop *loop, enum gw_phase phase, struct gw_task *task)
{
    if (!gw_task_is_scheduled(task))
        tl_list_append(&loop->tasks[phase], &task->link);
}

void gw_task_cancel(struct gw_task *task)
{
    tl_list_remove(&task->link);
}

// ---- Deadlines

void gw_deadline_queue_init(struct gw_deadline_queue *queue, struct gw_loop *loop, int64_t delay_ms)
{
    tl_list_init(&queue->deadlines);
    queue->delay = delay_ms > 0 ? delay_ms : 1;
    queue->loop = loop;
    tl_list_append(&loop->queues, &queue->link);
}

void gw_deadline_queue_fini(struct gw_deadline_queue *queue)
{
    while (!tl_list_is_empty(&queue->deadlines))
        tl_list_remove(queue->deadlines.next);
    tl_list_remove(&queue->link);
}

struct gw_deadline_queue *gw_loop_deadlines(struct gw_loop *loop, int64_t delay_ms)
{
    for (struct shared_queue *shared = loop->shared_queues; shared; shared = shared->next)
        if (shared->queue.delay == (delay_ms > 0 ? delay_ms : 1))
            return &shared->queue;
    struct shared_queue *shared = malloc(sizeof *shared);
    if (!shared)
        return NULL;
    gw_deadline_queue_init(&shared->queue, loop, delay_ms);
    shared->next = loop->shared_queues;
    loop->shared_queues = shared;
    return &shared->queue;
}

void gw_deadline_init(struct gw_deadline *deadline, void (*expired)(struct gw_deadline *deadline))
{
    tl_list_init(&deadline->link);
    deadline->due = 0;
    deadline->expired = expired;
}

void gw_deadline_start(struct gw_deadline_queue *queue, struct gw_deadline *deadline)
{
    // libuv's clock stands still between turns.
    if (!queue->loop->is_in_turn)
        uv_update_time(&queue->loop->uv);
    tl_list_remove(&deadline->link);
    deadline->due = gw_loop_now(queue->loop) + queue->delay;
    tl_list_append(&queue->deadlines, &deadline->link);
}

void gw_deadline_stop(struct gw_deadline *deadline)
{
    tl_list_remove(&deadline->link);
}

// ---- Loop messages

void gw_loop_post(struct gw_loop *loop, struct gw_loop_message *message)
{
    struct gw_loop_message *newest = atomic_load_explicit(&loop->messages, memory_order_relaxed);
    do
        message->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&loop->messages, &newest, message,
                                                  memory_order_release, memory_order_relaxed));
    // The thread that found the box empty wakes the loop; all that follow share that wake-up.
    // The loop's own turn looks into it before it waits again.
    if (!newest && loop != current)
        uv_async_send(&loop->wakeup);
}
