// SPDX-License-Identifier: MIT
// Writing the ledger (codec/ledger.h): the bus thread's, but for the ring, which emits write, too.
#ifndef TALUS__LEDGER_WRITER_H
#define TALUS__LEDGER_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct talus__ledger_header;
struct talus__ledger_slot;

struct talus__ledger_writer {
    struct talus__ledger_header *header; // mapped; NULL: there is no ledger
    size_t header_bytes;                 // of the mapping, the ring included
    _Atomic uint64_t *ring;              // in the mapping
    uint64_t ring_mask;
    uint64_t key;
    struct talus__ledger_slot *slots; // mapped
    size_t slot_mask;
    size_t used;           // slots that are taken, forgotten sessions' included
    size_t live;           // without these
    uint64_t table_offset; // in the file
    uint64_t spare_offset; // of a table of the same size that is not used; 0: there is none
    uint64_t file_size;
    int fd; // borrowed: the lock file
};

// Makes the ledger in an empty file, which must stay open and belong to the caller alone. `events`:
// how many may be emitted and not yet sent. False: it cannot be had (a full file system, say); the
// file is empty then and `writer` is one that does nothing.
bool talus__ledger_create(struct talus__ledger_writer *writer, int fd, const char *origin,
                          size_t events);

// Unmaps it; the file stays as it is.
void talus__ledger_fini(struct talus__ledger_writer *writer);

// The session whose hash is `hash` was sent an event with this seq. `*slot` is where it was last
// time (any number at first). The bus thread.
void talus__ledger_note(struct talus__ledger_writer *writer, uint64_t hash, uint32_t *slot,
                        uint64_t seq);

// The session is forgotten. `watermark`: the least that forgotten and unknown sessions count for.
void talus__ledger_forget(struct talus__ledger_writer *writer, uint64_t hash, uint32_t slot,
                          uint64_t watermark);

// All events up to `seq` were handed to the socket.
void talus__ledger_sent(struct talus__ledger_writer *writer, uint64_t seq);

#endif
