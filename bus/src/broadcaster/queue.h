// SPDX-License-Identifier: MIT
// The emit queue: many threads put messages in, one takes them out; bounded in number and bytes.
//
// A ring of slots (after D. Vyukov's bounded queue). Each slot's `turn` says whose it is: t, free
// for the message with ticket t; t + 1, holding that message; t + capacity, free for the next
// round. A putter takes its ticket with one compare-and-swap, so it waits for nobody, and no ticket
// is ever taken by a message that does not come. The ticket gives the message its sequence number,
// hence the order of numbers is the order of the queue.
#ifndef TALUS__QUEUE_H
#define TALUS__QUEUE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/transport/message.h"

#define TALUS__QUEUE_EVENTS_MAX ((size_t)1 << 26)

#define TALUS__CACHE_LINE 64

struct talus__slot {
    _Atomic uint64_t turn;
    struct talus__message *message;
};

struct talus__queue {
    struct talus__slot *slots;
    uint64_t mask; // capacity - 1
    size_t max_bytes;
    _Atomic uint64_t
        *ring; // the transport's journal; NULL: there is none. Set before the first put
    uint64_t ring_mask;
    uint64_t ring_key;
    alignas(TALUS__CACHE_LINE) _Atomic uint64_t tickets; // given so far
    alignas(TALUS__CACHE_LINE) _Atomic size_t bytes;     // of the messages in the queue
    alignas(TALUS__CACHE_LINE) uint64_t head;            // the taker's: the next ticket to take
};

// `events` is rounded up to a power of two, 2 at least; at most TALUS__QUEUE_EVENTS_MAX.
// Returns 0 or TALUS_ENOMEM.
int talus__queue_init(struct talus__queue *queue, size_t events, size_t max_bytes);

// Drops what is in it.
void talus__queue_fini(struct talus__queue *queue);

// Puts a message in, which consumes the reference, and gives it its seq: 1 for the first.
// Returns 0; TALUS_EQUEUEFULL: nothing happened, the message is still the caller's.
// Any thread. Never blocks. The publication is sequentially consistent, see wakeup.h.
int talus__queue_put(struct talus__queue *queue, struct talus__message *message, uint64_t *seq);

// Takes the oldest message out, its reference included; NULL: none is there, or the thread that
// has the next ticket is still putting. The taker's thread.
struct talus__message *talus__queue_take(struct talus__queue *queue);

// Whether talus__queue_take would give a message. The taker's thread.
bool talus__queue_has_message(struct talus__queue *queue);

// The bytes of the messages in it. Any thread.
static inline size_t talus__queue_bytes(const struct talus__queue *queue)
{
    return atomic_load_explicit(&queue->bytes, memory_order_relaxed);
}

// The seq of the newest message put in. Any thread.
uint64_t talus__queue_newest(struct talus__queue *queue);

#endif
