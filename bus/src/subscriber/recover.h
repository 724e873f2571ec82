// SPDX-License-Identifier: MIT
// What talus_subscriber_recover asks for: the events that a publisher sent to a session after one
// of them, for those who come back.
#ifndef TALUS__RECOVER_H
#define TALUS__RECOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/subscriber/core.h"
#include "bus/src/subscriber/gap_repair.h"
#include "bus/src/subscriber/open_replay.h"

struct talus__failed_recovery;

struct talus__recover {
    struct talus__core *core; // borrowed
    struct talus__failed_recovery *first_failed;
    struct talus__failed_recovery *last_failed;
    uint64_t last_request;
    size_t open; // that were asked for and have not ended
};

void talus__recover_fini(struct talus__recover *recover);

// talus_subscriber_recover, on the owner's thread.
int talus__recover_start(struct talus__recover *recover, const char *session, const char *since,
                         uint64_t *request);

// An event of the response. Returns enum talus__taken.
int talus__recover_event(struct talus__recover *recover, struct talus__open_replay *replay,
                         const struct talus__ordered_event *event);

// The end of the response: the publisher has everything from the seq `first` on, and its newest
// event is `newest`. Returns enum talus__taken.
int talus__recover_end(struct talus__recover *recover, struct talus__publisher *publisher,
                       struct talus__open_replay *replay, uint64_t first, uint64_t newest);

// The request was given up.
void talus__recover_failed(struct talus__recover *recover, const struct talus__open_replay *replay,
                           const struct talus__publisher *publisher);

// Sets the delivery to the end of a recovery that failed. False: there is none.
bool talus__recover_take_failed(struct talus__recover *recover);

static inline bool talus__recover_take(struct talus__recover *recover)
{
    return recover->first_failed && talus__recover_take_failed(recover);
}

#endif
