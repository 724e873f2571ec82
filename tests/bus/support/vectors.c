// SPDX-License-Identifier: MIT
// The cases' reader. Everything unexpected in a file fails the test at once.
#include "tests/bus/support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

json_t *vectors_load(const char *file)
{
    char path[512];
    json_error_t error;
    snprintf(path, sizeof(path), "%s/%s", TALUS_VECTORS, file);
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    return root;
}

static json_t *member(const json_t *item, const char *key)
{
    json_t *value = json_object_get(item, key);
    if (!value)
        fail_msg("a case without %s", key);
    return value;
}

const char *vectors_text(const json_t *item, const char *key, size_t *size)
{
    const json_t *text = key ? member(item, key) : item;
    assert_true(json_is_string(text));
    if (size)
        *size = json_string_length(text);
    return json_string_value(text);
}

uint64_t vectors_number(const json_t *item, const char *key)
{
    json_t *value = member(item, key);
    assert_true(json_is_integer(value));
    return (uint64_t)json_integer_value(value);
}

struct vectors_bytes vectors_copy(const void *bytes, size_t size)
{
    struct vectors_bytes copy = {malloc(size), size};
    assert_non_null(copy.ptr); // glibc gives a block for 0 too
    if (size > 0)
        memcpy(copy.ptr, bytes, size);
    return copy;
}

static int digit(char c)
{
    assert_true((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

struct vectors_bytes vectors_hex(const char *hex)
{
    assert_int_equal(strlen(hex) % 2, 0);
    struct vectors_bytes bytes = vectors_copy(hex, strlen(hex) / 2);
    for (size_t i = 0; i < bytes.size; i++)
        bytes.ptr[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return bytes;
}

struct vectors_bytes vectors_member_hex(const json_t *item, const char *key)
{
    return vectors_hex(vectors_text(item, key, NULL));
}
