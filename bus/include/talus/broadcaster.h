// SPDX-License-Identifier: MIT
// The broadcaster: emits events onto the bus.
//
//     talus_broadcaster_t *bus;
//     talus_error_t error = talus_broadcaster_new(&bus, NULL, NULL);
//     if (error == 0) {
//         error = talus_emit_node_deleted(bus, "session-1", "node-7", NULL);
//         talus_broadcaster_destroy(&bus);
//     }
//     if (error != 0)
//         fprintf(stderr, "node-7 was not told: %s\n", talus_strerror(error));
//
// Emitting puts the encoded event into a bounded queue; one thread inside, started by
// talus_broadcaster_new, owns the socket and sends. Events that are emitted in the first half
// second wait in the queue until the subscribers that lived in the bus directory at the start are
// ready: half a second at most, and only while half of the queue is free. All functions may be
// called from any thread, except that nothing may be called while or after
// talus_broadcaster_destroy runs. After fork(), the child's calls return TALUS_EFORKED.
#ifndef TALUS_BROADCASTER_H
#define TALUS_BROADCASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/error.h>
#include <talus/event.h>
#include <talus/export.h>
#include <talus/topic.h>
#include <talus/value.h>

TALUS_BEGIN_DECLS

// A pointer that a function takes must not be NULL unless its description allows it.
typedef struct talus_broadcaster talus_broadcaster_t;

// Later versions may add members at the end: make one by talus_broadcaster_options_init alone.
typedef struct talus_broadcaster_options {
    size_t size;           // of this struct, in bytes, as the caller was compiled with it; set by
                           // talus_broadcaster_options_init
    size_t queue_events;   // emit queue: events; default 65,536; rounded up to a power of two
    size_t queue_bytes;    // emit queue: bytes of encoded events; default 64 MiB; at least the
                           // largest event: max_body + 193
    size_t max_body;       // bytes of an event's body; default 1,000,000; at least 1,024
    unsigned max_depth;    // nesting of a payload; default 32, at most 64
    unsigned max_bin;      // `bin` values in a payload; default 10
    size_t max_sessions;   // sessions whose last event is remembered; default 100,000. The
                           // longest quiet are evicted first; no event is lost by it
    size_t history_events; // events kept of each session for replays; default
                           // 1,000; 0: none
    size_t history_session_bytes; // memory that they take, of each session; default 1 MiB
    size_t history_bytes;         // … and of all; default 64 MiB; the oldest go first
    int history_age_ms;           // how long they are kept; default 600,000
    const char *replay;           // where replay clients connect: endpoints to bind, as in
                                  // talus_broadcaster_new. NULL: beside each that is bound: the
                                  // same directory, the same path or name with `.replay`, the next
                                  // tcp port (any, if that is taken); nowhere for those that are
                                  // connected. "": nowhere at all. Copied
    int replay_high_water_mark;   // messages that may wait for one replay client; default 1,000
    int replay_stall_ms;      // a replay client that reads nothing for so long is dropped; default
                              // 10,000
    int send_high_water_mark; // messages a subscriber may lag behind; default 100,000
    int heartbeat_ms; // how often it sends a heartbeat, and checks those of its subscribers;
                      // default 500; 0: never, and TCP keep-alive is off, too
    int heartbeat_timeout_ms; // a subscriber whose heartbeats stop for longer, and for three of
                              // them, does not count as ready until they come again; default
                              // 1,500. Only the time in which this process runs counts. One that
                              // has sent none counts as ready as long as it is connected
    int reconnect_ms;         // first wait before this side reconnects a lost connection; default
    int reconnect_max_ms;     // 100; it doubles up to this; default 5,000
    int linger_ms;            // how long close and destroy may take to hand over what was emitted;
                              // default 1,000; at least 1. The transport may take 100 ms more
    unsigned directory_mode;  // of the bus directory, if it must be made; default 0700
    bool is_presence_only;    // it sends only presence events (a gateway): its origin starts
                              // with TALUS_PRESENCE_ORIGIN; default false
} talus_broadcaster_options_t;

// Fills in the defaults of the members that lie within the first `size` bytes. For bindings; others
// call talus_broadcaster_options_init. Any thread. Does not block.
TALUS_API void talus_broadcaster_options_init_sized(talus_broadcaster_options_t *options,
                                                    size_t size);

// Fills in the defaults. Any thread. Does not block.
static inline void talus_broadcaster_options_init(talus_broadcaster_options_t *options)
{
    talus_broadcaster_options_init_sized(options, sizeof *options);
}

// Makes a broadcaster with a new origin.
// `endpoint`: where it publishes; NULL: the default bus (see talus_default_endpoint). One or more,
//   separated by commas, of `ipc://DIRECTORY/*` (a bus directory) and ZeroMQ endpoints; `@` before
//   one binds (the default here), `>` connects.
// `options`: NULL for the defaults; copied.
// Returns 0 with `*broadcaster` owned by the caller; TALUS_EENDPOINT; TALUS_EPATHTOOLONG;
// TALUS_EADDRINUSE; TALUS_EADDRNOTAVAIL: this host has no such address, interface or name to bind;
// TALUS_EACCESS; TALUS_EINVAL: an option out of range, or options that were not made by
// talus_broadcaster_options_init; TALUS_ENOMEM; TALUS_ESYSTEM. Blocks only for
// file and socket set-up.
TALUS_API talus_error_t
talus_broadcaster_new(talus_broadcaster_t **broadcaster, const char *endpoint,
                      const talus_broadcaster_options_t *options) TALUS_MUST_USE;

// Hands over what was emitted, and frees the broadcaster, whatever it returns. On a bus directory
// it waits until every subscriber that lives there is ready (see
// talus_broadcaster_wait_subscribers), if anything was emitted; then it sends the queued events and
// a graceful leave, removes the broadcaster's files and releases its callbacks. `broadcaster`:
// consumed and set to NULL. NULL-safe.
// Returns 0; TALUS_ETIMEOUT: some events may not have been handed over to every subscriber, and
// the graceful leave was not sent. Subscribers on a bus directory then get a gap over exactly the
// events that they miss (TALUS_GAP_ORIGIN_LOST); those at its other endpoints get such a gap
// without end, after their origin_timeout_ms. 0 does not mean that a slow subscriber has read
// everything: it gets a gap over the events that it misses, too.
// Not from one of its callbacks. Blocks up to linger_ms, which a signal does not shorten, and 100
// ms more for the transport; while another broadcaster or subscriber of this process lives, what
// the transport has taken is sent in the background instead, for as long. In a forked child it
// frees what it can, leaves files and sockets to the parent, and returns 0.
TALUS_API talus_error_t talus_broadcaster_close(talus_broadcaster_t **broadcaster);

// Like talus_broadcaster_close, but logs a warning where that returns an error. Blocks as long.
// NULL-safe.
TALUS_API void talus_broadcaster_destroy(talus_broadcaster_t **broadcaster);

// The origin: lives as long as the broadcaster. Any thread. Does not block.
TALUS_API const char *talus_broadcaster_origin(const talus_broadcaster_t *broadcaster);

// The endpoints it is bound or connected to, comma-separated, wildcards (tcp://*:*) resolved: what
// another process connects to. Lives as long as the broadcaster. Any thread. Does not block.
TALUS_API const char *talus_broadcaster_endpoint(const talus_broadcaster_t *broadcaster);

// ---- Emitting

typedef struct talus_event_id {
    char text[TALUS_ID_MAX + 1]; // ORIGIN.SEQ
} talus_event_id_t;

// What talus_emit takes; the caller makes it. It never gets more members: further parts of an event
// get a function of their own in later versions.
typedef struct talus_emit {
    const char *session; // NULL or "": to everybody
    const char *type;    // required
    const void *data;    // the payload: exactly one encoded msgpack value; NULL: an empty map
    size_t data_size;    // bytes
    const char *except;  // the Socket.IO client that must not receive it; NULL: none
} talus_emit_t;

// Emits an event of any type.
// `id`: receives the event id if not NULL.
// Returns 0: the event is queued, and the local callbacks for it have run on this thread, with no
// lock held, before the call returns; what they return does not matter to the emitter.
// TALUS_ESESSION, TALUS_ETYPE, TALUS_ERESERVED; TALUS_EINVAL: `except` is longer than
// TALUS_EXCEPT_MAX; TALUS_EMSGPACK, TALUS_ETOOLARGE, TALUS_ETOODEEP, TALUS_ETOOMANYBIN,
// TALUS_EPLACEHOLDER: the payload breaks a bound; TALUS_EQUEUEFULL: nothing was queued, and the
// call may be repeated; TALUS_EFORKED; TALUS_ENOMEM. After an error the event does not exist: it
// took no sequence number and no callback ran. Each error but TALUS_EFORKED is counted.
// Any thread. Never blocks.
TALUS_API talus_error_t talus_emit(talus_broadcaster_t *broadcaster, const talus_emit_t *emit,
                                   talus_event_id_t *id) TALUS_MUST_USE;

// One function for each typed event of talus/events.def, e.g.
//   talus_error_t talus_emit_node_created(talus_broadcaster_t *broadcaster,
//                                         const char *session_id, const char *node_id,
//                                         const char *parent_id, const char *blueprint_type_id,
//                                         const char *name, talus_event_id_t *id);
// `session_id` must name a session. TALUS_FIELD_STR fields must not be NULL (TALUS_EINVAL);
// TALUS_FIELD_OPT fields may be, and are sent as nil. A text ends at its first NUL. Otherwise like
// talus_emit.
#define TALUS_FIELD_STR(name)  const char *name,
#define TALUS_FIELD_OPT(name)  const char *name,
#define TALUS_FIELD_ANY(name)  talus_value_t name,
#define TALUS_FIELD_BOOL(name) bool name,
#define TALUS_EVENT(identifier, wire_name, fields)                                                 \
    TALUS_API talus_error_t talus_emit_##identifier(talus_broadcaster_t *broadcaster,              \
                                                    const char *session_id,                        \
                                                    fields talus_event_id_t *id) TALUS_MUST_USE;
#include <talus/events.def>
#undef TALUS_EVENT
#undef TALUS_FIELD_STR
#undef TALUS_FIELD_OPT
#undef TALUS_FIELD_ANY
#undef TALUS_FIELD_BOOL

// The same with each field as a value, for text whose size is counted: it may have NULs, and need
// not end with one. For example, with `name` of `size` bytes:
//   talus_emit_node_created_values(bus, "session", talus_str("node-7"), talus_nil(),
//                                  talus_str("blueprint"), talus_strn(name, size), &id);
// TALUS_EINVAL also: a TALUS_FIELD_STR field is not a TALUS_STR value, a TALUS_FIELD_OPT field
// neither that nor TALUS_NIL, or a TALUS_FIELD_BOOL field not a TALUS_BOOL value.
#define TALUS_FIELD_STR(name)  talus_value_t name,
#define TALUS_FIELD_OPT(name)  talus_value_t name,
#define TALUS_FIELD_ANY(name)  talus_value_t name,
#define TALUS_FIELD_BOOL(name) talus_value_t name,
#define TALUS_EVENT(identifier, wire_name, fields)                                                 \
    TALUS_API talus_error_t talus_emit_##identifier##_values(                                      \
        talus_broadcaster_t *broadcaster, const char *session_id, fields talus_event_id_t *id)     \
        TALUS_MUST_USE;
#include <talus/events.def>
#undef TALUS_EVENT
#undef TALUS_FIELD_STR
#undef TALUS_FIELD_OPT
#undef TALUS_FIELD_ANY
#undef TALUS_FIELD_BOOL

// Their names on the wire: talus_type_node_created is "node-created".
#define TALUS_EVENT(identifier, wire_name, fields)                                                 \
    static const char *const talus_type_##identifier TALUS_MAY_BE_UNUSED = wire_name;
#define TALUS_FIELD_STR(name)
#define TALUS_FIELD_OPT(name)
#define TALUS_FIELD_ANY(name)
#define TALUS_FIELD_BOOL(name)
#include <talus/events.def>
#undef TALUS_EVENT
#undef TALUS_FIELD_STR
#undef TALUS_FIELD_OPT
#undef TALUS_FIELD_ANY
#undef TALUS_FIELD_BOOL

// ---- Local callbacks

// Called for each event emitted here; `event` lives until it returns, and its `prev` is 0, since
// that is known only when the event leaves. Runs on the thread of the emit call, before that call
// returns, with no lock held: it may emit (which runs the callbacks for that event, itself perhaps,
// before the inner call returns), subscribe and unsubscribe, itself included. Returns 0, or
// anything else for a failure, which is logged and counted; the other callbacks still run.
typedef int talus_callback_fn(const talus_event_t *event, void *arg);

// Calls `fn` for each event of `type` (NULL: of every type) emitted through this broadcaster, in
// the order in which callbacks were added.
// `release`: called with `arg` once the callback will never run again; NULL if not needed. It runs
// with no lock held, on the last thread that used the callback: one that ended a callback, one that
// emitted meanwhile, or the one that destroys the broadcaster. It is not called when this call
// fails.
// An emit that is under way on another thread may miss the new callback.
// Returns 0 with a handle in `*callback`; TALUS_ETYPE, TALUS_ERESERVED, TALUS_ENOMEM,
// TALUS_EFORKED. Any thread. Does not block.
TALUS_API talus_error_t talus_broadcaster_on(talus_broadcaster_t *broadcaster, const char *type,
                                             talus_callback_fn *fn, void (*release)(void *arg),
                                             void *arg, uint64_t *callback) TALUS_MUST_USE;

// Ends a callback: emits that begin after this returns do not call it, nor does one that is under
// way on this thread. An emit on another thread may still call it; `release` runs when none can.
// Returns 0; TALUS_ENOTFOUND. Any thread. Does not block.
TALUS_API talus_error_t talus_broadcaster_off(talus_broadcaster_t *broadcaster, uint64_t callback);

// ---- Waiting and watching

// Waits until the bus has at least `at_least` talus subscribers that are ready for this
// broadcaster's events (their subscriptions have arrived here), and, on a bus directory, until all
// that live there are. One whose heartbeats stop (see heartbeat_timeout_ms), because it is stopped
// or cut off, is not ready until they come again.
// `timeout_ms`: 0 returns at once; -1 waits without a time-out.
// `ready`: receives their number, if not NULL, also when the time runs out.
// Returns 0; TALUS_ETIMEOUT: there are subscribers, but not all or not enough are ready; a signal
// interrupted the wait: TALUS_ETIMEOUT with errno EINTR (also where SA_RESTART is set), so that a
// service can end at a Ctrl-C, or call again; TALUS_ENOSUBSCRIBER: none is ready, and none lives in
// a bus directory; TALUS_EACCESS, TALUS_ESYSTEM: the bus directory can no longer
// be read, or no descriptor is left to wait with; TALUS_ENOMEM; TALUS_EFORKED. Any thread. Blocks
// up to the time-out.
TALUS_API talus_error_t talus_broadcaster_wait_subscribers(talus_broadcaster_t *broadcaster,
                                                           size_t at_least, int timeout_ms,
                                                           size_t *ready) TALUS_MUST_USE;

// Waits until every event emitted before the call has been handed to the transport.
// Returns 0; TALUS_ETIMEOUT, with errno EINTR if a signal interrupted the wait; TALUS_ESYSTEM: no
// descriptor is left to wait with; TALUS_EFORKED. In a broadcaster's first half second, use a
// time-out of at least that: a subscriber that is stopped delays the first events for so long.
// Any thread. Blocks up to the time-out (-1: without a time-out).
TALUS_API talus_error_t talus_broadcaster_flush(talus_broadcaster_t *broadcaster,
                                                int timeout_ms) TALUS_MUST_USE;

// Counters since the start, in the order of their life; later versions may add some at the end.
// Read without a lock: each is exact, the set is not a snapshot of one moment.
typedef struct talus_broadcaster_stats {
    uint64_t emitted;         // events queued
    uint64_t sent;            // events handed to the transport
    uint64_t send_failed;     // events that the transport refused (memory); each is logged
    uint64_t refused_invalid; // emits refused: a bad session, type, `except` or payload
    uint64_t refused_bounds;  // emits refused: too large, too deep, too many bin values
    uint64_t refused_full;    // emits refused: the queue was full
    uint64_t refused_memory;  // emits refused: out of memory
    uint64_t callback_failed; // local callbacks that returned an error
    uint64_t heads;           // $head markers sent
    uint64_t subscriptions;   // subscriptions that arrived, but for heartbeats
    uint64_t replay_requests; // replay requests that arrived
    uint64_t replay_refused;  // … of them, invalid or beyond a bound: not answered
    uint64_t replay_events;   // events sent again in answer to them
    uint64_t replay_stalled;  // replay clients dropped since they did not read
    uint64_t history_events;  // events kept now
    uint64_t history_bytes;   // memory that they take now
    uint64_t sessions;        // sessions remembered now
    uint64_t subscribers;     // talus subscribers that are ready now
    uint64_t silent;          // … that are connected and were ready, but send no heartbeats now
    uint64_t heartbeats;      // heartbeats that arrived from subscribers that are ready
    uint64_t heartbeats_ignored; // … from others: not ready yet, or unknown
} talus_broadcaster_stats_t;

// Writes the members that lie within the first `size` bytes; those that this version of the library
// does not know become 0. For bindings. Any thread. Does not block.
TALUS_API void talus_broadcaster_stats_sized(const talus_broadcaster_t *broadcaster,
                                             talus_broadcaster_stats_t *stats, size_t size);

// Any thread. Does not block.
static inline void talus_broadcaster_stats(const talus_broadcaster_t *broadcaster,
                                           talus_broadcaster_stats_t *stats)
{
    talus_broadcaster_stats_sized(broadcaster, stats, sizeof *stats);
}

TALUS_END_DECLS

#endif
