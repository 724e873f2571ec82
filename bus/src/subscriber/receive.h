// SPDX-License-Identifier: MIT
// The subscriber's descriptors.
#ifndef TALUS__RECEIVE_H
#define TALUS__RECEIVE_H

#include <talus/subscriber.h>

// The event data of the epoll descriptor: these, and those of peers.h.
#define SOURCE_SOCKET 0u
#define SOURCE_TIMER  1u
#define SOURCE_WAKE   2u

// Opens epoll, timer and wake, and has epoll watch them and the socket, which is there already.
// Returns 0 or TALUS_ESYSTEM. Call talus__descriptors_close after an error, too.
int talus__descriptors_open(talus_subscriber_t *subscriber);
void talus__descriptors_close(talus_subscriber_t *subscriber);

#endif
