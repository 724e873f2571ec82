// SPDX-License-Identifier: MIT
// A histogram of latencies that takes any number of them in fixed memory: buckets of equal width
// within each power of two, so that a value is known to 1.6 %. Pure.
#ifndef TALUS_CLI_BENCH_HISTOGRAM_H
#define TALUS_CLI_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 64, // buckets in a power of two
    HISTOGRAM_BITS = 40,  // values of more bits (18 minutes in nanoseconds) count as the largest
    HISTOGRAM_BUCKETS = (HISTOGRAM_BITS - 5) * HISTOGRAM_STEPS,
};

typedef struct histogram {
    uint64_t count;
    uint64_t max; // exact; 0 if there is none
    uint64_t buckets[HISTOGRAM_BUCKETS];
} histogram_t;

void histogram_clear(histogram_t *histogram);
void histogram_add(histogram_t *histogram, uint64_t value);

// The value that the share `quantile` (0 to 1) of all values does not exceed, as the upper end of
// its bucket but never above the maximum; 0 if there is none.
uint64_t histogram_quantile(const histogram_t *histogram, double quantile);

// How many values are below 2^bits (to bucket 2^bits - 1).
uint64_t histogram_below(const histogram_t *histogram, unsigned bits);

#endif
