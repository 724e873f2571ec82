// SPDX-License-Identifier: MIT
// Clocks, and moments on them in milliseconds, of which 0 is never.
#ifndef TALUS_COMMON_CLOCK_H
#define TALUS_COMMON_CLOCK_H

// Microseconds since the Unix epoch. Any thread.
unsigned long long tl_now_us(void);

// Nanoseconds, and milliseconds, of a clock that never goes back. Any thread.
long long tl_monotonic_ns(void);
long long tl_monotonic_ms(void);

// When a time-out is over: a moment on the monotonic clock; -1 for a time-out of -1: never.
long long tl_deadline(int timeout_ms);

// Milliseconds until such a deadline, 0 when it is over, in the form that poll takes.
int tl_left_until(long long deadline);

// The earlier of two moments, of which 0 is never.
static inline long long tl_earlier(long long one, long long other)
{
    return one == 0 || (other != 0 && other < one) ? other : one;
}

#endif
