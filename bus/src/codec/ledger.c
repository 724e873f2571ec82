// SPDX-License-Identifier: MIT
// Reading the ledger of a broadcaster that is gone. The file is untrusted: every number is checked
// before it is used, and no more is read than the bounds allow.
#include "bus/src/codec/ledger.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/journal.h"
#include "bus/src/codec/ledger_format.h"
#include "bus/src/codec/malformed.h"
#include "common/name_hash.h"

#define SLOTS_PER_READ 16

// The header as plain numbers.
struct header {
    uint64_t magic;
    uint32_t version;
    uint32_t ring_slots;
    uint64_t key;
    uint64_t table;
    uint64_t sent;
    uint64_t watermark;
    char origin[TALUS_ORIGIN_MAX + 8];
};

TALUS__LEDGER_HEADER_IS_AT(struct header);

static int compare(const void *one, const void *other)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return (a > b) - (a < b);
}

// The seq that an entry means, of which it has 32 bits: one near `sent`.
static uint64_t seq_of(uint64_t entry, uint64_t sent)
{
    int32_t distance = (int32_t)((uint32_t)entry - (uint32_t)sent);
    return distance > 0 ? sent + (uint32_t)distance : 0;
}

// Keeps the entries of what was emitted and not sent.
static int take_ring(struct talus__ledger *ledger, uint64_t *ring, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t seq = seq_of(ring[i], ledger->sent);
        if (seq == 0 || ((seq - 1) & (count - 1)) != i)
            continue;
        if (seq > ledger->newest)
            ledger->newest = seq;
        ring[kept++] = ring[i];
    }
    qsort(ring, kept, sizeof *ring, compare);
    ledger->ring_least = ledger->newest > count ? ledger->newest - count + 1 : 1;
    ledger->unsent = ring;
    ledger->unsent_count = kept;
    return 0;
}

static int read_ring(struct talus__ledger *ledger, size_t count)
{
    uint64_t *ring = malloc(count * sizeof *ring);

    if (!ring)
        return TALUS_ENOMEM;
    if (!ledger->read(ledger->arg, TALUS__LEDGER_RING_AT, ring, count * sizeof *ring)) {
        free(ring);
        return TALUS__EBODY;
    }
    return take_ring(ledger, ring, count);
}

int talus__ledger_open(struct talus__ledger *ledger, talus__ledger_read_fn *read, void *arg,
                       const char *origin)
{
    struct header header;

    *ledger = (struct talus__ledger){.read = read, .arg = arg};
    if (!read(arg, 0, &header, sizeof header))
        return TALUS__EBODY;
    uint64_t bits = header.table % TALUS__LEDGER_PAGE;
    uint32_t ring = header.ring_slots;
    if (header.magic != TALUS__LEDGER_MAGIC || header.version != TALUS__LEDGER_VERSION ||
        strncmp(header.origin, origin, sizeof header.origin) != 0 || ring < 2 ||
        ring > TALUS__LEDGER_RING_MAX || (ring & (ring - 1)) != 0 || bits > TALUS__LEDGER_BITS ||
        header.table < TALUS__LEDGER_PAGE || header.table > INT64_MAX / 2 ||
        header.sent > INT64_MAX || header.watermark > header.sent)
        return TALUS__EBODY;
    ledger->key = header.key;
    ledger->table_offset = header.table - bits;
    ledger->slot_mask = ((uint64_t)1 << bits) - 1;
    ledger->watermark = header.watermark;
    ledger->sent = header.sent;
    ledger->newest = header.sent;
    return read_ring(ledger, ring);
}

void talus__ledger_close(struct talus__ledger *ledger)
{
    free(ledger->unsent);
    *ledger = (struct talus__ledger){.read = NULL};
}

// What was sent to the session.
static uint64_t sent_to(const struct talus__ledger *ledger, uint64_t hash)
{
    struct {
        uint64_t hash;
        uint64_t last;
    } slots[SLOTS_PER_READ];
    uint64_t at = hash & ledger->slot_mask;
    size_t have = 0;

    for (size_t probed = 0; probed < TALUS__LEDGER_PROBE_MAX && probed <= ledger->slot_mask;) {
        have = SLOTS_PER_READ;
        if (have > ledger->slot_mask + 1 - at)
            have = (size_t)(ledger->slot_mask + 1 - at);
        if (!ledger->read(ledger->arg, ledger->table_offset + at * sizeof slots[0], slots,
                          have * sizeof slots[0]))
            return ledger->sent; // truncated: any session may have got something
        for (size_t i = 0; i < have; i++) {
            if (slots[i].hash == 0 || (slots[i].hash == hash && slots[i].last == 0))
                return ledger->watermark;
            if (slots[i].hash == hash)
                return slots[i].last < ledger->newest ? slots[i].last : ledger->newest;
        }
        probed += have;
        at = (at + have) & ledger->slot_mask;
    }
    return ledger->sent;
}

// What was emitted to it and not sent.
static uint64_t emitted_to(const struct talus__ledger *ledger, uint64_t hash)
{
    uint64_t least = talus__journal_entry(0, hash), newest = 0;
    size_t low = 0, high = ledger->unsent_count;

    if (ledger->ring_least > ledger->sent + 1)
        return ledger->newest;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ledger->unsent[middle] < least)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < ledger->unsent_count && ledger->unsent[low] >> 32 == least >> 32; low++) {
        uint64_t seq = seq_of(ledger->unsent[low], ledger->sent);
        newest = seq > newest ? seq : newest;
    }
    return newest;
}

uint64_t talus__ledger_last(const struct talus__ledger *ledger, const char *session, size_t size)
{
    uint64_t hash = tl_name_hash(ledger->key, session, size);
    uint64_t sent = sent_to(ledger, hash);
    uint64_t emitted = emitted_to(ledger, hash);

    return emitted > sent ? emitted : sent;
}
