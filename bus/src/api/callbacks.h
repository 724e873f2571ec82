// SPDX-License-Identifier: MIT
// Local callbacks: called on the emitter's thread for each event emitted there.
//
// The list of callbacks never changes: whoever adds or removes one makes a new list and swaps it
// in. An emit holds the list that it began with by reference count, so callbacks run under no lock
// and may add and remove callbacks. A callback is freed, and its `release` called, when the last
// list that has it is gone.
#ifndef TALUS__CALLBACKS_H
#define TALUS__CALLBACKS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <talus/broadcaster.h>

struct talus__callback_list;

struct talus__callbacks {
    pthread_mutex_t change;            // held while a new list is made, by those who add and remove
    pthread_mutex_t swap;              // guards `list`; held for a few instructions
    struct talus__callback_list *list; // NULL: no callbacks
    atomic_bool any;                   // whether there is a list: spares most emits the mutex
    uint64_t last_id;                  // guarded by `change`
    _Atomic uint64_t failed;
};

void talus__callbacks_init(struct talus__callbacks *callbacks);

// Releases all callbacks. None may be running.
void talus__callbacks_fini(struct talus__callbacks *callbacks);

// The arguments and errors of talus_broadcaster_on and talus_broadcaster_off; `type` is checked.
int talus__callbacks_add(struct talus__callbacks *callbacks, const char *type,
                         talus_callback_fn *fn, void (*release)(void *arg), void *arg,
                         uint64_t *id);
int talus__callbacks_remove(struct talus__callbacks *callbacks, uint64_t id);

// Whether running them could find any.
static inline bool talus__callbacks_any(const struct talus__callbacks *callbacks)
{
    return atomic_load_explicit(&callbacks->any, memory_order_acquire);
}

// Calls those of the event's type, in order of addition.
void talus__callbacks_run(struct talus__callbacks *callbacks, const talus_event_t *event);

#endif
