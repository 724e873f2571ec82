// SPDX-License-Identifier: MIT
// Deadlines on the monotonic clock, in seconds.
#ifndef TALUS_CLI_CLOCK_H
#define TALUS_CLI_CLOCK_H

#include <limits.h>
#include <math.h>

#include "common/clock.h"

// Seconds since some fixed moment.
static inline double clock_now(void)
{
    return (double)tl_monotonic_ns() / 1e9;
}

// Milliseconds from now to `deadline`, rounded up, 0 if it has passed; for poll and its like.
static inline int clock_left_ms(double deadline)
{
    double left = ceil((deadline - clock_now()) * 1000);
    return left <= 0 ? 0 : left >= INT_MAX ? INT_MAX : (int)left;
}

#endif
