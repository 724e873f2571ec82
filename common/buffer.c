// SPDX-License-Identifier: MIT
// Growable bytes. Invariants: size <= capacity <= max; bytes is NULL until the first append or
// reserve, and then stays until tl_buffer_fini or tl_buffer_take.
#include "common/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/number.h"

enum { SMALLEST_CAPACITY = 64 };

void tl_buffer_init(struct tl_buffer *buffer, size_t max)
{
    *buffer = (struct tl_buffer){.max = max};
}

void tl_buffer_fini(struct tl_buffer *buffer)
{
    free(buffer->bytes);
    tl_buffer_init(buffer, buffer->max);
}

void tl_buffer_clear(struct tl_buffer *buffer)
{
    buffer->size = 0;
}

void tl_buffer_truncate(struct tl_buffer *buffer, size_t size)
{
    assert(size <= buffer->size);
    buffer->size = size;
}

// Doubling keeps the cost of many small appends linear; the maximum caps the last step.
static size_t grown_capacity(const struct tl_buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity < SMALLEST_CAPACITY ? SMALLEST_CAPACITY : buffer->capacity;
    while (capacity < needed)
        capacity = capacity > buffer->max / 2 ? buffer->max : capacity * 2;
    return capacity < buffer->max ? capacity : buffer->max;
}

static bool grow(struct tl_buffer *buffer, size_t needed)
{
    size_t capacity = grown_capacity(buffer, needed);
    // With a maximum of 0 a block must still be there, so that reserve has something to return.
    uint8_t *bytes = realloc(buffer->bytes, capacity > 0 ? capacity : 1);
    if (!bytes)
        return false;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

uint8_t *tl_buffer_reserve(struct tl_buffer *buffer, size_t size)
{
    if (size > buffer->max - buffer->size)
        return NULL;
    size_t needed = buffer->size + size;
    if ((needed > buffer->capacity || !buffer->bytes) && !grow(buffer, needed))
        return NULL;
    return buffer->bytes + buffer->size;
}

void tl_buffer_commit(struct tl_buffer *buffer, size_t size)
{
    assert(size <= buffer->capacity - buffer->size);
    buffer->size += size;
}

bool tl_buffer_append(struct tl_buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0)
        return true;
    uint8_t *to = tl_buffer_reserve(buffer, size);
    if (!to)
        return false;
    memcpy(to, bytes, size);
    buffer->size += size;
    return true;
}

bool tl_buffer_append_text(struct tl_buffer *buffer, const char *text)
{
    return tl_buffer_append(buffer, text, strlen(text));
}

bool tl_buffer_append_number(struct tl_buffer *buffer, size_t number)
{
    char digits[TL_NUMBER_MAX];
    return tl_buffer_append(buffer, digits, tl_format_unsigned(number, digits));
}

// Formats into the room that is left first, so that the common case formats once. vsnprintf's final
// NUL needs a byte of room that is not kept; when the maximum leaves none for it, the text goes
// through memory of its own.
static bool __attribute__((format(printf, 2, 0)))
append_vformat(struct tl_buffer *buffer, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    size_t room = buffer->capacity - buffer->size;
    int length = vsnprintf(room ? (char *)buffer->bytes + buffer->size : NULL, room, format, args);
    bool is_done = length >= 0 && (size_t)length < room;
    if (is_done)
        buffer->size += (size_t)length;
    if (length >= 0 && !is_done && (size_t)length <= buffer->max - buffer->size) {
        char *text = malloc((size_t)length + 1);
        if (text) {
            vsnprintf(text, (size_t)length + 1, format, again);
            is_done = tl_buffer_append(buffer, text, (size_t)length);
            free(text);
        }
    }
    va_end(again);
    return is_done;
}

bool tl_buffer_append_format(struct tl_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    bool is_done = append_vformat(buffer, format, args);
    va_end(args);
    return is_done;
}

void tl_buffer_consume(struct tl_buffer *buffer, size_t size)
{
    assert(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size > 0 && size > 0)
        memmove(buffer->bytes, buffer->bytes + size, buffer->size);
}

uint8_t *tl_buffer_take(struct tl_buffer *buffer, size_t *size)
{
    uint8_t *bytes = buffer->bytes;
    *size = buffer->size;
    tl_buffer_init(buffer, buffer->max);
    return bytes;
}
