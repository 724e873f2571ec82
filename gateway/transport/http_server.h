// SPDX-License-Identifier: MIT
// HTTP connections: requests in, responses out, upgrades handed on. It knows no paths: one handler
// gets every request.
//
// Requests of one connection are handled one after the other: while an exchange is not answered,
// reading is paused once a bounded number of further bytes wait, and pipelined requests wait there.
#ifndef TALUS_GATEWAY_TRANSPORT_HTTP_SERVER_H
#define TALUS_GATEWAY_TRANSPORT_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/loop.h"
#include "gateway/base/metrics.h"
#include "gateway/protocol/http.h"
#include "gateway/transport/conn.h"

struct http_server;
struct http_exchange; // one request and its response that is still owed

// The request borrows until the handler returns; the exchange lives until it is answered, upgraded
// or aborted. The handler may answer at once or later.
typedef void http_handler_fn(struct http_exchange *exchange, const struct http_request *request,
                             void *arg);

struct http_server_options {
    struct http_limits limits;
    int64_t idle_timeout_ms;    // between requests; default 5,000, as Node's
    int64_t request_timeout_ms; // from the first byte of a request to its last; default 60,000
};

void http_server_options_init(struct http_server_options *options);

// NULL: out of memory.
struct http_server *http_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                    const struct http_server_options *options,
                                    http_handler_fn *handler, void *arg);

// Closes idle connections, lets answered exchanges finish, and aborts the rest after `grace_ms`.
void http_server_stop(struct http_server *server, int64_t grace_ms);
bool http_server_is_drained(const struct http_server *server);
void http_server_destroy(struct http_server **server); // stopped and drained, or it aborts them

// Takes over a connected descriptor.
void http_server_take(struct http_server *server, int fd);

// ---- Exchanges

// Called if the connection ends before the exchange was answered; the exchange is gone when it
// returns.
void http_exchange_on_abort(struct http_exchange *exchange,
                            void (*on_abort)(struct http_exchange *exchange, void *arg), void *arg);

// Answers. `headers` are whole lines ("Name: value\r\n"…) or "". For HEAD the body is not sent, its
// length is. Consumes the exchange. `close`: close the connection after it in any case.
void http_respond(struct http_exchange *exchange, int status, const char *headers, const void *body,
                  size_t body_size, bool close);

// Sends `head` (a whole 101 response) and gives the connection away: the caller sets a handler of
// its own at once. Bytes that came after the request are delivered to that handler in this turn.
// Consumes the exchange. NULL: out of memory, the connection was aborted.
struct conn *http_upgrade(struct http_exchange *exchange, const char *head, size_t head_size,
                          const struct conn_handler *handler, void *owner);

#endif
