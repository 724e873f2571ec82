// SPDX-License-Identifier: MIT
// Shared bytes of the delivery path, and the queue of what a client is owed.
//
// A chunk is an append-only, reference-counted run of bytes of one loop (the count is not atomic).
// What lies below `size` never changes, so a range of it can be in any number of queues at once
// while more is appended behind. A queue holds ranges, not messages: a range that continues the
// last one is merged into it, so a burst to a room costs each member one range and one iovec.
#ifndef TALUS_GATEWAY_BASE_CHUNK_H
#define TALUS_GATEWAY_BASE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct chunk {
    uint32_t refs;
    uint32_t size;     // bytes written
    uint32_t capacity; // bytes that fit
    uint8_t bytes[];
};

// A new chunk with one reference, or NULL.
struct chunk *chunk_new(size_t capacity);
// A new, full chunk with a copy of `bytes`.
struct chunk *chunk_copy(const void *bytes, size_t size);
void chunk_ref(struct chunk *chunk);
void chunk_unref(struct chunk *chunk);

struct range {
    struct chunk *chunk;
    uint32_t start;
    uint32_t end;
};

// The first range lies in the queue itself, so that a queue of one range owns no memory.
struct outq {
    struct range first;
    struct range *more; // the rest, a ring of `capacity`, NULL when none was needed
    uint32_t more_head;
    uint32_t more_count;
    uint32_t capacity;
    uint32_t reserved;
    size_t bytes; // in all ranges
};

void outq_init(struct outq *queue);
// Drops everything and frees what it owns.
void outq_fini(struct outq *queue);

static inline bool outq_is_empty(const struct outq *queue)
{
    return queue->bytes == 0;
}

// Adds bytes [start, end) of `chunk`, with a reference of its own. False: out of memory.
bool outq_append(struct outq *queue, struct chunk *chunk, uint32_t start, uint32_t end);
// Adds a copy of `bytes`. False: out of memory.
bool outq_append_copy(struct outq *queue, const void *bytes, size_t size);
// Fills at most `max` iovecs from the front; returns how many.
int outq_iov(const struct outq *queue, struct iovec *iov, int max);
// Drops the first `bytes` bytes.
void outq_consume(struct outq *queue, size_t bytes);
// Moves all of `from` behind what is in `to`. False: out of memory, and nothing moved.
bool outq_move(struct outq *to, struct outq *from);

#endif
