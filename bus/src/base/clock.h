// SPDX-License-Identifier: MIT
// Clocks, and moments on them in milliseconds, of which 0 is never.
#ifndef TALUS__CLOCK_H
#define TALUS__CLOCK_H

// Microseconds since the Unix epoch. Any thread.
unsigned long long talus__now_us(void);

// Milliseconds of a clock that never goes back. Any thread.
long long talus__monotonic_ms(void);

// The earlier of two moments, of which 0 is never.
static inline long long talus__earlier(long long one, long long other)
{
    return one == 0 || (other != 0 && other < one) ? other : one;
}

#endif
