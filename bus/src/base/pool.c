// SPDX-License-Identifier: MIT
// Memory for messages, reused: for each size of block a ring of free blocks, in which many threads
// put and take (the ring of queue.c, with many takers).
//
// A slot's `turn`, less its index, counts rounds of the ring twice: even, it is empty and waits for
// the putter of that round; odd, it holds a block for the taker of that round. It is kept relative
// to the index so that the zeroed ring of the program's start is an empty one.
#include "bus/src/base/pool.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h> // a free block must be as forbidden as freed memory
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define CACHE_LINE 64
#define RING_SLOTS 1024u // a power of two
#define SMALLEST   256u  // bytes of the first ring's blocks
#define RING_COUNT 4     // each of twice the size of the one before: 3.75 MiB at most

struct slot {
    _Atomic uint64_t turn;
    void *block;
};

struct ring {
    alignas(CACHE_LINE) _Atomic uint64_t put; // blocks ever put
    alignas(CACHE_LINE) _Atomic uint64_t taken;
    alignas(CACHE_LINE) struct slot slots[RING_SLOTS];
};

static struct ring rings[RING_COUNT];

// Claims the slot of the next position of `counter`, if its turn is that of the position's round
// plus `phase`. NULL: it is not, so the ring is full or empty.
static struct slot *claim(struct ring *ring, _Atomic uint64_t *counter, unsigned phase,
                          uint64_t *turn)
{
    uint64_t position = atomic_load_explicit(counter, memory_order_relaxed);

    for (;;) {
        struct slot *slot = &ring->slots[position % RING_SLOTS];
        uint64_t wanted = position / RING_SLOTS * 2 + phase;
        uint64_t found = atomic_load_explicit(&slot->turn, memory_order_acquire);
        if (found < wanted)
            return NULL;
        if (found == wanted &&
            atomic_compare_exchange_weak_explicit(counter, &position, position + 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            *turn = found;
            return slot;
        }
        if (found > wanted)
            position = atomic_load_explicit(counter, memory_order_relaxed);
    }
}

static void *take(struct ring *ring)
{
    uint64_t turn;
    struct slot *slot = claim(ring, &ring->taken, 1, &turn);

    if (!slot)
        return NULL;
    void *block = slot->block;
    atomic_store_explicit(&slot->turn, turn + 1, memory_order_release);
    return block;
}

static int put(struct ring *ring, void *block)
{
    uint64_t turn;
    struct slot *slot = claim(ring, &ring->put, 0, &turn);

    if (!slot)
        return -1;
    slot->block = block;
    atomic_store_explicit(&slot->turn, turn + 1, memory_order_release);
    return 0;
}

void *talus__pool_alloc(size_t size, size_t *capacity)
{
    for (unsigned i = 0; i < RING_COUNT; i++) {
        if (size > (size_t)SMALLEST << i)
            continue;
        *capacity = (size_t)SMALLEST << i;
        void *block = take(&rings[i]);
        if (block)
            ASAN_UNPOISON_MEMORY_REGION(block, *capacity);
        return block ? block : malloc(*capacity);
    }
    *capacity = size;
    return malloc(size);
}

void talus__pool_free(void *block, size_t capacity)
{
    for (unsigned i = 0; i < RING_COUNT; i++) {
        if (capacity != (size_t)SMALLEST << i)
            continue;
        ASAN_POISON_MEMORY_REGION(block, capacity);
        if (put(&rings[i], block) == 0)
            return;
        ASAN_UNPOISON_MEMORY_REGION(block, capacity);
    }
    free(block);
}

void talus__pool_trim(void)
{
    for (unsigned i = 0; i < RING_COUNT; i++) {
        void *block;
        while ((block = take(&rings[i]))) {
            ASAN_UNPOISON_MEMORY_REGION(block, (size_t)SMALLEST << i);
            free(block);
        }
    }
}
