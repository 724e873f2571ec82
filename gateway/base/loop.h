// SPDX-License-Identifier: MIT
// One thread's event loop. Everything of one loop (connections, sessions, rooms) is touched by its
// thread alone; other threads reach it through gw_loop_post.
//
// One turn, in this order:
//   1. input       libuv: descriptors, the mailbox; handlers only change state and queue output
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

#include "gateway/base/list.h"

struct gw_loop;

// Returns NULL and logs when memory or descriptors are out.
struct gw_loop *gw_loop_new(void);
// The loop must have stopped; everything on it must have been closed.
void gw_loop_destroy(struct gw_loop **loop);

// Runs turns until gw_loop_stop was called on its thread, or nothing is left to wait for.
void gw_loop_run(struct gw_loop *loop);
void gw_loop_stop(struct gw_loop *loop);

uv_loop_t *gw_loop_uv(struct gw_loop *loop);

// A monotonic clock in milliseconds, taken once a turn.
int64_t gw_loop_now(const struct gw_loop *loop);

// A read buffer that all connections of the loop share, valid during one callback.
uint8_t *gw_loop_scratch(struct gw_loop *loop, size_t *size);

// ---- Work for a later phase of this turn (or the next, if that phase is over)

enum gw_phase { GW_PHASE_DISTRIBUTE, GW_PHASE_FLUSH, GW_PHASE_REAP, GW_PHASE_COUNT };

struct gw_task {
    struct list link;
    void (*run)(struct gw_task *task);
};

void gw_task_init(struct gw_task *task, void (*run)(struct gw_task *task));
// Scheduling what is scheduled already changes nothing.
void gw_task_schedule(struct gw_loop *loop, enum gw_phase phase, struct gw_task *task);
void gw_task_cancel(struct gw_task *task);

// ---- Deadlines: queues of one delay each, in order of due time without sorting

struct gw_deadline {
    struct list link;
    int64_t due;
    void (*expired)(struct gw_deadline *deadline);
};

struct gw_deadline_queue {
    struct list link;      // of the loop's queues
    struct list deadlines; // in order of due time
    int64_t delay;         // milliseconds
    struct gw_loop *loop;
};

void gw_deadline_queue_init(struct gw_deadline_queue *queue, struct gw_loop *loop,
                            int64_t delay_ms);
// Deadlines that are still in it are stopped.
void gw_deadline_queue_fini(struct gw_deadline_queue *queue);

void gw_deadline_init(struct gw_deadline *deadline, void (*expired)(struct gw_deadline *deadline));
// Starts it in `queue`, or starts it anew (also from another queue).
void gw_deadline_start(struct gw_deadline_queue *queue, struct gw_deadline *deadline);
void gw_deadline_stop(struct gw_deadline *deadline);

// ---- The mailbox: the one place where threads meet

struct gw_mail {
    struct gw_mail *next;
    // Runs on the loop's thread; the mail belongs to it then.
    void (*deliver)(struct gw_mail *mail);
};

// Posts from any thread, in order for each thread that posts. Never blocks, takes no lock.
// The loop must outlive the call.
void gw_loop_post(struct gw_loop *loop, struct gw_mail *mail);

#endif
