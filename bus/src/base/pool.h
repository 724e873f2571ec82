// SPDX-License-Identifier: MIT
// Memory for messages, reused. A message is made on one thread and freed on another, for which
// malloc is slow: both sides meet at a lock of its arena at every event, which made an emit take
// 1.6 µs instead of 0.4. So freed blocks go to whoever makes the next message.
//
// One pool for the process, since ZeroMQ may free a message after its broadcaster is gone. Bounded:
// what does not fit is freed. Nobody ever waits in it, not even for a thread that died in a fork.
#ifndef TALUS__POOL_H
#define TALUS__POOL_H

#include <stddef.h>

// Gives at least `size` bytes, and in `capacity` what talus__pool_free must be told. NULL: no
// memory. Any thread.
void *talus__pool_alloc(size_t size, size_t *capacity);

// Any thread.
void talus__pool_free(void *block, size_t capacity);

// Frees what is in the pool. Any thread.
void talus__pool_trim(void);

#endif
