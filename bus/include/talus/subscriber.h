// SPDX-License-Identifier: MIT
// The subscriber: receives the events of sessions, or of everything, from every broadcaster of a
// bus.
//
//     talus_subscriber_t *bus;
//     const talus_delivery_t *d;
//     if (talus_subscriber_new(&bus, NULL, NULL) == 0 && talus_subscriber_join(bus, "s-1") == 0)
//         while (talus_subscriber_receive(bus, -1, &d) == 0)
//             if (d->kind == TALUS_DELIVERY_EVENT)
//                 printf("%s %s\n", d->event->id, d->event->type);
//
// The subscriber notices what PUB/SUB loses on the way, requests it from the broadcaster again, and
// delivers it in its place. Events that the broadcaster no longer has are reported by a
// TALUS_DELIVERY_GAP. So the deliveries of a session from one broadcaster are a complete log:
// events in emit order, each once, and gaps.
//
// A subscriber belongs to one thread at a time; other threads may call talus_subscriber_wake. The
// library has one thread for all subscribers of the process, which runs as long as there is one. It
// bounds the messages that wait for subscribers that do not receive, and takes no signals. A call
// for a subscriber blocks while that thread reads for it: for 100,000 messages at most, and a few
// log lines. "Waits for the library's thread" below means this; it holds for
// talus_subscriber_receive with any time-out, too. A subscriber connects to broadcasters that start
// and drops those that end while it receives: so receive, or watch the descriptor, even if you
// expect no events.
#ifndef TALUS_SUBSCRIBER_H
#define TALUS_SUBSCRIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/error.h>
#include <talus/event.h>
#include <talus/export.h>

TALUS_BEGIN_DECLS

// A pointer that a function takes must not be NULL unless its description allows it.
typedef struct talus_subscriber talus_subscriber_t;

// Later versions may add members at the end: make one by talus_subscriber_options_init alone.
typedef struct talus_subscriber_options {
    size_t size;                 // of this struct, in bytes, as the caller was compiled with it;
                                 // set by talus_subscriber_options_init
    const char *ignore_origin;   // drop this broadcaster's events (one's own); NULL: none; copied
    size_t max_body;             // bytes of an event's body; default 1,000,000; at least 1,024. An
                                 // event beyond it is refused alone; a message beyond 16 times as
                                 // much and 64 MiB ends the connection it came through, for some
                                 // seconds
    unsigned max_depth;          // nesting of a payload; default 32, at most 64
    unsigned max_bin;            // `bin` values in a payload; default 10
    size_t max_sessions;         // sessions joined at once; default 1,000,000
    size_t max_origins;          // broadcasters known at once; default 4,096. Events of others are
                                 // delivered without a check of order and duplicates
    int receive_high_water_mark; // messages that may wait to be received; default 100,000; 0: no
                                 // bound. Messages beyond it are requested again
    int live_timeout_ms;         // how long a join waits for the known broadcasters; default 1,000
    size_t held_events;          // events that are held back while one before them is requested:
    size_t held_bytes;           // default 10,000 and 16 MiB over all sessions. Later ones are
                                 // dropped and requested, too
    int repair_timeout_ms;    // how long a broadcaster may leave a replay request unanswered before
                              // a gap is told; default 5,000
    int origin_timeout_ms;    // how long a broadcaster whose connection is lost may stay away
                              // before it counts as lost; default 10,000. The death of one in a
                              // bus directory is known at once
    int head_wait_ms;         // how long events wait for an unknown broadcaster's head before it
                              // counts as a plain publisher; default 250. A head may be among
                              // dropped messages: then repair_timeout_ms, and a gap
    int heartbeat_ms;         // how often a thread of the library checks the heartbeats of
                              // broadcasters and sends one of its own (every 50 at most);
                              // default 500; 0: never
    int heartbeat_timeout_ms; // a broadcaster whose heartbeats stop for so long, and for three of
                              // them, counts as away, until it is heard again; default 1,500
    int reconnect_ms;         // first wait before this side reconnects a lost connection; default
    int reconnect_max_ms;     // 100; it doubles up to this; default 5,000
    unsigned directory_mode;  // of the bus directory, if it must be made; default 0700
    size_t receive_bytes; // bytes of the messages that may wait to be received, with 256 for each;
                          // default 64 MiB. This bound and receive_high_water_mark are kept to
                          // within a tenth of a second
} talus_subscriber_options_t;

// Fills in the defaults of the members that lie within the first `size` bytes. For bindings; others
// call talus_subscriber_options_init. Any thread. Does not block.
TALUS_API void talus_subscriber_options_init_sized(talus_subscriber_options_t *options,
                                                   size_t size);

// Fills in the defaults. Any thread. Does not block.
static inline void talus_subscriber_options_init(talus_subscriber_options_t *options)
{
    talus_subscriber_options_init_sized(options, sizeof *options);
}

// Writes the endpoint that a NULL endpoint stands for: $TALUS_BUS, else
// ipc://$XDG_RUNTIME_DIR/talus/bus/*, else ipc:///tmp/talus-UID/bus/*.
// Returns 0; TALUS_ETOOLARGE: `capacity` is too small. Any thread (not while the environment is
// being changed). Does not block.
TALUS_API talus_error_t talus_default_endpoint(char *buffer, size_t capacity) TALUS_MUST_USE;

// Makes a subscriber that has joined nothing yet.
// `endpoint`: as for talus_broadcaster_new, but it connects by default; `@` binds.
// `options`: NULL for the defaults; copied.
// Returns 0 with `*subscriber` owned by the caller; TALUS_EENDPOINT, TALUS_EPATHTOOLONG,
// TALUS_EADDRINUSE, TALUS_EADDRNOTAVAIL, TALUS_EACCESS, TALUS_EINVAL, TALUS_ENOMEM, TALUS_ESYSTEM.
// Starts the library's thread if it does not run. Blocks only for file and socket set-up:
// broadcasters need not be there yet.
TALUS_API talus_error_t talus_subscriber_new(talus_subscriber_t **subscriber, const char *endpoint,
                                             const talus_subscriber_options_t *options)
    TALUS_MUST_USE;

// Closes the sockets, removes the subscriber's files, frees it. `subscriber`: consumed and set to
// NULL. NULL-safe. Not while another call for it runs, talus_subscriber_wake included. Waits for
// the library's thread, and ends it if this was the last subscriber of the process. In a forked
// child it frees what it can, and leaves files and sockets to the parent.
TALUS_API void talus_subscriber_destroy(talus_subscriber_t **subscriber);

// The endpoints it is bound or connected to, comma-separated, wildcards resolved; a bus directory
// as it was given. Lives as long as the subscriber. Any thread. Does not block.
TALUS_API const char *talus_subscriber_endpoint(const talus_subscriber_t *subscriber);

// Subscribes to a session: "" for the events for everybody, "*" for everything there is. Joining
// "*" beside sessions is allowed; an event is still delivered once.
// When every broadcaster that is known has answered, or live_timeout_ms is over, a
// TALUS_DELIVERY_LIVE comes.
// Returns 0 (also when it was joined already: then LIVE comes again); TALUS_ESESSION;
// TALUS_ELIMIT: max_sessions; TALUS_ENOMEM; TALUS_ESYSTEM: the transport cannot subscribe;
// TALUS_EFORKED. Waits for the library's thread.
TALUS_API talus_error_t talus_subscriber_join(talus_subscriber_t *subscriber,
                                              const char *session) TALUS_MUST_USE;

// Ends the subscription: no more of its events are delivered, nor its LIVE, nor the missed events
// of a join since an event. The subscription stays on the network for another second, so that a
// session that is joined again meanwhile is live at once.
// Returns 0; TALUS_ENOTFOUND: it was not joined; TALUS_EFORKED. Waits for the library's thread.
TALUS_API talus_error_t talus_subscriber_leave(talus_subscriber_t *subscriber, const char *session);

// Joins a session and continues after the events that the caller has: for services that were away.
//
//     talus_subscriber_t *bus;
//     const talus_delivery_t *d;
//     const char *since = "k3v9q2mxa1b2.4711"; // the last event that was handled, kept somewhere
//     if (talus_subscriber_new(&bus, NULL, NULL) == 0 &&
//         talus_subscriber_join_since(bus, "s-1", since) == 0) {
//         while (talus_subscriber_receive(bus, -1, &d) == 0) {
//             if (d->kind == TALUS_DELIVERY_EVENT) // missed or new: all alike
//                 printf("%s %s\n", d->event->id, d->event->type);
//             if (d->kind == TALUS_DELIVERY_GAP) // something is missing, or may be
//                 printf("fetch %s again\n", d->session);
//         }
//     }
//
// `since`: ORIGIN.SEQ, the newest event that the caller has of a broadcaster; SEQ 0: it has none,
// and wants all. If several broadcasters send to the session: one for each, separated by commas; 64
// at most. An event of another session will do, too: the events after it come. If its broadcaster
// has not reached it, it counts as the broadcaster's newest.
//
// The session's deliveries are then one log of each broadcaster: its events after `since`, in emit
// order, each once, or a GAP in the place of those that its history no longer has
// (TALUS_GAP_HISTORY). LIVE comes when every event that was sent before the join has been delivered
// or reported by a GAP; events that are sent meanwhile come before or after LIVE.
//
// - A broadcaster that `since` does not name: the subscriber does not know which of its events the
//   caller has. Those that it sent before the join do not come; if there are any, a GAP reports
//   them (TALUS_GAP_UNKNOWN). Broadcasters that send only presence (TALUS_PRESENCE_ORIGIN) are left
//   out.
// - A broadcaster of `since` that is gone, or not there yet: a GAP without end before LIVE
//   (TALUS_GAP_ORIGIN_LOST). If it comes later, its events after `since` come, too.
// - A broadcaster that has not answered in time: LIVE is not complete, and its events come once it
//   answers.
// - A session that was left less than a second before: events that were on their way to this
//   subscriber then may come after LIVE. They come twice if `since` names events that another
//   subscriber received.
//
// Events that have to wait for those before them are held back within held_events and held_bytes.
// Those beyond are dropped and requested in their turn; a GAP reports them if the history has lost
// them by then. Joining "*" before LIVE ends the catch-up: a GAP without end (TALUS_GAP_UNKNOWN)
// comes for each event of `since`, and the session is joined as by talus_subscriber_join. Leaving
// ends it without a GAP.
//
// Returns 0; TALUS_ESESSION, also for "*"; TALUS_EINVAL: `since` is not such a list, or has two
// events of one broadcaster; TALUS_EEXIST: the session is joined already, or "*" is; TALUS_ELIMIT:
// max_sessions; TALUS_ENOMEM; TALUS_ESYSTEM: the transport cannot subscribe; TALUS_EFORKED. Waits
// for the library's thread.
TALUS_API talus_error_t talus_subscriber_join_since(talus_subscriber_t *subscriber,
                                                    const char *session,
                                                    const char *since) TALUS_MUST_USE;

// Requests from a broadcaster's history the events that it sent to a session after an event, on
// behalf of somebody else, such as a client of the caller. The session's own deliveries do not
// change, and the session need not be joined. To catch up yourself, use
// talus_subscriber_join_since.
// The answer comes by talus_subscriber_receive: a TALUS_DELIVERY_REPLAYED for each event, in emit
// order, then one TALUS_DELIVERY_RECOVERED. Deliveries of joined sessions come in between. A caller
// that forwards a joined session's deliveries to a client that has the events up to `since` sends
// it the REPLAYED events first, and then those deliveries that are of other broadcasters or come
// after RECOVERED's `newest`.
// `session`: "" for the events for everybody; not "*". `since`: an event id, ORIGIN.SEQ; SEQ 0:
// from the origin's beginning. `request`: receives the number that the answer's deliveries have.
// Returns 0; TALUS_ESESSION; TALUS_EINVAL: `since` is not an event id; TALUS_ELIMIT: too many
// broadcasters are known, or 10,000 requests are open; TALUS_ENOMEM; TALUS_EFORKED. Waits for the
// library's thread.
TALUS_API talus_error_t talus_subscriber_recover(talus_subscriber_t *subscriber,
                                                 const char *session, const char *since,
                                                 uint64_t *request) TALUS_MUST_USE;

typedef enum talus_delivery_kind {
    TALUS_DELIVERY_EVENT,     // an event
    TALUS_DELIVERY_LIVE,      // a join took effect: each later event of the session will come
    TALUS_DELIVERY_GAP,       // events of a joined session are missing, and will not come
    TALUS_DELIVERY_REPLAYED,  // an event that talus_subscriber_recover requested
    TALUS_DELIVERY_RECOVERED, // the end of such an answer
} talus_delivery_kind_t;

typedef enum talus_gap_reason {
    TALUS_GAP_HISTORY,     // the broadcaster does not have them any more, or has no history
    TALUS_GAP_ORIGIN_LOST, // the broadcaster is gone, or does not answer
    TALUS_GAP_REFUSED,     // an event was beyond max_body, max_depth or max_bin
    TALUS_GAP_UNKNOWN,     // talus_subscriber_join_since: they may be missing, or the caller may
                           // have them
} talus_gap_reason_t;

// The reason as it is written in logs and to clients: "history", "origin_lost", "refused",
// "unknown"; "unknown" also for one that this version of the library does not know. The text is
// static. Any thread. Does not block.
TALUS_API const char *talus_gap_reason_name(talus_gap_reason_t reason);

// LIVE.
typedef struct talus_live {
    // Id of the session's newest event, delivered or named by a broadcaster's head; "" for none.
    // With several origins: the one that was reported last. Origins that send only presence
    // (TALUS_PRESENCE_ORIGIN) are left out.
    const char *newest;
    // False if some known broadcaster had not answered in time, or is away (its heartbeats stopped;
    // after origin_timeout_ms it counts as lost, and is no longer known): its later events come
    // once it answers.
    bool complete;
    // No other broadcaster than that of `newest` is known to have sent to the session, apart from
    // those that send only presence.
    bool is_only_origin;
} talus_live_t;

// GAP: missing are the events of `origin` in the session after the event id `after` (SEQ 0: from
// the beginning) and before the id `first`, which may belong to an event of another session, or to
// none yet. `first` "": how many are missing is not known.
typedef struct talus_gap {
    const char *origin;
    const char *after;
    const char *first;
    talus_gap_reason_t reason;
} talus_gap_t;

// REPLAYED.
typedef struct talus_replayed {
    const talus_event_t *event;
    uint64_t request; // what talus_subscriber_recover gave
} talus_replayed_t;

// RECOVERED.
typedef struct talus_recovered {
    uint64_t request;   // what talus_subscriber_recover gave
    const char *newest; // id of the origin's newest event of the session; SEQ 0: none
    // The requested events that are missing; NULL: none.
    const talus_gap_t *gap;
    // False: the broadcaster did not answer. If the session is joined and live, the gap ends where
    // its deliveries of that origin were at the time of the request, since they bring all later
    // events; the gap may then contain no event.
    bool is_answered;
    bool is_only_origin; // as for LIVE; false also if the session is not joined
    bool is_reached;     // the session is joined, and its deliveries have reached `newest`: no more
                         // events up to it will come
} talus_recovered_t;

// What talus_subscriber_receive gives. `kind` says which member of the union is set; read no other.
//
// The library makes deliveries, and owns them; callers only read them, through the pointer that
// they are given. So later versions may add kinds (ignore those that you do not know) and members
// at the end of the union's structs: nothing follows the union, so no member that a program was
// compiled with moves. Do not copy a talus_delivery_t by
// value, and do not put one into a struct that crosses libraries. A program must not run with an
// older library than it was compiled with (talus_version).
typedef struct talus_delivery {
    talus_delivery_kind_t kind;

    // EVENT, REPLAYED: the event's ("" for everybody); LIVE, RECOVERED: as it was given; GAP:
    // the one joined ("*": the gap may be in any session).
    const char *session;

    union {
        const talus_event_t *event; // EVENT
        talus_live_t live;
        talus_gap_t gap;
        talus_replayed_t replayed;
        talus_recovered_t recovered;
    };
} talus_delivery_t;

// Gives the next delivery, which lives until the next call with this subscriber.
// `timeout_ms`: 0 returns at once; -1 waits without a time-out.
// Events of one origin and session come in emit order, each once; where some are missing, a GAP
// comes in their place. A broadcaster that is killed can have emitted events that no subscriber
// received. In a bus directory it leaves a ledger of them: for each joined session that misses
// some, a GAP over exactly those comes, even if the broadcaster died before the subscriber was
// connected to it. Where there is no ledger (another endpoint, or another program's broadcaster), a
// GAP without end (`first` "") comes for each joined session that it had sent to. A broadcaster
// that starts and dies behind another endpoint before the subscriber is connected is not noticed.
// Returns 0; TALUS_ETIMEOUT: nothing came; TALUS_EWOKEN: talus_subscriber_wake was called;
// TALUS_ENOMEM; TALUS_ESYSTEM; TALUS_EFORKED; interrupted by a signal: TALUS_ETIMEOUT with errno
// EINTR. With time-out 0 it may return TALUS_ETIMEOUT
// during a flood of messages that are not delivered: the descriptor stays readable then. Messages
// that are malformed, too large or nested too deep are counted and dropped, never returned as an
// error.
// Blocks up to the time-out.
TALUS_API talus_error_t talus_subscriber_receive(talus_subscriber_t *subscriber, int timeout_ms,
                                                 const talus_delivery_t **delivery) TALUS_MUST_USE;

// Makes talus_subscriber_receive return TALUS_EWOKEN: the call that waits, else the next one, at
// once and before it gives a delivery. So a wake before the call is not lost, and a flood of events
// does not delay it; several before one return count as one. No delivery is lost by it. A thread
// that wants the owner to end, or has work for it, sets a flag of its own and then wakes it; the
// owner looks at the flag whenever a call returns. Any thread, while the owner is in a call, too;
// from a signal handler, too (it is async-signal-safe, and leaves errno). Not while or after
// talus_subscriber_destroy runs. In a forked child it does nothing. Does not block, takes no lock,
// cannot fail.
TALUS_API void talus_subscriber_wake(talus_subscriber_t *subscriber);

// A descriptor that is readable when there may be something to receive, or after
// talus_subscriber_wake: then call talus_subscriber_receive with time-out 0 until it returns
// TALUS_ETIMEOUT. Level-triggered; for poll, epoll, libuv. It belongs to the subscriber: watch it,
// do not read or close it. The same each time; only from the first call on is it kept readable, as
// that costs system calls. Cannot fail. The subscriber's thread. Does not block.
TALUS_API int talus_subscriber_descriptor(talus_subscriber_t *subscriber);

// Counters since the start; later versions may add some at the end.
typedef struct talus_subscriber_stats {
    uint64_t received;        // events decoded
    uint64_t delivered;       // events given to the caller
    uint64_t ignored;         // events of ignore_origin, or of sessions left meanwhile
    uint64_t duplicates;      // events dropped since they had been delivered
    uint64_t gaps_opened;     // times that `prev` or a head showed that events were missing
    uint64_t repaired;        // missing events that a replay brought
    uint64_t gaps;            // GAP deliveries
    uint64_t unproven;        // events delivered of plain publishers, of which nothing proves that
                              // none before them is missing
    uint64_t held;            // events that are held back now
    uint64_t malformed;       // messages that are not talus events, nor answers to a request
    uint64_t refused_bounds;  // events over max_body, max_depth, max_bin
    uint64_t heads;           // $head markers received
    uint64_t replay_requests; // replay requests sent to broadcasters
    uint64_t replay_timeouts; // times that a broadcaster did not answer one in time
    uint64_t live_incomplete; // LIVE deliveries that were not complete
    uint64_t sessions;        // sessions joined now
    uint64_t origins;         // broadcasters known now
    uint64_t receive_dropped; // messages dropped beyond receive_high_water_mark and receive_bytes
    uint64_t directory_overflows; // times that more changed in a bus directory than its watch
                                  // keeps, while nobody received
    uint64_t replay_dropped;      // messages of replays dropped since more than 16 MiB of
                                  // them waited to be received; they are requested again
} talus_subscriber_stats_t;

// Writes the members that lie within the first `size` bytes; those that this version of the library
// does not know become 0. For bindings. The subscriber's thread. Does not block.
TALUS_API void talus_subscriber_stats_sized(const talus_subscriber_t *subscriber,
                                            talus_subscriber_stats_t *stats, size_t size);

// The subscriber's thread. Does not block.
static inline void talus_subscriber_stats(const talus_subscriber_t *subscriber,
                                          talus_subscriber_stats_t *stats)
{
    talus_subscriber_stats_sized(subscriber, stats, sizeof *stats);
}

TALUS_END_DECLS

#endif
