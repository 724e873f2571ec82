// SPDX-License-Identifier: MIT
// The body of a request, by length or chunked, joined into a buffer. Internal to the HTTP reader.
#ifndef TALUS_GATEWAY_PROTOCOL_HTTP_BODY_H
#define TALUS_GATEWAY_PROTOCOL_HTTP_BODY_H

#include "gateway/protocol/http.h"
#include "gateway/protocol/http_lines.h"

struct http_body {
    struct tl_buffer bytes; // its maximum is the body's
    uint64_t left;          // bytes of the body or the chunk that are still to come
    size_t room;            // bytes that may still be announced
    size_t overhead;        // bytes of chunk extensions and trailers, which count for nothing
    size_t max_overhead;
    struct http_lines trailers;
    uint8_t digits; // of the chunk size so far
    uint8_t state;
    bool is_dropped; // nothing is kept
};

void http_body_init(struct http_body *body, size_t max_body, size_t max_overhead);
void http_body_fini(struct http_body *body);

// Begins the next body, and forgets the last. Returns HTTP_REQUEST if it is empty, HTTP_MORE if
// bytes are due, or HTTP_E_BODY_LARGE.
enum http_result http_body_begin(struct http_body *body, bool is_chunked, uint64_t length);

// From here on nothing is kept of the body, and `max` bytes more are allowed. False: more than that
// are announced already.
bool http_body_drop(struct http_body *body, size_t max);

// Returns HTTP_MORE (all consumed), HTTP_REQUEST (the body is whole), HTTP_E_BODY_LARGE,
// HTTP_E_HEAD_LARGE (extensions and trailers), HTTP_E_MALFORMED or HTTP_E_NOMEM.
enum http_result http_body_feed(struct http_body *body, const uint8_t *bytes, size_t size,
                                size_t *consumed);

#endif
