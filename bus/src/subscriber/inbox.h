// SPDX-License-Identifier: MIT
// What a receiving socket has brought and its owner has not taken yet.
//
// Such a socket has no high-water mark (connection_times.h says why), so what waits in ZeroMQ has
// no bound. While the owner keeps up, it takes straight from the socket, and the ring is empty.
// When it does not, `talus__inbox_pull` moves what waits into the ring, which has bounds in
// messages and bytes; what is beyond them is dropped and counted. A subscriber notices that like
// any other loss, by `prev` and heads. As markers are how it notices, they may use a quarter more
// of both bounds.
//
// Invariant: what is in the ring came before what is in the socket.
#ifndef TALUS__INBOX_H
#define TALUS__INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

// What a message in the ring takes beside its bytes: its two frames, and ZeroMQ's block.
#define TALUS__INBOX_OVERHEAD 256u

struct talus__inbox_slot {
    zmq_msg_t topic;
    zmq_msg_t body;
};

struct talus__inbox {
    void *socket;                    // borrowed
    size_t max_messages;             // 0: no bound
    size_t max_bytes;                // bytes of frames and TALUS__INBOX_OVERHEAD for each message
    bool is_emptied;                 // the socket was found empty after it was read last
    bool has_dropped;                // since the owner cleared it
    long long dropped_at;            // when last, on the monotonic clock in milliseconds; 0: never
    struct talus__inbox_slot *slots; // owned; a ring
    size_t capacity;                 // a power of two, or 0
    size_t first;
    size_t count;
    size_t bytes;
    _Atomic uint64_t dropped;   // events beyond the bounds, or without memory
    _Atomic uint64_t malformed; // messages that have not two frames
};

// The bounds and the socket are set, the rest is zero. Closes what is in the ring.
void talus__inbox_fini(struct talus__inbox *inbox);

// Moves what waits in the socket into the ring, until the socket is empty, which `is_emptied` says,
// or `most` messages were read: a peer may send as fast as they are read.
void talus__inbox_pull(struct talus__inbox *inbox, size_t most);

// Moves the oldest message of the ring into initialised frames. The ring is not empty.
void talus__inbox_take(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body);

#endif
