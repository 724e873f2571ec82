// SPDX-License-Identifier: MIT
// The msgpack cursor. Invariant: `at` never passes `end`, and each read consumes at least one byte,
// so every loop over values ends after at most as many steps as there are bytes.
#include "bus/src/codec/msgpack_reader.h"

#include <string.h>

#define EXT_TIMESTAMP   (-1)
#define NANOSECONDS_MAX 999999999u

static bool take(struct talus__msgpack_reader *reader, size_t size, const uint8_t **bytes)
{
    if (size > talus__msgpack_remaining(reader))
        return false;
    *bytes = reader->at;
    reader->at += size;
    return true;
}

static uint64_t load(const uint8_t *bytes, size_t width)
{
    uint64_t number = 0;
    for (size_t i = 0; i < width; i++)
        number = number << 8 | bytes[i];
    return number;
}

static bool take_number(struct talus__msgpack_reader *reader, size_t width, uint64_t *number)
{
    const uint8_t *bytes;
    if (!take(reader, width, &bytes))
        return false;
    *number = load(bytes, width);
    return true;
}

static void set_integer(struct talus__msgpack_value *value, int64_t number)
{
    value->kind = number < 0 ? TALUS__MSGPACK_INT : TALUS__MSGPACK_UINT;
    value->as.i64 = number;
}

static bool read_unsigned(struct talus__msgpack_reader *reader, size_t width,
                          struct talus__msgpack_value *value)
{
    value->kind = TALUS__MSGPACK_UINT;
    return take_number(reader, width, &value->as.u64);
}

static bool read_signed(struct talus__msgpack_reader *reader, size_t width,
                        struct talus__msgpack_value *value)
{
    uint64_t bits;
    if (!take_number(reader, width, &bits))
        return false;
    uint64_t sign = UINT64_C(1) << (width * 8 - 1);
    set_integer(value, (int64_t)((bits ^ sign) - sign));
    return true;
}

static bool read_float(struct talus__msgpack_reader *reader, size_t width,
                       struct talus__msgpack_value *value)
{
    uint64_t bits;
    if (!take_number(reader, width, &bits))
        return false;
    value->kind = TALUS__MSGPACK_FLOAT;
    if (width == sizeof(float)) {
        uint32_t single_bits = (uint32_t)bits;
        float number;
        memcpy(&number, &single_bits, sizeof(number));
        value->as.f64 = number;
    } else {
        memcpy(&value->as.f64, &bits, sizeof(bits));
    }
    return true;
}

static bool read_bytes(struct talus__msgpack_reader *reader, enum talus__msgpack_kind kind,
                       uint64_t size, struct talus__msgpack_value *value)
{
    value->kind = kind;
    value->size = (uint32_t)size;
    return take(reader, (size_t)size, &value->as.bytes);
}

static bool read_sized_bytes(struct talus__msgpack_reader *reader, enum talus__msgpack_kind kind,
                             size_t width, struct talus__msgpack_value *value)
{
    uint64_t size;
    return take_number(reader, width, &size) && read_bytes(reader, kind, size, value);
}

static bool read_ext(struct talus__msgpack_reader *reader, uint64_t size,
                     struct talus__msgpack_value *value)
{
    uint64_t type;
    if (!take_number(reader, 1, &type))
        return false;
    value->ext_type = (int8_t)(uint8_t)type;
    return read_bytes(reader, TALUS__MSGPACK_EXT, size, value);
}

static bool read_sized_ext(struct talus__msgpack_reader *reader, size_t width,
                           struct talus__msgpack_value *value)
{
    uint64_t size;
    return take_number(reader, width, &size) && read_ext(reader, size, value);
}

static bool read_container(struct talus__msgpack_reader *reader, enum talus__msgpack_kind kind,
                           uint64_t size, struct talus__msgpack_value *value)
{
    value->kind = kind;
    value->size = (uint32_t)size;
    return talus__msgpack_children(value) <= talus__msgpack_remaining(reader);
}

static bool read_sized_container(struct talus__msgpack_reader *reader,
                                 enum talus__msgpack_kind kind, size_t width,
                                 struct talus__msgpack_value *value)
{
    uint64_t size;
    return take_number(reader, width, &size) && read_container(reader, kind, size, value);
}

static bool set_bool(struct talus__msgpack_value *value, bool boolean)
{
    value->kind = TALUS__MSGPACK_BOOL;
    value->as.boolean = boolean;
    return true;
}

// The codes 0xc0 to 0xdf: everything whose length or kind is not in the code itself.
static bool read_coded(struct talus__msgpack_reader *reader, uint8_t code,
                       struct talus__msgpack_value *value)
{
    switch (code) {
    case 0xc0:
        value->kind = TALUS__MSGPACK_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        return set_bool(value, code == 0xc3);
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return read_sized_bytes(reader, TALUS__MSGPACK_BIN, (size_t)1 << (code - 0xc4), value);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return read_sized_ext(reader, (size_t)1 << (code - 0xc7), value);
    case 0xca:
    case 0xcb:
        return read_float(reader, (size_t)4 << (code - 0xca), value);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return read_unsigned(reader, (size_t)1 << (code - 0xcc), value);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return read_signed(reader, (size_t)1 << (code - 0xd0), value);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return read_ext(reader, UINT64_C(1) << (code - 0xd4), value);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return read_sized_bytes(reader, TALUS__MSGPACK_STR, (size_t)1 << (code - 0xd9), value);
    case 0xdc:
    case 0xdd:
        return read_sized_container(reader, TALUS__MSGPACK_ARRAY, (size_t)2 << (code - 0xdc),
                                    value);
    case 0xde:
    case 0xdf:
        return read_sized_container(reader, TALUS__MSGPACK_MAP, (size_t)2 << (code - 0xde), value);
    default: // 0xc1: never used
        return false;
    }
}

bool talus__msgpack_read(struct talus__msgpack_reader *reader, struct talus__msgpack_value *value)
{
    if (reader->at == reader->end)
        return false;
    uint8_t code = *reader->at++;
    value->size = 0;
    if (code < 0x80) {
        value->kind = TALUS__MSGPACK_UINT;
        value->as.u64 = code;
        return true;
    }
    if (code < 0x90)
        return read_container(reader, TALUS__MSGPACK_MAP, code & 0x0f, value);
    if (code < 0xa0)
        return read_container(reader, TALUS__MSGPACK_ARRAY, code & 0x0f, value);
    if (code < 0xc0)
        return read_bytes(reader, TALUS__MSGPACK_STR, code & 0x1f, value);
    if (code < 0xe0)
        return read_coded(reader, code, value);
    value->kind = TALUS__MSGPACK_INT;
    value->as.i64 = (int64_t)code - 0x100;
    return true;
}

bool talus__msgpack_skip(struct talus__msgpack_reader *reader, uint64_t count)
{
    struct talus__msgpack_value value;
    while (count > 0) {
        // Each value takes a byte at least: what cannot fit is refused before it is walked.
        if (count > talus__msgpack_remaining(reader) || !talus__msgpack_read(reader, &value))
            return false;
        count += talus__msgpack_children(&value) - 1;
    }
    return true;
}

bool talus__msgpack_timestamp(const struct talus__msgpack_value *value, int64_t *seconds,
                              uint32_t *nanoseconds)
{
    if (value->kind != TALUS__MSGPACK_EXT || value->ext_type != EXT_TIMESTAMP)
        return false;
    if (value->size == 4) {
        *seconds = (int64_t)load(value->as.bytes, 4);
        *nanoseconds = 0;
    } else if (value->size == 8) {
        uint64_t bits = load(value->as.bytes, 8);
        *seconds = (int64_t)(bits & ((UINT64_C(1) << 34) - 1));
        *nanoseconds = (uint32_t)(bits >> 34);
    } else if (value->size == 12) {
        *nanoseconds = (uint32_t)load(value->as.bytes, 4);
        *seconds = (int64_t)load(value->as.bytes + 4, 8);
    } else {
        return false;
    }
    return *nanoseconds <= NANOSECONDS_MAX;
}
