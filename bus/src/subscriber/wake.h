// SPDX-License-Identifier: MIT
// The descriptor that a subscriber's owner watches: an epoll instance with the transport's
// descriptors, a timer, and an event descriptor.
//
// Invariant: it is readable whenever a call of talus_subscriber_receive could give something. What
// lies in a transport's queue is not seen by the kernel, so the event descriptor stays readable
// from the first thing that is given until nothing is left. As that is two system calls for each
// burst, it begins when the owner first asks for the descriptor.
#ifndef TALUS__SUBSCRIBER_WAKE_H
#define TALUS__SUBSCRIBER_WAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct talus__wake {
    int epoll;
    int timer; // fires at armed_at
    int event;
    atomic_bool is_called; // by talus_subscriber_wake, and not yet told
    bool has_more;         // a call of receive could give something
    bool is_set;           // `event`: has_more, where it is watched
    bool is_watched;       // the owner has asked for the descriptor
    long long armed_at;
};

// The event data of the descriptors in `epoll`. The transport's are larger (TALUS__RECEIVE_SOURCE).
#define TALUS__SOURCE_TIMER 1u
#define TALUS__SOURCE_EVENT 2u

// Returns 0 or TALUS_ESYSTEM. Close it after an error, too. One that is all zero but for the
// descriptors, which are -1, can be closed.
int talus__wake_open(struct talus__wake *wake);
void talus__wake_close(struct talus__wake *wake);

// Has `epoll` watch a descriptor. Returns 0 or -1.
int talus__wake_add(struct talus__wake *wake, int fd, uint32_t source);

// Makes the descriptor readable until nothing is left, if it is watched. Does not fail: the counter
// of an event descriptor that is read before it is written again cannot overflow.
void talus__wake_set(struct talus__wake *wake);

// Nothing is left. `is_knocked`: somebody else has written to `event`.
void talus__wake_clear(struct talus__wake *wake, bool is_knocked);

// talus_subscriber_wake. Any thread, or a signal handler.
void talus__wake_call(struct talus__wake *wake);

// Whether it was called, and that is not told yet.
static inline bool talus__wake_is_called(const struct talus__wake *wake)
{
    return atomic_load_explicit(&wake->is_called, memory_order_seq_cst);
}

// Whether it was called since the last time that this was asked.
static inline bool talus__wake_take_call(struct talus__wake *wake)
{
    return atomic_load_explicit(&wake->is_called, memory_order_relaxed) &&
           atomic_exchange_explicit(&wake->is_called, false, memory_order_acquire);
}

// Sets the timer to a moment of the monotonic clock in milliseconds; 0: never.
void talus__wake_at(struct talus__wake *wake, long long at);

// Sets it to `at` if that is earlier; 0: nothing new is due.
void talus__wake_by(struct talus__wake *wake, long long at);

#endif
