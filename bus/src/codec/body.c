// SPDX-License-Identifier: MIT
// Bodies of events and markers.
#include "bus/src/codec/body.h"

#include <msgpack.h>
#include <string.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/codec/malformed.h"
#include "bus/src/codec/pack_buffer.h"
#include "bus/src/codec/payload.h"
#include "bus/src/codec/wire.h"

// ---- Encoding. An event's header is written by hand, since emit is the hot path and the places of
// seq and prev must be known.

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t size)
{
    if (size < 32) {
        *at++ = (uint8_t)(0xa0 | size);
    } else {
        *at++ = 0xd9;
        *at++ = (uint8_t)size;
    }
    return put(at, text, size);
}

static uint8_t *put_key(uint8_t *at, const char *key)
{
    return put_text(at, key, strlen(key));
}

static uint8_t *put_number(uint8_t *at, uint64_t number)
{
    *at++ = 0xcf;
    talus__body_patch(at, number);
    return at + sizeof(number);
}

void talus__body_patch(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (56 - 8 * i));
}

size_t talus__body_encode_header(uint8_t *out, const char *origin, uint64_t ts, const char *except,
                                 size_t except_size, size_t *seq_offset, size_t *prev_offset)
{
    uint8_t *at = out;
    *at++ = (uint8_t)(0x80 | (except ? 6 : 5));
    at = put_text(put_key(at, "origin"), origin, strlen(origin));
    at = put_number(put_key(at, "seq"), 0);
    *seq_offset = (size_t)(at - out) - sizeof(uint64_t);
    at = put_number(put_key(at, "prev"), 0);
    *prev_offset = (size_t)(at - out) - sizeof(uint64_t);
    at = put_number(put_key(at, "ts"), ts);
    if (except)
        at = put_text(put_key(at, "skip"), except, except_size);
    at = put_key(at, "data");
    return (size_t)(at - out);
}

size_t talus__head_encode(uint8_t *out, size_t capacity, const struct talus__head *head)
{
    struct talus__pack_buffer buffer;
    msgpack_packer packer;
    talus__pack_buffer_init(&buffer, out, capacity, capacity);
    msgpack_packer_init(&packer, &buffer, talus__pack_buffer_write);
    msgpack_pack_map(&packer, head->every > 0 ? 4 : 3);
    msgpack_pack_str_with_body(&packer, "origin", strlen("origin"));
    msgpack_pack_str_with_body(&packer, head->origin, head->origin_size);
    msgpack_pack_str_with_body(&packer, "seq", strlen("seq"));
    msgpack_pack_uint64(&packer, head->seq);
    msgpack_pack_str_with_body(&packer, "replay", strlen("replay"));
    msgpack_pack_str_with_body(&packer, head->replay, head->replay_size);
    if (head->every > 0) {
        msgpack_pack_str_with_body(&packer, "every", strlen("every"));
        msgpack_pack_uint64(&packer, head->every);
    }
    return buffer.error ? 0 : buffer.out.size;
}

// ---- Decoding

enum field {
    FIELD_UNKNOWN = 0,
    FIELD_ORIGIN = 1 << 0,
    FIELD_SEQ = 1 << 1,
    FIELD_PREV = 1 << 2,
    FIELD_TS = 1 << 3,
    FIELD_EXCEPT = 1 << 4,
    FIELD_DATA = 1 << 5,
    FIELD_REPLAY = 1 << 6,
    FIELD_EVERY = 1 << 7,
};

#define HEADER_FIELDS (FIELD_ORIGIN | FIELD_SEQ | FIELD_PREV | FIELD_TS)

// By size first: with it known, a comparison is one of integers.
#define IS(text) (memcmp(name, text, sizeof(text) - 1) == 0)
static enum field field_of(const uint8_t *name, size_t size)
{
    switch (size) {
    case 2:
        return IS("ts") ? FIELD_TS : FIELD_UNKNOWN;
    case 3:
        return IS("seq") ? FIELD_SEQ : FIELD_UNKNOWN;
    case 4:
        return IS("prev")   ? FIELD_PREV
               : IS("data") ? FIELD_DATA
               : IS("skip") ? FIELD_EXCEPT
                            : FIELD_UNKNOWN;
    case 5:
        return IS("every") ? FIELD_EVERY : FIELD_UNKNOWN;
    case 6:
        return IS("origin") ? FIELD_ORIGIN : IS("replay") ? FIELD_REPLAY : FIELD_UNKNOWN;
    default:
        return FIELD_UNKNOWN;
    }
}
#undef IS

// Reads a key of any kind. False: not well-formed.
static bool read_key(struct talus__msgpack_reader *reader, enum field *field)
{
    struct talus__msgpack_value key;
    *field = FIELD_UNKNOWN;
    if (!talus__msgpack_read(reader, &key))
        return false;
    if (key.kind != TALUS__MSGPACK_STR)
        return talus__msgpack_skip(reader, talus__msgpack_children(&key));
    *field = field_of(key.as.bytes, key.size);
    return true;
}

static bool read_number(struct talus__msgpack_reader *reader, uint64_t *number)
{
    struct talus__msgpack_value value;
    if (!talus__msgpack_read(reader, &value) || value.kind != TALUS__MSGPACK_UINT)
        return false;
    *number = value.as.u64;
    return true;
}

static bool read_origin(struct talus__msgpack_reader *reader, const char **origin, size_t *size)
{
    struct talus__msgpack_value value;
    if (!talus__msgpack_read(reader, &value) || value.kind != TALUS__MSGPACK_STR)
        return false;
    *origin = (const char *)value.as.bytes;
    *size = value.size;
    return tl_is_origin(*origin, *size);
}

// Text that users get NUL-terminated, so that a NUL inside would change its meaning; nil is none.
static bool read_optional_text(struct talus__msgpack_reader *reader, size_t max, const char **text,
                               size_t *size)
{
    struct talus__msgpack_value value;
    if (!talus__msgpack_read(reader, &value))
        return false;
    if (value.kind == TALUS__MSGPACK_NIL)
        return true;
    if (value.kind != TALUS__MSGPACK_STR || value.size > max ||
        memchr(value.as.bytes, '\0', value.size))
        return false;
    if (value.size > 0) {
        *text = (const char *)value.as.bytes;
        *size = value.size;
    }
    return true;
}

static bool read_header_field(struct talus__msgpack_reader *reader, enum field field,
                              struct talus__body *body)
{
    switch (field) {
    case FIELD_ORIGIN:
        return read_origin(reader, &body->origin, &body->origin_size);
    case FIELD_SEQ:
        return read_number(reader, &body->seq);
    case FIELD_PREV:
        return read_number(reader, &body->prev);
    case FIELD_TS:
        return read_number(reader, &body->ts);
    case FIELD_EXCEPT:
        return read_optional_text(reader, TALUS_EXCEPT_MAX, &body->except, &body->except_size);
    default:
        return talus__msgpack_skip(reader, 1);
    }
}

static bool is_whole_header(unsigned seen, const struct talus__body *body)
{
    return (seen & HEADER_FIELDS) == HEADER_FIELDS && body->seq - 1 < TALUS__SEQ_MAX && // nor 0
           body->prev < body->seq;
}

int talus__body_decode(const void *bytes, size_t size, const struct talus__limits *limits,
                       struct talus__body *body)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, size);
    struct talus__msgpack_value map;
    unsigned seen = 0;
    int refusal = 0; // of the payload, told only if all the rest is right
    *body = (struct talus__body){0};
    if (!talus__msgpack_read(&reader, &map) || map.kind != TALUS__MSGPACK_MAP)
        return TALUS__EBODY;
    for (uint32_t i = 0; i < map.size; i++) {
        enum field field;
        if (!read_key(&reader, &field) || (seen & field))
            return TALUS__EBODY;
        seen |= field;
        if (field != FIELD_DATA) {
            if (!read_header_field(&reader, field, body))
                return TALUS__EBODY;
            continue;
        }
        if (size > limits->max_body)
            return is_whole_header(seen, body) ? TALUS_ETOOLARGE : TALUS__EBODY;
        body->data = reader.at;
        refusal = talus__payload_read(&reader, limits);
        if (refusal == TALUS_EMSGPACK)
            return TALUS_EMSGPACK;
        body->data_size = (size_t)(reader.at - (const uint8_t *)body->data);
    }
    if (reader.at != reader.end || !(seen & FIELD_DATA) || !is_whole_header(seen, body))
        return TALUS__EBODY;
    return refusal;
}

int talus__head_decode(const void *bytes, size_t size, struct talus__head *head)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, size);
    struct talus__msgpack_value map;
    unsigned seen = 0;
    *head = (struct talus__head){.replay = ""};
    if (!talus__msgpack_read(&reader, &map) || map.kind != TALUS__MSGPACK_MAP)
        return TALUS__EBODY;
    for (uint32_t i = 0; i < map.size; i++) {
        enum field field;
        bool is_read;
        if (!read_key(&reader, &field) || (seen & field))
            return TALUS__EBODY;
        seen |= field;
        if (field == FIELD_ORIGIN)
            is_read = read_origin(&reader, &head->origin, &head->origin_size);
        else if (field == FIELD_SEQ)
            is_read = read_number(&reader, &head->seq);
        else if (field == FIELD_EVERY)
            is_read = read_number(&reader, &head->every);
        else if (field == FIELD_REPLAY)
            is_read =
                read_optional_text(&reader, TALUS__REPLAY_MAX, &head->replay, &head->replay_size);
        else
            is_read = talus__msgpack_skip(&reader, 1);
        if (!is_read)
            return TALUS__EBODY;
    }
    bool is_whole = (seen & FIELD_ORIGIN) && (seen & FIELD_SEQ) && head->seq <= TALUS__SEQ_MAX &&
                    reader.at == reader.end;
    return is_whole ? 0 : TALUS__EBODY;
}
