// SPDX-License-Identifier: MIT
// The last sent seq of each session, as `prev` and `$head` need it. The bus thread's alone.
//
// Bounded: the session that was silent longest is forgotten, and the watermark rises to its last
// seq. The watermark then stands for the last seq of every session that is not known, be it
// forgotten or never heard of. So a forgotten session's `prev` and head are too high at worst,
// which makes a subscriber ask for nothing, but never too low, which would hide a loss.
#ifndef TALUS__SESSIONS_H
#define TALUS__SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "table.h"

struct talus__session; // its name is at most TALUS_SESSION_MAX bytes

struct talus__sessions {
    struct talus__table table;
    struct talus__session *newest; // a list in order of their last events
    struct talus__session *oldest;
    size_t max;
    uint64_t watermark;
};

// `max` is at least 1. Returns 0, TALUS_ENOMEM or TALUS_ESYSTEM.
int talus__sessions_init(struct talus__sessions *sessions, size_t max);
void talus__sessions_fini(struct talus__sessions *sessions);

// Notes that `seq`, higher than all before, is the session's last one, and returns the one before
// it. Cannot fail: a session for which there is no memory is forgotten at once.
uint64_t talus__sessions_advance(struct talus__sessions *sessions, const char *name, size_t size,
                                 uint64_t seq);

// The session's last seq; does not remember a session that is not known.
uint64_t talus__sessions_last(const struct talus__sessions *sessions, const char *name,
                              size_t size);

static inline size_t talus__sessions_count(const struct talus__sessions *sessions)
{
    return sessions->table.count;
}

#endif
