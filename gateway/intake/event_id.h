// SPDX-License-Identifier: MIT
// Event ids: ORIGIN.SEQ, as in docs/protocol.md. Pure functions.
#ifndef TALUS_GATEWAY_INTAKE_EVENT_ID_H
#define TALUS_GATEWAY_INTAKE_EVENT_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talus/topic.h>

// The size of the origin in ORIGIN.SEQ, and the seq. 0: it is no event id.
size_t event_id_split(const char *id, uint64_t *seq);
// Writes the event with that seq of the origin in `like`.
void event_id_format(char to[TALUS_ID_MAX + 1], const char *like, uint64_t seq);
// Whether an event id is of the origin that `like`, an event id or an origin, has.
bool event_id_is_of(const char *id, const char *like);

#endif
