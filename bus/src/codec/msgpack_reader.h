// SPDX-License-Identifier: MIT
// A bounded cursor over msgpack bytes. Pure, no allocation.
//
// Why not msgpack-c's unpacker: it allocates by the element counts that the bytes claim, so that
// five hostile bytes (an array of 2^32) ask for gigabytes, and it builds a tree that no user of
// ours needs. Here a count that the remaining bytes cannot satisfy is refused at once, and nothing
// is stored: whoever reads decides what to keep.
#ifndef TALUS__MSGPACK_READER_H
#define TALUS__MSGPACK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct talus__msgpack_reader {
    const uint8_t *at;
    const uint8_t *end;
};

enum talus__msgpack_kind {
    TALUS__MSGPACK_NIL,
    TALUS__MSGPACK_BOOL,
    TALUS__MSGPACK_UINT, // not negative, however it was encoded
    TALUS__MSGPACK_INT,  // negative
    TALUS__MSGPACK_FLOAT,
    TALUS__MSGPACK_STR,
    TALUS__MSGPACK_BIN,
    TALUS__MSGPACK_EXT,
    TALUS__MSGPACK_ARRAY,
    TALUS__MSGPACK_MAP,
};

// A scalar whole, or the head of a container, whose elements follow in the reader.
struct talus__msgpack_value {
    enum talus__msgpack_kind kind;
    int8_t ext_type; // EXT
    uint32_t size;   // STR, BIN, EXT: bytes; ARRAY: elements; MAP: pairs
    union {
        bool boolean;
        uint64_t u64;
        int64_t i64;
        double f64;
        const uint8_t *bytes; // STR, BIN, EXT: borrowed
    } as;
};

static inline struct talus__msgpack_reader talus__msgpack_reader(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    return (struct talus__msgpack_reader){at, size > 0 ? at + size : at};
}

static inline size_t talus__msgpack_remaining(const struct talus__msgpack_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

// How many values follow the head of a container (two for each pair of a map); 0 for scalars.
static inline uint64_t talus__msgpack_children(const struct talus__msgpack_value *value)
{
    if (value->kind == TALUS__MSGPACK_ARRAY)
        return value->size;
    return value->kind == TALUS__MSGPACK_MAP ? (uint64_t)value->size * 2 : 0;
}

// Reads a scalar, or the head of a container. False: the bytes end before it does, it claims more
// elements than there are bytes, or it is the unused code 0xc1. Then the reader's place is unknown.
bool talus__msgpack_read(struct talus__msgpack_reader *reader, struct talus__msgpack_value *value);

// Skips `count` whole values with all that is in them, however deep, with no stack and in linear
// time. False: they are not well-formed.
bool talus__msgpack_skip(struct talus__msgpack_reader *reader, uint64_t count);

// Whether `value` is the timestamp extension (-1, of 32, 64 or 96 bits, with nanoseconds below one
// second): seconds since the Unix epoch and nanoseconds. Any other extension is opaque bytes.
bool talus__msgpack_timestamp(const struct talus__msgpack_value *value, int64_t *seconds,
                              uint32_t *nanoseconds);

#endif
