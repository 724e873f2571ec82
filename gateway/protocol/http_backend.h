// SPDX-License-Identifier: MIT
// Hides the HTTP parser: another one is another http_backend.c.
// Internal to the HTTP reader. It includes neither http.h nor a parser's header, because their
// names collide.
#ifndef TALUS_GATEWAY_PROTOCOL_HTTP_BACKEND_H
#define TALUS_GATEWAY_PROTOCOL_HTTP_BACKEND_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

struct http_text {
    const char *at;
    size_t size;
};

struct http_field {
    struct http_text name;
    struct http_text value; // meaningless `at` if the size is 0
};

struct http_fields {
    struct http_text target;
    struct http_field *all; // room for `max`
    unsigned count;
    unsigned max;
    bool is_overflown; // there were more than `max`
};

// Parses a whole head that http_lines let pass, its empty line included, into `fields`, which point
// into `bytes`. Returns false if the parser refuses it, or there are too many fields.
bool http_backend_parse(const char *bytes, size_t size, struct http_fields *fields);

// For http_backend.c: adds a piece of the parser's callbacks. The parser has the head as one run of
// bytes, so pieces of one text lie side by side. False: too many fields.
static inline void http_text_add(struct http_text *text, const char *at, size_t size)
{
    if (!text->at)
        text->at = at;
    text->size += size;
}

static inline bool http_fields_add_name(struct http_fields *fields, const char *at, size_t size)
{
    struct http_field *last = fields->count > 0 ? &fields->all[fields->count - 1] : NULL;
    if (last && last->name.at + last->name.size == at) {
        last->name.size += size;
        return true;
    }
    if (fields->count == fields->max) {
        fields->is_overflown = true;
        return false;
    }
    assert(fields->all);
    fields->all[fields->count++] = (struct http_field){.name = {at, size}};
    return true;
}

static inline void http_fields_add_value(struct http_fields *fields, const char *at, size_t size)
{
    if (fields->count > 0)
        http_text_add(&fields->all[fields->count - 1].value, at, size);
}

#endif
