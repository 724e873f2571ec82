// SPDX-License-Identifier: MIT
// The recovery log: what was sent to the sessions' clients recently, so that recovered clients get
// what they missed. Kept on the bus thread, as references to the encoded bytes that
// the workers deliver: no second copy.
//
// Every event gets an index, which counts the events of all sessions from 1. A client has one
// offset (an event id) for all its sessions: the index behind it says, for each of them, what it is
// owed.
//
// Bounded by age and by bytes over all sessions, the oldest going first. A session's
// `gone` is the index up to which its log may have holes. The id of that event is kept, so a client
// that has just that one can still be given what follows, however long ago it was.
#ifndef TALUS_GATEWAY_BRIDGE_EVENTS_EVENT_LOG_H
#define TALUS_GATEWAY_BRIDGE_EVENTS_EVENT_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talus/topic.h>

#include "common/list.h"
#include "gateway/bridge/events/encode.h"

struct event_log {
    size_t max_bytes;   // of entries, with what they hold
    int64_t max_age_ms; // of an entry
    // From here on for the functions below alone.
    struct tl_list entries; // struct event_log_entry, by index
    size_t bytes;
    uint64_t newest; // index of the newest event; 0: none yet
};

// A session's part. Members are for reading.
struct session_log {
    struct tl_list entries; // struct event_log_entry, by index
    uint64_t newest;        // index of the session's newest event; 0: none
    uint64_t published;     // events that clients were to get
    uint64_t gone;          // of the newest event that is not in the log any more; 0: none
    char gone_id[TALUS_ID_MAX + 1];
};

struct event_log_entry {
    struct tl_list link;         // of the whole log
    struct tl_list session_link; // of its session's
    struct session_log *session;
    struct bridge_encoded *encoded;
    uint64_t index;
    int64_t added; // loop time in ms
    char id[];     // of the event
};

void event_log_init(struct event_log *log, size_t max_bytes, int64_t max_age_ms);

void session_log_init(struct session_log *session);
// Lets all its entries go.
void session_log_fini(struct event_log *log, struct session_log *session);

// Adds an event, lets go what is over the bounds, and returns the event's index. `now`: loop time
// in ms, never less than before. `encoded` gets a reference of the log's; NULL notes an event that
// is not kept. If memory is out, the event is noted too, so that the log does not count as
// complete.
uint64_t event_log_append(struct event_log *log, struct session_log *session,
                          struct bridge_encoded *encoded, const char *id, int64_t now);
// Lets go what is too old.
void event_log_expire(struct event_log *log, int64_t now);

// The index of an event of the session; 0: it is not known (any more), or older than the newest
// 10,000.
uint64_t session_log_find(const struct session_log *session, const char *id);
// The same of one who can have none of the events up to index `after`, so that these need not be
// looked through: what strangers ask for costs no more than what was sent to them.
uint64_t session_log_find_after(const struct session_log *session, const char *id, uint64_t after);

// The session's newest event; index 0: none.
void session_log_newest(const struct session_log *session, struct bridge_log_position *newest);

// What is owed to a client that is in several sessions and has everything up to an index in each.
struct event_log_cursor {
    struct session_log *session;
    uint64_t after;
    struct tl_list *at; // for event_log_next; NULL before the first call
};

// Whether the logs reach back far enough for all cursors.
bool event_log_reaches(const struct event_log_cursor *cursors, size_t count);
// The next entry in order of index over all cursors, or NULL.
const struct event_log_entry *event_log_next(struct event_log_cursor *cursors, size_t count);

#endif
