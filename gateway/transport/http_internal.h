// SPDX-License-Identifier: MIT
// What the files of the HTTP server share. Nobody else includes it.
//
// A connection reads requests (http_connection.c), each of which becomes an exchange; exchanges are
// answered in any order, and their answers leave in the order of the requests (http_exchange.c).
#ifndef TALUS_GATEWAY_TRANSPORT_HTTP_INTERNAL_H
#define TALUS_GATEWAY_TRANSPORT_HTTP_INTERNAL_H

#include "gateway/base/list.h"
#include "gateway/transport/http_server.h"

enum http_state {
    HTTP_STATE_READING,   // idle, or a request is coming in
    HTTP_STATE_HELD,      // an upgrade request is whole, and waits for the answers before its own
    HTTP_STATE_UPGRADING, // the handler has it; what follows may be no HTTP
    HTTP_STATE_LAST,      // no request is read any more
    HTTP_STATE_ENDING,    // the answer that says so is queued; the connection closes behind it
    HTTP_STATE_CLOSING,   // the conn was closed or aborted
    HTTP_STATE_UPGRADED,  // the conn is somebody else's
};

struct http_exchange {
    struct list link; // of the connection's exchanges
    struct http_connection *http;
    http_handler_fn *handler; // gets the request when it is whole; NULL: the server's
    void (*on_abort)(struct http_exchange *exchange, void *arg);
    void *arg;
    struct outq answer; // what waits for earlier exchanges
    uint8_t minor;
    bool is_head;
    bool keep_alive;
    bool is_answered;
    bool closes; // the connection, once it is answered
};

struct http_connection {
    struct list link;           // of the server's connections
    struct http_server *server; // NULL: destroyed
    struct conn *conn;
    struct list exchanges;          // in the order of their requests
    struct http_exchange *incoming; // the one whose body is coming in, NULL: none
    struct http_reader *reader;     // NULL: no byte of a request has come
    struct buffer pending;
    // What follows the request that the handler is being given; NULL: what is pending.
    const uint8_t *rest;
    size_t rest_size;
    size_t waiting;           // bytes of answers that wait for earlier exchanges
    size_t unwritten;         // of the conn's queue, had nothing been written since the last look
    struct gw_deadline input; // the next request's beginning, or its end
    struct gw_deadline output;
    struct gw_task reap;
    uint8_t state; // enum http_state
    uint8_t exchange_count;
    bool is_paused;
    bool is_dropping; // the body that is coming in: its request has been answered
};

struct http_server {
    struct gw_loop *loop;
    struct gw_metrics *metrics;
    struct http_server_options options;
    http_handler_fn *handler;
    void *arg;
    struct list connections;
    struct gw_deadline_queue idle;
    struct gw_deadline_queue request;
    struct gw_deadline grace;
    bool is_stopping;
};

// ---- http_connection.c

// Takes over a descriptor. False: out of memory.
bool http__connection_open(struct http_server *server, int fd);
void http__connection_free(struct http_connection *http);
void http__set_state(struct http_connection *http, enum http_state state);
// Whether nothing is going on.
bool http__connection_is_idle(const struct http_connection *http);
// Closes when what is queued is written; what is owed is aborted.
void http__close_gently(struct http_connection *http);
void http__close_hard(struct http_connection *http);
// Has the rest of the body that is coming in dropped. False: that is not worth while.
bool http__drop_body(struct http_connection *http);

// ---- http_exchange.c

// A new exchange behind the others. NULL: out of memory.
struct http_exchange *http__exchange_new(struct http_connection *http,
                                         const struct http_request *request);
// Frees one without a word to its handler.
void http__exchange_free(struct http_exchange *exchange);
// Tells all handlers that they need not answer any more.
void http__abort_exchanges(struct http_connection *http);
// Has the client told that the body is welcome, when its turn is there.
void http__send_continue(struct http_exchange *exchange);
// Answers, behind what is owed, what is no good request, and closes then.
void http__refuse(struct http_connection *http, int status, const char *text);

#endif
