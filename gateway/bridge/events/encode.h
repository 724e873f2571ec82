// SPDX-License-Identifier: MIT
// Encodes an event once, as the WebSocket frames of the Socket.IO packet that every client of its
// session gets: `[TYPE, data, EVENT_ID]`.
#ifndef TALUS_GATEWAY_BRIDGE_EVENTS_ENCODE_H
#define TALUS_GATEWAY_BRIDGE_EVENTS_ENCODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <talus/event.h>
#include <talus/subscriber.h>
#include <talus/topic.h>

// A place in the recovery log: an event of a session, or of those for everybody.
struct bridge_log_position {
    uint64_t index; // 0: none
    char id[TALUS_ID_MAX + 1];
};

// Shared by the workers that it goes to, and by the recovery log; the count is atomic, the rest is
// read-only once it is posted.
struct bridge_encoded {
    atomic_uint refs;
    size_t size;
    uint64_t index;                      // of the event; 0: presence
    struct bridge_log_position before;   // with `except`: the session's event before it
    char session[TALUS_SESSION_MAX + 1]; // "": everybody
    char except[TALUS_EXCEPT_MAX + 1];   // "": nobody
    char gap_end[TALUS_ID_MAX + 1];      // of a gap: the event before which it ends; "": none
    uint8_t bytes[];
};

void bridge_encoded_ref(struct bridge_encoded *encoded);
void bridge_encoded_unref(struct bridge_encoded *encoded);

// Reusable memory for encoding; for one thread.
struct encoder;

// `nsp`: the namespace that the packets are for; copied. NULL: out of memory.
struct encoder *encoder_new(const char *nsp);
void encoder_destroy(struct encoder **encoder);

// Encodes an event of the bus; with "" as its id, `[TYPE, data]`. Returns it with one reference, or
// NULL: out of memory, larger than 64 MiB as JSON, not well-formed msgpack, nested too deep, or
// with more than SIO_MAX_ATTACHMENTS binary values.
struct bridge_encoded *encoder_event(struct encoder *encoder, const talus_event_t *event);

// Encodes presence: `[TYPE, {"session_id":…,"client_id":…}]`, which is in no log and has no id.
struct bridge_encoded *encoder_presence(struct encoder *encoder, const char *type,
                                        const char *session, const char *client);

// Encodes a gap: `["gap", {"session_id":…,"after":…,"first":…,"reason":…}]`, which has no id.
struct bridge_encoded *encoder_gap(struct encoder *encoder, const char *session,
                                   const talus_gap_t *gap);

#endif
