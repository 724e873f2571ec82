// SPDX-License-Identifier: MIT
// Event ids: ORIGIN.SEQ, as in docs/protocol.md. Pure functions.
#ifndef TALUS_COMMON_EVENT_ID_H
#define TALUS_COMMON_EVENT_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_ORIGIN_MIN   8 // characters of an origin
#define TL_ORIGIN_MAX   16
#define TL_EVENT_ID_MAX (TL_ORIGIN_MAX + 1 + 20) // ORIGIN.SEQ, 20 digits of 2^64 - 1

// Whether it is an origin: TL_ORIGIN_MIN to TL_ORIGIN_MAX characters of a-z 0-9.
bool tl_is_origin(const char *text, size_t size);

// Splits ORIGIN.SEQ: an origin, a point, and a number below 2^64 without leading zeros.
// Returns the size of ORIGIN; 0: it is no event id, and *seq is as it was.
size_t tl_event_id_split(const char *id, uint64_t *seq);
// Whether a text of `size` bytes, with a NUL behind them, is an event id.
bool tl_event_id_check(const char *text, size_t size);
// Writes an event id with a NUL; the origin has at most TL_ORIGIN_MAX bytes. Returns the size
// without the NUL.
size_t tl_event_id_write(char to[TL_EVENT_ID_MAX + 1], const char *origin, size_t origin_size,
                         uint64_t seq);
// The same for the origin that `like`, an event id or an origin, has.
void tl_event_id_format(char to[TL_EVENT_ID_MAX + 1], const char *like, uint64_t seq);
// Whether an event id is of the origin that `like`, an event id or an origin, has.
bool tl_event_id_is_of(const char *id, const char *like);

#endif
