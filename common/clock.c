// SPDX-License-Identifier: MIT
// Clocks.
#include "common/clock.h"

#include <time.h>

unsigned long long tl_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000u + (unsigned long long)now.tv_nsec / 1000u;
}

long long tl_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

long long tl_monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

long long tl_deadline(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : tl_monotonic_ms() + timeout_ms;
}

int tl_left_until(long long deadline)
{
    if (deadline < 0)
        return -1;
    long long left = deadline - tl_monotonic_ms();
    return left > 0 ? (int)left : 0;
}
