// SPDX-License-Identifier: MIT
// WebSocket: each packet is a text frame, a binary message is a binary frame.
#ifndef TALUS_GATEWAY_TRANSPORT_WEBSOCKET_H
#define TALUS_GATEWAY_TRANSPORT_WEBSOCKET_H

#include "gateway/transport/transport.h"

extern const struct transport_ops websocket_ops;

// ---- The opening handshake (RFC 6455, section 4.2)

struct websocket_refusal {
    int status;
    const char *headers; // lines, may be ""
    const char *message; // the response's body
};

// Whether a request is a handshake that can be accepted; false fills in `refusal`.
bool websocket_check(const struct http_request *request, struct websocket_refusal *refusal);

// Appends the whole 101 response to a request that was checked. False: the bound of `out` is met or
// memory is out.
bool websocket_append_head(const struct cors *cors, const struct http_request *request,
                           struct tl_buffer *out);

#endif
