// SPDX-License-Identifier: MIT
// A thread that emits the bench's events into the rooms in turn, at a rate or as fast as they are
// delivered.
#ifndef TALUS_CLI_BENCH_EMITTER_H
#define TALUS_CLI_BENCH_EMITTER_H

#include <stdbool.h>
#include <stdint.h>

#include "clients/cli/bench/sink.h"

typedef struct emitter_plan {
    const char *session; // rooms are SESSION-0, SESSION-1…
    uint64_t rooms, clients;
    double rate;     // events a second; 0: as fast as they are delivered
    uint64_t burst;  // events emitted at once
    uint64_t window; // at rate 0: events that may be on their way at once; at least `burst`
} emitter_plan_t;

typedef struct emitter emitter_t;

// `plan` is copied, its session kept. `sink` is borrowed until emitter_destroy.
// NULL: reported.
emitter_t *emitter_new(const emitter_plan_t *plan, sink_t *sink);

// Stops the thread if it runs, and frees. NULL-safe.
void emitter_destroy(emitter_t **emitter);

// Starts the thread. False: reported.
bool emitter_start(emitter_t *emitter);

// Stops the thread and joins it; a burst that has begun goes out as a whole.
void emitter_stop(emitter_t *emitter);

// What an event would have as its time if it were emitted now. Any thread.
uint64_t emitter_time(const emitter_t *emitter);

// Tells how many deliveries have come, all in all. Any one thread. Does not block.
void emitter_delivered(emitter_t *emitter, uint64_t deliveries);

// Events emitted so far, and how often a full queue made the emitter wait. Any thread.
uint64_t emitter_count(const emitter_t *emitter);
uint64_t emitter_waits(const emitter_t *emitter);

// Whether the sink failed (reported); the thread has then ended.
bool emitter_has_failed(const emitter_t *emitter);

// The deliveries that `events` events make.
uint64_t emitter_deliveries(const emitter_plan_t *plan, uint64_t events);

// Writes a room's name.
void emitter_room(const emitter_plan_t *plan, uint64_t room, char name[SINK_ROOM_MAX]);

#endif
