// SPDX-License-Identifier: MIT
// A replay that was requested and has not ended: of a gap repair, or of talus_subscriber_recover.
#ifndef TALUS__OPEN_REPLAY_H
#define TALUS__OPEN_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "bus/src/transport/receive.h"

struct talus__gap;

struct talus__open_replay {
    struct talus__replay_request request; // first, so that a request is its open replay
    uint64_t since;                       // where it began
    bool is_recovery;
    struct talus__gap *gap; // repair: who waits for it; NULL: nobody does any more

    // Recovery:
    uint64_t number;    // what talus_subscriber_recover gave
    uint64_t gap_after; // events after this one …
    uint64_t gap_first; // … and before this one are missing; 0: none is
    uint64_t stream;    // when it began, the session's deliveries were to go on …
    bool has_stream;    // … after this one, if at all
    char session[];
};

// Makes one, to be given to the transport. NULL: out of memory.
struct talus__open_replay *talus__open_replay_new(const char *session, uint64_t after);

static inline struct talus__open_replay *
talus__open_replay_of(struct talus__replay_request *request)
{
    return (struct talus__open_replay *)request;
}

#endif
