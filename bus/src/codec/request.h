// SPDX-License-Identifier: MIT
// Codec of what is asked at a replay socket, and of the marker that ends an answer
// (docs/protocol.md, "Replay"). Pure: bytes in, values out.
#ifndef TALUS__REQUEST_H
#define TALUS__REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALUS__HEADS_MAX      1000u // sessions that one request may ask the heads of
#define TALUS__REQUEST_MAX    (TALUS__HEADS_MAX * 131u + 64u) // bytes of a request
#define TALUS__END_MAX        96u                             // bytes of an end's body
#define TALUS__REPLAY_REQUEST 224u // bytes of a request for a replay, at most

enum talus__request_kind {
    TALUS__REQUEST_REPLAY, // {op: "replay", session, after, max}
    TALUS__REQUEST_HEAD,   // {op: "head", sessions}
};

struct talus__request {
    enum talus__request_kind kind;
    const char *session; // REPLAY: "" everybody, "*" everything; borrowed, not NUL-terminated
    size_t session_size;
    uint64_t after;
    uint64_t max;         // events; 0: all
    const uint8_t *names; // HEAD: `name_count` msgpack strings, checked; borrowed
    size_t names_size;    // bytes
    uint32_t name_count;  // TALUS__HEADS_MAX at most
};

// Decodes and checks a request. Returns 0 or TALUS__EBODY: it is none, or a session in it is no
// session id. `after` and `max` may be missing: 0. Unknown keys are skipped.
int talus__request_decode(const void *bytes, size_t size, struct talus__request *request);

// Takes the next name off a decoded HEAD request. False: there is none left.
bool talus__request_next_name(struct talus__request *request, const char **name, size_t *size);

// Writes a request for a replay into `out` of TALUS__REPLAY_REQUEST bytes; returns its size.
size_t talus__request_encode_replay(uint8_t *out, const char *session, uint64_t after,
                                    uint64_t max);

// Writes a request for the heads of `count` sessions, TALUS__HEADS_MAX at most, into `out` of
// `capacity` bytes; returns its size, 0 if it does not fit.
size_t talus__request_encode_heads(uint8_t *out, size_t capacity, const char *const *sessions,
                                   size_t count);

// The body of SESSION/$end: {origin, first, head, complete}.
struct talus__end {
    const char *origin;
    size_t origin_size;
    uint64_t first;   // every event of the session with this seq or a higher one is kept
    uint64_t head;    // the newest event
    bool is_complete; // nothing that was asked for is gone
};

// Writes it into `out` of TALUS__END_MAX bytes; returns its size.
size_t talus__end_encode(uint8_t *out, const struct talus__end *end);

// Returns 0 or TALUS__EBODY (also for a seq above TALUS__SEQ_MAX). Unknown keys are skipped.
int talus__end_decode(const void *bytes, size_t size, struct talus__end *end);

#endif
