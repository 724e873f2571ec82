// SPDX-License-Identifier: MIT
// What the files of the transport in memory share. memory_receive.c has the functions of the
// transport, memory_replay.c requests and responses, memory_queue.c what is to be taken,
// memory_feed.c what tests call.
#ifndef TALUS_TESTS_MEMORY_STATE_H
#define TALUS_TESTS_MEMORY_STATE_H

#include "tests/bus/support/memory_receive.h"

#define PUBLISHERS_MOST 8
#define SESSIONS_MOST   4200

struct event {
    char session[FEED_SESSION_MAX];
    char origin[TALUS_ORIGIN_MAX + 1];
    uint64_t seq; // of the publisher, or of the stream
    uint64_t prev;
    size_t size;
};

struct feed_publisher {
    char origin[TALUS_ORIGIN_MAX + 1];
    struct talus__publisher *known; // NULL: it is not, or no more
    bool is_stream;
    bool can_replay;
    uint64_t first; // what it keeps
    struct event *events;
    size_t count;
    size_t capacity;
};

enum item_kind {
    ITEM_MESSAGE, // `incoming` is set but for the bytes
    ITEM_ARRIVE,
    ITEM_AWAY,
    ITEM_CONNECTED,
    ITEM_MALFORMED,
};

struct item {
    struct item *next;
    enum item_kind kind;
    struct feed_publisher *publisher;
    struct talus__incoming incoming;
    char *topic; // owned
    void *body;  // owned
    uint64_t count;
};

struct open_request {
    struct open_request *next;
    struct talus__replay_request *request; // owned
    struct feed_publisher *publisher;
    bool is_answered;
};

struct loss {
    struct talus__loss base; // first
    struct feed_publisher *publisher;
    enum feed_end end;
};

struct memory {
    struct talus__receive_transport base; // first
    struct talus__receive_options options;
    struct item *first; // what is to be taken
    struct item *last;
    struct item *taken;            // what was taken last
    struct open_request *requests; // in their order
    struct talus__replay_request *ended;
    char sessions[SESSIONS_MOST][FEED_SESSION_MAX]; // that are subscribed to
    bool is_subscribed[SESSIONS_MOST];
    size_t session_top;                  // of these, so many were ever used
    struct loss losses[PUBLISHERS_MOST]; // to be told
    size_t loss_count;
    bool is_failing; // requests are to fail
    bool is_locked;
    bool is_knocked;
};

extern struct memory *feed_memory; // NULL: none is open
extern struct feed_publisher feed_publishers[PUBLISHERS_MOST];
extern size_t feed_publisher_count;
extern struct feed_counts feed_count;

// Notes a breach of the contract, for feed_check.
void feed__expect(bool is_kept, const char *what);

// The transport, which must be locked.
struct memory *feed__held(struct talus__receive_transport *transport);

// ---- The queue

void feed__knock(void);
struct item *feed__push(enum item_kind kind, struct feed_publisher *publisher);
struct item *feed__push_frames(const char *topic, const void *body, size_t body_size);
struct item *feed__push_event(struct feed_publisher *publisher, const struct event *event);
void feed__push_mark(struct feed_publisher *publisher, const char *session);
void feed__free_item(struct item *item); // NULL-safe

// Whether the session is subscribed to.
bool feed__wants(const char *session);

// Seq of the session's newest event ("*": of all).
uint64_t feed__last_of(const struct feed_publisher *publisher, const char *session);

// ---- Replays: functions of the transport, and what becomes of a request

int feed__request(struct talus__receive_transport *transport, struct talus__publisher *known,
                  struct talus__replay_request *request);
int feed__request_marks(struct talus__receive_transport *transport, struct talus__publisher *known,
                        const char *const *sessions, size_t count);
void feed__refuse(struct talus__receive_transport *transport);
void feed__respond_to(struct open_request *open);

// NULL: those of all publishers.
void feed__fail_requests_of(const struct feed_publisher *publisher);

// Takes a request off the list, to be freed by the caller.
struct talus__replay_request *feed__take_request(const struct talus__replay_request *request);

#endif
