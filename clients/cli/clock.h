// SPDX-License-Identifier: MIT
// Deadlines on the monotonic clock.
#ifndef TALUS_CLI_CLOCK_H
#define TALUS_CLI_CLOCK_H

#include <limits.h>
#include <math.h>
#include <time.h>

// Seconds since some fixed moment.
static inline double clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// Milliseconds from now to `deadline`, rounded up, 0 if it has passed; for poll and its like.
static inline int clock_left_ms(double deadline)
{
    double left = ceil((deadline - clock_now()) * 1000);
    return left <= 0 ? 0 : left >= INT_MAX ? INT_MAX : (int)left;
}

#endif
