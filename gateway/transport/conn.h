// SPDX-License-Identifier: MIT
// A connection: a descriptor watched by a loop, its output queue, and the handler of its bytes.
// HTTP and WebSocket are handlers on top of it; an upgrade replaces the handler.
//
// Output is written once a turn (phase flush), with one system call for all that has gathered.
// Input is read into the loop's shared buffer, a bounded amount a turn; a handler keeps what it
// cannot use yet. A connection that has nothing to write owns no buffer.
//
// All of it is for the loop's thread alone; nothing blocks. Any function may be called from within
// any handler. Once a connection is over (is_closing says so, on_end follows) calls on it change
// nothing, until on_end has returned and it is gone.
#ifndef TALUS_GATEWAY_TRANSPORT_CONN_H
#define TALUS_GATEWAY_TRANSPORT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/chunk.h"
#include "gateway/base/loop.h"
#include "gateway/base/metrics.h"

struct conn;

enum conn_end {
    CONN_END_PEER,  // the peer closed (if only its sending side), or reset, the connection
    CONN_END_ERROR, // a system call failed
    CONN_END_LOCAL, // conn_close or conn_abort
};

struct conn_handler {
    // Bytes arrived; they may be changed in place. Called only while the connection is open and
    // reading is not paused.
    void (*on_data)(struct conn *conn, void *owner, uint8_t *bytes, size_t size);
    // Everything queued has been written; NULL if not needed. Not called once it is closing.
    void (*on_drained)(struct conn *conn, void *owner);
    // The connection is over; called exactly once, never from within a call to conn_close or
    // conn_abort (but later in the turn). The conn is freed after it returns.
    void (*on_end)(struct conn *conn, void *owner, enum conn_end end);
};

// Takes over a connected, non-blocking socket. `handler` is borrowed and must outlive the conn;
// no handler is called before this returns. NULL: out of memory (or no socket); the descriptor is
// then still the caller's.
struct conn *conn_open(struct gw_loop *loop, struct gw_metrics *metrics, int fd,
                       const struct conn_handler *handler, void *owner);

// Replaces the handler, e.g. for an upgrade. Bytes that the old one was given but did not use are
// for the new one if they are handed back with conn_unread.
void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *owner);

// Gives a copy of `bytes` to on_data in this turn's distribution phase (the next turn's, if that is
// over), and in any case before anything newer; while reading is paused it waits. Not again before
// that has happened. False: out of memory.
bool conn_unread(struct conn *conn, const void *bytes, size_t size);

struct gw_loop *conn_loop(const struct conn *conn);
struct gw_metrics *conn_metrics(const struct conn *conn);

// The output queue: append to it, then call conn_flush. Its bound is the caller's business. What is
// written of it is counted (GW_DELIVERED and its like); what is in it at the end can still be
// looked at in on_end.
struct outq *conn_queue(struct conn *conn);
// Has the queue written in this turn's flush phase (the next turn's, if that is over).
void conn_flush(struct conn *conn);
// Writes now what the kernel takes. The connection may be over then, as after conn_abort.
void conn_write_now(struct conn *conn);

// Stops and resumes reading (back-pressure). A paused connection still notices its end, and what it
// has not read by then is lost.
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);

// Writes what is queued, says that this is all (so that the peer can read it to the end: closing
// at once while input is unread would reset the connection and could lose it), and waits for the
// peer to close, dropping what it still sends; but no longer than `linger_ms`. No more on_data.
void conn_close(struct conn *conn, int64_t linger_ms);
// Closes at once; what is queued is dropped.
void conn_abort(struct conn *conn);
bool conn_is_closing(const struct conn *conn);
// Whether nothing can be written any more.
bool conn_has_ended(const struct conn *conn);

// Takes the descriptor out of an open connection, which is over then, without its on_end; what was
// queued and not written is dropped with it.
int conn_detach(struct conn *conn);

#endif
