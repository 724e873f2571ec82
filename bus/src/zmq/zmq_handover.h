// SPDX-License-Identifier: MIT
// Tells ThreadSanitizer what it cannot see: that the bytes of a message change threads in good
// order inside ZeroMQ, which is not built with it. They are the sender's own block, which over
// inproc the receiver reads, and which whoever lets go last gives back. No code in other builds.
#ifndef TALUS__ZMQ_HANDOVER_H
#define TALUS__ZMQ_HANDOVER_H

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

// Before a message with these bytes is sent or closed: this thread is done with them.
static inline void talus__zmq_release(void *bytes)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_release(bytes);
#else
    (void)bytes;
#endif
}

// After a message with these bytes was received, or ZeroMQ gave them back.
static inline void talus__zmq_acquire(void *bytes)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(bytes);
#else
    (void)bytes;
#endif
}

#endif
