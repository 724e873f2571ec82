// SPDX-License-Identifier: MIT
// What a broadcaster is made of. It never changes after it was made, but for counters and what its
// parts guard themselves.
#ifndef TALUS__INSTANCE_H
#define TALUS__INSTANCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <talus/broadcaster.h>

#include "bus/src/api/callbacks.h"
#include "bus/src/base/fork.h"
#include "bus/src/broadcaster/publisher.h"
#include "bus/src/codec/event_limits.h"
#include "bus/src/transport/publish.h"

#define TALUS__ORIGIN_SIZE 12 // characters of our origins

struct talus_broadcaster {
    struct talus__bus_thread publisher;
    struct talus__callbacks callbacks;
    struct talus__publish_transport *transport; // owned
    struct talus__limits limits;
    unsigned generation;
    int linger_ms;
    char origin[TALUS_ORIGIN_MAX + 1];
    _Atomic uint64_t refused_invalid;
    _Atomic uint64_t refused_bounds;
    _Atomic uint64_t refused_full;
    _Atomic uint64_t refused_memory;
};

// Whether this process is a forked child of the one that made it.
static inline bool talus__is_foreign(const talus_broadcaster_t *broadcaster)
{
    return talus__is_forked(broadcaster->generation);
}

#endif
