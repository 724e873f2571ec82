// SPDX-License-Identifier: MIT
// One pass from msgpack to JSON text: no allocation, linear time, recursion bounded by the depth
// that a payload may have.
//
// A map key that is a container has its JSON text, escaped once more, as its text. A container that
// is again a key inside such a key would be escaped twice, three times and so on, each time
// doubling the backslashes: forty hostile bytes would become gigabytes. Such an inner key is the
// base64 text of its msgpack bytes instead. Hence `is_in_key` is a flag and no count.
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <talus/error.h>
#include <talus/json.h>

#include "bus/src/codec/event_limits.h"
#include "bus/src/codec/json_text.h"
#include "bus/src/codec/json_time.h"
#include "bus/src/codec/msgpack_reader.h"
#include "common/base64.h"
#include "common/number.h"

struct writer {
    char *buffer;
    size_t capacity;
    size_t size; // of the whole text, also beyond the capacity
    bool is_in_key;
    talus_json_bin_fn *on_bin;
    void *arg;
    uint64_t bins;
};

static int encode_value(struct writer *writer, struct talus__msgpack_reader *reader,
                        unsigned depth);

static void put_raw(struct writer *writer, const void *bytes, size_t size)
{
    size_t room = writer->size < writer->capacity ? writer->capacity - writer->size : 0;
    size_t fitting = size < room ? size : room;
    if (fitting > 0)
        memcpy(writer->buffer + writer->size, bytes, fitting);
    writer->size += size;
}

// Inside a key, JSON text becomes the content of a string. It has no control characters any more:
// quotes and backslashes are all there is to escape.
static void put_escaped(struct writer *writer, const char *text, size_t size)
{
    size_t start = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '"' && text[i] != '\\')
            continue;
        put_raw(writer, text + start, i - start);
        put_raw(writer, "\\", 1);
        start = i;
    }
    put_raw(writer, text + start, size - start);
}

static void put(struct writer *writer, const char *text, size_t size)
{
    if (writer->is_in_key)
        put_escaped(writer, text, size);
    else
        put_raw(writer, text, size);
}

static void put_char(struct writer *writer, char c)
{
    if (writer->is_in_key && c == '"')
        put_raw(writer, "\\", 1);
    if (writer->size < writer->capacity)
        writer->buffer[writer->size] = c;
    writer->size++;
}

static void put_literal(struct writer *writer, const char *text)
{
    put(writer, text, strlen(text));
}

static void put_string(struct writer *writer, const uint8_t *text, size_t size)
{
    put_char(writer, '"');
    while (size > 0) {
        size_t run = talus__json_plain_run(text, size);
        put(writer, (const char *)text, run);
        text += run;
        size -= run;
        if (size > 0) {
            char escape[TALUS__ESCAPE_MAX];
            size_t consumed;
            put(writer, escape, talus__json_escape(text, size, escape, &consumed));
            text += consumed;
            size -= consumed;
        }
    }
    put_char(writer, '"');
}

static void put_base64(struct writer *writer, const uint8_t *bytes, size_t size)
{
    enum { PIECE = 192 }; // bytes, a multiple of three: only the last piece is padded
    char text[PIECE / 3 * 4];
    for (size_t i = 0; i < size; i += PIECE) {
        size_t piece = size - i < PIECE ? size - i : PIECE;
        put_raw(writer, text, tl_base64_encode(bytes + i, piece, text));
    }
}

static void put_bin(struct writer *writer, const struct talus__msgpack_value *value)
{
    if (!writer->on_bin || writer->is_in_key) {
        put_literal(writer, "{\"base64\":\"");
        put_base64(writer, value->as.bytes, value->size);
        put_literal(writer, "\"}");
        return;
    }
    char number[TL_NUMBER_MAX];
    put_literal(writer, "{\"_placeholder\":true,\"num\":");
    put(writer, number, tl_format_unsigned(writer->bins++, number));
    put_literal(writer, "}");
    writer->on_bin(value->as.bytes, value->size, writer->arg);
}

// Writes the text of a value that needs no quotes even as a key. False: it is of another kind.
static bool put_unquoted(struct writer *writer, const struct talus__msgpack_value *value)
{
    char number[TL_NUMBER_MAX];
    switch (value->kind) {
    case TALUS__MSGPACK_NIL:
        put_literal(writer, "null");
        return true;
    case TALUS__MSGPACK_BOOL:
        put_literal(writer, value->as.boolean ? "true" : "false");
        return true;
    case TALUS__MSGPACK_UINT:
        put(writer, number, tl_format_unsigned(value->as.u64, number));
        return true;
    case TALUS__MSGPACK_INT:
        put(writer, number, tl_format_signed(value->as.i64, number));
        return true;
    case TALUS__MSGPACK_FLOAT:
        put(writer, number, tl_format_double(value->as.f64, number));
        return true;
    default:
        return false;
    }
}

// Writes a string, or the timestamp. False: it is of another kind.
static bool put_quoted(struct writer *writer, const struct talus__msgpack_value *value)
{
    int64_t seconds;
    uint32_t nanoseconds;
    char timestamp[TALUS__TIMESTAMP_MAX];
    if (value->kind == TALUS__MSGPACK_STR) {
        put_string(writer, value->as.bytes, value->size);
        return true;
    }
    if (!talus__msgpack_timestamp(value, &seconds, &nanoseconds))
        return false;
    put_char(writer, '"');
    put(writer, timestamp, talus__format_timestamp(seconds, nanoseconds, timestamp));
    put_char(writer, '"');
    return true;
}

// A key of a kind that JSON text with quotes or braces stands for; `start` is where it begins.
static int encode_composite_key(struct writer *writer, struct talus__msgpack_reader *reader,
                                const uint8_t *start, unsigned depth)
{
    int error = 0;
    put_char(writer, '"');
    reader->at = start;
    if (writer->is_in_key) {
        if (!talus__msgpack_skip(reader, 1))
            return TALUS_EMSGPACK;
        put_base64(writer, start, (size_t)(reader->at - start));
    } else {
        writer->is_in_key = true;
        error = encode_value(writer, reader, depth);
        writer->is_in_key = false;
    }
    put_char(writer, '"');
    return error;
}

static int encode_key(struct writer *writer, struct talus__msgpack_reader *reader, unsigned depth)
{
    const uint8_t *start = reader->at;
    struct talus__msgpack_value key;
    if (!talus__msgpack_read(reader, &key))
        return TALUS_EMSGPACK;
    if (put_quoted(writer, &key))
        return 0;
    if (key.kind > TALUS__MSGPACK_FLOAT)
        return encode_composite_key(writer, reader, start, depth);
    put_char(writer, '"');
    put_unquoted(writer, &key);
    put_char(writer, '"');
    return 0;
}

static int encode_map(struct writer *writer, struct talus__msgpack_reader *reader, uint32_t pairs,
                      unsigned depth)
{
    put_char(writer, '{');
    for (uint32_t i = 0; i < pairs; i++) {
        if (i > 0)
            put_char(writer, ',');
        int error = encode_key(writer, reader, depth);
        if (error)
            return error;
        put_char(writer, ':');
        error = encode_value(writer, reader, depth);
        if (error)
            return error;
    }
    put_char(writer, '}');
    return 0;
}

static int encode_array(struct writer *writer, struct talus__msgpack_reader *reader,
                        uint32_t elements, unsigned depth)
{
    put_char(writer, '[');
    for (uint32_t i = 0; i < elements; i++) {
        if (i > 0)
            put_char(writer, ',');
        int error = encode_value(writer, reader, depth);
        if (error)
            return error;
    }
    put_char(writer, ']');
    return 0;
}

static int encode_value(struct writer *writer, struct talus__msgpack_reader *reader, unsigned depth)
{
    struct talus__msgpack_value value;
    if (!talus__msgpack_read(reader, &value))
        return TALUS_EMSGPACK;
    if (put_quoted(writer, &value) || put_unquoted(writer, &value))
        return 0;
    if (value.kind == TALUS__MSGPACK_BIN || value.kind == TALUS__MSGPACK_EXT) {
        put_bin(writer, &value);
        return 0;
    }
    if (depth == TALUS__DEPTH_LIMIT)
        return TALUS_ETOODEEP;
    return value.kind == TALUS__MSGPACK_MAP ? encode_map(writer, reader, value.size, depth + 1)
                                            : encode_array(writer, reader, value.size, depth + 1);
}

talus_error_t talus_json_encode(const void *data, size_t size, talus_json_bin_fn *on_bin, void *arg,
                                char *buffer, size_t capacity, size_t *written)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(data, size);
    struct writer writer = {.buffer = buffer, .capacity = capacity, .on_bin = on_bin, .arg = arg};
    int error = encode_value(&writer, &reader, 0);
    if (error)
        return error;
    if (reader.at != reader.end)
        return TALUS_EMSGPACK;
    *written = writer.size;
    return writer.size > capacity ? TALUS_ETOOLARGE : 0;
}
