// SPDX-License-Identifier: MIT
// The publishing half of the transport: what carries a broadcaster's events to its subscribers.
//
// Above it the broadcaster has the emit queue, the sequence numbers, each session's `prev`, the
// history, the local callbacks and the bus thread's loop, and does not know what carries its
// events. Behind it a transport has its connections and all that it says and hears on them by
// itself. bus/src/zmq/pub is one; tests/bus/support/memory_publish.c another.
//
// The life of a transport: `open`, on the thread of the broadcaster's maker; then the bus thread
// starts, and calls what stands under "the bus thread"; `await_subscribers`, on the thread that
// ends the broadcaster; `finish`, the bus thread's last call; `close`, on the thread that ends the
// broadcaster, after the bus thread has ended.
//
// No function of the bus thread blocks, but for `finish`. What has to wake the bus thread does it
// through a descriptor of `poll_fds`.
#ifndef TALUS__PUBLISH_H
#define TALUS__PUBLISH_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/broadcaster.h>

#include "bus/src/transport/message.h"
#include "common/list.h"

#define TALUS__PUBLISH_FDS 4 // descriptors of a transport

struct talus__publish_ops;

// A session that the broadcaster remembers. `session_size` bytes of the transport's own stand
// behind it, zero at first, for as long as the broadcaster remembers it (see `forget`).
struct talus__publish_session {
    const char *name; // without a NUL at its end
    size_t name_size;
};

static inline void *talus__publish_state(struct talus__publish_session *session)
{
    return session + 1;
}

static inline struct talus__publish_session *talus__publish_session_of(void *state)
{
    return (struct talus__publish_session *)state - 1;
}

// An event to be sent. Its seq and prev are in the body.
struct talus__publish_event {
    struct talus__message *message;         // the reference goes to the transport
    struct talus__publish_session *session; // NULL: there was no memory to remember it
    uint64_t session_hash;                  // by the journal's key, if there is a journal
};

// What every emit notes before its event is in the queue, so that it survives the process
// (codec/journal.h). It is a ring, since an emit cannot call the transport.
struct talus__publish_journal {
    _Atomic uint64_t *ring; // NULL: there is none
    uint64_t mask;
    uint64_t key;
};

// How many events the transport takes now. It may get one event more than `bytes` holds.
struct talus__publish_room {
    size_t events;
    size_t bytes;
};

// What waits in the emit queue.
struct talus__publish_backlog {
    bool is_pressed; // the queue is half full, or more
    bool is_ending;  // the broadcaster ends: nothing is gained by waiting
};

struct talus__publish_turn {
    long long now;            // on the monotonic clock, in milliseconds
    bool is_busy;             // events were sent in this turn, and more may wait
    const struct pollfd *fds; // what poll said of the descriptors of `poll_fds`
    size_t fd_count;          // 0: the thread has not slept since the last turn
};

enum talus__publish_end {
    TALUS__END_HANDED_OVER, // all events are settled, and every subscriber was ready for them
    TALUS__END_UNFINISHED,
    TALUS__END_FORKED, // in a forked child: what is shared with the parent is left alone
};

// A place in the history, at which a transport that serves replays reads it. The transport reads
// the first three; the rest is the history's.
struct talus__cursor {
    struct talus__message *message; // the one to look at next; NULL: all were looked at
    uint64_t after;                 // events up to this seq need not be sent
    uint64_t low;                   // events up to this seq may be missing
    const char *session;
    size_t session_size;
    bool is_everything;
    struct tl_list link; // among those that are open
};

// What a transport may ask of its broadcaster. The bus thread's alone, within `turn` and `finish`.
struct talus__publish_source {
    void *arg; // of each function

    // Seq of the session's newest event that was sent; too high at worst.
    uint64_t (*last)(void *arg, const char *session, size_t session_size);

    // Opens a cursor for the events of `session` ("*": of all sessions) that are newer than
    // `after`. It may begin with older ones. `session` is borrowed until the cursor is closed.
    void (*open_cursor)(void *arg, struct talus__cursor *cursor, const char *session,
                        size_t session_size, uint64_t after);

    // The event at the cursor was sent, or need not be: goes on to the next.
    void (*advance_cursor)(void *arg, struct talus__cursor *cursor);

    // What the answer lacks so far: events up to this seq. Exact at the end of the history.
    uint64_t (*missing_to)(void *arg, const struct talus__cursor *cursor);

    void (*close_cursor)(void *arg, struct talus__cursor *cursor);
};

struct talus__publish_options {
    const char *origin;   // borrowed: lives as long as the transport
    const char *endpoint; // as for talus_broadcaster_new; NULL: the default
    const talus_broadcaster_options_t *options;
    const struct talus__publish_source *source; // borrowed: lives as long as the transport
};

// What every transport begins with.
struct talus__publish_transport {
    const struct talus__publish_ops *ops;
    const char *endpoint; // what others connect to; the transport's
    struct talus__publish_journal journal;
};

struct talus__publish_ops {
    size_t session_size; // bytes of the transport's own for each session, aligned to 8

    // Makes a transport that is open for subscribers. Returns 0 or an error of
    // talus_broadcaster_new; then nothing is to be closed. Blocks for file and socket set-up.
    int (*open)(struct talus__publish_transport **transport,
                const struct talus__publish_options *options);

    // ---- The bus thread

    // Returns how much it takes now; `send` must take that much.
    struct talus__publish_room (*room)(struct talus__publish_transport *transport,
                                       const struct talus__publish_backlog *backlog);

    // Takes all of these events, in the order of their seqs, and sends them. It counts and logs an
    // event that fails, which keeps its place in seq, prev and the history. `now`: monotonic clock,
    // milliseconds.
    void (*send)(struct talus__publish_transport *transport,
                 const struct talus__publish_event *events, size_t count, long long now);

    // Returns the seq up to which all events are settled: handed over (ZeroMQ), acknowledged (an
    // engine), or failed. It is never above what `send` was given, and never falls. The broadcaster
    // asks after each send and each turn.
    uint64_t (*settled)(struct talus__publish_transport *transport);

    // The broadcaster is about to forget the session; its events were all sent before.
    // `watermark`: what is said of the newest event of sessions that are forgotten or not known.
    void (*forget)(struct talus__publish_transport *transport,
                   struct talus__publish_session *session, uint64_t watermark);

    // Does a bounded amount of the transport's own work. Called once in each turn of the loop,
    // after the events. Returns whether there is more that can be done at once.
    bool (*turn)(struct talus__publish_transport *transport,
                 const struct talus__publish_turn *turn);

    // Fills in what is to be polled while the thread sleeps (-1: nothing), at most
    // TALUS__PUBLISH_FDS. Returns their number.
    size_t (*poll_fds)(struct talus__publish_transport *transport, struct pollfd *fds);

    // Returns when `turn` or `room` is to be called even if no descriptor becomes readable, on the
    // monotonic clock in milliseconds; 0: never.
    long long (*due)(struct talus__publish_transport *transport);

    // The last call on this thread: says goodbye to the subscribers. It returns at `deadline` at
    // the latest (monotonic clock, milliseconds). `is_complete`: all events are settled.
    void (*finish)(struct talus__publish_transport *transport, long long deadline,
                   bool is_complete);

    // ---- Any thread

    // As talus_broadcaster_wait_subscribers, but for TALUS_EFORKED.
    int (*wait_subscribers)(struct talus__publish_transport *transport, size_t at_least,
                            int timeout_ms, size_t *ready);

    // Fills in the transport's own counters, and leaves the others alone.
    void (*stats)(struct talus__publish_transport *transport, talus_broadcaster_stats_t *stats);

    // ---- The thread that ends the broadcaster

    // Events were emitted, and no more will be. Waits until every subscriber that should get them
    // is ready for them, until `deadline` at most; the bus thread goes on meanwhile. Returns
    // whether they all are.
    bool (*await_subscribers)(struct talus__publish_transport *transport, long long deadline);

    // Frees the transport. Also when the bus thread was never started.
    void (*close)(struct talus__publish_transport *transport, enum talus__publish_end end);
};

#endif
