// SPDX-License-Identifier: MIT
// What a client missed: encoded events in a row, and which bytes are which event.
#ifndef TALUS_GATEWAY_BRIDGE_EVENTS_MISSED_H
#define TALUS_GATEWAY_BRIDGE_EVENTS_MISSED_H

#include "common/buffer.h"
#include "gateway/bridge/events/encode.h"
#include "gateway/session/sio_server.h"

struct bridge_missed {
    struct tl_buffer frames;
    struct tl_buffer copies; // struct sio_missed_copy
};

// An empty one that will hold at most `max` bytes of frames. Allocates nothing.
void bridge_missed_init(struct bridge_missed *missed, size_t max);
// NULL-safe for what is zeroed.
void bridge_missed_fini(struct bridge_missed *missed);
// False: the maximum would be passed, or memory is out; nothing was added.
bool bridge_missed_add(struct bridge_missed *missed, const struct bridge_encoded *encoded,
                       enum copy_kind kind);
// Adds all of `more` behind. False: as above.
bool bridge_missed_join(struct bridge_missed *missed, const struct bridge_missed *more);
size_t bridge_missed_count(const struct bridge_missed *missed);
// Bytes of memory, in whole what is used of it.
size_t bridge_missed_size(const struct bridge_missed *missed);
// Forgets all but the first `count`.
void bridge_missed_truncate(struct bridge_missed *missed, size_t count);
// For sio_emit_missed; holds until `missed` changes.
struct sio_missed bridge_missed_view(const struct bridge_missed *missed);

#endif
