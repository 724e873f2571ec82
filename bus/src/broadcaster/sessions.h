// SPDX-License-Identifier: MIT
// The sessions that this broadcaster has sent to: the last sent seq of each, as `prev` and `$head`
// need it, its place in the history, and what the transport keeps for it. The bus thread's alone.
//
// Bounded: the session that was silent longest is forgotten, and the watermark rises to its last
// seq. The watermark then stands for the last seq of every session that is not known, be it
// forgotten or never heard of. So a forgotten session's `prev` and head are too high at worst,
// which makes a subscriber ask for nothing, but never too low, which would hide a loss.
#ifndef TALUS__SESSIONS_H
#define TALUS__SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "bus/src/transport/message.h"
#include "bus/src/transport/publish.h"
#include "common/list.h"
#include "common/table.h"

struct talus__session {
    struct tl_node node; // first, so that a node is its session
    struct tl_list used; // of sessions->used
    uint64_t last;       // seq of its newest event

    // history.c's
    uint64_t low; // every event of it with a higher seq is kept
    struct talus__message *oldest_kept;
    struct talus__message *newest_kept;
    size_t kept_events;
    size_t kept_bytes;

    struct talus__publish_session publish; // last: the transport's own stands behind it
    // then the name, at most TALUS_SESSION_MAX bytes
};

struct talus__sessions {
    struct tl_table table;
    struct tl_list used; // in order of their last events, the oldest first
    size_t max;
    size_t state_size; // bytes of the transport's own for each; 0 at first
    uint64_t watermark;
    void (*on_forget)(struct talus__session *session, void *arg); // before it is freed; may be NULL
    void *arg;
};

// `max` is at least 1.
void talus__sessions_init(struct talus__sessions *sessions, size_t max);

// Forgets all, without on_forget.
void talus__sessions_fini(struct talus__sessions *sessions);

// Notes that `seq`, higher than all before, is the session's last one, and gives the one before it
// in `*prev`. Returns the session; NULL: there is no memory for it, so it is forgotten at once.
struct talus__session *talus__sessions_advance(struct talus__sessions *sessions, const char *name,
                                               size_t size, uint64_t seq, uint64_t *prev);

// NULL: it is not known.
struct talus__session *talus__sessions_find(const struct talus__sessions *sessions,
                                            const char *name, size_t size);

// The session's last seq; does not remember a session that is not known.
uint64_t talus__sessions_last(const struct talus__sessions *sessions, const char *name,
                              size_t size);

static inline size_t talus__sessions_count(const struct talus__sessions *sessions)
{
    return sessions->table.count;
}

#endif
