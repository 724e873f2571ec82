// SPDX-License-Identifier: MIT
// What a client missed: encoded events in a row, and which bytes are which event.
#ifndef TALUS_GATEWAY_INTAKE_MISSED_H
#define TALUS_GATEWAY_INTAKE_MISSED_H

#include "gateway/base/buffer.h"
#include "gateway/intake/encode.h"
#include "gateway/session/sio_server.h"

struct intake_missed {
    struct buffer frames;
    struct buffer copies; // struct sio_missed_copy
};

// An empty one that will hold at most `max` bytes of frames. Allocates nothing.
void intake_missed_init(struct intake_missed *missed, size_t max);
// NULL-safe for what is zeroed.
void intake_missed_fini(struct intake_missed *missed);
// False: the maximum would be passed, or memory is out; nothing was added.
bool intake_missed_add(struct intake_missed *missed, const struct intake_encoded *encoded,
                       enum copy_kind kind);
// Adds all of `more` behind. False: as above.
bool intake_missed_join(struct intake_missed *missed, const struct intake_missed *more);
size_t intake_missed_count(const struct intake_missed *missed);
// Bytes of memory, in whole what is used of it.
size_t intake_missed_size(const struct intake_missed *missed);
// Forgets all but the first `count`.
void intake_missed_truncate(struct intake_missed *missed, size_t count);
// For sio_emit_missed; holds until `missed` changes.
struct sio_missed intake_missed_view(const struct intake_missed *missed);

#endif
