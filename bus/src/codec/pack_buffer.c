// SPDX-License-Identifier: MIT
// Invariants: while `out` is in the storage, its capacity is the storage's, and common/buffer.c
// does not see it; after an error nothing is written any more.
#include "bus/src/codec/pack_buffer.h"

#include <string.h>

#include <talus/error.h>

void talus__pack_buffer_init(struct talus__pack_buffer *buffer, void *storage, size_t capacity,
                             size_t max)
{
    *buffer = (struct talus__pack_buffer){
        .out = {.bytes = storage, .capacity = capacity < max ? capacity : max, .max = max},
        .storage = storage,
    };
}

void talus__pack_buffer_fini(struct talus__pack_buffer *buffer)
{
    if (buffer->out.bytes != buffer->storage)
        tl_buffer_fini(&buffer->out);
    *buffer = (struct talus__pack_buffer){0};
}

// Makes room for `size` bytes more, which the bound allows, on the heap.
static int grow(struct talus__pack_buffer *buffer, size_t size)
{
    if (buffer->out.bytes != buffer->storage)
        return tl_buffer_reserve(&buffer->out, size) ? 0 : TALUS_ENOMEM;
    struct tl_buffer heap;
    tl_buffer_init(&heap, buffer->out.max);
    if (!tl_buffer_reserve(&heap, buffer->out.size + size))
        return TALUS_ENOMEM;
    if (buffer->out.size > 0)
        memcpy(heap.bytes, buffer->out.bytes, buffer->out.size);
    tl_buffer_commit(&heap, buffer->out.size);
    buffer->out = heap;
    return 0;
}

int talus__pack_buffer_write(void *arg, const char *bytes, size_t size)
{
    struct talus__pack_buffer *buffer = arg;
    struct tl_buffer *out = &buffer->out;
    if (buffer->error)
        return -1;
    if (size > out->max - out->size)
        buffer->error = TALUS_ETOOLARGE;
    else if (size > out->capacity - out->size)
        buffer->error = grow(buffer, size);
    if (buffer->error)
        return -1;
    if (size > 0)
        memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    return 0;
}
