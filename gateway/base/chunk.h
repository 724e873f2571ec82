// SPDX-License-Identifier: MIT
// Shared bytes of the delivery path, and the queue of what a client is owed.
//
// A chunk is an append-only, reference-counted run of bytes of one loop (the count is not atomic).
// What lies below `size` never changes, so a range of it can be in any number of queues at once
// while more is appended behind. A queue holds ranges, not messages: a range that continues the
// last one is merged into it, so a burst to a room costs each member one range and one iovec.
//
// Copies are what is accounted for: one event for one client. A chunk notes where in it messages
// end; a range knows how many end in it, so that what is written is counted without a look at the
// bytes. The boundaries lie at the chunk's end and grow downward, as the bytes grow upward.
#ifndef TALUS_GATEWAY_BASE_CHUNK_H
#define TALUS_GATEWAY_BASE_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

// What becomes of a copy when it is written.
enum copy_kind {
    COPY_LIVE,      // delivered
    COPY_RECOVERED, // what a client that came back had missed
    COPY_CAUGHT_UP, // what a joining client had not received, by its `since`
    COPY_RESENT,    // written before, but the client has not got it
    COPY_KINDS,
};

struct copy_counts {
    uint32_t of[COPY_KINDS];
};

// Copies that were not written.
struct unsent {
    uint32_t events; // that a log may have: the live and the recovered ones with an index
    uint32_t others; // that cannot be had again; those resent are in neither
    uint64_t first;  // the least index of `events`
};

struct chunk {
    uint32_t refs;
    uint32_t size;     // bytes written
    uint32_t capacity; // bytes that fit, with the boundaries
    uint32_t copies;   // boundaries
    bool is_mixed;     // some are not COPY_LIVE
    uint8_t bytes[];
};

// What a boundary takes of a chunk's capacity, and how large a chunk with boundaries may be.
#define CHUNK_BOUNDARY_SIZE ((size_t)12)
#define CHUNK_BYTES_MAX     ((size_t)1 << 29)

// A new chunk with one reference, or NULL.
struct chunk *chunk_new(size_t capacity);
// A new, full chunk with a copy of `bytes`.
struct chunk *chunk_copy(const void *bytes, size_t size);
void chunk_ref(struct chunk *chunk);
void chunk_unref(struct chunk *chunk);
// Bytes that still fit, if no boundary is added.
size_t chunk_room(const struct chunk *chunk);
// Notes that an event ends where the chunk does now; chunk_room is at least CHUNK_BOUNDARY_SIZE,
// the size at most CHUNK_BYTES_MAX. `index`: of the event in the log, 0 if it is in none.
void chunk_add_boundary(struct chunk *chunk, enum copy_kind kind, uint64_t index);
// Notes that one ends at `end`, which is not before the last boundary.
void chunk_add_boundary_at(struct chunk *chunk, uint32_t end, enum copy_kind kind, uint64_t index);

struct range {
    struct chunk *chunk;
    uint32_t start;
    uint32_t end;
    uint32_t copies; // boundaries in it: behind its start, up to its end
};

// The first range lies in the queue itself, so that a queue of one range owns no memory.
struct outq {
    struct range first;
    struct range *more; // the rest, a ring of `capacity`, NULL when none was needed
    uint32_t more_head;
    uint32_t more_count;
    uint32_t capacity;
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
// The same of bytes in which events end.
bool outq_append_range(struct outq *queue, const struct range *range);
// Adds a copy of `bytes`. False: out of memory.
bool outq_append_copy(struct outq *queue, const void *bytes, size_t size);
// The same of bytes at whose end all the copies of the counts end.
bool outq_append_counted(struct outq *queue, const void *bytes, size_t size,
                         const struct copy_counts *counts);
// Fills at most `max` iovecs from the front; returns how many.
int outq_iov(const struct outq *queue, struct iovec *iov, int max);
// The first range's bytes, and in `counts` its copies. False: the queue is empty.
bool outq_front(const struct outq *queue, struct iovec *iov, struct copy_counts *counts);
// Drops the first `bytes` bytes and adds the copies that ended in them to the counts. True: some of
// them are not COPY_LIVE.
bool outq_consume(struct outq *queue, size_t bytes, struct copy_counts *counts);
// Adds the copies that are still in the queue.
void outq_add_unsent(const struct outq *queue, struct unsent *unsent);
// Moves all of `from` behind what is in `to`. False: out of memory, and nothing moved.
bool outq_move(struct outq *to, struct outq *from);

// Adds `count` copies of one event.
void unsent_add(struct unsent *unsent, enum copy_kind kind, uint64_t index, uint32_t count);
// Adds those of a range.
void unsent_add_range(struct unsent *unsent, const struct range *range);
void unsent_join(struct unsent *unsent, const struct unsent *more);

// Those of the counts that are not sent a second time.
static inline uint64_t copy_counts_pending(const struct copy_counts *counts)
{
    return (uint64_t)counts->of[COPY_LIVE] + counts->of[COPY_RECOVERED] +
           counts->of[COPY_CAUGHT_UP];
}

static inline bool copy_counts_is_empty(const struct copy_counts *counts)
{
    return (counts->of[COPY_LIVE] | counts->of[COPY_RECOVERED] | counts->of[COPY_CAUGHT_UP] |
            counts->of[COPY_RESENT]) == 0;
}

#endif
