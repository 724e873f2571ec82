// SPDX-License-Identifier: MIT
// Lets through one log line a second of a kind, and counts the others.
#ifndef TALUS__LOG_GATE_H
#define TALUS__LOG_GATE_H

#include <stdbool.h>

struct talus__log_gate {
    long long opens_at;
    unsigned long long held_back;
};

// Whether a line may be logged now, and how many were held back since the last.
bool talus__may_log(struct talus__log_gate *gate, unsigned long long *held_back);

#endif
