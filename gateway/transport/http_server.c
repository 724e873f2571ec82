// SPDX-License-Identifier: MIT
// HTTP connections and their exchanges.
//
// Invariants: a connection has at most one exchange, which is owed exactly in state HANDLING. Bytes
// are fed to the reader only in READING; in HANDLING and ANSWERING they wait in `pending`, and
// reading is paused while more than PENDING_PAUSE of them do. The reader exists only while a
// request is coming in: connections that are idle, or wait for a slow answer, own no buffers. An
// http_connection is freed when its conn has ended or, after an upgrade, in the reap phase.
#include "gateway/transport/http_server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"

enum {
    HEAD_MAX = 34 * 1024,      // bytes of a response's head
    PENDING_PAUSE = 16 * 1024, // bytes that may wait before reading pauses
    PENDING_MAX = 96 * 1024,   // what is over that can arrive by one read more
    LINGER_MS = 2000,          // for a client to read the last response and close
};

enum state {
    READING,   // idle, or a request is coming in
    HANDLING,  // the handler has it
    ANSWERING, // the response is being written
    CLOSING,   // the conn was closed or aborted
    UPGRADED,  // the conn is somebody else's
};

struct http_exchange {
    void (*on_abort)(struct http_exchange *exchange, void *arg);
    void *arg;
    unsigned minor;
    bool is_head;
    bool keep_alive;
};

struct http_connection {
    struct list link;           // of the server's connections
    struct http_server *server; // NULL: destroyed
    struct conn *conn;
    struct http_reader *reader; // NULL: no byte of a request has come
    struct buffer pending;
    // What follows the request that the handler is being given; NULL: what is pending.
    const uint8_t *rest;
    size_t rest_size;
    size_t unwritten; // of the response, when its progress was last looked at
    struct gw_deadline deadline;
    struct gw_task reap;
    struct http_exchange exchange;
    enum state state;
    bool is_paused;
    bool closes; // after the response
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

static void set_state(struct http_connection *http, enum state state)
{
#define TO(to) (1u << (to))
    static const unsigned allowed[] = {
        [READING] = TO(HANDLING) | TO(ANSWERING) | TO(CLOSING),
        [HANDLING] = TO(ANSWERING) | TO(CLOSING) | TO(UPGRADED),
        [ANSWERING] = TO(READING) | TO(CLOSING),
        [CLOSING] = TO(CLOSING),
        [UPGRADED] = 0,
    };
#undef TO
    assert(allowed[http->state] & 1u << state);
    (void)allowed;
#ifndef NDEBUG
    static const char *const names[] = {"reading", "handling", "answering", "closing", "upgraded"};
    gw_log(GW_LOG_DEBUG, "http", "%p %s -> %s", (void *)http, names[http->state], names[state]);
#endif
    http->state = state;
}

static void connection_free(struct http_connection *http)
{
    list_remove(&http->link);
    gw_deadline_stop(&http->deadline);
    http_reader_destroy(&http->reader);
    buffer_fini(&http->pending);
    free(http);
}

// ---- Closing

static void close_gently(struct http_connection *http)
{
    gw_deadline_stop(&http->deadline);
    set_state(http, CLOSING);
    conn_close(http->conn, LINGER_MS);
}

static void close_hard(struct http_connection *http)
{
    gw_deadline_stop(&http->deadline);
    set_state(http, CLOSING);
    conn_abort(http->conn);
}

static void abort_exchange(struct http_connection *http)
{
    if (http->state != HANDLING)
        return;
    set_state(http, CLOSING);
    if (http->exchange.on_abort)
        http->exchange.on_abort(&http->exchange, http->exchange.arg);
}

// ---- Responses

// Queues a response. `has_body` false: the body is not sent, but its length told.
static bool queue_response(struct http_connection *http, int status, const char *headers,
                           struct outq *body, bool has_body)
{
    struct outq *queue = conn_queue(http->conn);
    struct buffer head;
    buffer_init(&head, HEAD_MAX);
    bool is_queued = http_encode_head(&head, status, http->exchange.minor, !http->closes, headers,
                                      body->bytes) &&
                     outq_append_copy(queue, head.bytes, head.size) &&
                     (!has_body || outq_move(queue, body));
    buffer_fini(&head);
    return is_queued;
}

// Sends it, from whatever state; empties `body`.
static void answer(struct http_connection *http, int status, const char *headers, struct outq *body,
                   bool has_body)
{
    struct http_server *server = http->server;
    if (status >= 400)
        gw_metric_add(server->metrics, GW_HTTP_ERRORS, 1);
    if (queue_response(http, status, headers, body, has_body)) {
        set_state(http, ANSWERING);
        http->unwritten = conn_queue(http->conn)->bytes;
        gw_deadline_start(&server->request, &http->deadline);
        conn_flush(http->conn);
    } else {
        gw_log(GW_LOG_ERROR, "http", "a response was not sent: out of memory or its head too long");
        close_hard(http);
    }
    outq_fini(body);
}

// Answers what is no good request, and closes then.
static void refuse(struct http_connection *http, int status, const char *text)
{
    static const char headers[] = "Content-Type: text/plain; charset=utf-8\r\n"
                                  "X-Content-Type-Options: nosniff\r\n";
    struct outq body;
    outq_init(&body);
    gw_log(GW_LOG_DEBUG, "http", "refused status=%d: %s", status, text);
    http->exchange = (struct http_exchange){.minor = 1};
    http->closes = true;
    if (outq_append_copy(&body, text, strlen(text)) && outq_append_copy(&body, "\n", 1))
        answer(http, status, headers, &body, true);
    else
        close_hard(http);
    outq_fini(&body);
}

void http_respond_ranges(struct http_exchange *exchange, int status, const char *headers,
                         struct outq *body, bool close)
{
    struct http_connection *http = LIST_ENTRY(exchange, struct http_connection, exchange);
    assert(http->state == HANDLING);
    if (conn_is_closing(http->conn)) { // its end is on the way
        set_state(http, CLOSING);
        outq_fini(body);
        return;
    }
    http->closes = close || !exchange->keep_alive || http->server->is_stopping;
    answer(http, status, headers, body, !exchange->is_head && status != 204 && status != 304);
}

void http_respond(struct http_exchange *exchange, int status, const char *headers, const void *body,
                  size_t body_size, bool close)
{
    struct http_connection *http = LIST_ENTRY(exchange, struct http_connection, exchange);
    struct outq ranges;
    outq_init(&ranges);
    assert(http->state == HANDLING);
    if (outq_append_copy(&ranges, body, body_size))
        http_respond_ranges(exchange, status, headers, &ranges, close);
    else
        close_hard(http);
}

void http_exchange_on_abort(struct http_exchange *exchange,
                            void (*on_abort)(struct http_exchange *exchange, void *arg), void *arg)
{
    exchange->on_abort = on_abort;
    exchange->arg = arg;
}

bool http_exchange_is_open(const struct http_exchange *exchange)
{
    const struct http_connection *http =
        (const void *)((const char *)exchange - offsetof(struct http_connection, exchange));
    return http->server && !conn_is_closing(http->conn);
}

// ---- Requests

static void hand_over(struct http_connection *http, const uint8_t *rest, size_t rest_size)
{
    struct http_server *server = http->server;
    const struct http_request *request = http_reader_request(http->reader);
    gw_metric_add(server->metrics, GW_HTTP_REQUESTS, 1);
    gw_deadline_stop(&http->deadline);
    http->exchange = (struct http_exchange){
        .minor = request->minor,
        .is_head = request->method == HTTP_METHOD_HEAD,
        // Whoever asked for another protocol and does not get it may go on in either.
        .keep_alive = request->keep_alive && !request->is_upgrade,
    };
    set_state(http, HANDLING);
    http->rest = rest;
    http->rest_size = rest_size;
    server->handler(&http->exchange, request, server->arg);
    http->rest = NULL;
    http_reader_destroy(&http->reader);
}

static void send_continue(struct http_connection *http)
{
    static const char response[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (outq_append_copy(conn_queue(http->conn), response, sizeof response - 1))
        conn_flush(http->conn);
    else
        close_hard(http);
}

static void refuse_malformed(struct http_connection *http, int status, const char *text)
{
    gw_metric_add(http->server->metrics, GW_HTTP_MALFORMED, 1);
    refuse(http, status, text);
}

static void handle_result(struct http_connection *http, enum http_result result,
                          const uint8_t *rest, size_t rest_size)
{
    switch (result) {
    case HTTP_MORE:
        assert(rest_size == 0);
        break;
    case HTTP_REQUEST:
        hand_over(http, rest, rest_size);
        break;
    case HTTP_CONTINUE:
        send_continue(http);
        break;
    case HTTP_E_MALFORMED:
        refuse_malformed(http, 400, "Bad request: not valid HTTP/1.1");
        break;
    case HTTP_E_HEAD_LARGE:
        refuse_malformed(http, 431, "Request line and headers are too large");
        break;
    case HTTP_E_VERSION:
        refuse_malformed(http, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
        break;
    case HTTP_E_BODY_LARGE:
        refuse(http, 413, "The body is larger than allowed");
        break;
    case HTTP_E_EXPECTATION:
        refuse(http, 417, "No expectation but 100-continue is met");
        break;
    case HTTP_E_NOMEM:
        refuse(http, 503, "Out of memory");
        break;
    }
}

// Feeds the reader up to the end of a request; returns how much of it was used.
static size_t feed(struct http_connection *http, const uint8_t *bytes, size_t size)
{
    size_t used = 0;
    while (used < size && http->state == READING) {
        size_t consumed = 0;
        if (!http->reader) {
            http->reader = http_reader_new(&http->server->options.limits);
            gw_deadline_start(&http->server->request, &http->deadline);
        }
        if (!http->reader) {
            refuse(http, 503, "Out of memory");
            break;
        }
        enum http_result result =
            http_reader_feed(http->reader, bytes + used, size - used, &consumed);
        used += consumed;
        handle_result(http, result, bytes + used, size - used);
    }
    return used;
}

// ---- Waiting bytes

static bool is_waiting(const struct http_connection *http)
{
    return http->state == HANDLING || (http->state == ANSWERING && !http->closes);
}

static void keep(struct http_connection *http, const uint8_t *bytes, size_t size)
{
    if (size == 0 || !is_waiting(http))
        return;
    if (!buffer_append(&http->pending, bytes, size)) {
        abort_exchange(http);
        close_hard(http);
        return;
    }
    http->is_paused = http->pending.size > PENDING_PAUSE;
    if (http->is_paused)
        conn_pause(http->conn);
}

static void feed_pending(struct http_connection *http)
{
    size_t used = feed(http, http->pending.bytes, http->pending.size);
    if (!is_waiting(http))
        used = http->pending.size; // taken by the reader, or of no use any more
    buffer_consume(&http->pending, used);
    if (http->pending.size == 0)
        buffer_fini(&http->pending);
    if (http->is_paused && http->pending.size <= PENDING_PAUSE && http->state != UPGRADED) {
        http->is_paused = false;
        conn_resume(http->conn);
    }
}

// ---- The connection's handler

static void on_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    struct http_connection *http = owner;
    (void)conn;
    size_t used = http->state == READING ? feed(http, bytes, size) : 0;
    keep(http, bytes + used, size - used);
}

static void start_reading(struct http_connection *http)
{
    set_state(http, READING);
    gw_deadline_start(&http->server->idle, &http->deadline);
    if (http->pending.size > 0)
        feed_pending(http);
}

static void on_drained(struct conn *conn, void *owner)
{
    struct http_connection *http = owner;
    (void)conn;
    if (http->state != ANSWERING) // 100 Continue went out
        return;
    if (http->closes)
        close_gently(http);
    else
        start_reading(http);
}

static void on_end(struct conn *conn, void *owner, enum conn_end end)
{
    struct http_connection *http = owner;
    (void)conn;
    (void)end;
    abort_exchange(http);
    connection_free(http);
}

static const struct conn_handler http_conn_handler = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_end = on_end,
};

static void on_deadline(struct gw_deadline *deadline)
{
    struct http_connection *http = LIST_ENTRY(deadline, struct http_connection, deadline);
    if (http->state == ANSWERING) {
        size_t unwritten = conn_queue(http->conn)->bytes;
        if (unwritten >= http->unwritten) {
            close_hard(http);
            return;
        }
        http->unwritten = unwritten;
        gw_deadline_start(&http->server->request, deadline);
    } else if (http->reader && !http_reader_is_idle(http->reader)) {
        refuse(http, 408, "The request took too long to arrive");
    } else {
        close_gently(http);
    }
}

// ---- Upgrades

static void on_reap(struct gw_task *task)
{
    connection_free(LIST_ENTRY(task, struct http_connection, reap));
}

struct conn *http_upgrade(struct http_exchange *exchange, const char *head, size_t head_size,
                          const struct conn_handler *handler, void *owner)
{
    struct http_connection *http = LIST_ENTRY(exchange, struct http_connection, exchange);
    struct conn *conn = http->conn;
    const uint8_t *rest = http->rest ? http->rest : http->pending.bytes;
    size_t rest_size = http->rest ? http->rest_size : http->pending.size;
    assert(http->state == HANDLING);
    if (conn_is_closing(conn) || !outq_append_copy(conn_queue(conn), head, head_size) ||
        !conn_unread(conn, rest, rest_size)) {
        close_hard(http);
        return NULL;
    }
    conn_flush(conn);
    conn_set_handler(conn, handler, owner);
    if (http->is_paused)
        conn_resume(conn);
    set_state(http, UPGRADED);
    list_remove(&http->link);
    gw_deadline_stop(&http->deadline);
    // It may be in the middle of feed() now.
    gw_task_schedule(conn_loop(conn), GW_PHASE_REAP, &http->reap);
    return conn;
}

// ---- The server

void http_server_options_init(struct http_server_options *options)
{
    *options = (struct http_server_options){
        .limits = {.max_head = 16 * 1024, .max_headers = 100, .max_body = 1000000},
        .idle_timeout_ms = 5000,
        .request_timeout_ms = 60000,
    };
}

static void on_grace_over(struct gw_deadline *deadline)
{
    struct http_server *server = LIST_ENTRY(deadline, struct http_server, grace);
    for (struct list *link = server->connections.next; link != &server->connections;
         link = link->next)
        conn_abort(LIST_ENTRY(link, struct http_connection, link)->conn);
}

struct http_server *http_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                    const struct http_server_options *options,
                                    http_handler_fn *handler, void *arg)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->loop = loop;
    server->metrics = metrics;
    server->options = *options;
    server->handler = handler;
    server->arg = arg;
    list_init(&server->connections);
    gw_deadline_queue_init(&server->idle, loop, options->idle_timeout_ms);
    gw_deadline_queue_init(&server->request, loop, options->request_timeout_ms);
    gw_deadline_init(&server->grace, on_grace_over);
    return server;
}

void http_server_take(struct http_server *server, int fd)
{
    if (server->is_stopping) {
        close(fd);
        return;
    }
    struct http_connection *http = calloc(1, sizeof *http);
    struct conn *conn =
        http ? conn_open(server->loop, server->metrics, fd, &http_conn_handler, http) : NULL;
    if (!conn) {
        gw_metric_add(server->metrics, GW_ACCEPT_FAILED, 1);
        free(http);
        close(fd);
        return;
    }
    http->server = server;
    http->conn = conn;
    buffer_init(&http->pending, PENDING_MAX);
    gw_deadline_init(&http->deadline, on_deadline);
    gw_task_init(&http->reap, on_reap);
    list_append(&server->connections, &http->link);
    gw_deadline_start(&server->idle, &http->deadline);
}

void http_server_stop(struct http_server *server, int64_t grace_ms)
{
    server->is_stopping = true;
    for (struct list *link = server->connections.next; link != &server->connections;
         link = link->next) {
        struct http_connection *http = LIST_ENTRY(link, struct http_connection, link);
        http->closes = true;
        if (http->state == READING && !http->reader)
            close_gently(http);
    }
    struct gw_deadline_queue *queue = gw_loop_deadlines(server->loop, grace_ms);
    if (queue)
        gw_deadline_start(queue, &server->grace);
    else
        on_grace_over(&server->grace);
}

bool http_server_is_drained(const struct http_server *server)
{
    return list_is_empty(&server->connections);
}

void http_server_destroy(struct http_server **server_pointer)
{
    struct http_server *server = *server_pointer;
    *server_pointer = NULL;
    if (!server)
        return;
    while (!list_is_empty(&server->connections)) {
        struct http_connection *http =
            LIST_ENTRY(server->connections.next, struct http_connection, link);
        list_remove(&http->link);
        abort_exchange(http);
        gw_deadline_stop(&http->deadline);
        conn_abort(http->conn); // it is freed at its end
        http->server = NULL;
    }
    gw_deadline_stop(&server->grace);
    gw_deadline_queue_fini(&server->idle);
    gw_deadline_queue_fini(&server->request);
    free(server);
}
