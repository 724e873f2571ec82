// SPDX-License-Identifier: MIT
// Requests at a replay socket, and the ends of its answers.
#include "bus/src/codec/request.h"

#include <msgpack.h>
#include <string.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/codec/event_limits.h"
#include "bus/src/codec/malformed.h"
#include "bus/src/codec/msgpack_reader.h"
#include "bus/src/codec/pack_buffer.h"
#include "bus/src/codec/wire.h"

// ---- Encoding

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void begin(msgpack_packer *packer, struct talus__pack_buffer *buffer, void *out,
                  size_t capacity)
{
    talus__pack_buffer_init(buffer, out, capacity, capacity);
    msgpack_packer_init(packer, buffer, talus__pack_buffer_write);
}

size_t talus__request_encode_replay(uint8_t *out, const char *session, uint64_t after, uint64_t max)
{
    struct talus__pack_buffer buffer;
    msgpack_packer packer;

    begin(&packer, &buffer, out, TALUS__REPLAY_REQUEST);
    msgpack_pack_map(&packer, 4);
    pack_text(&packer, "op");
    pack_text(&packer, "replay");
    pack_text(&packer, "session");
    pack_text(&packer, session);
    pack_text(&packer, "after");
    msgpack_pack_uint64(&packer, after);
    pack_text(&packer, "max");
    msgpack_pack_uint64(&packer, max);
    return buffer.error ? 0 : buffer.out.size;
}

size_t talus__request_encode_heads(uint8_t *out, size_t capacity, const char *const *sessions,
                                   size_t count)
{
    struct talus__pack_buffer buffer;
    msgpack_packer packer;

    begin(&packer, &buffer, out, capacity);
    msgpack_pack_map(&packer, 2);
    pack_text(&packer, "op");
    pack_text(&packer, "head");
    pack_text(&packer, "sessions");
    msgpack_pack_array(&packer, count);
    for (size_t i = 0; i < count; i++)
        pack_text(&packer, sessions[i]);
    return buffer.error ? 0 : buffer.out.size;
}

size_t talus__end_encode(uint8_t *out, const struct talus__end *end)
{
    struct talus__pack_buffer buffer;
    msgpack_packer packer;

    begin(&packer, &buffer, out, TALUS__END_MAX);
    msgpack_pack_map(&packer, 4);
    pack_text(&packer, "origin");
    msgpack_pack_str_with_body(&packer, end->origin, end->origin_size);
    pack_text(&packer, "first");
    msgpack_pack_uint64(&packer, end->first);
    pack_text(&packer, "head");
    msgpack_pack_uint64(&packer, end->head);
    pack_text(&packer, "complete");
    if (end->is_complete)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
    return buffer.error ? 0 : buffer.out.size;
}

// ---- Decoding

struct pair {
    struct talus__msgpack_value key; // a string
    struct talus__msgpack_value value;
};

static bool is_key(const struct pair *pair, const char *name)
{
    return pair->key.size == strlen(name) && memcmp(pair->key.as.bytes, name, pair->key.size) == 0;
}

static bool read_pair(struct talus__msgpack_reader *reader, struct pair *pair)
{
    return talus__msgpack_read(reader, &pair->key) && pair->key.kind == TALUS__MSGPACK_STR &&
           talus__msgpack_read(reader, &pair->value);
}

static bool is_text(const struct talus__msgpack_value *value, const char *text)
{
    return value->kind == TALUS__MSGPACK_STR && value->size == strlen(text) &&
           memcmp(value->as.bytes, text, value->size) == 0;
}

static bool is_session(const struct talus__msgpack_value *value)
{
    return value->kind == TALUS__MSGPACK_STR &&
           (value->size == 0 || is_text(value, TALUS__EVERYTHING) ||
            talus_session_check((const char *)value->as.bytes, value->size) == 0);
}

static bool read_names(struct talus__msgpack_reader *reader,
                       const struct talus__msgpack_value *array, struct talus__request *request)
{
    if (array->kind != TALUS__MSGPACK_ARRAY || array->size > TALUS__HEADS_MAX || request->names)
        return false;
    request->names = reader->at;
    request->name_count = array->size;
    for (uint32_t i = 0; i < array->size; i++) {
        struct talus__msgpack_value name;
        if (!talus__msgpack_read(reader, &name) || !is_session(&name))
            return false;
    }
    request->names_size = (size_t)(reader->at - request->names);
    return true;
}

static bool read_request_field(struct talus__msgpack_reader *reader, const struct pair *pair,
                               struct talus__request *request, bool *has_op)
{
    const struct talus__msgpack_value *value = &pair->value;

    if (is_key(pair, "op")) {
        if (*has_op || (!is_text(value, "replay") && !is_text(value, "head")))
            return false;
        *has_op = true;
        request->kind = is_text(value, "head") ? TALUS__REQUEST_HEAD : TALUS__REQUEST_REPLAY;
    } else if (is_key(pair, "session")) {
        if (request->session || !is_session(value))
            return false;
        request->session = (const char *)value->as.bytes;
        request->session_size = value->size;
    } else if (is_key(pair, "after")) {
        request->after = value->as.u64;
        return value->kind == TALUS__MSGPACK_UINT;
    } else if (is_key(pair, "max")) {
        request->max = value->as.u64;
        return value->kind == TALUS__MSGPACK_UINT;
    } else if (is_key(pair, "sessions")) {
        return read_names(reader, value, request);
    } else {
        return talus__msgpack_skip(reader, talus__msgpack_children(value));
    }
    return true;
}

int talus__request_decode(const void *bytes, size_t size, struct talus__request *request)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, size);
    struct talus__msgpack_value map;
    bool has_op = false;

    *request = (struct talus__request){.kind = TALUS__REQUEST_REPLAY};
    if (!talus__msgpack_read(&reader, &map) || map.kind != TALUS__MSGPACK_MAP)
        return TALUS__EBODY;
    for (uint32_t i = 0; i < map.size; i++) {
        struct pair pair;
        if (!read_pair(&reader, &pair) || !read_request_field(&reader, &pair, request, &has_op))
            return TALUS__EBODY;
    }
    bool has_what =
        request->kind == TALUS__REQUEST_HEAD ? request->names != NULL : request->session != NULL;
    return has_op && has_what && reader.at == reader.end ? 0 : TALUS__EBODY;
}

bool talus__request_next_name(struct talus__request *request, const char **name, size_t *size)
{
    struct talus__msgpack_reader reader =
        talus__msgpack_reader(request->names, request->names_size);
    struct talus__msgpack_value value;

    if (request->name_count == 0 || !talus__msgpack_read(&reader, &value))
        return false;
    *name = (const char *)value.as.bytes;
    *size = value.size;
    request->names_size -= (size_t)(reader.at - request->names);
    request->names = reader.at;
    request->name_count--;
    return true;
}

int talus__end_decode(const void *bytes, size_t size, struct talus__end *end)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(bytes, size);
    struct talus__msgpack_value map;
    bool has_first = false, has_head = false, has_complete = false;

    *end = (struct talus__end){.origin = NULL};
    if (!talus__msgpack_read(&reader, &map) || map.kind != TALUS__MSGPACK_MAP)
        return TALUS__EBODY;
    for (uint32_t i = 0; i < map.size; i++) {
        struct pair pair;
        if (!read_pair(&reader, &pair))
            return TALUS__EBODY;
        if (is_key(&pair, "origin") && pair.value.kind == TALUS__MSGPACK_STR) {
            end->origin = (const char *)pair.value.as.bytes;
            end->origin_size = pair.value.size;
        } else if (is_key(&pair, "first") && pair.value.kind == TALUS__MSGPACK_UINT) {
            end->first = pair.value.as.u64;
            has_first = true;
        } else if (is_key(&pair, "head") && pair.value.kind == TALUS__MSGPACK_UINT) {
            end->head = pair.value.as.u64;
            has_head = true;
        } else if (is_key(&pair, "complete") && pair.value.kind == TALUS__MSGPACK_BOOL) {
            end->is_complete = pair.value.as.boolean;
            has_complete = true;
        } else if (!talus__msgpack_skip(&reader, talus__msgpack_children(&pair.value))) {
            return TALUS__EBODY;
        }
    }
    bool is_whole = end->origin && tl_is_origin(end->origin, end->origin_size) && has_first &&
                    has_head && has_complete && end->first <= TALUS__SEQ_MAX &&
                    end->head <= TALUS__SEQ_MAX && reader.at == reader.end;
    return is_whole ? 0 : TALUS__EBODY;
}
