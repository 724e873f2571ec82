// SPDX-License-Identifier: MIT
// The history: the events that were sent, for those who missed them. It shares the messages that
// were sent, and is the bus thread's alone, so emitting pays nothing for it.
//
// Bounded for each session by number and bytes, over all sessions by bytes, and by age; the oldest
// goes first. Bytes are those of the blocks that the messages take, so the bounds are of memory.
//
// Invariant: a session's `low`, and `low` over all, are never below the seq of an event that was
// sent and is not kept. So "everything after X is kept" is exactly X >= low, also when nothing is
// kept any more.
#ifndef TALUS__HISTORY_H
#define TALUS__HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "bus/src/broadcaster/sessions.h"
#include "bus/src/transport/message.h"

struct talus__history_bounds {
    size_t session_events; // 0: nothing is kept
    size_t session_bytes;
    size_t total_bytes;
    long long age_ms;
};

struct talus__history {
    struct talus__history_bounds bounds;
    struct talus__message *oldest;
    struct talus__message *newest;
    size_t events;
    size_t bytes;
    uint64_t low; // over all sessions
    // A message at which replays are (its `cursors` are not 0) is about to go.
    void (*on_evict)(struct talus__message *message, void *arg);
    void *arg;
};

void talus__history_init(struct talus__history *history,
                         const struct talus__history_bounds *bounds);

// Drops everything. Before the sessions end.
void talus__history_fini(struct talus__history *history);

// Keeps a message that was just sent to the session (NULL: it is not known), with a reference of
// its own, and lets go of what is over a bound. `now`: monotonic clock, milliseconds.
void talus__history_add(struct talus__history *history, struct talus__session *session,
                        struct talus__message *message, long long now);

// Lets go of what is too old, a bounded number at once.
void talus__history_expire(struct talus__history *history, long long now);

// When talus__history_expire has something to do; 0: nothing.
long long talus__history_due(const struct talus__history *history);

// Lets go of all that is kept of a session that is to be forgotten.
void talus__history_drop(struct talus__history *history, struct talus__session *session);

#endif
