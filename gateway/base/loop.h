// SPDX-License-Identifier: MIT
// One thread's event loop. Everything of one loop (connections, sessions, rooms) is touched by its
// thread alone; other threads reach it through gw_loop_post.
//
// One turn, in this order:
//   1. input       libuv: descriptors, messages; handlers only change state and queue output
//   2. deadlines   what has fallen due
//   3. distribute  rooms hand what was appended in this turn to their members' queues
//   4. flush       each connection that has output writes it, once
//   5. reap        what was closed in this turn is freed: nothing is freed inside a callback
#ifndef TALUS_GATEWAY_BASE_LOOP_H
#define TALUS_GATEWAY_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/list.h"

struct gw_loop;
struct gw_fd_watchers;

// NULL, and a line in the log, when memory or descriptors are out.
struct gw_loop *gw_loop_new(void);

// Frees the loop and nulls the pointer; NULL-safe. The loop must have stopped, everything on it
// must have been closed (what is still on its way out of it is waited for), and no thread may post
// to it any more. Messages that were not delivered are dropped (see gw_loop_message).
void gw_loop_destroy(struct gw_loop **loop);

// Runs turns until gw_loop_stop was called on its thread, or nothing is left to wait for: no open
// descriptor, no deadline, no task. May be called again later. Blocks.
void gw_loop_run(struct gw_loop *loop);
// Ends gw_loop_run after the present turn, whose phases all run. Before gw_loop_run: no effect.
void gw_loop_stop(struct gw_loop *loop);

// Runs one turn, for those who have a loop of their own around it. `may_wait`: blocks until there
// is something to do. Returns false if nothing is left to wait for.
bool gw_loop_turn(struct gw_loop *loop, bool may_wait);
// Whether a turn has something to do whatever descriptors and deadlines say: tasks, or messages.
bool gw_loop_is_busy(const struct gw_loop *loop);

// Whether messages alone are a reason to go on waiting; false at first. For a loop that has nothing
// of its own and lives on what other threads post.
void gw_loop_expect_messages(struct gw_loop *loop, bool is_expected);

// The libuv loop beneath, for what has no wrapper here (signals, other descriptors). What a timer
// of libuv's own posts to this loop is delivered after the next wait: use deadlines for that.
uv_loop_t *gw_loop_uv(struct gw_loop *loop);

// The watchers of the loop's sockets, for gw_fd_watcher_init.
struct gw_fd_watchers *gw_loop_fd_watchers(struct gw_loop *loop);

// A monotonic clock in milliseconds, taken once a turn (after the wait for input).
int64_t gw_loop_now(const struct gw_loop *loop);

// The same of the turn before. What is read in this turn was sent after it, perhaps while the
// process stood still: a time limit of the other side's is judged by this.
int64_t gw_loop_before(const struct gw_loop *loop);

// Replaces that clock, which must never step back, before the first deadline is started. Deadlines
// follow it at the next turn; the wait for input does not, so the caller that moves the clock has
// to cause a turn. NULL restores the real one.
void gw_loop_set_clock(struct gw_loop *loop, int64_t (*clock)(void *arg), void *arg);

// A read buffer that all connections of the loop share, valid during one callback.
uint8_t *gw_loop_scratch(struct gw_loop *loop, size_t *size);

// ---- Work for a later phase of this turn (or the next, if that phase is over)

enum gw_phase { GW_PHASE_DISTRIBUTE, GW_PHASE_FLUSH, GW_PHASE_REAP, GW_PHASE_COUNT };

struct gw_task {
    struct tl_list link;
    void (*run)(struct gw_task *task);
};

void gw_task_init(struct gw_task *task, void (*run)(struct gw_task *task));
// Has it run once. What a phase's own tasks schedule for that phase runs in the next turn, so that
// every phase ends. Scheduling what is scheduled already changes nothing. A task may be
// freed while it runs; otherwise it must be cancelled first.
void gw_task_schedule(struct gw_loop *loop, enum gw_phase phase, struct gw_task *task);
// No effect on one that is not scheduled.
void gw_task_cancel(struct gw_task *task);
static inline bool gw_task_is_scheduled(const struct gw_task *task)
{
    return !tl_list_is_empty(&task->link);
}

// ---- Deadlines: queues of one delay each, in order of due time without sorting

struct gw_deadline {
    struct tl_list link;
    int64_t due;
    void (*expired)(struct gw_deadline *deadline);
};

struct gw_deadline_queue {
    struct tl_list link;      // of the loop's queues
    struct tl_list deadlines; // in order of due time
    int64_t delay;            // milliseconds
    struct gw_loop *loop;
};

// A delay of less than one millisecond counts as one.
void gw_deadline_queue_init(struct gw_deadline_queue *queue, struct gw_loop *loop,
                            int64_t delay_ms);
// Deadlines that are still in it are stopped.
void gw_deadline_queue_fini(struct gw_deadline_queue *queue);

// The loop's own queue of that delay, made at the first call and kept until the loop is destroyed;
// for those who exist in numbers and share a few delays. NULL: out of memory.
struct gw_deadline_queue *gw_loop_deadlines(struct gw_loop *loop, int64_t delay_ms);

void gw_deadline_init(struct gw_deadline *deadline, void (*expired)(struct gw_deadline *deadline));
// Starts it in `queue`, or restarts it (also from another queue). It runs out once, in the
// deadlines phase; `expired` may start it again, or free it.
void gw_deadline_start(struct gw_deadline_queue *queue, struct gw_deadline *deadline);
// No effect on one that is not started.
void gw_deadline_stop(struct gw_deadline *deadline);
static inline bool gw_deadline_is_started(const struct gw_deadline *deadline)
{
    return !tl_list_is_empty(&deadline->link);
}

// ---- Loop messages: the one place where threads meet

struct gw_loop_message {
    struct gw_loop_message *next;
    // Runs on the loop's thread, in the input phase; the message belongs to it then.
    void (*deliver)(struct gw_loop_message *message);
    // Runs instead if the loop is destroyed first, in gw_loop_destroy, and frees the message. NULL:
    // the message is left alone, its memory being somebody else's.
    void (*drop)(struct gw_loop_message *message);
};

// Posts from any thread; delivered in order. Never blocks, takes no lock. The loop must outlive the
// call. The box has no bound of its own: the callers must have one.
void gw_loop_post(struct gw_loop *loop, struct gw_loop_message *message);

#endif
