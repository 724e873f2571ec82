// SPDX-License-Identifier: MIT
// Shared by the files of the HTTP server; no other file includes it.
//
// A connection reads requests (http_connection.c), each of which becomes an exchange; exchanges are
// answered in any order, and their answers leave in the order of the requests (http_exchange.c). A
// request that another loop is to answer has an exchange there that stands for its own
// (http_relay.c).
#ifndef TALUS_GATEWAY_TRANSPORT_HTTP_INTERNAL_H
#define TALUS_GATEWAY_TRANSPORT_HTTP_INTERNAL_H

#include <stdatomic.h>

#include "common/list.h"
#include "gateway/transport/http_relay.h"
#include "gateway/transport/http_server.h"

struct http_relay;

enum http_state {
    HTTP_STATE_READING,   // idle, or a request is coming in
    HTTP_STATE_HELD,      // an upgrade request is whole, and waits for the answers before its own
    HTTP_STATE_UPGRADING, // the handler has it; what follows may be no HTTP
    HTTP_STATE_LAST,      // no request is read any more
    HTTP_STATE_ENDING,    // the answer that says so is queued; the connection closes behind it
    HTTP_STATE_CLOSING,   // the conn was closed or aborted
    HTTP_STATE_UPGRADED,  // the conn is somebody else's
};

// How an exchange is answered that stands for one of another loop: see http_relay.c.
struct http_stand_in_ops {
    // Answers with a copy of `body`, which is emptied. Consumes the exchange.
    void (*answer)(struct http_exchange *exchange, int status, const char *headers,
                   struct outq *body, bool close);
    // Closes the connection of the other loop. Consumes the exchange.
    void (*abort)(struct http_exchange *exchange);
};

struct http_exchange {
    struct tl_list link; // of the connection's exchanges, or of the server's that are relayed
    struct http_connection *http; // NULL: the connection is another loop's, and there is a relay
    struct http_relay *relay;
    const struct http_stand_in_ops *remote; // beside `relay`
    http_handler_fn *handler;               // gets the request when it is whole; NULL: the server's
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
    struct tl_list link;        // of the server's connections
    struct http_server *server; // NULL: destroyed
    struct conn *conn;
    struct tl_list exchanges;       // in the order of their requests
    struct http_exchange *incoming; // the one whose body is coming in, NULL: none
    struct http_reader *reader;     // NULL: no byte of a request has come
    struct tl_buffer pending;
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
    struct tl_list connections;
    struct tl_list relayed; // exchanges that stand for those of other loops, unanswered
    atomic_size_t arrears; // bytes of requests that other loops have sent and that were not handled
    struct gw_deadline_queue idle;
    struct gw_deadline_queue request;
    struct gw_deadline grace;
    struct http_reader *spare_reader; // of the last request, for the next one; NULL: none
    bool is_stopping;
};

// ---- http_state.c

void http__set_state(struct http_connection *http, enum http_state state);
// To CLOSING; the caller sees to the conn.
void http__begin_closing(struct http_connection *http);
void http__close_hard(struct http_connection *http);
// Has the rest of the body that is coming in dropped. False: that is not worth while.
bool http__drop_body(struct http_connection *http);

// ---- http_connection.c

// Takes over a descriptor. NULL: out of memory.
struct http_connection *http__connection_open(struct http_server *server, int fd);
// The same of one whose upgrade request was read already, and hands that over: `rest` follows it,
// `unsent`, with the copies of the counts, is still to be written before its answer. False: out of
// memory.
bool http__connection_adopt(struct http_server *server, int fd, const struct http_request *request,
                            const struct tl_buffer *rest, const struct tl_buffer *unsent,
                            const struct copy_counts *counts);
void http__connection_free(struct http_connection *http);
// Whether nothing is going on.
bool http__connection_is_idle(const struct http_connection *http);
// Closes when what is queued is written; what is owed is aborted.
void http__close_gently(struct http_connection *http);

// ---- http_exchange.c

// A new exchange behind the others. NULL: out of memory.
struct http_exchange *http__exchange_new(struct http_connection *http,
                                         const struct http_request *request);
// Counts the copies that are left in a queue whose connection is over, and empties it.
void http__drop_queue(struct gw_metrics *metrics, struct outq *queue);
// Frees one without a word to its handler.
void http__exchange_free(struct http_exchange *exchange);
// Gives a whole request to its handler.
void http__exchange_handle(struct http_server *server, struct http_exchange *exchange,
                           const struct http_request *request);
// Takes the connection away from a request for an upgrade, with the bytes that followed it and
// those that are still to be written, whose copies are added to the counts. Consumes the exchange.
// -1: out of memory, or the connection was over; it is closed.
int http__detach(struct http_exchange *exchange, struct tl_buffer *rest, struct tl_buffer *unsent,
                 struct copy_counts *counts);
// Tells all handlers that they need not answer any more.
void http__abort_exchanges(struct http_connection *http);
// Has the client told that the body is welcome, when its turn is there.
void http__send_continue(struct http_exchange *exchange);
// Answers an invalid request, after the answers still owed, and then closes.
void http__refuse(struct http_connection *http, int status, const char *text);

// ---- http_relay.c

// Tells the handlers of all exchanges that stand for others, and closes their connections.
void http__abort_relayed(struct http_server *server);

#endif
