// SPDX-License-Identifier: MIT
// Shared chunks and the queues of ranges over them. Invariants of a queue: `bytes` is the sum of
// its ranges; no range is empty; `first` is used before the ring; the ring's capacity is a power of
// two; an empty queue holds no reference and no memory. Each range holds one reference. A chunk's
// boundaries are in order of their ends.
#include "gateway/base/chunk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALLEST_RING = 4,
    // Small copies come in series (a head and its body, several answers in one turn): the room that
    // is left in a copy's chunk takes the next one.
    COPY_GRAIN = 128,
    KIND_SHIFT = 30, // of a boundary's second word, above the end
};

static_assert(COPY_KINDS <= 4 && CHUNK_BYTES_MAX < 1u << KIND_SHIFT, "boundaries have the room");

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
    chunk->copies = 0;
    chunk->is_mixed = false;
    return chunk;
}

size_t chunk_room(const struct chunk *chunk)
{
    return chunk->capacity - chunk->size - chunk->copies * CHUNK_BOUNDARY_SIZE;
}

static void chunk_write(struct chunk *chunk, const void *bytes, size_t size)
{
    assert(size <= chunk_room(chunk));
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

// ---- Boundaries: the index in 8 bytes, the end and the kind in 4, in no alignment

struct boundary {
    uint64_t index;
    uint32_t end;
    enum copy_kind kind;
};

static uint8_t *boundary_at(const struct chunk *chunk, uint32_t number)
{
    return (uint8_t *)(uintptr_t)chunk->bytes + chunk->capacity -
           (number + 1) * CHUNK_BOUNDARY_SIZE;
}

static struct boundary read_boundary(const struct chunk *chunk, uint32_t number)
{
    struct boundary boundary;
    uint32_t word;
    memcpy(&boundary.index, boundary_at(chunk, number), sizeof boundary.index);
    memcpy(&word, boundary_at(chunk, number) + sizeof boundary.index, sizeof word);
    boundary.end = word & ((1u << KIND_SHIFT) - 1);
    boundary.kind = (enum copy_kind)(word >> KIND_SHIFT);
    return boundary;
}

void chunk_add_boundary_at(struct chunk *chunk, uint32_t end, enum copy_kind kind, uint64_t index)
{
    uint32_t word = end | (uint32_t)kind << KIND_SHIFT;
    assert(end <= CHUNK_BYTES_MAX && chunk_room(chunk) >= CHUNK_BOUNDARY_SIZE);
    memcpy(boundary_at(chunk, chunk->copies), &index, sizeof index);
    memcpy(boundary_at(chunk, chunk->copies) + sizeof index, &word, sizeof word);
    chunk->copies++;
    chunk->is_mixed |= kind != COPY_LIVE;
}

void chunk_add_boundary(struct chunk *chunk, enum copy_kind kind, uint64_t index)
{
    chunk_add_boundary_at(chunk, chunk->size, kind, index);
}

// How many boundaries are up to a position.
static uint32_t boundaries_up_to(const struct chunk *chunk, uint32_t position)
{
    uint32_t low = 0;
    uint32_t high = chunk->copies;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (read_boundary(chunk, middle).end <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void unsent_add(struct unsent *unsent, enum copy_kind kind, uint64_t index, uint32_t count)
{
    if (count == 0 || kind == COPY_RESENT)
        return;
    if (kind == COPY_CAUGHT_UP || index == 0) {
        unsent->others += count;
        return;
    }
    if (unsent->events == 0 || index < unsent->first)
        unsent->first = index;
    unsent->events += count;
}

void unsent_join(struct unsent *unsent, const struct unsent *more)
{
    unsent_add(unsent, COPY_LIVE, more->first, more->events);
    unsent->others += more->others;
}

// Counts the copies of the range that end at `end` or before. True: some are not COPY_LIVE.
static bool count_range(const struct range *range, uint32_t end, struct copy_counts *counts)
{
    uint32_t first = boundaries_up_to(range->chunk, range->start);
    uint32_t last = boundaries_up_to(range->chunk, end);
    for (uint32_t i = first; i < last; i++)
        counts->of[read_boundary(range->chunk, i).kind]++;
    return range->chunk->is_mixed && last > first;
}

// ---- Queues

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
        last->copies += range.copies;
        chunk_unref(range.chunk);
    } else if (!last) {
        queue->first = range;
    } else {
        assert(queue->more_count < queue->capacity);
        queue->more_count++;
        *last_range(queue) = range;
    }
}

bool outq_append_range(struct outq *queue, const struct range *range)
{
    assert(range->start <= range->end && range->end <= range->chunk->size);
    if (range->start == range->end)
        return true;
    struct range *last = last_range(queue);
    if (!last) {
        chunk_ref(range->chunk);
        queue->first = *range;
        queue->bytes = range->end - range->start;
        return true;
    }
    if (last->chunk == range->chunk && last->end == range->start) {
        last->end = range->end;
        last->copies += range->copies;
        queue->bytes += range->end - range->start;
        return true;
    }
    if (!reserve_ranges(queue, 1))
        return false;
    chunk_ref(range->chunk);
    push_range(queue, *range);
    return true;
}

bool outq_append(struct outq *queue, struct chunk *chunk, uint32_t start, uint32_t end)
{
    return outq_append_range(queue, &(struct range){.chunk = chunk, .start = start, .end = end});
}

// Whether `size` more bytes can be written behind the last range, whose chunk nobody else holds.
static bool can_extend(const struct range *last, size_t size)
{
    return last->chunk->refs == 1 && last->end == last->chunk->size && last->chunk->copies == 0 &&
           size <= chunk_room(last->chunk);
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

bool outq_append_counted(struct outq *queue, const void *bytes, size_t size,
                         const struct copy_counts *counts)
{
    if (copy_counts_is_empty(counts))
        return outq_append_copy(queue, bytes, size);
    size_t count = 0;
    for (int kind = 0; kind < COPY_KINDS; kind++)
        count += counts->of[kind];
    if (size > CHUNK_BYTES_MAX)
        return false;
    struct chunk *chunk = chunk_new(size + count * CHUNK_BOUNDARY_SIZE);
    if (!chunk)
        return false;
    chunk_write(chunk, bytes, size);
    for (int kind = 0; kind < COPY_KINDS; kind++)
        for (uint32_t i = 0; i < counts->of[kind]; i++)
            chunk_add_boundary(chunk, (enum copy_kind)kind, 0);
    const struct range range = {chunk, 0, chunk->size, chunk->copies};
    bool is_queued = outq_append_range(queue, &range);
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

bool outq_front(const struct outq *queue, struct iovec *iov, struct copy_counts *counts)
{
    if (!queue->first.chunk)
        return false;
    fill_iov(iov, &queue->first);
    *counts = (struct copy_counts){0};
    if (queue->first.copies > 0)
        count_range(&queue->first, queue->first.end, counts);
    return true;
}

// Most queues are one range, and are written whole.
bool outq_consume(struct outq *queue, size_t bytes, struct copy_counts *counts)
{
    bool is_mixed = false;
    assert(bytes <= queue->bytes);
    queue->bytes -= bytes;
    if (queue->bytes == 0 && !queue->more && bytes > 0 && !queue->first.chunk->is_mixed) {
        counts->of[COPY_LIVE] += queue->first.copies;
        chunk_unref(queue->first.chunk);
        queue->first.chunk = NULL;
        queue->first.copies = 0;
        return false;
    }
    while (bytes > 0) {
        struct range *first = &queue->first;
        size_t in_first = first->end - first->start;
        if (bytes < in_first) {
            uint32_t end = first->start + (uint32_t)bytes;
            if (first->copies > 0) {
                is_mixed |= count_range(first, end, counts);
                first->copies -= boundaries_up_to(first->chunk, end) -
                                 boundaries_up_to(first->chunk, first->start);
            }
            first->start = end;
            return is_mixed;
        }
        if (first->copies > 0 && first->chunk->is_mixed)
            is_mixed |= count_range(first, first->end, counts);
        else
            counts->of[COPY_LIVE] += first->copies;
        bytes -= in_first;
        pop_range(queue);
    }
    if (queue->bytes == 0 && queue->more)
        outq_fini(queue);
    return is_mixed;
}

void unsent_add_range(struct unsent *unsent, const struct range *range)
{
    uint32_t last = range->copies > 0 ? boundaries_up_to(range->chunk, range->end) : 0;
    for (uint32_t i = last - range->copies; i < last; i++) {
        struct boundary boundary = read_boundary(range->chunk, i);
        unsent_add(unsent, boundary.kind, boundary.index, 1);
    }
}

void outq_add_unsent(const struct outq *queue, struct unsent *unsent)
{
    unsent_add_range(unsent, &queue->first);
    for (uint32_t i = 0; i < queue->more_count; i++)
        unsent_add_range(unsent, ring_at(queue, i));
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
