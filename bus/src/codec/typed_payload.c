// SPDX-License-Identifier: MIT
// The payload of the typed events, packed with msgpack-c.
#include "bus/src/codec/typed_payload.h"

#include <msgpack.h>
#include <stdint.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/msgpack_reader.h"

static void pack_text(msgpack_packer *packer, const char *text, size_t size)
{
    msgpack_pack_str(packer, size);
    msgpack_pack_str_body(packer, text, size);
}

// Each raw value must be whole by itself: two half values beside each other could otherwise make
// one well-formed payload with the fields shifted.
static int append_raw(msgpack_packer *packer, const void *bytes, size_t size)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, size);
    if (!talus__msgpack_skip(&reader, 1) || reader.at != reader.end)
        return TALUS_EMSGPACK;
    (void)packer->callback(packer->data, bytes, size);
    return 0;
}

static int pack_bytes(msgpack_packer *packer, const talus_value_t *value)
{
    const void *bytes = value->as.bytes.ptr;
    size_t size = value->as.bytes.size;
    if (!bytes && size > 0)
        return TALUS_EINVAL;
    if (size > UINT32_MAX)
        return TALUS_ETOOLARGE;
    if (value->type == TALUS_MSGPACK)
        return append_raw(packer, bytes, size);
    if (value->type == TALUS_STR) {
        pack_text(packer, bytes, size);
    } else {
        msgpack_pack_bin(packer, size);
        msgpack_pack_bin_body(packer, bytes, size);
    }
    return 0;
}

// Failures to write are kept by the buffer, and looked at once at the end.
static int pack_value(msgpack_packer *packer, const talus_value_t *value)
{
    switch (value->type) {
    case TALUS_NIL:
        msgpack_pack_nil(packer);
        return 0;
    case TALUS_BOOL:
        if (value->as.boolean)
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
        return 0;
    case TALUS_INT:
        msgpack_pack_int64(packer, value->as.i64);
        return 0;
    case TALUS_UINT:
        msgpack_pack_uint64(packer, value->as.u64);
        return 0;
    case TALUS_DOUBLE:
        msgpack_pack_double(packer, value->as.f64);
        return 0;
    case TALUS_STR:
    case TALUS_BIN:
    case TALUS_MSGPACK:
        return pack_bytes(packer, value);
    }
    return TALUS_EINVAL;
}

int talus__typed_payload_encode(struct talus__pack_buffer *buffer, const char *session_id,
                                const struct talus__typed_field *fields, size_t count)
{
    if (!session_id || !*session_id)
        return TALUS_ESESSION;
    msgpack_packer packer;
    msgpack_packer_init(&packer, buffer, talus__pack_buffer_write);
    msgpack_pack_map(&packer, count + 1);
    pack_text(&packer, "session_id", strlen("session_id"));
    pack_text(&packer, session_id, strlen(session_id));
    for (size_t i = 0; i < count; i++) {
        if ((unsigned)fields[i].value.type > TALUS_MSGPACK ||
            !(fields[i].types & TALUS__IS(fields[i].value.type)))
            return TALUS_EINVAL;
        pack_text(&packer, fields[i].name, strlen(fields[i].name));
        int error = pack_value(&packer, &fields[i].value);
        if (error)
            return error;
    }
    return buffer->error;
}
