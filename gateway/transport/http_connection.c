// SPDX-License-Identifier: MIT
// The reading side of HTTP connections. Invariants: a request is begun only while the server has
// room for it (few enough are owed, and little enough is unsent), but once begun it is read to its
// end. Bytes that cannot be read yet wait in `pending`, and reading is paused while more than
// PENDING_PAUSE of them do. The reader exists only while a request is coming in: connections that
// are idle, or wait for a slow answer, own no buffers. An http_connection is freed when its conn
// has ended or, after an upgrade, in the reap phase.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/transport/http_internal.h"

enum {
    EXCHANGES_MAX = 16,        // of a connection, under way at a time
    UNSENT_MAX = 16 * 1024,    // bytes of answers behind which no further request is begun
    PENDING_PAUSE = 16 * 1024, // bytes that may wait before reading pauses
    PENDING_MAX = 96 * 1024,   // what is over that can arrive by one read more
    LINGER_MS = 2000,          // for a client to read the last response and close
};

static_assert(sizeof(struct http_connection) <= 256, "idle connections are to stay small");

// Most requests come whole: then one reader serves all connections.
static void release_reader(struct http_connection *http)
{
    if (http->reader && http->server && !http->server->spare_reader) {
        http_reader_reset(http->reader);
        http->server->spare_reader = http->reader;
        http->reader = NULL;
    }
    http_reader_destroy(&http->reader);
}

static struct http_reader *take_reader(struct http_server *server)
{
    struct http_reader *reader = server->spare_reader;
    server->spare_reader = NULL;
    return reader ? reader : http_reader_new(&server->options.limits);
}

void http__connection_free(struct http_connection *http)
{
    tl_list_remove(&http->link);
    gw_deadline_stop(&http->input);
    gw_deadline_stop(&http->output);
    release_reader(http);
    tl_buffer_fini(&http->pending);
    free(http);
}

bool http__connection_is_idle(const struct http_connection *http)
{
    return http->state == HTTP_STATE_READING && !http->reader &&
           tl_list_is_empty(&http->exchanges) && outq_is_empty(conn_queue(http->conn));
}

// ---- Closing

void http__close_gently(struct http_connection *http)
{
    http__begin_closing(http);
    conn_close(http->conn, LINGER_MS);
    http__abort_exchanges(http);
}

// ---- Requests

static bool can_read(const struct http_connection *http)
{
    if (http->state != HTTP_STATE_READING)
        return false;
    return http->reader || (http->exchange_count < EXCHANGES_MAX &&
                            conn_queue(http->conn)->bytes + http->waiting <= UNSENT_MAX);
}

static void end_request(struct http_connection *http)
{
    http->is_dropping = false;
    gw_deadline_stop(&http->input);
    release_reader(http);
}

static void rest_or_close(struct http_connection *http)
{
    if (!http__connection_is_idle(http))
        return;
    if (http->server->is_stopping)
        http__close_gently(http);
    else
        gw_deadline_start(&http->server->idle, &http->input);
}

// What is wrong with a request ends the connection, behind the answers to earlier ones.
static void refuse(struct http_connection *http, int status, const char *text)
{
    struct http_exchange *incoming = http->incoming;
    bool is_answered = http->is_dropping;
    end_request(http);
    if (is_answered) {
        http__close_gently(http);
        return;
    }
    if (incoming && incoming->on_abort)
        incoming->on_abort(incoming, incoming->arg);
    if (incoming)
        http__exchange_free(incoming);
    if (http->state < HTTP_STATE_LAST)
        http__refuse(http, status, text);
}

static bool is_anything_pending_before(const struct http_connection *http)
{
    return http->exchange_count > (http->incoming ? 1 : 0);
}

static struct http_exchange *begin_exchange(struct http_connection *http)
{
    const struct http_request *request = http_reader_request(http->reader);
    gw_metric_add(http->server->metrics, GW_HTTP_REQUESTS, 1);
    struct http_exchange *exchange = http__exchange_new(http, request);
    if (!exchange)
        refuse(http, 503, "Out of memory");
    return exchange;
}

// The head is whole, and the body is not.
static void receive_head(struct http_connection *http, bool expects_continue)
{
    const struct http_server *server = http->server;
    const struct http_request *request = http_reader_request(http->reader);
    http->incoming = begin_exchange(http);
    if (http->incoming && server->options.on_head && !request->is_upgrade)
        server->options.on_head(http->incoming, request, server->arg);
    if (http->incoming && expects_continue)
        http__send_continue(http->incoming);
}

// `rest` is what follows the request.
static void receive_request(struct http_connection *http, const uint8_t *rest, size_t rest_size)
{
    const struct http_request *request = http_reader_request(http->reader);
    struct http_exchange *exchange = http->incoming;
    if (http->is_dropping) {
        end_request(http);
        rest_or_close(http);
        return;
    }
    gw_deadline_stop(&http->input);
    if (request->is_upgrade && is_anything_pending_before(http)) {
        http__set_state(http, HTTP_STATE_HELD);
        return;
    }
    if (!exchange)
        exchange = begin_exchange(http);
    if (!exchange)
        return;
    http->incoming = NULL;
    if (request->is_upgrade)
        http__set_state(http, HTTP_STATE_UPGRADING);
    else if (!exchange->keep_alive)
        http__set_state(http, HTTP_STATE_LAST);
    http->rest = rest;
    http->rest_size = rest_size;
    http__exchange_handle(http->server, exchange, request);
    http->rest = NULL;
    release_reader(http);
}

// What it asks for may be refused for a better reason than the size of its body.
static void receive_oversized(struct http_connection *http)
{
    const struct http_request *request = http_reader_request(http->reader);
    if (request->is_upgrade || http->is_dropping) {
        refuse(http, 413, "The body is larger than allowed");
        return;
    }
    struct http_exchange *exchange = http->incoming ? http->incoming : begin_exchange(http);
    if (!exchange)
        return;
    http->incoming = NULL;
    bool is_dropping = http__drop_body(http);
    if (!is_dropping) {
        exchange->keep_alive = false;
        http__set_state(http, HTTP_STATE_LAST);
    }
    http__exchange_handle(http->server, exchange, request);
    if (!is_dropping)
        end_request(http);
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
        if (!http->incoming && !http->is_dropping && http_reader_is_in_body(http->reader))
            receive_head(http, false);
        break;
    case HTTP_REQUEST:
        receive_request(http, rest, rest_size);
        break;
    case HTTP_CONTINUE:
        receive_head(http, true);
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
        receive_oversized(http);
        break;
    case HTTP_E_EXPECTATION:
        refuse(http, 417, "No expectation but 100-continue is met");
        break;
    case HTTP_E_NOMEM:
        refuse(http, 503, "Out of memory");
        break;
    }
}

static bool begin_request(struct http_connection *http)
{
    http->reader = take_reader(http->server);
    if (http->reader)
        gw_deadline_start(&http->server->request, &http->input);
    else
        refuse(http, 503, "Out of memory");
    return http->reader != NULL;
}

// Reads as much as may be read; returns how much that was.
static size_t feed(struct http_connection *http, const uint8_t *bytes, size_t size)
{
    size_t used = 0;
    while (used < size && can_read(http) && (http->reader || begin_request(http))) {
        size_t consumed = 0;
        enum http_result result =
            http_reader_feed(http->reader, bytes + used, size - used, &consumed);
        used += consumed;
        handle_result(http, result, bytes + used, size - used);
    }
    return used;
}

// ---- Waiting bytes

static void pause_reading(struct http_connection *http)
{
    http->is_paused = true;
    conn_pause(http->conn);
}

static void keep(struct http_connection *http, const uint8_t *bytes, size_t size)
{
    if (size == 0 || http->state >= HTTP_STATE_CLOSING)
        return;
    bool is_of_use = http->state < HTTP_STATE_LAST;
    if (is_of_use && !tl_buffer_append(&http->pending, bytes, size))
        http__close_hard(http);
    else if (!is_of_use || http->pending.size > PENDING_PAUSE)
        pause_reading(http);
}

static void feed_pending(struct http_connection *http)
{
    size_t used = feed(http, http->pending.bytes, http->pending.size);
    if (http->state >= HTTP_STATE_LAST)
        used = http->pending.size; // of no use any more
    tl_buffer_consume(&http->pending, used);
    if (http->pending.size == 0)
        tl_buffer_fini(&http->pending);
    if (http->is_paused && http->pending.size <= PENDING_PAUSE && http->state < HTTP_STATE_LAST) {
        http->is_paused = false;
        conn_resume(http->conn);
    }
}

// ---- The connection's handler

static void on_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    struct http_connection *http = owner;
    (void)conn;
    size_t used = http->pending.size == 0 ? feed(http, bytes, size) : 0;
    keep(http, bytes + used, size - used);
}

static void on_drained(struct conn *conn, void *owner)
{
    struct http_connection *http = owner;
    (void)conn;
    gw_deadline_stop(&http->output);
    if (http->state == HTTP_STATE_ENDING) {
        http__close_gently(http);
        return;
    }
    if (http->state == HTTP_STATE_HELD && !is_anything_pending_before(http))
        receive_request(http, NULL, 0);
    else if (http->pending.size > 0)
        feed_pending(http);
    rest_or_close(http);
}

static void on_end(struct conn *conn, void *owner, enum conn_end end)
{
    struct http_connection *http = owner;
    (void)end;
    http__begin_closing(http);
    http__abort_exchanges(http);
    http__drop_queue(conn_metrics(conn), conn_queue(conn));
    http__connection_free(http);
}

static const struct conn_handler http_conn_handler = {
    .on_data = on_data,
    .on_drained = on_drained,
    .on_end = on_end,
};

// ---- Deadlines

static void on_input_late(struct gw_deadline *deadline)
{
    struct http_connection *http = TL_LIST_ENTRY(deadline, struct http_connection, input);
    if (http->reader && !http->is_dropping && !http_reader_is_idle(http->reader))
        refuse(http, 408, "The request took too long to arrive");
    else if (http->is_dropping || tl_list_is_empty(&http->exchanges))
        http__close_gently(http);
    else
        end_request(http); // there was nothing but an empty line
}

static void on_output_late(struct gw_deadline *deadline)
{
    struct http_connection *http = TL_LIST_ENTRY(deadline, struct http_connection, output);
    size_t unwritten = conn_queue(http->conn)->bytes;
    if (unwritten >= http->unwritten) {
        http__close_hard(http);
        return;
    }
    http->unwritten = unwritten;
    gw_deadline_start(&http->server->request, deadline);
}

static void on_reap(struct gw_task *task)
{
    http__connection_free(TL_LIST_ENTRY(task, struct http_connection, reap));
}

// ---- Life

struct http_connection *http__connection_open(struct http_server *server, int fd)
{
    struct http_connection *http = calloc(1, sizeof *http);
    struct conn *conn =
        http ? conn_open(server->loop, server->metrics, fd, &http_conn_handler, http) : NULL;
    if (!conn) {
        free(http);
        return NULL;
    }
    http->server = server;
    http->conn = conn;
    tl_list_init(&http->exchanges);
    tl_buffer_init(&http->pending, PENDING_MAX);
    gw_deadline_init(&http->input, on_input_late);
    gw_deadline_init(&http->output, on_output_late);
    gw_task_init(&http->reap, on_reap);
    tl_list_append(&server->connections, &http->link);
    gw_deadline_start(&server->idle, &http->input);
    return http;
}

bool http__connection_adopt(struct http_server *server, int fd, const struct http_request *request,
                            const struct tl_buffer *rest, const struct tl_buffer *unsent,
                            const struct copy_counts *counts)
{
    struct http_connection *http = http__connection_open(server, fd);
    if (!http)
        return false;
    gw_deadline_stop(&http->input);
    http__set_state(http, HTTP_STATE_UPGRADING);
    struct http_exchange *exchange = http__exchange_new(http, request);
    if (!exchange || !tl_buffer_append(&http->pending, rest->bytes, rest->size) ||
        !outq_append_counted(conn_queue(http->conn), unsent->bytes, unsent->size, counts)) {
        gw_metrics_drop(server->metrics, GW_DROPPED_MEMORY, NULL, copy_counts_pending(counts));
        http__close_hard(http);
        return true;
    }
    conn_flush(http->conn);
    http__exchange_handle(server, exchange, request);
    return true;
}
