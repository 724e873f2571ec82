// SPDX-License-Identifier: MIT
// What all objects of a process share: libtalus's own ZeroMQ context, kept while anything uses it,
// and the knowledge whether this process was forked since an object was made.
//
// A fork is counted by a handler that runs in the child, so asking costs a load. The child starts
// with no context and no users: what the parent made is the parent's, and the child makes its own.
#ifndef TALUS__CONTEXT_H
#define TALUS__CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Returns the context with one more user, or NULL (errno says why). Any thread. Does not block.
void *talus__context_ref(void);

// One user less; the last one ends the context, and then waits for what closed sockets still have
// to send, as long as their linger allows. After a fork the child must not call it for what the
// parent made (see talus__is_forked). Any thread.
void talus__context_unref(void);

// A number that is another one in every forked child. Remember it at creation. Any thread; costs a
// load, no system call.
unsigned talus__fork_generation(void);

static inline bool talus__is_forked(unsigned generation)
{
    return generation != talus__fork_generation();
}

// Keeps `fd` on a list of descriptors that a forked child closes at once, since a lock held through
// a descriptor would otherwise outlive the process that took it. Forget it before closing it.
// Returns 0 or TALUS_ENOMEM. Any thread. Does not block.
int talus__close_in_child(int fd);
void talus__forget_in_child(int fd);

// Fills `out` with `size` random characters of a-z 0-9 and a NUL. Returns 0 or TALUS_ESYSTEM.
int talus__random_name(char *out, size_t size);

// Microseconds since the Unix epoch, and milliseconds of a clock that never goes back.
unsigned long long talus__now_us(void);
long long talus__monotonic_ms(void);

// The earlier of two moments, of which 0 is never.
static inline long long talus__earlier(long long one, long long other)
{
    return one == 0 || (other != 0 && other < one) ? other : one;
}

#endif
