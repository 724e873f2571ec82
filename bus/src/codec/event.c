// SPDX-License-Identifier: MIT
// Reading single fields of a received event's payload, without decoding the rest.
#include <string.h>

#include <talus/error.h>
#include <talus/event.h>

#include "bus/src/codec/msgpack_reader.h"

static talus_value_t scalar(const struct talus__msgpack_value *value)
{
    switch (value->kind) {
    case TALUS__MSGPACK_BOOL:
        return talus_bool(value->as.boolean);
    case TALUS__MSGPACK_UINT:
        return talus_uint(value->as.u64);
    case TALUS__MSGPACK_INT:
        return talus_int(value->as.i64);
    case TALUS__MSGPACK_FLOAT:
        return talus_double(value->as.f64);
    case TALUS__MSGPACK_STR:
        return talus_strn((const char *)value->as.bytes, value->size);
    case TALUS__MSGPACK_BIN:
        return talus_bin(value->as.bytes, value->size);
    default:
        return talus_nil();
    }
}

static bool read_field(struct talus__msgpack_reader *reader, talus_value_t *field)
{
    const uint8_t *start = reader->at;
    struct talus__msgpack_value value;
    if (!talus__msgpack_read(reader, &value) ||
        !talus__msgpack_skip(reader, talus__msgpack_children(&value)))
        return false;
    if (value.kind == TALUS__MSGPACK_EXT || value.kind == TALUS__MSGPACK_ARRAY ||
        value.kind == TALUS__MSGPACK_MAP)
        *field = talus_msgpack(start, (size_t)(reader->at - start));
    else
        *field = scalar(&value);
    return true;
}

talus_error_t talus_event_field(const talus_event_t *event, const char *key, talus_value_t *value)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(event->data, event->data_size);
    struct talus__msgpack_value head;
    size_t key_size = strlen(key);
    if (!talus__msgpack_read(&reader, &head) || head.kind != TALUS__MSGPACK_MAP)
        return TALUS_ENOTFOUND;
    for (uint32_t i = 0; i < head.size; i++) {
        struct talus__msgpack_value name;
        if (!talus__msgpack_read(&reader, &name) ||
            !talus__msgpack_skip(&reader, talus__msgpack_children(&name)))
            return TALUS_ENOTFOUND;
        if (name.kind == TALUS__MSGPACK_STR && name.size == key_size &&
            memcmp(name.as.bytes, key, key_size) == 0)
            return read_field(&reader, value) ? 0 : TALUS_ENOTFOUND;
        if (!talus__msgpack_skip(&reader, 1))
            return TALUS_ENOTFOUND;
    }
    return TALUS_ENOTFOUND;
}
