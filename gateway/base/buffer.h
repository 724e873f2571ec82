// SPDX-License-Identifier: MIT
// A growable run of bytes with a maximum given at init. Appending past the maximum, or when memory
// is out, fails and changes nothing.
#ifndef TALUS_GATEWAY_BASE_BUFFER_H
#define TALUS_GATEWAY_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *bytes; // NULL while nothing was ever appended
    size_t size;
    size_t capacity;
    size_t max;
};

void buffer_init(struct buffer *buffer, size_t max);

// Frees the bytes; the buffer may be used again.
void buffer_fini(struct buffer *buffer);

// Forgets the content and keeps the memory.
void buffer_clear(struct buffer *buffer);

// Makes room for `size` more bytes and returns where they go (buffer_commit adds them), or NULL.
uint8_t *buffer_reserve(struct buffer *buffer, size_t size);
void buffer_commit(struct buffer *buffer, size_t size);

bool buffer_append(struct buffer *buffer, const void *bytes, size_t size);
bool buffer_append_text(struct buffer *buffer, const char *text);
bool buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Drops the first `size` bytes.
void buffer_consume(struct buffer *buffer, size_t size);

// Gives the bytes away (to be freed with free) and leaves the buffer empty.
uint8_t *buffer_take(struct buffer *buffer, size_t *size);

#endif
