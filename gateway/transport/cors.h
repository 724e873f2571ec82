// SPDX-License-Identifier: MIT
// Which pages may talk to us: Cross-Origin Resource Sharing (Fetch standard) for HTTP, and the same
// rule for the Origin of handshakes. Immutable after init, so any thread may use it.
#ifndef TALUS_GATEWAY_TRANSPORT_CORS_H
#define TALUS_GATEWAY_TRANSPORT_CORS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"
#include "gateway/protocol/http.h"

struct cors {
    char **origins; // owned, in the form browsers send; "*" is not among them
    size_t count;
    bool is_any; // "*" was given: every origin, but only the listed ones with credentials
};

// Copies the list: `*`, `null` (the origin of sandboxed frames and of files), or origins as
// browsers send them (`https://app.example:8443`; letter case and a scheme's default port do not
// matter). An empty list leaves only the page's own origin, as browsers enforce it. False: out of
// memory, or one is no origin; then `error`, of `error_size` bytes, says which, and there is
// nothing to finish.
bool cors_init(struct cors *cors, const char *const *origins, size_t count, char *error,
               size_t error_size);
void cors_fini(struct cors *cors);

// Whether anything is configured: if not, no response carries headers and preflights are requests
// like any other.
bool cors_is_configured(const struct cors *cors);

// Appends the response headers ("Access-Control-Allow-Origin: …\r\n"…): a listed origin is named,
// with credentials; `*` stands for the others if it was given; `Vary: Origin` wherever the answer
// depends on the origin. False: the buffer's bound is met or memory is out; what was appended by
// then stays.
bool cors_append_headers(const struct cors *cors, const struct http_request *request,
                         struct tl_buffer *out);

// Whether the request is to be answered as a preflight (OPTIONS, and something is configured), and
// the headers of that answer, those above included.
bool cors_is_preflight(const struct cors *cors, const struct http_request *request);
bool cors_append_preflight(const struct cors *cors, const struct http_request *request,
                           struct tl_buffer *out);

// Whether a handshake with this request's Origin is allowed: no Origin (no browser), the same host
// and port as `Host` (a port that is the default of the origin's scheme equals none), or a
// configured one.
bool cors_allows(const struct cors *cors, const struct http_request *request);

#endif
