// SPDX-License-Identifier: MIT
// The receiving half of the transport: what brings the events of publishers to a subscriber.
//
// Above it the subscriber has the sessions that are joined, the order of each stream (the
// sequencer), gap repair, recoveries, deliveries, and the descriptor that its owner watches. It
// does not know what brings its events. Behind it a transport has its connections, all that it says
// and hears on them by itself, and knows which publishers are there. bus/src/zmq/sub is one;
// tests/bus/support/memory_receive.c another.
//
// A transport is called by one thread at a time, the one that uses the subscriber. None of its
// functions blocks, but `open` and `close`, which may for file and socket set-up. What it tells its
// subscriber by the functions of talus__receive_owner it tells within `open`, `take`, `heard`,
// `meet`, `prepare`, `on_ready`, `tend` or `tend_losses`.
#ifndef TALUS__RECEIVE_OPS_H
#define TALUS__RECEIVE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/subscriber.h>

#include "bus/src/codec/wire.h"
#include "bus/src/transport/publishers.h"

// The event data of the descriptors that a transport adds to the epoll instance of its subscriber
// are this or larger.
#define TALUS__RECEIVE_SOURCE 8u

#define TALUS__MARKS_MOST 1000 // sessions that one request may ask the marks of

struct talus__receive_ops;

// What every transport begins with.
struct talus__receive_transport {
    const struct talus__receive_ops *ops;
    const char *endpoint; // as talus_subscriber_endpoint gives it; the transport's
    bool is_connecting;   // joins are not live yet: publishers that are there may not be met yet
};

// The request of a replay: the events of a session that a publisher sent after one of them. It
// begins a struct of the subscriber's, made with malloc. The transport frees it.
struct talus__replay_request {
    struct talus__replay_request *next; // the transport's
    const char *session;                // NUL-terminated; "*": of all sessions
    uint64_t after; // events up to this seq need not come. The subscriber raises it as they come,
                    // so that a request that is made again goes on from there
};

enum talus__incoming_kind {
    TALUS__INCOMING_NONE,      // all was taken
    TALUS__INCOMING_OTHER,     // the transport's own business: take again
    TALUS__INCOMING_MALFORMED, // a message was dropped; `what` says why
    TALUS__INCOMING_EVENT,     // an event as it was published
    TALUS__INCOMING_MARK,      // a high-water mark: events up to `seq` have been sent
    TALUS__INCOMING_REPLAYED,  // an event of the response to `request`
    TALUS__INCOMING_END,       // that response is complete
};

// What was taken. Bytes, strings and the request live until the next `take`.
struct talus__incoming {
    enum talus__incoming_kind kind;
    const char *what; // MALFORMED

    // EVENT, REPLAYED: the event's topic and body, as codec/wire.h and codec/body.h have them.
    const char *topic_bytes;
    size_t topic_size;
    const void *body;
    size_t body_size;

    // EVENT, REPLAYED: the topic. MARK: its session ("*": of all).
    struct talus__topic topic;

    // MARK: whose it is. REPLAYED, END: who was asked. EVENT: set if `is_sequenced`.
    struct talus__publisher *publisher;

    // EVENT, REPLAYED: the transport has put the events of all publishers into one order, in which
    // this one has `seq` and comes after `prev` in its session; `publisher` stands for that order.
    // Else the event's own origin, seq and prev count, which are in its body.
    bool is_sequenced;
    uint64_t seq; // MARK, END: the newest event that was sent
    uint64_t prev;

    uint64_t first;                        // END: the publisher has all events from this seq on
    struct talus__replay_request *request; // REPLAYED, END
};

// A publisher is gone, or has stood still for long.
struct talus__loss {
    struct talus__publisher *publisher;
    bool has_left;  // it took leave: nothing is missing but what is known
    bool was_known; // it was there from a known moment on (publisher->left_at says when it went):
                    // sessions that were live then were owed what it sent, though none of it came

    // Returns the seq of the newest event that it sent to the session ("*": of all); too high at
    // worst. NULL: nobody knows.
    uint64_t (*newest)(const struct talus__loss *loss, const char *session, size_t session_size);
};

// What a transport tells its subscriber.
struct talus__receive_owner {
    void *arg; // of each function

    // is_connecting has become false.
    void (*on_connected)(void *arg);

    // The publisher can be asked now, or is known to send marks.
    void (*on_askable)(void *arg, struct talus__publisher *publisher);

    // The request was given up: the publisher does not answer, or is gone. The transport frees the
    // request afterwards.
    void (*on_failed)(void *arg, struct talus__replay_request *request,
                      struct talus__publisher *publisher);

    // A publisher is lost; within tend_losses.
    void (*on_lost)(void *arg, const struct talus__loss *loss);

    // So many messages were dropped since they were malformed, beside those that `take` tells of.
    void (*on_malformed)(void *arg, const char *what, uint64_t count);
};

struct talus__receive_options {
    const char *endpoint;                      // as for talus_subscriber_new; NULL: the default
    const talus_subscriber_options_t *options; // these live as long as the transport, as do …
    struct talus__publishers *publishers;      // … with state_size as the transport has it, …
    const struct talus__receive_owner *owner;
    int epoll; // where it adds its descriptors
    int wake;  // an event descriptor: what is written to it wakes the subscriber; any thread
};

struct talus__receive_ops {
    size_t publisher_size; // bytes of the transport's own for each publisher

    // Makes a transport that receives, with no session subscribed to. Returns 0 or an error of
    // talus_subscriber_new; then nothing is to be closed.
    int (*open)(struct talus__receive_transport **transport,
                const struct talus__receive_options *options);

    // Frees the transport with its requests, and what it has of each publisher. `is_forked`: in a
    // forked child: what is shared with the parent is left alone.
    void (*close)(struct talus__receive_transport *transport, bool is_forked);

    // Around what the subscriber does with its transport: a thread of the transport's own keeps
    // away from it meanwhile.
    void (*lock)(struct talus__receive_transport *transport);
    void (*unlock)(struct talus__receive_transport *transport);

    // Subscribes to a session ("": the events for everybody, "*": everything), or no more. Each
    // publisher that is there or comes later answers a subscription with a mark. Returns 0 or an
    // error of talus_subscriber_join.
    int (*subscribe)(struct talus__receive_transport *transport, const char *session);
    int (*unsubscribe)(struct talus__receive_transport *transport, const char *session);

    // Takes the next message. A mark comes behind the events that were sent before it, and before
    // those that were sent after it. Returns 0 or TALUS_ESYSTEM (errno says why).
    int (*take)(struct talus__receive_transport *transport, struct talus__incoming *incoming);

    // The REPLAYED that was taken last is none: what follows it in this response makes no sense
    // either. Requests again.
    void (*refuse)(struct talus__receive_transport *transport);

    // Requests a replay of a publisher that can_replay. What comes of it are REPLAYED and END, or
    // on_failed; the responses of a publisher come in the order of the requests. A response may be
    // a part of what was requested: then the subscriber requests the rest. Consumes the request.
    // Returns 0; TALUS_ENOMEM, TALUS_ELIMIT: the request is freed.
    int (*request)(struct talus__receive_transport *transport, struct talus__publisher *publisher,
                   struct talus__replay_request *request);

    // Requests a publisher's marks of sessions, at most TALUS__MARKS_MOST, since they did not come
    // by themselves. Returns 0 or an error; nothing comes of a failure.
    int (*request_marks)(struct talus__receive_transport *transport,
                         struct talus__publisher *publisher, const char *const *sessions,
                         size_t count);

    // An event came of a publisher whose standing is_missed. It may be the last one that joins wait
    // for, or can be asked now: then these are told of within the call, and what `take` gave stays.
    void (*heard)(struct talus__receive_transport *transport, struct talus__publisher *publisher);

    // The publisher did not answer a subscription in time: later joins need not wait for it, unless
    // it is known to live.
    void (*silence)(struct talus__receive_transport *transport, struct talus__publisher *publisher);

    // Takes note of the publishers that came and went by now. Returns whether there were such.
    bool (*meet)(struct talus__receive_transport *transport);

    // ---- Waiting

    // The subscriber is about to wait.
    void (*prepare)(struct talus__receive_transport *transport);

    // Returns whether the transport has written to `wake` since the last call.
    bool (*was_woken)(struct talus__receive_transport *transport);

    // The descriptor with this event data is readable.
    void (*on_ready)(struct talus__receive_transport *transport, unsigned source);

    // Does what is due; after `on_ready`, and when the time of `due` has come. `now`: monotonic
    // clock, milliseconds. `is_drained`: the last `take` gave NONE.
    void (*tend)(struct talus__receive_transport *transport, long long now, bool is_drained);

    // Tells of publishers that have been gone for long enough; after `tend`.
    void (*tend_losses)(struct talus__receive_transport *transport, long long now, bool is_drained);

    // Returns when `tend` is to be called even if nothing becomes readable; 0: never.
    long long (*due)(const struct talus__receive_transport *transport);

    // ---- Counters

    // Returns how many messages were dropped since nobody took them in time. Marks may be among
    // them.
    uint64_t (*dropped)(const struct talus__receive_transport *transport);

    // Adds the transport's own counters.
    void (*stats)(const struct talus__receive_transport *transport,
                  talus_subscriber_stats_t *stats);
};

#endif
