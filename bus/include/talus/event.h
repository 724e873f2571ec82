// SPDX-License-Identifier: MIT
// An event as it is received: by a local callback or by a subscriber.
#ifndef TALUS_EVENT_H
#define TALUS_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include <talus/error.h>
#include <talus/export.h>
#include <talus/value.h>

TALUS_BEGIN_DECLS

// A read-only view; the library makes it, and each function says how long it lives. Later
// versions may add members at the end.
typedef struct talus_event {
    const char *session; // "" for an event to everybody
    const char *type;    // e.g. "node-created"
    const char *id;      // ORIGIN.SEQ, the event id
    const char *origin;  // the broadcaster instance
    const char *except;  // the Socket.IO client that must not receive it; "" for none
    uint64_t seq;        // counts every event of this origin, from 1
    uint64_t prev;       // seq of the event before it in the same session and origin; 0: first
    uint64_t ts;         // microseconds since the Unix epoch, taken in the emit call
    const void *data;    // the payload: one msgpack value, checked to be well-formed
    size_t data_size;    // bytes
} talus_event_t;

// Finds `key` in the payload's top map and gives its value, which borrows from the event.
// Returns 0; TALUS_ENOTFOUND: the payload is not a map, or does not have the key.
// Any thread. Does not block.
TALUS_API talus_error_t talus_event_field(const talus_event_t *event, const char *key,
                                          talus_value_t *value) TALUS_MUST_USE;

TALUS_END_DECLS

#endif
