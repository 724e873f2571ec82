// SPDX-License-Identifier: MIT
// One sender and one receiver, measured in processes of their own, so that neither library's
// threads meet those of the other case.
#ifndef TALUS_CLI_BENCH_BUS_CASE_H
#define TALUS_CLI_BENCH_BUS_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "clients/cli/bench/bus_library.h"

typedef struct bus_plan {
    double seconds;  // of flat out, and again of a steady rate
    double rate;     // messages a second, for the latency
    uint64_t window; // messages that the sender may be ahead
} bus_plan_t;

typedef struct bus_result {
    double messages_per_second;
    double sender_cpu, receiver_cpu; // seconds a message
    double p50, p90, p99, max;       // seconds
    uint64_t sent, lost, misplaced;
} bus_result_t;

// Measures one library on one transport. `endpoint`: where to bind; an inproc one has both sides in
// one process. The caller must have no thread. False: reported.
bool bus_case_run(const bus_library_t *library, const char *endpoint, const bus_plan_t *plan,
                  bus_result_t *result);

// The time of an emit call, in seconds, in bursts that the queue holds: the median of the bursts,
// alone and then with a receiver. Otherwise as above.
bool bus_case_emit(const char *endpoint, bool has_receiver, const bus_plan_t *plan, double *call);

#endif
