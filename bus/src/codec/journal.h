// SPDX-License-Identifier: MIT
// The entry of an event in the journal that emits write (transport/publish.h): a ring, in which the
// event with the seq `s` has the entry `s - 1` modulo its size. The ledger's readers find it there.
#ifndef TALUS__JOURNAL_H
#define TALUS__JOURNAL_H

#include <stdint.h>

// The upper half of the session's hash, then the lower half of the seq.
static inline uint64_t talus__journal_entry(uint64_t seq, uint64_t hash)
{
    return (hash & 0xffffffff00000000ULL) | (uint32_t)seq;
}

#endif
