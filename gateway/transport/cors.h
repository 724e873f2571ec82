// SPDX-License-Identifier: MIT
// Which pages may talk to us: Cross-Origin Resource Sharing (Fetch standard) for HTTP, and the same
// rule for the Origin of WebSocket handshakes.
#ifndef TALUS_GATEWAY_TRANSPORT_CORS_H
#define TALUS_GATEWAY_TRANSPORT_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/buffer.h"
#include "gateway/protocol/http.h"

struct cors {
    char **origins; // owned; none: only the page's own origin, as browsers enforce it
    size_t count;
    bool is_any; // "*" was among them
};

// Copies the list: `*`, or origins as browsers send them (`https://app.example:8443`). False: out
// of memory, or one is no origin; then `error` says which.
bool cors_init(struct cors *cors, const char *const *origins, size_t count, char *error,
               size_t error_size);
void cors_fini(struct cors *cors);

// Appends the response headers that the request calls for ("Access-Control-Allow-Origin: …\r\n"…,
// with credentials, and Vary: Origin where the answer depends on it); nothing if there is no Origin
// or it is not allowed. False: the buffer's bound is met.
bool cors_append_headers(const struct cors *cors, const struct http_request *request,
                         struct buffer *out);

// Whether the request is a preflight (OPTIONS with Access-Control-Request-Method), and its headers.
bool cors_is_preflight(const struct http_request *request);
bool cors_append_preflight(const struct cors *cors, const struct http_request *request,
                           struct buffer *out);

// Whether a WebSocket handshake with this request's Origin is allowed: no Origin (no browser), the
// same host as `Host`, or a configured one.
bool cors_allows(const struct cors *cors, const struct http_request *request);

#endif
