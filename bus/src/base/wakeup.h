// SPDX-License-Identifier: MIT
// Wakes the one thread that sleeps on a descriptor, at the price of a load when it is awake.
//
// No wake-up is lost: the sleeper says that it sleeps and then looks at its work once more; the
// others publish work and then look whether it sleeps. All four are sequentially consistent, so one
// of the two sees the other. Whoever publishes work must do it with such an operation.
#ifndef TALUS__WAKEUP_H
#define TALUS__WAKEUP_H

#include <stdatomic.h>
#include <stdbool.h>

struct talus__wakeup {
    int fd; // an eventfd: the sleeper polls it for input
    atomic_bool sleeping;
};

// Returns 0 or TALUS_ESYSTEM.
int talus__wakeup_init(struct talus__wakeup *wakeup);
void talus__wakeup_fini(struct talus__wakeup *wakeup);

// After work was published. Any thread. Never blocks.
void talus__wakeup_notify(struct talus__wakeup *wakeup);

// The sleeper: begin, look for work, poll the descriptor unless there is some, end.
void talus__wakeup_begin_sleep(struct talus__wakeup *wakeup);
void talus__wakeup_end_sleep(struct talus__wakeup *wakeup, bool is_readable);

#endif
