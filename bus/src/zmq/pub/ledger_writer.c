// SPDX-License-Identifier: MIT
// Writing the ledger.
//
// Invariants: every mapped byte was allocated with posix_fallocate, as a hole on a full file system
// would be a SIGBUS, and nobody can take it away, as nobody may write to the file
// (directory_lock.c). Only its owner, by changing the mode first, and root can; they can end the
// process anyway. A slot's seq is written before its hash, a table before the header names it, and
// the magic last. What cannot be allocated ends the ledger, never the broadcaster.
#include "bus/src/zmq/pub/ledger_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/ledger.h"
#include "bus/src/codec/ledger_format.h"
#include "bus/src/zmq/directory/lock_file.h"
#include "common/random.h"

#define FIRST_BITS 8u // log2 of the first table's slots: one page

static size_t table_bytes(size_t slots)
{
    return slots * sizeof(struct talus__ledger_slot);
}

// Allocates the file up to `size` and maps `bytes` of it. NULL: it cannot be had.
static void *map(int fd, uint64_t offset, size_t bytes)
{
    int error = EFBIG;

    if (talus__may_grow(offset + bytes)) {
        do
            error = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
        while (error == EINTR);
    }
    if (error) {
        errno = error;
        return NULL;
    }
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (at == MAP_FAILED)
        return NULL;
    madvise(at, bytes, MADV_DONTFORK); // a child's mapping would keep the lock
    return at;
}

static void give_up(struct talus__ledger_writer *writer)
{
    talus__log(TALUS_LOG_WARNING,
               "there is no ledger (%s): if this broadcaster is killed, subscribers are told of "
               "losses that are none",
               strerror(errno));
    atomic_store_explicit(&writer->header->magic, 0, memory_order_release);
    if (writer->slots)
        munmap(writer->slots, table_bytes(writer->slot_mask + 1));
    writer->slots = NULL;
}

static void name_table(struct talus__ledger_writer *writer)
{
    uint64_t bits = (uint64_t)__builtin_ctzll(writer->slot_mask + 1);

    atomic_store_explicit(&writer->header->table, writer->table_offset + bits,
                          memory_order_release);
}

bool talus__ledger_create(struct talus__ledger_writer *writer, int fd, const char *origin,
                          size_t events)
{
    uint32_t ring = 2;

    *writer = (struct talus__ledger_writer){.fd = fd};
    while (ring < events && ring < TALUS__LEDGER_RING_MAX)
        ring *= 2;
    size_t bytes = TALUS__LEDGER_RING_AT + ring * sizeof(uint64_t);
    bytes = (bytes + TALUS__LEDGER_PAGE - 1) / TALUS__LEDGER_PAGE * TALUS__LEDGER_PAGE;
    size_t table = table_bytes((size_t)1 << FIRST_BITS);
    void *at = map(fd, 0, bytes);
    void *slots = at ? map(fd, bytes, table) : NULL;
    uint64_t key;
    if (!slots || !tl_random_bytes(&key, sizeof key)) {
        talus__log(TALUS_LOG_WARNING, "there is no ledger: %s", strerror(errno));
        if (at)
            munmap(at, bytes);
        if (slots)
            munmap(slots, table);
        if (ftruncate(fd, 0) != 0)
            talus__log(TALUS_LOG_DEBUG, "ftruncate: %s", strerror(errno));
        return false;
    }
    writer->header = at;
    writer->header_bytes = bytes;
    writer->ring = (_Atomic uint64_t *)((char *)at + TALUS__LEDGER_RING_AT);
    writer->ring_mask = ring - 1;
    writer->key = key;
    writer->slots = slots;
    writer->slot_mask = ((size_t)1 << FIRST_BITS) - 1;
    writer->table_offset = bytes;
    writer->file_size = bytes + table;
    writer->header->version = TALUS__LEDGER_VERSION;
    writer->header->ring_slots = ring;
    writer->header->key = key;
    strncpy(writer->header->origin, origin, TALUS_ORIGIN_MAX);
    name_table(writer);
    atomic_store_explicit(&writer->header->magic, TALUS__LEDGER_MAGIC, memory_order_release);
    return true;
}

void talus__ledger_fini(struct talus__ledger_writer *writer)
{
    if (!writer->header)
        return;
    if (writer->slots)
        munmap(writer->slots, table_bytes(writer->slot_mask + 1));
    munmap(writer->header, writer->header_bytes);
    *writer = (struct talus__ledger_writer){.fd = -1};
}

// ---- The table

// The slot of the hash, or the free one where it belongs. NULL: too far away.
static struct talus__ledger_slot *find(struct talus__ledger_slot *slots, size_t mask, uint64_t hash)
{
    for (size_t i = 0; i < TALUS__LEDGER_PROBE_MAX && i <= mask; i++) {
        struct talus__ledger_slot *slot = &slots[(hash + i) & mask];
        uint64_t held = atomic_load_explicit(&slot->hash, memory_order_relaxed);
        if (held == hash || held == 0)
            return slot;
    }
    return NULL;
}

static void fill(struct talus__ledger_slot *slot, uint64_t hash, uint64_t seq)
{
    atomic_store_explicit(&slot->last, seq, memory_order_release);
    atomic_store_explicit(&slot->hash, hash, memory_order_release);
}

// Copies what is not forgotten. False: some session's place is too far away.
static bool copy_live(const struct talus__ledger_writer *writer, struct talus__ledger_slot *slots,
                      size_t mask)
{
    for (size_t i = 0; i <= writer->slot_mask; i++) {
        uint64_t hash = atomic_load_explicit(&writer->slots[i].hash, memory_order_relaxed);
        uint64_t last = atomic_load_explicit(&writer->slots[i].last, memory_order_relaxed);
        if (hash == 0 || last == 0)
            continue;
        struct talus__ledger_slot *slot = find(slots, mask, hash);
        if (!slot)
            return false;
        fill(slot, hash, last);
    }
    return true;
}

// Moves to a table twice as large, or of the same size if much in it is forgotten. One of the same
// size takes turns with the last, so that a broadcaster that forgets sessions needs no more and no
// more space.
static bool make_room(struct talus__ledger_writer *writer)
{
    size_t count = (writer->slot_mask + 1) * (writer->live * 5 > writer->slot_mask * 2 ? 2 : 1);
    bool is_same = count == writer->slot_mask + 1;
    uint64_t offset = is_same && writer->spare_offset ? writer->spare_offset : writer->file_size;

    if (count > (size_t)1 << TALUS__LEDGER_BITS) {
        errno = EFBIG;
        return false;
    }
    struct talus__ledger_slot *slots = map(writer->fd, offset, table_bytes(count));
    if (!slots)
        return false;
    if (offset != writer->file_size)
        memset(slots, 0, table_bytes(count));
    else
        writer->file_size += table_bytes(count);
    if (!copy_live(writer, slots, count - 1)) {
        munmap(slots, table_bytes(count));
        errno = EFBIG;
        return false;
    }
    munmap(writer->slots, table_bytes(writer->slot_mask + 1));
    writer->spare_offset = is_same ? writer->table_offset : 0;
    writer->slots = slots;
    writer->slot_mask = count - 1;
    writer->used = writer->live;
    writer->table_offset = offset;
    name_table(writer);
    return true;
}

static void note_elsewhere(struct talus__ledger_writer *writer, uint64_t hash, uint32_t *place,
                           uint64_t seq)
{
    struct talus__ledger_slot *slot = find(writer->slots, writer->slot_mask, hash);
    bool is_new = !slot || atomic_load_explicit(&slot->hash, memory_order_relaxed) == 0;

    if (is_new && (!slot || (writer->used + 1) * 5 > writer->slot_mask * 4)) {
        slot = make_room(writer) ? find(writer->slots, writer->slot_mask, hash) : NULL;
        if (!slot) {
            give_up(writer);
            return;
        }
    }
    writer->used += is_new;
    writer->live += atomic_load_explicit(&slot->last, memory_order_relaxed) == 0;
    fill(slot, hash, seq);
    *place = (uint32_t)(slot - writer->slots);
}

void talus__ledger_note(struct talus__ledger_writer *writer, uint64_t hash, uint32_t *slot,
                        uint64_t seq)
{
    if (!writer->slots)
        return;
    struct talus__ledger_slot *at = &writer->slots[*slot & writer->slot_mask];
    if (atomic_load_explicit(&at->hash, memory_order_relaxed) == hash &&
        atomic_load_explicit(&at->last, memory_order_relaxed) != 0)
        atomic_store_explicit(&at->last, seq, memory_order_release);
    else
        note_elsewhere(writer, hash, slot, seq);
}

void talus__ledger_forget(struct talus__ledger_writer *writer, uint64_t hash, uint32_t slot,
                          uint64_t watermark)
{
    if (!writer->slots)
        return;
    atomic_store_explicit(&writer->header->watermark, watermark, memory_order_release);
    struct talus__ledger_slot *at = &writer->slots[slot & writer->slot_mask];
    if (atomic_load_explicit(&at->hash, memory_order_relaxed) != hash)
        at = find(writer->slots, writer->slot_mask, hash);
    if (!at || atomic_load_explicit(&at->hash, memory_order_relaxed) != hash)
        return;
    uint64_t last = atomic_load_explicit(&at->last, memory_order_relaxed);
    if (last > watermark) // another session with this hash has it, too
        return;
    writer->live -= last != 0;
    atomic_store_explicit(&at->last, 0, memory_order_release);
}

void talus__ledger_sent(struct talus__ledger_writer *writer, uint64_t seq)
{
    if (writer->header)
        atomic_store_explicit(&writer->header->sent, seq, memory_order_release);
}
