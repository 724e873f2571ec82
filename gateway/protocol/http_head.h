// SPDX-License-Identifier: MIT
// The meaning of a request's head: what is asked, and how its body is framed. Internal to the HTTP
// reader.
#ifndef TALUS_GATEWAY_PROTOCOL_HTTP_HEAD_H
#define TALUS_GATEWAY_PROTOCOL_HTTP_HEAD_H

#include "gateway/protocol/http.h"
#include "gateway/protocol/http_backend.h"

struct http_head {
    struct http_request request;
    struct http_header *headers; // what request.headers shows; owned
    struct http_fields fields;   // where the parser found them; fields.all is owned
    uint64_t content_length;     // 0 if the body is chunked or there is none
    bool is_chunked;
};

// Makes room for `max_headers` fields. False: out of memory, nothing is owned.
bool http_head_init(struct http_head *head, unsigned max_headers);
void http_head_fini(struct http_head *head);

// Reads a whole head that http_lines let pass. The request then points into `bytes`, which get NULs
// where texts end. Returns HTTP_REQUEST, or HTTP_E_MALFORMED, HTTP_E_VERSION, HTTP_E_HEAD_LARGE
// (too many headers) or HTTP_E_EXPECTATION.
enum http_result http_head_read(struct http_head *head, char *bytes, size_t size);

#endif
