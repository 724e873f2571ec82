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
// What PUB/SUB loses on the way is noticed, asked for again at the broadcaster, and delivered in
// its place; what cannot be had any more is told by a TALUS_DELIVERY_GAP. So the deliveries of a
// session from one broadcaster are a log without silent holes: events in emit order, each once, and
// gaps.
//
// A subscriber belongs to one thread at a time; others may call talus_subscriber_wake. A thread of
// the library's, one for the process, bounds what waits for subscribers that do not receive; it
// takes no signals. It runs as long as the process has a subscriber. A call for a subscriber waits
// while that thread reads for it: 100,000 messages at most, and a few log lines. This is meant by
// "waits for the library's thread" below, and holds for talus_subscriber_receive with any time-out,
// too. What a subscriber has to do in the background (meeting broadcasters that start, letting go
// of those that end) it does while it receives: so receive, or watch the descriptor, also when
// nothing is expected.
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
                                 // bound. What is dropped beyond it is asked for again
    int live_timeout_ms;         // how long a join waits for the known broadcasters; default 1,000
    size_t held_events;          // events that are held back while one before them is asked for:
    size_t held_bytes;           // default 10,000 and 16 MiB over all sessions. Later ones are let
                                 // go and asked for, too
    int heal_timeout_ms;         // how long a broadcaster that is asked may give no answer before
                                 // a gap is told; default 5,000
    int origin_timeout_ms;       // how long a broadcaster whose connection is lost may stay away
                                 // before it counts as lost; default 10,000. The death of one in a
                                 // bus directory is known at once
    int head_wait_ms;            // how long events wait for an unknown broadcaster's head before it
                                 // counts as a plain publisher; default 250. A head may be among
                                 // dropped messages: then heal_timeout_ms, and a gap
    int heartbeat_ms;         // how often the beats of broadcasters are looked for, and one of our
                              // own is sent (every 50 at most), by a thread of the library;
                              // default 500; 0: never
    int heartbeat_timeout_ms; // a broadcaster whose beats stop for so long, and for three of them,
                              // counts as away, until it is heard again; default 1,500
    int reconnect_ms;         // first wait before a lost connection is made anew, where this
    int reconnect_max_ms;     // side connects; default 100; it doubles up to this; default 5,000
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

// Ends the subscription: its events are delivered no more, nor its LIVE, nor what a join since an
// event has still to bring. ZeroMQ is told a second
// later, so that a session that is joined again meanwhile is live at once.
// Returns 0; TALUS_ENOTFOUND: it was not joined; TALUS_EFORKED. Waits for the library's thread.
TALUS_API talus_error_t talus_subscriber_leave(talus_subscriber_t *subscriber, const char *session);

// Joins a session and goes on after the events that the caller has: for services that were away.
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
//                 printf("fetch %s anew\n", d->session);
//         }
//     }
//
// `since`: ORIGIN.SEQ, the newest event that the caller has of a broadcaster; SEQ 0: it has none,
// and wants all. Where several broadcasters send to the session, one for each, separated by commas;
// 64 at most. It may be an event of another session: what counts is what came after it. One that
// its broadcaster has not reached counts as its newest.
//
// The session's deliveries are then one log of each broadcaster: its events after `since`, in emit
// order, each once, or a GAP in the place of what its history no longer has (TALUS_GAP_HISTORY).
// When everything that was sent before the join has come or is told by a GAP, LIVE comes; what is
// sent meanwhile comes before or after it. Of a broadcaster that `since` does not name, nobody
// knows what the caller has: what it sent before the join does not come, and if there is anything
// of that kind, a GAP says so (TALUS_GAP_UNKNOWN); those that send nothing but presence
// (TALUS_PRESENCE_ORIGIN) are left out. A broadcaster of `since` that is gone, or not there yet, is
// a GAP without end before LIVE (TALUS_GAP_ORIGIN_LOST); if it comes after all, its events after
// `since` do, too. LIVE that is not complete: what a broadcaster sent that has not answered in time
// comes once it does. If the session was left less than a second before, what was on its way to
// this subscriber then may come after LIVE; and again, if `since` names what came to another
// subscriber.
//
// Events that have to wait for those before them are held back within held_events and held_bytes;
// those beyond are let go, asked for in their turn, and a GAP if the history has lost them by then.
// Joining "*" before LIVE gives this up: a GAP without end (TALUS_GAP_UNKNOWN) for each event of
// `since`, and the session is joined as by talus_subscriber_join. Leaving gives it up in silence.
//
// Returns 0; TALUS_ESESSION, also for "*"; TALUS_EINVAL: `since` is no such list, or has two events
// of one broadcaster; TALUS_EEXIST: the session is joined already, or "*" is; TALUS_ELIMIT:
// max_sessions; TALUS_ENOMEM; TALUS_ESYSTEM: the transport cannot subscribe; TALUS_EFORKED. Waits
// for the library's thread.
TALUS_API talus_error_t talus_subscriber_join_since(talus_subscriber_t *subscriber,
                                                    const char *session,
                                                    const char *since) TALUS_MUST_USE;

// Asks a broadcaster for what it sent to a session after an event, as its history has it, for
// others than the caller: the session's own deliveries are not touched by it, and it need not be
// joined. To go on oneself, use talus_subscriber_join_since.
// The answer comes by talus_subscriber_receive: a TALUS_DELIVERY_REPLAYED for each event, in emit
// order, then one TALUS_DELIVERY_RECOVERED; deliveries of joined sessions come in between. Whoever
// passes a joined session's deliveries on to somebody who has come up to `since` gives them the
// REPLAYED events first, and of the deliveries those that are of other broadcasters or come after
// RECOVERED's `newest`.
// `session`: "" for the events for everybody; not "*". `since`: an event id, ORIGIN.SEQ; SEQ 0:
// from the origin's beginning. `request`: receives the number that the answer's deliveries have.
// Returns 0; TALUS_ESESSION; TALUS_EINVAL: `since` is no event id; TALUS_ELIMIT: too many
// broadcasters are known, or 10,000 requests are open; TALUS_ENOMEM; TALUS_EFORKED. Waits for the
// library's thread.
TALUS_API talus_error_t talus_subscriber_recover(talus_subscriber_t *subscriber,
                                                 const char *session, const char *since,
                                                 uint64_t *request) TALUS_MUST_USE;

typedef enum talus_delivery_kind {
    TALUS_DELIVERY_EVENT,     // an event
    TALUS_DELIVERY_LIVE,      // a join took effect: each later event of the session will come
    TALUS_DELIVERY_GAP,       // events that were owed are missing, and will not come
    TALUS_DELIVERY_REPLAYED,  // an event that was asked for with talus_subscriber_recover
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
// "unknown"; "unknown" also for one that this version of the library does not know. The text lives
// for ever. Any thread. Does not block.
TALUS_API const char *talus_gap_reason_name(talus_gap_reason_t reason);

// LIVE.
typedef struct talus_live {
    // Id of the session's newest event, delivered or named by a broadcaster's head; "" for none.
    // With several origins: the one that was heard of last. What only tells presence
    // (TALUS_PRESENCE_ORIGIN) is left out.
    const char *newest;
    // False if some known broadcaster had not answered in time, or is away (its heartbeats stopped;
    // after origin_timeout_ms it counts as lost, and as known no more): its later events come once
    // it answers.
    bool complete;
    // No other broadcaster than that of `newest` is known to have sent to the session, but for
    // those that only tell presence.
    bool is_only_origin;
} talus_live_t;

// GAP: missing are the events of `origin` in the session after the event id `after` (SEQ 0: from
// the beginning) and before the id `first`, which may be of no event yet, or of another session's.
// `first` "": how many are missing is not known.
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
    // What is missing of what was asked for; NULL: nothing is.
    const talus_gap_t *gap;
    // False: the broadcaster did not answer. If the session is joined and live, it is known how far
    // its deliveries of that origin were when it was asked for, and that they bring everything
    // later: missing is then what comes before, which may be nothing.
    bool is_answered;
    bool is_only_origin; // as for LIVE; false also if the session is not joined
    bool is_reached;     // the session is joined, and its deliveries have reached `newest`: none up
                         // to that will come any more
} talus_recovered_t;

// What talus_subscriber_receive gives: `kind` says which member of the union is there; no other may
// be read.
//
// The library makes deliveries, and owns them; callers only read them, through the pointer that
// they are given. So later versions may add kinds (pass over those that you do not know) and
// members at the end of the union's structs: nothing lies behind the union, and the structs share
// nothing, so nothing that a program was compiled with moves. Do not copy a talus_delivery_t by
// value, and do not put one into a struct that crosses libraries. A program must not run with an
// older library than it was compiled with (talus_version).
typedef struct talus_delivery {
    talus_delivery_kind_t kind;

    // EVENT, REPLAYED: the event's ("" for everybody); LIVE, RECOVERED: as it was asked for; GAP:
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
// `timeout_ms`: 0 asks without waiting; -1 waits for ever.
// Events of one origin and session come in emit order, each once; where some are missing, a GAP
// comes in their place. A broadcaster that is killed can have emitted events that nobody got. In a
// bus directory it leaves a ledger, which says what these are: a GAP over exactly that comes for
// each joined session of which something is missing, also of a broadcaster that died before it
// could be heard. Where there is no ledger (another endpoint, or another program's broadcaster), a
// GAP without end (`first` "") comes for each joined session that it had sent to; of one that came
// and died behind another endpoint before it could be heard, nobody knows.
// Returns 0; TALUS_ETIMEOUT: nothing came; TALUS_EWOKEN: talus_subscriber_wake was called;
// TALUS_ENOMEM; TALUS_ESYSTEM; TALUS_EFORKED; interrupted by a signal: TALUS_ETIMEOUT with errno
// EINTR. With time-out 0 it may return TALUS_ETIMEOUT while
// a flood of what is not to be delivered goes on: the descriptor stays readable then. What is
// malformed, too large or nested too deep is counted and dropped, never returned as an error.
// Blocks up to the time-out.
TALUS_API talus_error_t talus_subscriber_receive(talus_subscriber_t *subscriber, int timeout_ms,
                                                 const talus_delivery_t **delivery) TALUS_MUST_USE;

// Makes talus_subscriber_receive return TALUS_EWOKEN: the call that waits, else the next one, at
// once and before it gives anything. So a wake that comes before the call is not lost, and a flood
// of events does not hold it up; several before one return count as one. Nothing that was to be
// delivered is lost by it. A thread that wants the owner to end, or has work for it, sets a flag of
// its own and then wakes it; the owner looks at the flag whenever a call returns.
// Any thread, while the owner is in a call, too; from a signal handler, too (it is
// async-signal-safe, and leaves errno). Not while or after talus_subscriber_destroy runs. In a
// forked child it does nothing. Does not block, takes no lock, cannot fail.
TALUS_API void talus_subscriber_wake(talus_subscriber_t *subscriber);

// A descriptor that is readable when there may be something to receive, or after
// talus_subscriber_wake: then call talus_subscriber_receive with time-out 0 until it returns
// TALUS_ETIMEOUT. Level-triggered; for
// poll, epoll, libuv. It belongs to the subscriber: watch it, do not read or close it. The same
// each time; only from the first call on is it kept readable, as that costs system calls. Cannot
// fail. The subscriber's thread. Does not block.
TALUS_API int talus_subscriber_descriptor(talus_subscriber_t *subscriber);

// Counters since the start; later versions may add some at the end.
typedef struct talus_subscriber_stats {
    uint64_t received;        // events decoded
    uint64_t delivered;       // events given to the caller
    uint64_t ignored;         // events of ignore_origin, or of sessions left meanwhile
    uint64_t duplicates;      // events dropped since they had been delivered
    uint64_t holes;           // times that `prev` or a head told of events that had not come
    uint64_t healed;          // events that came when they were asked for
    uint64_t gaps;            // GAP deliveries
    uint64_t unproven;        // events delivered of plain publishers, of which nothing proves that
                              // none before them is missing
    uint64_t held;            // events that are held back now
    uint64_t malformed;       // messages that are no talus event, or no answer to what was asked
    uint64_t refused_bounds;  // events over max_body, max_depth, max_bin
    uint64_t heads;           // $head markers received
    uint64_t asked;           // requests sent to replay sockets
    uint64_t ask_timeouts;    // times that a broadcaster did not answer in time
    uint64_t live_incomplete; // LIVE deliveries that were not complete
    uint64_t sessions;        // sessions joined now
    uint64_t origins;         // broadcasters known now
    uint64_t receive_dropped; // messages dropped beyond receive_high_water_mark and receive_bytes
    uint64_t directory_overflows; // times that more happened in a bus directory than its watch
                                  // keeps, while nobody received
    uint64_t answers_dropped; // messages of broadcasters' answers dropped since more than 16 MiB of
                              // them waited to be received; they are asked for again
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
