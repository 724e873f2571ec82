// SPDX-License-Identifier: MIT
// What a receiving socket has brought and its owner has not taken yet.
//
// Such a socket has no high-water mark (connection_times.h says why), so what waits in ZeroMQ has
// no bound. While the owner keeps up, it takes straight from the socket, and the ring is empty.
// When it does not, `talus__inbox_pull` moves what waits into the ring, which has bounds in
// messages and bytes; what is beyond them is dropped and counted.
//
// On the bus a subscriber notices what was dropped like any other loss, by `prev` and heads. As
// markers are how it notices, they may use a quarter more of both bounds. The end of a response, on
// the other hand, says that all of it has come. So in the inbox of a replay client (`is_stream`)
// whatever follows a dropped message is dropped too, until the owner has requested again: what the
// ring holds is the beginning of what was sent.
//
// A small message may lie in a receive buffer of ZeroMQ's, which is many times larger, and which it
// would keep. So what has waited in the ring since the pull before is copied, unless its neighbours
// in that buffer wait, too; what is taken sooner, as it is by an owner that is just busy, is not.
//
// Invariants: what is in the ring came before what is in the socket. The bytes of a bound are the
// sum over its inboxes.
#ifndef TALUS__INBOX_H
#define TALUS__INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

// What a message in the ring takes beside its bytes: its two frames, and ZeroMQ's block.
#define TALUS__INBOX_OVERHEAD 256u
#define TALUS__HOST_MAX       63u // bytes of a numeric address

// Bytes are those of frames, and TALUS__INBOX_OVERHEAD for each message.
struct talus__inbox_bound {
    size_t max_bytes;           // of all inboxes that share it
    size_t bytes;               // in their rings
    _Atomic uint64_t dropped;   // messages beyond the bounds, or without memory
    _Atomic uint64_t malformed; // messages that do not have two frames
};

// Where a message came from. What ZeroMQ knows about that is lost when a frame is copied.
struct talus__source {
    bool is_kept;                   // the members below are set; else ask the message
    int fd;                         // of the connection; -1: none
    char host[TALUS__HOST_MAX + 1]; // of the peer, for markers; "": not known
};

struct talus__inbox_slot {
    zmq_msg_t topic;
    zmq_msg_t body;
    int fd;
    char *host; // owned; NULL: not known
};

struct talus__inbox {
    void *socket;                     // borrowed
    struct talus__inbox_bound *bound; // borrowed
    size_t max_messages;              // 0: no bound
    size_t least_bytes;               // that it may use, however much the others do
    bool is_stream;
    bool is_cut;                     // a stream: a message was dropped, until the owner clears this
    bool is_emptied;                 // the socket was found empty after it was read last
    struct talus__inbox_slot *slots; // owned; a ring
    size_t capacity;                 // a power of two, or 0
    size_t peak;                     // of `count` since the ring was empty
    size_t first;
    size_t count;
    size_t copied; // of them, the oldest
    size_t bytes;
};

// Moves a frame that is to be kept into an initialised one. A small frame is copied, because of the
// buffer where it may lie. Without memory it is moved as it is.
void talus__frame_keep(zmq_msg_t *kept, zmq_msg_t *frame);

// The bounds and the socket are set, the rest is zero. Closes what is in the ring.
void talus__inbox_fini(struct talus__inbox *inbox);

// What is in the ring is there to stay: copies it now, not at the next pull.
void talus__inbox_keep(struct talus__inbox *inbox);

// Moves what waits in the socket into the ring, until the socket is empty, which `is_emptied` says,
// or `most` messages were read: a peer may send as fast as they are read.
void talus__inbox_pull(struct talus__inbox *inbox, size_t most);

// Moves the oldest message of the ring into initialised frames. The ring is not empty.
void talus__inbox_take(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body,
                       struct talus__source *source);

#endif
