// SPDX-License-Identifier: MIT
// The thread sleeps on one semaphore: until the next burst is due, until deliveries have made room
// in the window, or until it shall stop.
//
// Invariant: only the emitter's thread writes `emitted`, only the reader's `delivered`.
// `is_waiting` is set before the window is looked at again, and cleared by whoever posts, so that
// no post is missed and at most one is due.
#include "clients/cli/bench/emitter.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients/cli/bench/packet.h"
#include "clients/cli/clock.h"
#include "clients/cli/report.h"

#define FULL_PAUSE   0.001 // seconds that a full queue is left alone
#define LATENESS_MAX 1.0   // seconds that the emitter makes up for

struct emitter {
    emitter_plan_t plan;
    sink_t *sink;
    double base; // on clock_now's clock: when PACKET_TIME_BASE was
    pthread_t thread;
    bool is_running; // the thread is to be joined
    sem_t wake;
    atomic_bool is_stopping, is_waiting, has_failed;
    _Atomic uint64_t emitted, delivered, waits;
};

uint64_t emitter_deliveries(const emitter_plan_t *plan, uint64_t events)
{
    uint64_t rounds = events / plan->rooms, rest = events % plan->rooms;
    // The first `clients % rooms` rooms have one client more.
    uint64_t each = plan->clients / plan->rooms, more = plan->clients % plan->rooms;
    return rounds * plan->clients + rest * each + (rest < more ? rest : more);
}

void emitter_room(const emitter_plan_t *plan, uint64_t room, char name[SINK_ROOM_MAX])
{
    snprintf(name, SINK_ROOM_MAX, "%s-%" PRIu64, plan->session, room);
}

emitter_t *emitter_new(const emitter_plan_t *plan, sink_t *sink)
{
    emitter_t *emitter = calloc(1, sizeof(*emitter));
    if (!emitter || sem_init(&emitter->wake, 0, 0) != 0) {
        report("out of memory");
        free(emitter);
        return NULL;
    }
    emitter->plan = *plan;
    emitter->sink = sink;
    emitter->base = clock_now();
    return emitter;
}

void emitter_destroy(emitter_t **emitter)
{
    if (!*emitter)
        return;
    emitter_stop(*emitter);
    sem_destroy(&(*emitter)->wake);
    free(*emitter);
    *emitter = NULL;
}

uint64_t emitter_time(const emitter_t *emitter)
{
    return PACKET_TIME_BASE + (uint64_t)((clock_now() - emitter->base) * 1e9);
}

// Sleeps until `moment` (on clock_now's clock) or a post.
static void sleep_until(emitter_t *emitter, double moment)
{
    struct timespec until = {.tv_sec = (time_t)moment};
    until.tv_nsec = (long)((moment - (double)until.tv_sec) * 1e9);
    while (sem_clockwait(&emitter->wake, CLOCK_MONOTONIC, &until) != 0 && errno == EINTR)
        continue;
}

static bool emit(emitter_t *emitter)
{
    char room[SINK_ROOM_MAX];
    uint64_t emitted = atomic_load_explicit(&emitter->emitted, memory_order_relaxed);
    emitter_room(&emitter->plan, emitted % emitter->plan.rooms, room);
    for (;;) {
        switch (sink_emit(emitter->sink, room, emitter_time(emitter))) {
        case SINK_DONE:
            atomic_store(&emitter->emitted, emitted + 1);
            return true;
        case SINK_FAILED:
            atomic_store(&emitter->has_failed, true);
            return false;
        case SINK_FULL:
            atomic_fetch_add(&emitter->waits, 1);
            sleep_until(emitter, clock_now() + FULL_PAUSE);
            if (atomic_load(&emitter->is_stopping))
                return false;
        }
    }
}

static bool emit_burst(emitter_t *emitter)
{
    for (uint64_t i = 0; i < emitter->plan.burst; i++)
        if (!emit(emitter))
            return false;
    if (sink_flush(emitter->sink) == SINK_DONE)
        return true;
    atomic_store(&emitter->has_failed, true);
    return false;
}

static void emit_at_rate(emitter_t *emitter)
{
    double interval = (double)emitter->plan.burst / emitter->plan.rate;
    double due = clock_now();
    while (!atomic_load(&emitter->is_stopping)) {
        double now = clock_now();
        if (now < due) {
            sleep_until(emitter, due);
            continue;
        }
        if (now - due > LATENESS_MAX)
            due = now;
        due += interval;
        if (!emit_burst(emitter))
            return;
    }
}

// Whether the next burst fits into the window.
static bool has_room(emitter_t *emitter)
{
    const emitter_plan_t *plan = &emitter->plan;
    uint64_t emitted = atomic_load(&emitter->emitted);
    uint64_t ahead = plan->window - plan->burst;
    return emitted <= ahead ||
           atomic_load(&emitter->delivered) >= emitter_deliveries(plan, emitted - ahead);
}

static void emit_flat_out(emitter_t *emitter)
{
    while (!atomic_load(&emitter->is_stopping)) {
        if (has_room(emitter)) {
            if (!emit_burst(emitter))
                return;
            continue;
        }
        atomic_store(&emitter->is_waiting, true);
        if (!has_room(emitter) && !atomic_load(&emitter->is_stopping))
            while (sem_wait(&emitter->wake) != 0 && errno == EINTR)
                continue;
        atomic_store(&emitter->is_waiting, false);
    }
}

static void *run(void *arg)
{
    emitter_t *emitter = arg;
    if (emitter->plan.rate > 0)
        emit_at_rate(emitter);
    else
        emit_flat_out(emitter);
    return NULL;
}

bool emitter_start(emitter_t *emitter)
{
    int error = pthread_create(&emitter->thread, NULL, run, emitter);
    if (error) {
        report("cannot make a thread: %s", strerror(error));
        return false;
    }
    emitter->is_running = true;
    return true;
}

void emitter_stop(emitter_t *emitter)
{
    if (!emitter->is_running)
        return;
    atomic_store(&emitter->is_stopping, true);
    sem_post(&emitter->wake);
    pthread_join(emitter->thread, NULL);
    emitter->is_running = false;
}

void emitter_delivered(emitter_t *emitter, uint64_t deliveries)
{
    atomic_store(&emitter->delivered, deliveries);
    if (atomic_load(&emitter->is_waiting) && has_room(emitter) &&
        atomic_exchange(&emitter->is_waiting, false))
        sem_post(&emitter->wake);
}

uint64_t emitter_count(const emitter_t *emitter)
{
    return atomic_load(&emitter->emitted);
}

uint64_t emitter_waits(const emitter_t *emitter)
{
    return atomic_load(&emitter->waits);
}

bool emitter_has_failed(const emitter_t *emitter)
{
    return atomic_load(&emitter->has_failed);
}
