// SPDX-License-Identifier: MIT
// Hash tables of the gateway: uthash, with a keyed hash function, since clients choose names of
// rooms and ids that are looked up, and with running out of memory reported instead of exiting.
//
// After HASH_ADD…, an item whose `hh.tbl` is NULL was not added: memory is out.
#ifndef TALUS_GATEWAY_BASE_HASH_H
#define TALUS_GATEWAY_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

// SipHash-1-3 under a key drawn once in the process. Any thread.
uint32_t gw_hash(const void *bytes, size_t size);

#define HASH_FUNCTION(key, size, hash) ((hash) = gw_hash((key), (size)))
#define HASH_NONFATAL_OOM              1
#include <uthash.h>

#endif
