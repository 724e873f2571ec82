// SPDX-License-Identifier: MIT
// Heads that are sent again 1, 2, 4… seconds after a session's last event, so that whoever lost
// that event notices. The bus thread's alone.
//
// A stage's sessions stand in the order in which they were noted, which is that of their due times.
#ifndef TALUS__REPEATS_H
#define TALUS__REPEATS_H

#include "common/list.h"

#define TALUS__REPEAT_STAGES 32u // more than any age allows

// A session's place among them, zero at first.
struct talus__repeat {
    struct tl_list link; // first; in its stage
    long long last_at;   // when its last event was sent, on the monotonic clock in milliseconds
    unsigned stage;      // which repeat is due; TALUS__REPEAT_STAGES: none
};

struct talus__repeats {
    struct tl_list stages[TALUS__REPEAT_STAGES]; // not to be moved in memory
    long long first_ms; // after the last event; each later one after twice the time
    long long age_ms;   // after which a session has aged out
    unsigned used;      // stages below this may have sessions
};

void talus__repeats_init(struct talus__repeats *repeats, long long first_ms, long long age_ms);

// The session has just had an event.
void talus__repeats_note(struct talus__repeats *repeats, struct talus__repeat *repeat,
                         long long now);

// The session is to be forgotten.
void talus__repeats_drop(struct talus__repeat *repeat);

// Takes a session whose head is due, and has it wait for its next time. NULL: none is.
struct talus__repeat *talus__repeats_take(struct talus__repeats *repeats, long long now);

// Takes any session that has not aged out, for good. NULL: none is left.
struct talus__repeat *talus__repeats_drain(struct talus__repeats *repeats);

// When talus__repeats_take has something to give; 0: never.
long long talus__repeats_due(const struct talus__repeats *repeats);

#endif
