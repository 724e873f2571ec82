// SPDX-License-Identifier: MIT
// Text in a buffer with a maximum, and what makes text from outside safe for a terminal.
//
// Invariant: once an append has failed (the maximum, or no memory), `has_failed` stays set and
// nothing more is added until text_clear; so a writer checks once, at the end.
#ifndef TALUS_CLI_TEXT_H
#define TALUS_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

typedef struct text {
    struct tl_buffer buffer; // not NUL-terminated
    bool has_failed;
} text_t;

void text_init(text_t *text, size_t max);
void text_fini(text_t *text);

// What is in it; not NUL-terminated. NULL while nothing was ever appended.
static inline const char *text_bytes(const text_t *text)
{
    return (const char *)text->buffer.bytes;
}

static inline size_t text_size(const text_t *text)
{
    return text->buffer.size;
}

// Empties it and keeps the memory.
void text_clear(text_t *text);

// Makes room for `size` bytes more and returns where they go; NULL: it has failed.
char *text_reserve(text_t *text, size_t size);
void text_append(text_t *text, const char *bytes, size_t size);
void text_append_string(text_t *text, const char *string);
// At most 255 bytes at a time; for numbers and short names.
void text_append_format(text_t *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_append_spaces(text_t *text, size_t count);

// Appends JSON text with every character that a terminal would act on as \uXXXX: C0 and C1
// controls, DEL, the bidirectional controls, line and paragraph separators. They occur only in
// strings, so the JSON says the same as before. Invalid UTF-8 becomes U+FFFD.
void text_append_safe(text_t *text, const char *json, size_t size);

// Appends `string` as a JSON string, safe as above.
void text_append_json_string(text_t *text, const char *string);

// The columns that safe text takes on a terminal.
size_t text_columns(const char *text, size_t size);

// The bytes from the start of safe text that fit into `columns`.
size_t text_fit(const char *text, size_t size, size_t columns);

#endif
