// SPDX-License-Identifier: MIT
#include "clients/cli/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "common/utf8.h"

void text_init(text_t *text, size_t max)
{
    *text = (text_t){0};
    tl_buffer_init(&text->buffer, max);
}

void text_fini(text_t *text)
{
    tl_buffer_fini(&text->buffer);
    text->has_failed = false;
}

void text_clear(text_t *text)
{
    tl_buffer_clear(&text->buffer);
    text->has_failed = false;
}

char *text_reserve(text_t *text, size_t size)
{
    char *place = text->has_failed ? NULL : (char *)tl_buffer_reserve(&text->buffer, size);
    text->has_failed = !place;
    return place;
}

void text_append(text_t *text, const char *bytes, size_t size)
{
    text->has_failed = text->has_failed || !tl_buffer_append(&text->buffer, bytes, size);
}

void text_append_string(text_t *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_append_format(text_t *text, const char *format, ...)
{
    char buffer[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(buffer, sizeof(buffer), format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof(buffer))
        text->has_failed = true;
    else
        text_append(text, buffer, (size_t)size);
}

void text_append_spaces(text_t *text, size_t count)
{
    char *place = text_reserve(text, count);
    if (!place)
        return;
    memset(place, ' ', count);
    tl_buffer_commit(&text->buffer, count);
}

static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x206f);
}

void text_append_safe(text_t *text, const char *json, size_t size)
{
    size_t start = 0;
    for (size_t i = 0, length; i < size; i += length) {
        uint32_t code = tl_utf8_decode((const uint8_t *)json + i, size - i, &length);
        bool is_invalid = code == TL_UTF8_INVALID;
        if (!is_invalid && !is_unsafe(code))
            continue;
        text_append(text, json + start, i - start);
        if (is_invalid)
            text_append_string(text, TL_UTF8_REPLACEMENT);
        else
            text_append_format(text, "\\u%04x", (unsigned)code);
        start = i + length;
    }
    text_append(text, json + start, size - start);
}

void text_append_json_string(text_t *text, const char *string)
{
    text_append(text, "\"", 1);
    while (*string) {
        size_t plain = strcspn(string, "\"\\");
        text_append_safe(text, string, plain);
        string += plain;
        if (*string) {
            text_append(text, "\\", 1);
            text_append(text, string, 1);
            string++;
        }
    }
    text_append(text, "\"", 1);
}

static size_t columns_of(uint32_t code)
{
    int width = wcwidth((wchar_t)code);
    return width < 0 ? 1 : (size_t)width;
}

size_t text_columns(const char *text, size_t size)
{
    size_t columns = 0;
    for (size_t i = 0, length; i < size; i += length)
        columns += columns_of(tl_utf8_decode((const uint8_t *)text + i, size - i, &length));
    return columns;
}

size_t text_fit(const char *text, size_t size, size_t columns)
{
    size_t used = 0;
    for (size_t i = 0, length; i < size; i += length) {
        used += columns_of(tl_utf8_decode((const uint8_t *)text + i, size - i, &length));
        if (used > columns)
            return i;
    }
    return size;
}
