// SPDX-License-Identifier: MIT
// The ledger's layout in the file, in the machine's byte order: a bus directory is on one machine.
#ifndef TALUS__LEDGER_FORMAT_H
#define TALUS__LEDGER_FORMAT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/topic.h>

#define TALUS__LEDGER_VERSION 1u
#define TALUS__LEDGER_PAGE    4096u
#define TALUS__LEDGER_RING_AT 256u // offset of the ring
#define TALUS__LEDGER_BITS    27u  // at most 2^27 slots

struct talus__ledger_header {
    _Atomic uint64_t magic; // written last; 0: the ledger was given up
    uint32_t version;
    uint32_t ring_slots; // a power of two
    uint64_t key;
    _Atomic uint64_t table;     // offset in the file (a multiple of 4,096) + log2 of its slots
    _Atomic uint64_t sent;      // seq of the newest event handed to the socket
    _Atomic uint64_t watermark; // what sessions without a slot count for
    char origin[TALUS_ORIGIN_MAX + 8];
};

struct talus__ledger_slot {
    _Atomic uint64_t hash; // 0: free
    _Atomic uint64_t last; // seq of the newest event sent to the session; 0: it is forgotten
};

// As docs/protocol.md says.
#define TALUS__LEDGER_IS_AT(type, member, offset)                                                  \
    _Static_assert(offsetof(type, member) == (offset), "the documented offset of " #member)
#define TALUS__LEDGER_HEADER_IS_AT(type)                                                           \
    TALUS__LEDGER_IS_AT(type, magic, 0);                                                           \
    TALUS__LEDGER_IS_AT(type, version, 8);                                                         \
    TALUS__LEDGER_IS_AT(type, ring_slots, 12);                                                     \
    TALUS__LEDGER_IS_AT(type, key, 16);                                                            \
    TALUS__LEDGER_IS_AT(type, table, 24);                                                          \
    TALUS__LEDGER_IS_AT(type, sent, 32);                                                           \
    TALUS__LEDGER_IS_AT(type, watermark, 40);                                                      \
    TALUS__LEDGER_IS_AT(type, origin, 48);                                                         \
    _Static_assert(sizeof(type) == 72, "the documented size")

TALUS__LEDGER_HEADER_IS_AT(struct talus__ledger_header);
TALUS__LEDGER_IS_AT(struct talus__ledger_slot, hash, 0);
TALUS__LEDGER_IS_AT(struct talus__ledger_slot, last, 8);
_Static_assert(sizeof(struct talus__ledger_header) <= TALUS__LEDGER_RING_AT, "it ends there");
_Static_assert(sizeof(struct talus__ledger_slot) == 16, "the documented size");

#endif
