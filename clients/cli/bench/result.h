// SPDX-License-Identifier: MIT
// What `talus bench gateway` found, and how it is printed.
#ifndef TALUS_CLI_BENCH_RESULT_H
#define TALUS_CLI_BENCH_RESULT_H

#include <stdint.h>
#include <sys/types.h>

#include "clients/cli/bench/emitter.h"
#include "clients/cli/bench/histogram.h"
#include "clients/cli/bench/process.h"

typedef struct result {
    const emitter_plan_t *plan;
    const char *transport;
    uint64_t size;                  // bytes of a payload
    pid_t server;                   // 0: not known, and neither are its CPU time and memory
    double connect;                 // seconds until every client had joined
    process_memory_t before, after; // the clients came
    double seconds;                 // measured
    uint64_t emitted, deliveries;   // of the whole run, with warm-up
    uint64_t measured_emitted;      // in those seconds
    uint64_t measured_deliveries;   // in those seconds
    uint64_t drained_deliveries;    // and until all was delivered: what the CPU time is for
    double server_cpu;              // seconds; below 0: not known
    double bench_cpu;               // seconds, as long
    uint64_t lost, misplaced, gone;
    uint64_t waits, others, reads;
    const histogram_t *latency; // nanoseconds
} result_t;

// The server's CPU time a delivery, in microseconds; below 0: not known.
double result_cpu_per_delivery(const result_t *result);

// Both to standard output: a table for people, one line of JSON for programs.
void result_print(const result_t *result);
void result_print_json(const result_t *result);

#endif
