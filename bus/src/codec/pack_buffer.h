// SPDX-License-Identifier: MIT
// What msgpack-c's packer writes into: storage of the caller's that grows onto the heap when it is
// too small, up to a bound. The first failure sticks, so a row of packs needs one check at its end.
#ifndef TALUS__PACK_BUFFER_H
#define TALUS__PACK_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

struct talus__pack_buffer {
    struct tl_buffer out; // in the caller's storage, or on the heap
    uint8_t *storage;
    int error; // 0; TALUS_ETOOLARGE: the bound was reached; TALUS_ENOMEM
};

// `storage` holds `capacity` bytes and outlives the buffer; with `max` not above that, nothing is
// ever allocated.
void talus__pack_buffer_init(struct talus__pack_buffer *buffer, void *storage, size_t capacity,
                             size_t max);

void talus__pack_buffer_fini(struct talus__pack_buffer *buffer);

// Appends. The signature is that of a msgpack_packer_write; `arg` is the buffer. Returns 0 or -1.
int talus__pack_buffer_write(void *arg, const char *bytes, size_t size);

#endif
