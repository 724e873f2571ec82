// SPDX-License-Identifier: MIT
// Exchanges. Invariants: an exchange is in its connection's list from its request's head until it
// is answered and every earlier one is too; whatever is in the list and not answered is owed. The
// list's first exchange has nothing waiting: what there is of its answer is in the conn's queue.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/transport/http_internal.h"

#define HEAD_MAX   ((size_t)34 * 1024) // bytes of a response's head
#define USUAL_HEAD ((size_t)384)
#define SMALL_BODY ((size_t)4096)

// ---- Life

struct http_exchange *http__exchange_new(struct http_connection *http,
                                         const struct http_request *request)
{
    struct http_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->http = http;
    exchange->minor = (uint8_t)request->minor;
    exchange->is_head = request->method == HTTP_METHOD_HEAD;
    // A client that asked for another protocol and did not get it may continue in either.
    exchange->keep_alive = request->keep_alive && !request->is_upgrade;
    outq_init(&exchange->answer);
    tl_list_append(&http->exchanges, &exchange->link);
    http->exchange_count++;
    return exchange;
}

void http__drop_queue(struct gw_metrics *metrics, struct outq *queue)
{
    struct unsent rest = {0};
    outq_add_unsent(queue, &rest);
    gw_metrics_drop(metrics, GW_DROPPED_CLOSE, NULL, (uint64_t)rest.events + rest.others);
    outq_fini(queue);
}

void http__exchange_free(struct http_exchange *exchange)
{
    struct http_connection *http = exchange->http;
    if (http->incoming == exchange)
        http->incoming = NULL;
    http->waiting -= exchange->answer.bytes;
    http->exchange_count--;
    tl_list_remove(&exchange->link);
    http__drop_queue(conn_metrics(http->conn), &exchange->answer);
    free(exchange);
}

void http__exchange_handle(struct http_server *server, struct http_exchange *exchange,
                           const struct http_request *request)
{
    if (exchange->handler)
        exchange->handler(exchange, request, exchange->arg);
    else
        server->handler(exchange, request, server->arg);
}

void http__abort_exchanges(struct http_connection *http)
{
    while (!tl_list_is_empty(&http->exchanges)) {
        struct http_exchange *exchange =
            TL_LIST_ENTRY(http->exchanges.next, struct http_exchange, link);
        // It may answer others of this connection from within; they go without a word then.
        if (exchange->on_abort && !exchange->is_answered)
            exchange->on_abort(exchange, exchange->arg);
        http__exchange_free(exchange);
    }
}

void http_exchange_on_abort(struct http_exchange *exchange,
                            void (*on_abort)(struct http_exchange *exchange, void *arg), void *arg)
{
    exchange->on_abort = on_abort;
    exchange->arg = arg;
}

void http_exchange_claim(struct http_exchange *exchange, http_handler_fn *handler,
                         void (*on_abort)(struct http_exchange *exchange, void *arg), void *arg)
{
    exchange->handler = handler;
    exchange->on_abort = on_abort;
    exchange->arg = arg;
}

bool http_exchange_is_open(const struct http_exchange *exchange)
{
    const struct http_connection *http = exchange->http;
    if (!http)
        return true; // until its own loop says otherwise
    return http->server && http->state < HTTP_STATE_ENDING && !conn_is_closing(http->conn);
}

void http_exchange_abort(struct http_exchange *exchange)
{
    struct http_connection *http = exchange->http;
    if (!http) {
        exchange->remote->abort(exchange);
        return;
    }
    http__exchange_free(exchange);
    if (http->state < HTTP_STATE_CLOSING)
        http__close_hard(http);
}

// ---- Output

static bool write_answer(struct http_connection *http, struct http_exchange *exchange)
{
    struct outq *queue = conn_queue(http->conn);
    size_t size = exchange->answer.bytes;
    if (!outq_move(queue, &exchange->answer))
        return false;
    http->waiting -= size;
    if (gw_deadline_is_started(&http->output))
        http->unwritten += size;
    else
        http->unwritten = queue->bytes;
    return true;
}

// Queues what may go out by now: the answers up to the first exchange that has none.
static void advance(struct http_connection *http)
{
    bool is_answered = true;
    while (is_answered && http->state < HTTP_STATE_ENDING && !tl_list_is_empty(&http->exchanges)) {
        struct http_exchange *exchange =
            TL_LIST_ENTRY(http->exchanges.next, struct http_exchange, link);
        if (!write_answer(http, exchange)) {
            http__close_hard(http);
            return;
        }
        is_answered = exchange->is_answered;
        if (is_answered && exchange->closes)
            http__set_state(http, HTTP_STATE_ENDING);
        if (is_answered)
            http__exchange_free(exchange);
    }
    if (outq_is_empty(conn_queue(http->conn)))
        return;
    if (!gw_deadline_is_started(&http->output))
        gw_deadline_start(&http->server->request, &http->output);
    conn_flush(http->conn);
}

void http__send_continue(struct http_exchange *exchange)
{
    static const char response[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_connection *http = exchange->http;
    if (!outq_append_copy(&exchange->answer, response, sizeof response - 1)) {
        http__close_hard(http);
        return;
    }
    http->waiting += sizeof response - 1;
    advance(http);
}

// Puts a small body behind its head, which makes both one range: written by a cheaper system call.
static bool join_body(struct tl_buffer *head, struct outq *body, struct copy_counts *counts)
{
    struct iovec part;
    while (outq_iov(body, &part, 1) == 1) {
        if (!tl_buffer_append(head, part.iov_base, part.iov_len))
            return false;
        outq_consume(body, part.iov_len, counts);
    }
    return true;
}

// `has_body` false: the body is not sent, but its length told.
static bool put_answer(struct http_exchange *exchange, int status, const char *headers,
                       struct outq *body, bool has_body)
{
    const struct http_server *server = exchange->http->server;
    const unsigned idle_s = (unsigned)(server->options.idle_timeout_ms / 1000);
    const size_t before = exchange->answer.bytes;
    struct copy_counts counts = {0}; // of the copies in what is joined to the head
    struct tl_buffer head;
    tl_buffer_init(&head, HEAD_MAX + SMALL_BODY);
    // Room for a usual one; a failure shows where the head is written.
    tl_buffer_reserve(&head, USUAL_HEAD + (body->bytes <= SMALL_BODY ? body->bytes : 0));
    bool is_put =
        http_encode_head(&head, status, exchange->minor,
                         exchange->closes ? 0 : (idle_s > 0 ? idle_s : 1), headers, body->bytes) &&
        (!has_body || body->bytes > SMALL_BODY || join_body(&head, body, &counts)) &&
        outq_append_counted(&exchange->answer, head.bytes, head.size, &counts) &&
        (!has_body || outq_move(&exchange->answer, body));
    tl_buffer_fini(&head);
    if (!is_put)
        gw_metrics_drop(server->metrics, GW_DROPPED_MEMORY, NULL, copy_counts_pending(&counts));
    exchange->http->waiting += exchange->answer.bytes - before;
    return is_put;
}

// Answers from whatever state; empties `body`.
static void answer(struct http_exchange *exchange, int status, const char *headers,
                   struct outq *body, bool has_body)
{
    struct http_connection *http = exchange->http;
    struct gw_metrics *metrics = http->server->metrics;
    assert(!exchange->is_answered);
    exchange->is_answered = true;
    if (status >= 400)
        gw_metric_add(metrics, GW_HTTP_ERRORS, 1);
    if (put_answer(exchange, status, headers, body, has_body)) {
        if (exchange->closes && http->state < HTTP_STATE_LAST)
            http__set_state(http, HTTP_STATE_LAST);
        advance(http);
    } else {
        gw_log(GW_LOG_ERROR, "http",
               "a response was not sent: out of memory, or its head is too long");
        http__exchange_free(exchange);
        http__close_hard(http);
    }
    http__drop_queue(metrics, body);
}

void http__refuse(struct http_connection *http, int status, const char *text)
{
    static const char headers[] = "Content-Type: text/plain; charset=utf-8\r\n"
                                  "X-Content-Type-Options: nosniff\r\n";
    struct outq body;
    outq_init(&body);
    gw_log(GW_LOG_DEBUG, "http", "refused status=%d: %s", status, text);
    struct http_exchange *exchange = http__exchange_new(http, &(struct http_request){.minor = 1});
    if (exchange && outq_append_copy(&body, text, strlen(text)) &&
        outq_append_copy(&body, "\n", 1)) {
        exchange->closes = true;
        answer(exchange, status, headers, &body, true);
    } else {
        http__close_hard(http);
    }
    outq_fini(&body);
}

// ---- Answers of handlers

// Whether the connection closes behind it. The last of what is owed says so when the server stops.
static bool is_closing(const struct http_exchange *exchange)
{
    const struct http_connection *http = exchange->http;
    bool is_newest = exchange->link.next == &http->exchanges;
    return !exchange->keep_alive || (http->server->is_stopping && is_newest);
}

void http_respond_ranges(struct http_exchange *exchange, int status, const char *headers,
                         struct outq *body, bool close)
{
    struct http_connection *http = exchange->http;
    if (!http) {
        exchange->remote->answer(exchange, status, headers, body, close);
        return;
    }
    if (!http_exchange_is_open(exchange)) { // its end is on the way
        http__drop_queue(conn_metrics(http->conn), body);
        http__exchange_free(exchange);
        return;
    }
    exchange->closes = close || is_closing(exchange);
    if (http->incoming == exchange) {
        http->incoming = NULL;
        exchange->closes |= !http__drop_body(http);
    }
    answer(exchange, status, headers, body, !exchange->is_head && status != 204 && status != 304);
}

void http_respond(struct http_exchange *exchange, int status, const char *headers, const void *body,
                  size_t body_size, bool close)
{
    struct outq ranges;
    outq_init(&ranges);
    if (outq_append_copy(&ranges, body, body_size))
        http_respond_ranges(exchange, status, headers, &ranges, close);
    else
        http_exchange_abort(exchange);
}

// ---- Upgrades

// What follows the request.
static const uint8_t *rest_of(const struct http_connection *http, size_t *size)
{
    *size = http->rest ? http->rest_size : http->pending.size;
    return http->rest ? http->rest : http->pending.bytes;
}

// The conn is no longer ours.
static void part(struct http_connection *http)
{
    http__set_state(http, HTTP_STATE_UPGRADED);
    tl_list_remove(&http->link);
    gw_deadline_stop(&http->input);
    gw_deadline_stop(&http->output);
    // It may be in the middle of reading now.
    gw_task_schedule(http->server->loop, GW_PHASE_REAP, &http->reap);
}

struct conn *http_upgrade(struct http_exchange *exchange, const char *head, size_t head_size,
                          const struct conn_handler *handler, void *owner)
{
    struct http_connection *http = exchange->http;
    struct conn *conn = http->conn;
    size_t rest_size;
    const uint8_t *rest = rest_of(http, &rest_size);
    assert(http->state == HTTP_STATE_UPGRADING && http->exchange_count == 1);
    http__exchange_free(exchange);
    if (conn_is_closing(conn) || !outq_append_copy(conn_queue(conn), head, head_size) ||
        !conn_unread(conn, rest, rest_size)) {
        http__close_hard(http);
        return NULL;
    }
    conn_flush(conn);
    conn_set_handler(conn, handler, owner);
    if (http->is_paused)
        conn_resume(conn);
    part(http);
    return conn;
}

// Empties `queue` into `out`. False: out of memory, and what was queued is lost.
static bool take_queue(struct tl_buffer *out, struct outq *queue, struct copy_counts *counts)
{
    struct iovec iov;
    bool is_whole = true;
    while (is_whole && outq_iov(queue, &iov, 1) == 1) {
        is_whole = tl_buffer_append(out, iov.iov_base, iov.iov_len);
        outq_consume(queue, iov.iov_len, counts);
    }
    return is_whole;
}

int http__detach(struct http_exchange *exchange, struct tl_buffer *rest, struct tl_buffer *unsent,
                 struct copy_counts *counts)
{
    struct http_connection *http = exchange->http;
    struct conn *conn = http->conn;
    size_t size;
    const uint8_t *bytes = rest_of(http, &size);
    assert(http->state == HTTP_STATE_UPGRADING && http->exchange_count == 1);
    http__exchange_free(exchange);
    if (conn_is_closing(conn) || !tl_buffer_append(rest, bytes, size) ||
        !take_queue(unsent, conn_queue(conn), counts)) {
        http__close_hard(http);
        return -1;
    }
    int fd = conn_detach(conn);
    part(http);
    return fd;
}
