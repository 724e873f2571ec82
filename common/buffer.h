// SPDX-License-Identifier: MIT
// A growable run of bytes with a maximum given at init. Appending past the maximum, or when memory
// is out, fails and changes nothing.
//
// A buffer is used by one thread at a time. No function blocks. Pointers into the bytes hold until
// the next call that adds bytes, takes them, or frees them.
#ifndef TALUS_COMMON_BUFFER_H
#define TALUS_COMMON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_buffer {
    uint8_t *bytes; // NULL while nothing was ever appended
    size_t size;
    size_t capacity;
    size_t max;
};

// An empty buffer that will hold at most `max` bytes. Allocates nothing.
void tl_buffer_init(struct tl_buffer *buffer, size_t max);

// Frees the bytes; the buffer may be used again.
void tl_buffer_fini(struct tl_buffer *buffer);

// Forgets the content and keeps the memory.
void tl_buffer_clear(struct tl_buffer *buffer);

// Forgets what lies behind the first `size` bytes, which must be there; keeps the memory. To undo
// appends that turned out to be half of something.
void tl_buffer_truncate(struct tl_buffer *buffer, size_t size);

// Makes room for `size` more bytes and returns where they go (tl_buffer_commit adds them), or NULL
// if the maximum would be passed or memory is out. Never NULL otherwise, even for a `size` of 0.
uint8_t *tl_buffer_reserve(struct tl_buffer *buffer, size_t size);
// Adds `size` bytes that were written where tl_buffer_reserve said; at most as many as it was
// asked.
void tl_buffer_commit(struct tl_buffer *buffer, size_t size);

// Append copies. False: the maximum would be passed, or memory is out; nothing was appended.
// `bytes` may be NULL if `size` is 0, and must not point into the buffer itself.
bool tl_buffer_append(struct tl_buffer *buffer, const void *bytes, size_t size);
bool tl_buffer_append_text(struct tl_buffer *buffer, const char *text);
bool tl_buffer_append_number(struct tl_buffer *buffer, size_t number); // in decimal
bool tl_buffer_append_format(struct tl_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Drops the first `size` bytes, which must be there.
void tl_buffer_consume(struct tl_buffer *buffer, size_t size);

// Gives the bytes away (to be freed with free) and leaves the buffer empty. NULL, with *size 0, if
// nothing was ever appended.
uint8_t *tl_buffer_take(struct tl_buffer *buffer, size_t *size);

#endif
