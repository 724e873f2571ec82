// SPDX-License-Identifier: MIT
// Codec of frame 1: the body of events and markers (docs/protocol.md). Pure: bytes in, values out.
//
// An event's body is one msgpack map with the keys origin, seq, prev, ts, skip (optional) and data,
// written in this order. The encoder writes seq and prev as 64-bit integers at known offsets, since
// they are known only when the event has its place in the queue and when it leaves. The decoder
// takes any msgpack integer, and the keys in any order, since not every language's maps keep
// theirs.
#ifndef TALUS__BODY_H
#define TALUS__BODY_H

#include <stddef.h>
#include <stdint.h>

#include "bus/src/codec/event_limits.h"

#define TALUS__BODY_HEADER_MAX 192 // bytes that everything before the payload takes at most
#define TALUS__REPLAY_MAX      512 // bytes of a replay endpoint, or of a list of them
#define TALUS__HEAD_BODY_MAX   (TALUS__REPLAY_MAX + 96) // bytes of a marker's body

struct talus__body {
    const char *origin; // borrowed, not NUL-terminated, as are the other strings
    size_t origin_size;
    uint64_t seq;
    uint64_t prev;
    uint64_t ts;
    const char *except; // NULL: none (absent, nil or empty); holds no NUL
    size_t except_size;
    const void *data;
    size_t data_size;
};

// Writes everything up to and including the key `data` into `out`, which holds
// TALUS__BODY_HEADER_MAX bytes; seq and prev are 0 until patched. `origin` is NUL-terminated, of
// TALUS_ORIGIN_MAX characters at most; `except` NULL: none; at most TALUS_EXCEPT_MAX bytes. Returns
// the bytes written.
size_t talus__body_encode_header(uint8_t *out, const char *origin, uint64_t ts, const char *except,
                                 size_t except_size, size_t *seq_offset, size_t *prev_offset);

// Writes the 8 big-endian bytes of a patched integer at `at`.
void talus__body_patch(uint8_t *at, uint64_t value);

// Decodes and checks a body. Returns 0; TALUS__EBODY: not of the form above (a bad origin, seq 0
// or above TALUS__SEQ_MAX, prev not below seq, a skip too long, keys missing or twice, trailing
// bytes); TALUS_EMSGPACK: the payload is not well-formed; TALUS_ETOOLARGE, TALUS_ETOODEEP,
// TALUS_ETOOMANYBIN, TALUS_EPLACEHOLDER. Unknown keys are skipped. After an error other than
// TALUS__EBODY and TALUS_EMSGPACK, the fields before `data` are valid (so that a gap can be told).
// A body that is too large is read no further than the key `data`.
int talus__body_decode(const void *bytes, size_t size, const struct talus__limits *limits,
                       struct talus__body *body);

// A marker's body: {origin, seq, replay}.
struct talus__head {
    const char *origin;
    size_t origin_size;
    uint64_t seq;       // TALUS__SEQ_MAX at most
    const char *replay; // "" where there is none; holds no NUL
    size_t replay_size; // TALUS__REPLAY_MAX at most
    uint64_t every;     // of a hello and a beat: milliseconds between beats; 0 is not written
};

// Writes a marker's body into `out` of `capacity` bytes; returns its size, or 0 if it does not fit.
size_t talus__head_encode(uint8_t *out, size_t capacity, const struct talus__head *head);

// Returns 0 or TALUS__EBODY. `replay` may be missing or nil: none. Unknown keys are skipped.
int talus__head_decode(const void *bytes, size_t size, struct talus__head *head);

#endif
