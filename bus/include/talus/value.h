// SPDX-License-Identifier: MIT
// A value of an event's payload: what the typed emits take for "any" fields, and what
// talus_event_field gives back. Borrowed: a value never owns the bytes it points at.
//
// Text should be UTF-8, and is not checked: invalid bytes travel as they are, and become U+FFFD
// where an event is written as JSON, as it is for browsers.
#ifndef TALUS_VALUE_H
#define TALUS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <talus/export.h>

TALUS_BEGIN_DECLS

typedef enum talus_value_type {
    TALUS_NIL,
    TALUS_BOOL,
    TALUS_INT,  // an integer that talus_int made; talus_event_field: a negative one
    TALUS_UINT, // an integer that is not negative
    TALUS_DOUBLE,
    TALUS_STR,     // UTF-8 text, not NUL-terminated
    TALUS_BIN,     // bytes
    TALUS_MSGPACK, // one msgpack value, encoded: an array, a map, an extension
} talus_value_type_t;

// Passed by value, so it stays as it is: later versions may add types to the enum alone.
typedef struct talus_value {
    talus_value_type_t type;
    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        double f64;
        struct {
            const void *ptr;
            size_t size; // bytes
        } bytes;         // TALUS_STR, TALUS_BIN, TALUS_MSGPACK
    } as;
} talus_value_t;

static inline talus_value_t talus_nil(void)
{
    talus_value_t v;
    v.type = TALUS_NIL;
    v.as.u64 = 0;
    return v;
}

static inline talus_value_t talus_bool(bool boolean)
{
    talus_value_t v;
    v.type = TALUS_BOOL;
    v.as.boolean = boolean;
    return v;
}

static inline talus_value_t talus_int(int64_t i64)
{
    talus_value_t v;
    v.type = TALUS_INT;
    v.as.i64 = i64;
    return v;
}

static inline talus_value_t talus_uint(uint64_t u64)
{
    talus_value_t v;
    v.type = TALUS_UINT;
    v.as.u64 = u64;
    return v;
}

static inline talus_value_t talus_double(double f64)
{
    talus_value_t v;
    v.type = TALUS_DOUBLE;
    v.as.f64 = f64;
    return v;
}

static inline talus_value_t talus_strn(const char *text, size_t size)
{
    talus_value_t v;
    v.type = TALUS_STR;
    v.as.bytes.ptr = text;
    v.as.bytes.size = size;
    return v;
}

// NULL becomes nil.
static inline talus_value_t talus_str(const char *text)
{
    return text ? talus_strn(text, strlen(text)) : talus_nil();
}

static inline talus_value_t talus_bin(const void *bytes, size_t size)
{
    talus_value_t v;
    v.type = TALUS_BIN;
    v.as.bytes.ptr = bytes;
    v.as.bytes.size = size;
    return v;
}

// `bytes` is exactly one encoded msgpack value; the emit that takes it checks it.
static inline talus_value_t talus_msgpack(const void *bytes, size_t size)
{
    talus_value_t v;
    v.type = TALUS_MSGPACK;
    v.as.bytes.ptr = bytes;
    v.as.bytes.size = size;
    return v;
}

TALUS_END_DECLS

#endif
