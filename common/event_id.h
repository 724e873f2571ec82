// SPDX-License-Identifier: MIT
// Event ids: ORIGIN.SEQ, as in docs/protocol.md. Pure functions.
#ifndef TALUS_COMMON_EVENT_ID_H
#define TALUS_COMMON_EVENT_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_ORIGIN_MAX   16                       // bytes
#define TL_EVENT_ID_MAX (TL_ORIGIN_MAX + 1 + 20) // ORIGIN.SEQ, 20 digits of 2^64 - 1

// Splits ORIGIN.SEQ: 8 to 16 of a-z 0-9, a point, and a number below 2^64 without leading zeros.
// Returns the size of ORIGIN; 0: it is no event id, and *seq is as it was.
size_t tl_event_id_split(const char *id, uint64_t *seq);
// Whether a text of `size` bytes, with a NUL behind them, is an event id.
bool tl_event_id_check(const char *text, size_t size);
// Writes the event with that seq of the origin in `like`.
void tl_event_id_format(char to[TL_EVENT_ID_MAX + 1], const char *like, uint64_t seq);
// Whether an event id is of the origin that `like`, an event id or an origin, has.
bool tl_event_id_is_of(const char *id, const char *like);

#endif
