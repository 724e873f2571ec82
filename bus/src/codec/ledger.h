// SPDX-License-Identifier: MIT
// The ledger: what a broadcaster in a bus directory has sent and emitted, kept in its lock file, so
// that those who survive it know exactly what they miss. docs/protocol.md describes the format.
//
// The broadcaster maps the file and writes it as it goes; a store into the mapping survives the
// process. The survivors read the file once its lock is free. They never map it: to them it is
// untrusted input, which may be truncated or nonsense.
#ifndef TALUS__LEDGER_H
#define TALUS__LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALUS__LEDGER_MAGIC     0x3152454744454c54ULL // "TLEDGER1" as its bytes lie in the file
#define TALUS__LEDGER_RING_MAX  8192u                 // entries for what is emitted and not sent
#define TALUS__LEDGER_PROBE_MAX 1024u                 // slots from a session's place to its slot

// ---- Reading

// Reads `size` bytes at `offset`. False: there are not so many.
typedef bool talus__ledger_read_fn(void *arg, uint64_t offset, void *out, size_t size);

struct talus__ledger {
    talus__ledger_read_fn *read;
    void *arg;
    uint64_t key;
    uint64_t table_offset;
    uint64_t slot_mask;
    uint64_t watermark;
    uint64_t newest;     // seq of the newest event, sent or not; 0: there was none
    uint64_t ring_least; // from here on the ring knows what was emitted; later than sent + 1: some
                         // was overwritten, and any session may have got it
    uint64_t sent;       // seq of the newest event sent
    uint64_t *unsent;    // owned: entries of the ring that were not sent, by hash
    size_t unsent_count;
};

// Looks whether it is the ledger of `origin`. Returns 0; TALUS__EBODY: it is none; TALUS_ENOMEM.
int talus__ledger_open(struct talus__ledger *ledger, talus__ledger_read_fn *read, void *arg,
                       const char *origin);

void talus__ledger_close(struct talus__ledger *ledger);

// The seq of the newest event that was emitted to the session; 0: none. It may be too high, which
// tells of a loss that was none, and never too low.
uint64_t talus__ledger_last(const struct talus__ledger *ledger, const char *session, size_t size);

#endif
