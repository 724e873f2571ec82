// SPDX-License-Identifier: MIT
// A small generator of reproducible numbers (SplitMix64): the same seed gives the same session on
// every machine. Not for secrets.
#ifndef TALUS_CLI_DEMO_RANDOM_H
#define TALUS_CLI_DEMO_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

typedef struct demo_random {
    uint64_t state;
} demo_random_t;

static inline uint64_t random_next(demo_random_t *random)
{
    uint64_t mixed = random->state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

// From 0 to `bound` - 1, or 0. `bound` is small, so that the bias does not show.
static inline unsigned random_below(demo_random_t *random, unsigned bound)
{
    uint64_t drawn = random_next(random);
    return bound > 0 ? (unsigned)(drawn % bound) : 0;
}

static inline bool random_percent(demo_random_t *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

#endif
