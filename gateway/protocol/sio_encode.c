// SPDX-License-Identifier: MIT
// Socket.IO packets into text. JSON is written as JSON.stringify writes it (but for the order of
// integer-like keys, which stays as it is): the shortest digits that give the same double, no
// spaces, nothing escaped that need not be, and nothing that depends on the locale.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/number.h"
#include "common/utf8.h"
#include "gateway/protocol/sio.h"

enum { MAX_DEPTH = 1024 }; // of what we write; a bound on the stack, not a rule

bool sio_encode_head(struct tl_buffer *out, enum sio_type type, unsigned attachment_count,
                     const char *nsp, int64_t id)
{
    size_t before = out->size;
    bool is_binary = type == SIO_BINARY_EVENT || type == SIO_BINARY_ACK;
    bool has_nsp = strcmp(nsp, "/") != 0;
    const char type_char = (char)('0' + type);
    bool is_done =
        tl_buffer_append(out, &type_char, 1) &&
        (!is_binary || tl_buffer_append_format(out, "%u-", attachment_count)) &&
        (!has_nsp || (tl_buffer_append_text(out, nsp) && tl_buffer_append_text(out, ","))) &&
        (id == SIO_NO_ID || tl_buffer_append_format(out, "%" PRId64, id));
    if (!is_done)
        tl_buffer_truncate(out, before);
    return is_done;
}

// jansson holds finite reals alone.
static bool append_real(struct tl_buffer *out, double value)
{
    char text[TL_NUMBER_MAX];
    return tl_buffer_append(out, text, tl_format_double(value, text));
}

// ---- Strings

static const char *short_escape(uint8_t c)
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\t':
        return "\\t";
    case '\n':
        return "\\n";
    case '\f':
        return "\\f";
    case '\r':
        return "\\r";
    default:
        return NULL;
    }
}

static bool append_string(struct tl_buffer *out, const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    if (!tl_utf8_is_valid(bytes, size) || !tl_buffer_append_text(out, "\""))
        return false;
    size_t plain = 0; // everything before it is in `out`
    for (size_t at = 0; at < size; at++) {
        const char *escape = short_escape(bytes[at]);
        if (!escape && bytes[at] >= ' ')
            continue;
        if (!tl_buffer_append(out, bytes + plain, at - plain) ||
            !(escape ? tl_buffer_append_text(out, escape)
                     : tl_buffer_append_format(out, "\\u%04x", bytes[at])))
            return false;
        plain = at + 1;
    }
    return tl_buffer_append(out, bytes + plain, size - plain) && tl_buffer_append_text(out, "\"");
}

// ---- Values

static bool append_value(struct tl_buffer *out, const json_t *value, unsigned depth);

static bool append_array(struct tl_buffer *out, const json_t *array, unsigned depth)
{
    if (!tl_buffer_append_text(out, "["))
        return false;
    for (size_t i = 0; i < json_array_size(array); i++)
        if ((i > 0 && !tl_buffer_append_text(out, ",")) ||
            !append_value(out, json_array_get(array, i), depth))
            return false;
    return tl_buffer_append_text(out, "]");
}

static bool append_object(struct tl_buffer *out, const json_t *object, unsigned depth)
{
    // jansson's iterators want a non-const object, and do not change it.
    json_t *members = (json_t *)(uintptr_t)object;
    if (!tl_buffer_append_text(out, "{"))
        return false;
    bool is_first = true;
    for (void *at = json_object_iter(members); at; at = json_object_iter_next(members, at)) {
        const char *key = json_object_iter_key(at);
        if ((!is_first && !tl_buffer_append_text(out, ",")) ||
            !append_string(out, key, strlen(key)) || !tl_buffer_append_text(out, ":") ||
            !append_value(out, json_object_iter_value(at), depth))
            return false;
        is_first = false;
    }
    return tl_buffer_append_text(out, "}");
}

static bool append_value(struct tl_buffer *out, const json_t *value, unsigned depth)
{
    if (!value || depth == MAX_DEPTH)
        return false;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return append_object(out, value, depth + 1);
    case JSON_ARRAY:
        return append_array(out, value, depth + 1);
    case JSON_STRING:
        return append_string(out, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        return tl_buffer_append_format(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    case JSON_REAL:
        return append_real(out, json_real_value(value));
    case JSON_TRUE:
        return tl_buffer_append_text(out, "true");
    case JSON_FALSE:
        return tl_buffer_append_text(out, "false");
    case JSON_NULL:
        return tl_buffer_append_text(out, "null");
    }
    return false;
}

bool sio_encode_json(struct tl_buffer *out, const json_t *data)
{
    size_t before = out->size;
    if (append_value(out, data, 0))
        return true;
    tl_buffer_truncate(out, before);
    return false;
}
