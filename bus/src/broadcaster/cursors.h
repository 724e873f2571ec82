// SPDX-License-Identifier: MIT
// Places in the history at which replays read it. The bus thread's alone.
//
// A cursor's message is one of the history, which counts the cursors at it; when that message goes,
// they move on to the next one, and their `low` tells of the loss.
#ifndef TALUS__CURSORS_H
#define TALUS__CURSORS_H

#include <stdint.h>

#include "bus/src/broadcaster/history.h"
#include "bus/src/broadcaster/sessions.h"
#include "bus/src/transport/publish.h"

struct talus__cursors {
    struct talus__publish_source source; // what a transport gets
    struct tl_list open;                 // those that are open
    struct talus__history *history;
    const struct talus__sessions *sessions;
    const uint64_t *newest; // seq of the newest event that was sent
};

// Watches the history's evictions from now on. What it gets must live as long as it.
void talus__cursors_init(struct talus__cursors *cursors, struct talus__history *history,
                         const struct talus__sessions *sessions, const uint64_t *newest);

#endif
