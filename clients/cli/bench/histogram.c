// SPDX-License-Identifier: MIT
// Values below HISTOGRAM_STEPS have a bucket each; from there on each power of two has
// HISTOGRAM_STEPS of them.
#include "clients/cli/bench/histogram.h"

#include <math.h>
#include <string.h>

enum { STEP_BITS = 6 };

void histogram_clear(histogram_t *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

static unsigned bucket_of(uint64_t value)
{
    if (value >> HISTOGRAM_BITS)
        return HISTOGRAM_BUCKETS - 1;
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - STEP_BITS;
    return (shift << STEP_BITS) + (unsigned)(value >> shift);
}

static uint64_t last_of(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = (bucket >> STEP_BITS) - 1;
    uint64_t first = (uint64_t)(HISTOGRAM_STEPS + (bucket & (HISTOGRAM_STEPS - 1))) << shift;
    return first + ((uint64_t)1 << shift) - 1;
}

void histogram_add(histogram_t *histogram, uint64_t value)
{
    histogram->count++;
    histogram->buckets[bucket_of(value)]++;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t histogram_quantile(const histogram_t *histogram, double quantile)
{
    uint64_t wanted = (uint64_t)ceil((double)histogram->count * quantile), seen = 0;
    if (wanted == 0)
        wanted = 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= wanted && i < HISTOGRAM_BUCKETS - 1)
            return last_of(i) < histogram->max ? last_of(i) : histogram->max;
    }
    return histogram->max;
}

uint64_t histogram_below(const histogram_t *histogram, unsigned bits)
{
    uint64_t count = 0;
    if (bits >= HISTOGRAM_BITS)
        return histogram->count;
    for (unsigned i = 0; i < bucket_of((uint64_t)1 << bits); i++)
        count += histogram->buckets[i];
    return count;
}
