// SPDX-License-Identifier: MIT
// Limits log lines.
#include "bus/src/subscriber/log_gate.h"

#include "bus/src/zmq/context.h"

#define LOG_INTERVAL_MS 1000

bool talus__may_log(struct talus__log_gate *gate, unsigned long long *held_back)
{
    long long now = tl_monotonic_ms();

    if (now < gate->opens_at) {
        gate->held_back++;
        return false;
    }
    gate->opens_at = now + LOG_INTERVAL_MS;
    *held_back = gate->held_back;
    gate->held_back = 0;
    return true;
}
