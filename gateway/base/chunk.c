// SPDX-License-Identifier: MIT
// Shared chunks and the queues of ranges over them. Invariants of a queue: `bytes` is the sum of
// its ranges; no range is empty; `first` is used before the ring; the ring's capacity is a power of
// two; an empty queue holds no reference and no memory. Each range holds one reference.
#include "gateway/base/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALLEST_RING = 4,
    // Small copies come in series (a head and its body, several answers in one turn): the room that
    // is left in a copy's chunk takes the next one.
    COPY_GRAIN = 128,
};

struct chunk *chunk_new(size_t capacity)
{
    if (capacity > UINT32_MAX)
        return NULL;
    struct chunk *chunk = malloc(sizeof *chunk + capacity);
    if (!chunk)
        return NULL;
    chunk->refs = 1;
    chunk->size = 0;
    chunk->capacity = (uint32_t)capacity;
    return chunk;
}

static void chunk_write(struct chunk *chunk, const void *bytes, size_t size)
{
    assert(size <= chunk->capacity - chunk->size);
    if (size > 0)
        memcpy(chunk->bytes + chunk->size, bytes, size);
    chunk->size += (uint32_t)size;
}

struct chunk *chunk_copy(const void *bytes, size_t size)
{
    struct chunk *chunk = chunk_new(size);
    if (chunk)
        chunk_write(chunk, bytes, size);
    return chunk;
}

void chunk_ref(struct chunk *chunk)
{
    assert(chunk->refs > 0 && chunk->refs < UINT32_MAX);
    chunk->refs++;
}

void chunk_unref(struct chunk *chunk)
{
    assert(chunk && chunk->refs > 0);
    if (--chunk->refs == 0)
        free(chunk);
}

void outq_init(struct outq *queue)
{
    *queue = (struct outq){0};
}

static struct range *ring_at(const struct outq *queue, uint32_t index)
{
    return &queue->more[(queue->more_head + index) & (queue->capacity - 1)];
}

static struct range *last_range(struct outq *queue)
{
    if (queue->more_count > 0)
        return ring_at(queue, queue->more_count - 1);
    return queue->first.chunk ? &queue->first : NULL;
}

void outq_fini(struct outq *queue)
{
    if (queue->first.chunk)
        chunk_unref(queue->first.chunk);
    for (uint32_t i = 0; i < queue->more_count; i++)
        chunk_unref(ring_at(queue, i)->chunk);
    free(queue->more);
    outq_init(queue);
}

// Makes room for `count` ranges behind those in the ring.
static bool reserve_ranges(struct outq *queue, size_t count)
{
    size_t needed = queue->more_count + count;
    if (needed <= queue->capacity)
        return true;
    size_t capacity = queue->capacity > 0 ? queue->capacity : SMALLEST_RING;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > UINT32_MAX / 2)
        return false;
    struct range *more = malloc(capacity * sizeof *more);
    if (!more)
        return false;
    for (uint32_t i = 0; i < queue->more_count; i++)
        more[i] = *ring_at(queue, i);
    free(queue->more);
    queue->more = more;
    queue->more_head = 0;
    queue->capacity = (uint32_t)capacity;
    return true;
}

// Adds a range and takes over the caller's reference to its chunk. The room was reserved, if it
// takes any.
static void push_range(struct outq *queue, struct range range)
{
    struct range *last = last_range(queue);
    queue->bytes += range.end - range.start;
    if (last && last->chunk == range.chunk && last->end == range.start) {
        last->end = range.end;
        chunk_unref(range.chunk);
    } else if (!last) {
        queue->first = range;
    } else {
        assert(queue->more_count < queue->capacity);
        queue->more_count++;
        *last_range(queue) = range;
    }
}

bool outq_append(struct outq *queue, struct chunk *chunk, uint32_t start, uint32_t end)
{
    assert(start <= end && end <= chunk->size);
    if (start == end)
        return true;
    struct range *last = last_range(queue);
    if (last && last->chunk == chunk && last->end == start) {
        last->end = end;
        queue->bytes += end - start;
        return true;
    }
    if (last && !reserve_ranges(queue, 1))
        return false;
    chunk_ref(chunk);
    push_range(queue, (struct range){chunk, start, end});
    return true;
}

// Whether `size` more bytes can be written behind the last range, whose chunk nobody else holds.
static bool can_extend(const struct range *last, size_t size)
{
    return last->chunk->refs == 1 && last->end == last->chunk->size &&
           size <= last->chunk->capacity - last->chunk->size;
}

bool outq_append_copy(struct outq *queue, const void *bytes, size_t size)
{
    struct range *last = last_range(queue);
    if (last && can_extend(last, size)) {
        chunk_write(last->chunk, bytes, size);
        last->end += (uint32_t)size;
        queue->bytes += size;
        return true;
    }
    if (size == 0)
        return true;
    if (size > UINT32_MAX - COPY_GRAIN)
        return false;
    struct chunk *chunk = chunk_new((size + COPY_GRAIN - 1) / COPY_GRAIN * COPY_GRAIN);
    if (!chunk)
        return false;
    chunk_write(chunk, bytes, size);
    bool is_queued = outq_append(queue, chunk, 0, (uint32_t)size);
    chunk_unref(chunk);
    return is_queued;
}

static void fill_iov(struct iovec *iov, const struct range *range)
{
    iov->iov_base = range->chunk->bytes + range->start;
    iov->iov_len = range->end - range->start;
}

int outq_iov(const struct outq *queue, struct iovec *iov, int max)
{
    int count = 0;
    if (queue->first.chunk && max > 0)
        fill_iov(&iov[count++], &queue->first);
    for (uint32_t i = 0; i < queue->more_count && count < max; i++)
        fill_iov(&iov[count++], ring_at(queue, i));
    return count;
}

static void pop_range(struct outq *queue)
{
    chunk_unref(queue->first.chunk);
    queue->first = (struct range){0};
    if (queue->more_count == 0)
        return;
    queue->first = *ring_at(queue, 0);
    queue->more_head = (queue->more_head + 1) & (queue->capacity - 1);
    queue->more_count--;
}

void outq_consume(struct outq *queue, size_t bytes)
{
    assert(bytes <= queue->bytes);
    queue->bytes -= bytes;
    while (bytes > 0) {
        size_t in_first = queue->first.end - queue->first.start;
        if (bytes < in_first) {
            queue->first.start += (uint32_t)bytes;
            return;
        }
        bytes -= in_first;
        pop_range(queue);
    }
    if (queue->bytes == 0 && queue->more)
        outq_fini(queue);
}

bool outq_move(struct outq *to, struct outq *from)
{
    assert(to != from);
    if (outq_is_empty(from))
        return true;
    if (outq_is_empty(to)) {
        *to = *from;
        outq_init(from);
        return true;
    }
    if (!reserve_ranges(to, (size_t)from->more_count + 1))
        return false;
    push_range(to, from->first);
    for (uint32_t i = 0; i < from->more_count; i++)
        push_range(to, *ring_at(from, i));
    free(from->more);
    outq_init(from);
    return true;
}
