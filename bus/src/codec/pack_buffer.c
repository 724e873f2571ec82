// SPDX-License-Identifier: MIT
// Invariants: size <= capacity; capacity <= max once on the heap; after an error nothing is written
// any more.
#include "bus/src/codec/pack_buffer.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

void talus__pack_buffer_init(struct talus__pack_buffer *buffer, void *storage, size_t capacity,
                             size_t max)
{
    *buffer = (struct talus__pack_buffer){
        .bytes = storage,
        .storage = storage,
        .capacity = capacity < max ? capacity : max,
        .max = max,
    };
}

void talus__pack_buffer_fini(struct talus__pack_buffer *buffer)
{
    if (buffer->bytes != buffer->storage)
        free(buffer->bytes);
    *buffer = (struct talus__pack_buffer){0};
}

static int grow(struct talus__pack_buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity < buffer->max / 2 ? buffer->capacity * 2 : buffer->max;
    if (capacity < needed)
        capacity = needed;
    int is_heap = buffer->bytes != buffer->storage;
    uint8_t *bytes = realloc(is_heap ? buffer->bytes : NULL, capacity);
    if (!bytes)
        return TALUS_ENOMEM;
    if (!is_heap && buffer->size > 0)
        memcpy(bytes, buffer->bytes, buffer->size);
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return 0;
}

int talus__pack_buffer_write(void *arg, const char *bytes, size_t size)
{
    struct talus__pack_buffer *buffer = arg;
    if (buffer->error)
        return -1;
    if (size > buffer->max - buffer->size)
        buffer->error = TALUS_ETOOLARGE;
    else if (size > buffer->capacity - buffer->size)
        buffer->error = grow(buffer, buffer->size + size);
    if (buffer->error)
        return -1;
    if (size > 0)
        memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
    return 0;
}
