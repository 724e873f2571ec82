// SPDX-License-Identifier: MIT
// jansson parses, msgpack-c packs; the buffer between is ours, since it must have a bound.
#include "clients/cli/json_to_msgpack.h"

#include <jansson.h>
#include <msgpack.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"

typedef struct converter {
    msgpack_packer packer;
    struct tl_buffer *out;
    char *error;
} converter_t;

static bool fail(converter_t *converter, const char *why)
{
    snprintf(converter->error, JSON_ERROR_SIZE, "%s", why);
    return false;
}

// The packer's sink. Its calls are checked by what they leave in `error`.
static int on_bytes(void *data, const char *bytes, size_t size)
{
    converter_t *converter = data;
    if (tl_buffer_append(converter->out, bytes, size))
        return 0;
    if (size > converter->out->max - converter->out->size)
        snprintf(converter->error, JSON_ERROR_SIZE, "it takes more than %zu bytes as msgpack",
                 converter->out->max);
    else
        fail(converter, "out of memory");
    return -1;
}

static bool convert(converter_t *converter, json_t *value, int depth);

static bool convert_string(converter_t *converter, const char *text, size_t size)
{
    if (size > UINT32_MAX)
        return fail(converter, "a string is longer than msgpack allows");
    return msgpack_pack_str(&converter->packer, size) == 0 &&
           msgpack_pack_str_body(&converter->packer, text, size) == 0;
}

static bool convert_base64(converter_t *converter, const json_t *text)
{
    size_t size = json_string_length(text);
    // One more than nothing: malloc(0) may give NULL.
    unsigned char *bytes = malloc(tl_base64_decoded_max(size) + 1);
    if (!bytes)
        return fail(converter, "out of memory");
    size_t decoded;
    bool is_packed;
    if (!tl_base64_decode(json_string_value(text), size, bytes, &decoded))
        is_packed = fail(converter, "the text of a \"base64\" member is not base64");
    else
        is_packed = msgpack_pack_bin(&converter->packer, decoded) == 0 &&
                    msgpack_pack_bin_body(&converter->packer, bytes, decoded) == 0;
    free(bytes);
    return is_packed;
}

static bool convert_object(converter_t *converter, json_t *object, int depth)
{
    const json_t *base64 = json_object_get(object, "base64");
    if (json_is_string(base64) && json_object_size(object) == 1)
        return convert_base64(converter, base64);
    if (msgpack_pack_map(&converter->packer, json_object_size(object)) != 0)
        return false;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!convert_string(converter, key, strlen(key)) || !convert(converter, value, depth + 1))
            return false;
    }
    return true;
}

static bool convert_array(converter_t *converter, json_t *array, int depth)
{
    size_t count = json_array_size(array);
    if (msgpack_pack_array(&converter->packer, count) != 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!convert(converter, json_array_get(array, i), depth + 1))
            return false;
    return true;
}

static bool convert(converter_t *converter, json_t *value, int depth)
{
    if (depth > JSON_DEPTH_MAX)
        return fail(converter, "it is nested too deep");
    msgpack_packer *packer = &converter->packer;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return convert_object(converter, value, depth);
    case JSON_ARRAY:
        return convert_array(converter, value, depth);
    case JSON_STRING:
        return convert_string(converter, json_string_value(value), json_string_length(value));
    case JSON_INTEGER:
        return msgpack_pack_int64(packer, json_integer_value(value)) == 0;
    case JSON_REAL:
        return msgpack_pack_double(packer, json_real_value(value)) == 0;
    case JSON_TRUE:
        return msgpack_pack_true(packer) == 0;
    case JSON_FALSE:
        return msgpack_pack_false(packer) == 0;
    case JSON_NULL:
        return msgpack_pack_nil(packer) == 0;
    }
    return fail(converter, "it is no JSON");
}

static void describe(const json_error_t *error, char text[JSON_ERROR_SIZE])
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
        snprintf(text, JSON_ERROR_SIZE,
                 "a number is out of range (integers: %lld to %lld) near column %d",
                 (long long)INT64_MIN, (long long)INT64_MAX, error->column);
        break;
    case json_error_stack_overflow:
        snprintf(text, JSON_ERROR_SIZE, "it is nested too deep");
        break;
    default:
        snprintf(text, JSON_ERROR_SIZE, "%s (column %d)", error->text, error->column);
    }
}

bool json_to_msgpack(const char *json, size_t size, struct tl_buffer *out,
                     char error[JSON_ERROR_SIZE])
{
    json_error_t cause;
    json_t *value =
        json_loadb(json, size, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &cause);
    if (!value) {
        describe(&cause, error);
        return false;
    }
    converter_t converter = {.out = out, .error = error};
    out->size = 0;
    msgpack_packer_init(&converter.packer, &converter, on_bytes);
    bool is_converted = convert(&converter, value, 1);
    json_decref(value);
    return is_converted;
}
