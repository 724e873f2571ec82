// SPDX-License-Identifier: MIT
// Requests that came to one loop and are for the server of another. Connections stay with their
// loop: the request goes to the other one as a copy, and the answer comes back to the connection,
// in its place among those of the requests before and after it. Only an upgrade takes its
// connection along.
//
// Both servers must live until their loops, and all that post to these, have ended; then they are
// destroyed, before any of the loops is.
#ifndef TALUS_GATEWAY_TRANSPORT_HTTP_RELAY_H
#define TALUS_GATEWAY_TRANSPORT_HTTP_RELAY_H

#include "gateway/transport/http_server.h"

// Has the handler of `to`, a server of another loop, deal with a whole request, on its loop, with
// an exchange like any other. If the connection ends first, on_abort of that exchange is called.
// Consumes the exchange.
//
// An upgrade is handed over with its connection, and all that was read of it and is still to be
// written. Otherwise it is answered here (503) if memory is out, or `to` is far behind with what
// loops have sent it.
void http_relay(struct http_exchange *exchange, const struct http_request *request,
                struct http_server *to);

// From within on_head: the same in two steps. `to` is told of the head now (its on_head is called),
// and gets the whole request when it has come. If memory is out, nothing is done.
void http_relay_head(struct http_exchange *exchange, const struct http_request *request,
                     struct http_server *to);

#endif
