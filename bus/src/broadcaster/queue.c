// SPDX-License-Identifier: MIT
// The emit queue.
#include "bus/src/broadcaster/queue.h"

#include <assert.h>
#include <stdlib.h>

#include <talus/error.h>

#include "bus/src/codec/journal.h"
#include "common/name_hash.h"

int talus__queue_init(struct talus__queue *queue, size_t events, size_t max_bytes)
{
    assert(events <= TALUS__QUEUE_EVENTS_MAX);
    // With one slot, "holds ticket t" and "free for ticket t + 1" would be the same number.
    size_t capacity = 2;
    while (capacity < events)
        capacity *= 2;

    queue->slots = malloc(capacity * sizeof *queue->slots);
    if (!queue->slots)
        return TALUS_ENOMEM;
    for (size_t i = 0; i < capacity; i++) {
        atomic_init(&queue->slots[i].turn, i);
        queue->slots[i].message = NULL;
    }
    queue->mask = capacity - 1;
    queue->max_bytes = max_bytes;
    queue->ring = NULL;
    queue->head = 0;
    atomic_init(&queue->tickets, 0);
    atomic_init(&queue->bytes, 0);
    return 0;
}

void talus__queue_fini(struct talus__queue *queue)
{
    struct talus__message *message;

    while ((message = talus__queue_take(queue)))
        talus__message_unref(message);
    free(queue->slots);
    queue->slots = NULL;
}

static bool reserve_bytes(struct talus__queue *queue, size_t size)
{
    size_t bytes = atomic_load_explicit(&queue->bytes, memory_order_relaxed);

    do {
        if (size > queue->max_bytes || bytes > queue->max_bytes - size)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&queue->bytes, &bytes, bytes + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void release_bytes(struct talus__queue *queue, size_t size)
{
    atomic_fetch_sub_explicit(&queue->bytes, size, memory_order_relaxed);
}

// Gives the slot of the next ticket, or NULL if the ring is full.
static struct talus__slot *take_ticket(struct talus__queue *queue, uint64_t *ticket)
{
    uint64_t next = atomic_load_explicit(&queue->tickets, memory_order_relaxed);

    for (;;) {
        struct talus__slot *slot = &queue->slots[next & queue->mask];
        uint64_t turn = atomic_load_explicit(&slot->turn, memory_order_acquire);

        if (turn == next) {
            if (atomic_compare_exchange_weak_explicit(&queue->tickets, &next, next + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
                *ticket = next;
                return slot;
            }
        } else if (turn < next) {
            return NULL; // still holds the message of the round before
        } else {
            next = atomic_load_explicit(&queue->tickets, memory_order_relaxed);
        }
    }
}

int talus__queue_put(struct talus__queue *queue, struct talus__message *message, uint64_t *seq)
{
    size_t size = talus__message_size(message);
    if (!reserve_bytes(queue, size))
        return TALUS_EQUEUEFULL;

    if (queue->ring)
        message->kept.session_hash =
            tl_name_hash(queue->ring_key, talus__message_topic(message), message->session_size);
    uint64_t ticket;
    struct talus__slot *slot = take_ticket(queue, &ticket);
    if (!slot) {
        release_bytes(queue, size);
        return TALUS_EQUEUEFULL;
    }
    *seq = ticket + 1;
    talus__message_set_seq(message, ticket + 1);
    if (queue->ring)
        atomic_store_explicit(&queue->ring[ticket & queue->ring_mask],
                              talus__journal_entry(ticket + 1, message->kept.session_hash),
                              memory_order_relaxed);
    slot->message = message;
    atomic_store_explicit(&slot->turn, ticket + 1, memory_order_seq_cst);
    return 0;
}

bool talus__queue_has_message(struct talus__queue *queue)
{
    struct talus__slot *slot = &queue->slots[queue->head & queue->mask];

    return atomic_load_explicit(&slot->turn, memory_order_seq_cst) == queue->head + 1;
}

struct talus__message *talus__queue_take(struct talus__queue *queue)
{
    struct talus__slot *slot = &queue->slots[queue->head & queue->mask];

    if (atomic_load_explicit(&slot->turn, memory_order_acquire) != queue->head + 1)
        return NULL;
    struct talus__message *message = slot->message;
    slot->message = NULL;
    atomic_store_explicit(&slot->turn, queue->head + queue->mask + 1, memory_order_release);
    queue->head++;
    release_bytes(queue, talus__message_size(message));
    return message;
}

uint64_t talus__queue_newest(struct talus__queue *queue)
{
    return atomic_load_explicit(&queue->tickets, memory_order_seq_cst);
}
