// SPDX-License-Identifier: MIT
// HTTP connections: requests in, responses out, upgrades handed on. It knows no paths: one handler
// gets every request.
//
// A client may send requests without waiting for the answers: up to 16 of one connection are under
// way at a time, handled as they come, and answered in their order. A further one is read only when
// less than 16 KiB of answers are unsent, and reading is paused once a bounded number of bytes
// wait. So a client that sends without reading costs little more than one response, and is closed
// when it takes nothing of that for request_timeout_ms. A request for an upgrade waits until all
// before it are answered.
//
// A request that is invalid, too large or too slow is answered here (400, 408, 417, 431, 503, 505;
// 413 of upgrades), and the connection closed such that the client can read the answer.
//
// All of it is for the loop's thread alone; nothing blocks. A request that is for a server of
// another loop is handed to it by http_relay.h.
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

// Gets each whole request. `request` borrows until the handler returns; the exchange lives until it
// is answered, upgraded or aborted. The handler may answer at once or later, but must see to it
// that it happens: the server has no bound on how long that takes.
typedef void http_handler_fn(struct http_exchange *exchange, const struct http_request *request,
                             void *arg);

// A request's body may be larger than allowed (is_oversized): then it is not given, and the handler
// answers 413, unless there is a better reason to refuse, or the body means nothing to it. What is
// still to come of it is dropped.

struct http_server_options {
    struct http_limits limits;
    int64_t idle_timeout_ms; // before the first request and between requests; default 5,000
    // From the first byte of a request to its last, and for a client to take some part of a
    // response; default 60,000.
    int64_t request_timeout_ms;
    // Called, with the handler's `arg`, when the head of a request is whole and its body is still
    // to come (not if both came at once). It may do nothing, answer (the body is dropped then, and
    // the handler not called), or claim the exchange. NULL, the default: nothing.
    http_handler_fn *on_head;
};

// The defaults, with bodies of 1,000,000 bytes at most.
void http_server_options_init(struct http_server_options *options);

// NULL: out of memory. `options` are copied.
struct http_server *http_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                    const struct http_server_options *options,
                                    http_handler_fn *handler, void *arg);

// Closes idle connections, answers what was asked and closes those connections then, and aborts
// what is left after `grace_ms`. Descriptors that are handed over from here on are closed.
void http_server_stop(struct http_server *server, int64_t grace_ms);
// Whether no connection is left (those that were upgraded are no longer the server's), and no
// request of another loop is unanswered.
bool http_server_is_drained(const struct http_server *server);
// Frees the server and nulls the pointer; NULL-safe. Connections that are left are aborted, and
// the on_abort of their exchanges is called before this returns. Not from within its handler.
void http_server_destroy(struct http_server **server);

// Takes over a connected, non-blocking socket. If memory is out it is closed and counted.
void http_server_take(struct http_server *server, int fd);

// ---- Exchanges

// Called if the connection ends before the exchange was answered; the exchange is gone when it
// returns. It must not be answered any more from within. NULL: not wanted.
void http_exchange_on_abort(struct http_exchange *exchange,
                            void (*on_abort)(struct http_exchange *exchange, void *arg), void *arg);

// From within on_head: `handler`, with `arg`, gets the whole request instead of the server's; or
// on_abort is called if the connection ends before (or after, if the request is not answered yet).
void http_exchange_claim(struct http_exchange *exchange, http_handler_fn *handler,
                         void (*on_abort)(struct http_exchange *exchange, void *arg), void *arg);

// Closes the connection at once. Consumes the exchange, without its on_abort; those of others on
// the connection follow in this turn.
void http_exchange_abort(struct http_exchange *exchange);

// Whether the connection still stands. If not, on_abort follows in this turn; an answer before that
// would reach nobody.
bool http_exchange_is_open(const struct http_exchange *exchange);

// Answers. `headers` are whole lines ("Name: value\r\n"…, 32 KiB at most) or ""; Date,
// Content-Length and Connection are added. Not sent, though its length is told: the body of an
// answer to HEAD. Never sent: one of 204 or 304. Consumes the exchange. `close`: close the
// connection after it in any case; later requests that are under way on it are aborted. If memory
// is out the connection is aborted.
void http_respond(struct http_exchange *exchange, int status, const char *headers, const void *body,
                  size_t body_size, bool close);

// The same with a body of shared bytes, which are moved out of `body` and not copied. `body` is
// empty afterwards, whatever happened.
void http_respond_ranges(struct http_exchange *exchange, int status, const char *headers,
                         struct outq *body, bool close);

// For a request that is_upgrade. Sends `head` (a whole 101 response) and gives the connection away,
// to `handler`, which is borrowed and must outlive it. Bytes that came after the request are
// delivered to it in this turn (the next one, if the distribution phase is over), never before this
// returns. Consumes the exchange. NULL: out of memory, or the connection is over; nothing of the
// handler is called then, nor is on_abort.
struct conn *http_upgrade(struct http_exchange *exchange, const char *head, size_t head_size,
                          const struct conn_handler *handler, void *owner);

#endif
