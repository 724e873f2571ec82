// SPDX-License-Identifier: MIT
// The graceful leave: the last message of a broadcaster, which tells when ZeroMQ has no more use
// for it. Pipes keep their order, so all that was sent before it has been handed to the kernel,
// too, or had nobody left to go to.
//
// Closing a socket with messages in its pipes is no way to learn that: libzmq 4.3.4 keeps the pipe
// of a subscriber that leaves at that moment until the linger is over.
#ifndef TALUS__LEAVE_H
#define TALUS__LEAVE_H

#include <stddef.h>

struct talus__leave;

// Sends `topic` with a copy of `body`, to nobody where there is none. NULL, with errno: it was not
// sent. The result goes to talus__leave_free.
struct talus__leave *talus__leave_send(void *socket, const char *topic, size_t topic_size,
                                       const void *body, size_t body_size);

// Waits until ZeroMQ has released it, or `deadline` on the monotonic clock in milliseconds is
// over; lets subscribers leave meanwhile. NULL: nothing is waited for.
void talus__leave_wait(struct talus__leave *leave, long long deadline);

// NULL: nothing happens.
void talus__leave_free(struct talus__leave *leave);

#endif
