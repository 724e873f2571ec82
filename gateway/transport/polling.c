// SPDX-License-Identifier: MIT
// HTTP long-polling. Invariants:
// - At most one poll waits. Nothing is written to it before the flush phase, so that all of a
//   turn's packets go in one response; the next packets wait in the queue for the next poll.
// - A response's body is never empty: clients take an empty one for a malformed packet.
// - A request is answered exactly once, whatever happens to the session meanwhile, except a post
//   whose body is still coming in when the session ends: its connection is closed.
// - At most one post is coming in.
// - A packet leaves the queue only for the body of a response. The copies that it carries go with
//   it: the connection counts them when it has written the body.
#include "gateway/transport/polling.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/base/log.h"
#include "gateway/protocol/ws.h"

#define POLL_LINES                                                                                 \
    "Content-Type: text/plain; charset=UTF-8\r\n"                                                  \
    "Cache-Control: no-store\r\n"
#define POST_LINES                                                                                 \
    "Content-Type: text/html\r\n"                                                                  \
    "Cache-Control: no-store\r\n"

// python-engineio refuses a payload of more packets and drops the connection.
#define PYTHON_MAX_PACKETS 16

// U+FFFD takes three bytes, and may replace one byte that is not UTF-8.
#define REPAIR_FACTOR 3

struct polling {
    struct transport base;
    struct http_exchange *poll; // that waits for packets
    char *poll_headers;         // of its response
    unsigned poll_max_packets;  // in its response
    struct http_exchange *post; // whose body is coming in
    struct outq queue;
    struct gw_task task; // answers the poll; once it is over, frees this
    bool is_closing;     // after what is queued comes a close packet
    bool is_unpolled;    // no poll waited when the closing began
};

static struct polling *polling_of(struct transport *transport)
{
    return (struct polling *)(void *)transport;
}

// ---- Answers

static void respond_unavailable(struct http_exchange *exchange)
{
    http_respond(exchange, 503, "", NULL, 0, true);
}

// Answers with an empty body, or a short one, and what CORS asks for.
static void respond(const struct polling *polling, struct http_exchange *exchange,
                    const struct http_request *request, int status, const char *lines,
                    const char *body)
{
    char *headers = transport_headers(polling->base.host, request, lines);
    if (headers)
        http_respond(exchange, status, headers, body, strlen(body), false);
    else
        respond_unavailable(exchange);
    free(headers);
}

static bool is_in_user_agent(const struct http_request *request, const char *word)
{
    const char *agent = http_request_header(request, "User-Agent");
    return agent && strcasestr(agent, word);
}

static char *poll_headers(const struct transport_host *host, const struct http_request *request)
{
    // These browsers take a response with markup in it for an attack on them.
    if (is_in_user_agent(request, ";MSIE") || is_in_user_agent(request, "Trident/"))
        return transport_headers(host, request, POLL_LINES "X-XSS-Protection: 0\r\n");
    return transport_headers(host, request, POLL_LINES);
}

// Moves packets from the front of the queue into `body`: whole ones, up to the bounds of a
// response, but at least one.
static void take_packets(struct polling *polling, struct tl_buffer *body,
                         struct copy_counts *counts)
{
    const size_t max_body = polling->base.host->max_queue;
    unsigned count = 0;
    bool is_full = false;
    struct iovec iov;
    while (!is_full && outq_iov(&polling->queue, &iov, 1) == 1) {
        const uint8_t *bytes = iov.iov_base;
        size_t used = 0;
        while (used < iov.iov_len) {
            enum ws_opcode opcode;
            const uint8_t *payload;
            size_t size;
            size_t frame =
                ws_split_server_frame(bytes + used, iov.iov_len - used, &opcode, &payload, &size);
            assert(frame > 0); // only whole frames are queued
            bool is_binary = opcode == WS_BINARY;
            size_t text_size = is_binary ? size / 3 * 4 : size;
            is_full = count == polling->poll_max_packets ||
                      (count > 0 && body->size + text_size > max_body) ||
                      !eio_payload_append(body, is_binary, payload, size);
            if (is_full)
                break;
            used += frame;
            count++;
        }
        outq_consume(&polling->queue, used, counts);
    }
}

static void append_packet(struct tl_buffer *body, enum eio_type type)
{
    const uint8_t text = (uint8_t)type;
    eio_payload_append(body, false, &text, 1);
}

static void respond_packets(const struct polling *polling, struct http_exchange *poll,
                            const char *headers, const struct tl_buffer *body,
                            const struct copy_counts *counts)
{
    struct outq ranges;
    outq_init(&ranges);
    if (outq_append_counted(&ranges, body->bytes, body->size, counts)) {
        http_respond_ranges(poll, 200, headers, &ranges, false);
        return;
    }
    http_exchange_abort(poll);
    gw_metrics_drop(polling->base.host->metrics, GW_DROPPED_MEMORY, NULL,
                    copy_counts_pending(counts));
}

// Answers the waiting poll with what is queued; `idle` stands in for packets if there are none.
// While closing, the close packet comes behind the last one (and behind `idle` if the poll was not
// there when the closing began, as in the reference).
static void answer_poll(struct polling *polling, enum eio_type idle)
{
    struct http_exchange *poll = polling->poll;
    char *headers = polling->poll_headers;
    struct tl_buffer body;
    struct copy_counts counts = {0};
    // Base64 makes a third more of a packet; small ones have a mark and a separator.
    tl_buffer_init(&body, polling->base.host->max_queue + 2 * polling->queue.bytes + 64);
    polling->poll = NULL;
    polling->poll_headers = NULL;

    take_packets(polling, &body, &counts);
    bool is_whole = outq_is_empty(&polling->queue);
    bool is_last = polling->is_closing && is_whole;
    if (body.size == 0 && is_whole && (!is_last || polling->is_unpolled))
        append_packet(&body, idle);
    if (is_last)
        append_packet(&body, EIO_CLOSE);
    if (body.size > 0)
        respond_packets(polling, poll, headers, &body, &counts);
    else
        respond_unavailable(poll); // memory is out; what is queued stays
    tl_buffer_fini(&body);
    free(headers);
}

// ---- Life

static void free_polling(struct polling *polling)
{
    transport_fini(&polling->base);
    gw_task_cancel(&polling->task);
    outq_fini(&polling->queue);
    free(polling->poll_headers);
    free(polling);
}

static void on_reap(struct gw_task *task)
{
    free_polling(TL_LIST_ENTRY(task, struct polling, task));
}

// The last word to the client, if it waits for one, and the end: it is freed in the reap phase,
// since a post of its own may be on the stack. What was queued in this turn stands in for the last
// word; the next poll then tells the client that the session is gone.
static void finish(struct polling *polling, enum eio_type last)
{
    struct http_exchange *post = polling->post;
    polling->is_closing = false;
    polling->post = NULL;
    if (polling->poll)
        answer_poll(polling, last);
    if (post)
        http_exchange_abort(post);
    transport_stop_goodbye(&polling->base);
    gw_task_cancel(&polling->task);
    polling->task.run = on_reap;
    gw_task_schedule(polling->base.host->loop, GW_PHASE_REAP, &polling->task);
}

static void end(struct polling *polling, enum eio_type last, enum transport_end reason)
{
    finish(polling, last);
    transport_end(&polling->base, reason);
}

static void on_flush(struct gw_task *task)
{
    struct polling *polling = TL_LIST_ENTRY(task, struct polling, task);
    if (!polling->poll || (outq_is_empty(&polling->queue) && !polling->is_closing))
        return;
    if (!http_exchange_is_open(polling->poll))
        return; // what it would take along would be lost; its on_abort is on the way
    answer_poll(polling, EIO_NOOP);
    if (polling->is_closing && outq_is_empty(&polling->queue))
        end(polling, EIO_CLOSE, TRANSPORT_END_CLOSED);
}

// The client did not fetch the close packet.
static void polling_expire(struct transport *transport)
{
    end(polling_of(transport), EIO_CLOSE, TRANSPORT_END_CLOSED);
}

static struct transport *polling_accept(struct transport_host *host, struct http_exchange *exchange,
                                        const struct http_request *request,
                                        const struct tl_buffer *open,
                                        const struct transport_events *events, void *owner)
{
    struct polling *polling = calloc(1, sizeof *polling);
    char *headers = poll_headers(host, request);
    if (!polling || !headers) {
        free(polling);
        free(headers);
        respond_unavailable(exchange);
        return NULL;
    }
    transport_init(&polling->base, &polling_ops, host, events, owner);
    outq_init(&polling->queue);
    gw_task_init(&polling->task, on_flush);
    // The open packet goes alone, and at once: there are clients that expect nothing behind it.
    http_respond(exchange, 200, headers, open->bytes, open->size, false);
    free(headers);
    return &polling->base;
}

// ---- Requests

static void schedule_flush(struct polling *polling)
{
    if (polling->poll)
        gw_task_schedule(polling->base.host->loop, GW_PHASE_FLUSH, &polling->task);
}

static void on_poll_aborted(struct http_exchange *exchange, void *arg)
{
    struct polling *polling = arg;
    (void)exchange;
    polling->poll = NULL;
    free(polling->poll_headers);
    polling->poll_headers = NULL;
    end(polling, EIO_CLOSE, TRANSPORT_END_ERROR);
}

static bool has_packets(const struct polling *polling)
{
    return polling->poll && !outq_is_empty(&polling->queue) && http_exchange_is_open(polling->poll);
}

static void receive_poll(struct polling *polling, struct http_exchange *exchange,
                         const struct http_request *request)
{
    if (has_packets(polling) && !polling->is_closing)
        answer_poll(polling, EIO_NOOP); // no longer waiting, but for the end of the turn
    if (polling->poll) {
        respond(polling, exchange, request, 400, "", "");
        end(polling, EIO_CLOSE, TRANSPORT_END_ERROR);
        return;
    }
    char *headers = poll_headers(polling->base.host, request);
    if (!headers) {
        respond_unavailable(exchange);
        return;
    }
    polling->poll = exchange;
    polling->poll_headers = headers;
    polling->poll_max_packets = is_in_user_agent(request, "python") ? PYTHON_MAX_PACKETS : UINT_MAX;
    http_exchange_on_abort(exchange, on_poll_aborted, polling);
    schedule_flush(polling);
}

// Delivers the packets of a post until one of them ends the transport.
static void deliver(struct polling *polling, const uint8_t *bytes, size_t size)
{
    struct transport *transport = &polling->base;
    struct eio_packet packet;
    struct tl_buffer scratch;
    size_t position = 0;
    int result = 1;
    tl_buffer_init(&scratch, transport->host->max_payload * REPAIR_FACTOR);
    while (transport->events && result == 1) {
        result = eio_payload_next(bytes, size, &position, &scratch, &packet);
        if (result < 0)
            end(polling, EIO_CLOSE, TRANSPORT_END_MALFORMED);
        else if (result == 1 && packet.type == EIO_CLOSE)
            end(polling, EIO_NOOP, TRANSPORT_END_CLOSED);
        else if (result == 1)
            transport->events->on_packet(transport, transport->owner, &packet);
    }
    tl_buffer_fini(&scratch);
}

// Whether a post may be: only one at a time, and of text. If not, it is answered, and the transport
// ends.
static bool admit_post(struct polling *polling, struct http_exchange *exchange,
                       const struct http_request *request)
{
    const char *type = http_request_header(request, "Content-Type");
    if (!polling->post && !(type && strcmp(type, "application/octet-stream") == 0))
        return true;
    respond(polling, exchange, request, 400, "", "");
    end(polling, EIO_CLOSE, TRANSPORT_END_ERROR);
    return false;
}

static void receive_payload(struct polling *polling, struct http_exchange *exchange,
                            const struct http_request *request)
{
    if (request->is_oversized || request->body_size > polling->base.host->max_payload) {
        respond(polling, exchange, request, 413, "", "");
    } else {
        // Even what is malformed is answered so; the session's end says the rest.
        deliver(polling, request->body, request->body_size);
        respond(polling, exchange, request, 200, POST_LINES, "ok");
    }
}

static void on_post_aborted(struct http_exchange *exchange, void *arg)
{
    struct polling *polling = arg;
    (void)exchange;
    polling->post = NULL;
    end(polling, EIO_CLOSE, TRANSPORT_END_ERROR);
}

static void on_post(struct http_exchange *exchange, const struct http_request *request, void *arg)
{
    struct polling *polling = arg;
    polling->post = NULL;
    receive_payload(polling, exchange, request);
}

static void polling_on_head(struct transport *transport, struct http_exchange *exchange,
                            const struct http_request *request)
{
    struct polling *polling = polling_of(transport);
    if (request->method != HTTP_METHOD_POST || !admit_post(polling, exchange, request))
        return;
    polling->post = exchange;
    http_exchange_claim(exchange, on_post, on_post_aborted, polling);
}

static void polling_on_request(struct transport *transport, struct http_exchange *exchange,
                               const struct http_request *request)
{
    struct polling *polling = polling_of(transport);
    if (request->method == HTTP_METHOD_GET)
        receive_poll(polling, exchange, request);
    else if (request->method != HTTP_METHOD_POST)
        respond(polling, exchange, request, 500, "", "");
    else if (admit_post(polling, exchange, request))
        receive_payload(polling, exchange, request);
}

// ---- What the owner asks for

static struct outq *polling_queue(struct transport *transport)
{
    return &polling_of(transport)->queue;
}

static void polling_flush(struct transport *transport)
{
    schedule_flush(polling_of(transport));
}

static size_t polling_backlog(const struct transport *transport)
{
    const struct polling *polling = (const struct polling *)(const void *)transport;
    return transport_queue_cost(&polling->queue);
}

static void polling_release(struct transport *transport)
{
    const struct polling *polling = polling_of(transport);
    if (polling->poll && outq_is_empty(&polling->queue) && !transport_send(transport, EIO_NOOP, ""))
        gw_log(GW_LOG_WARNING, "polling",
               "out of memory: a poll stays open, and the upgrade of its client waits");
}

static void polling_close(struct transport *transport)
{
    struct polling *polling = polling_of(transport);
    polling->is_closing = true;
    polling->is_unpolled = !polling->poll;
    if (transport_start_goodbye(transport))
        schedule_flush(polling);
}

static void polling_take_unsent(struct transport *transport, bool is_last, struct unsent *unsent)
{
    struct polling *polling = polling_of(transport);
    (void)is_last; // no later poll finds the session
    if (has_packets(polling))
        answer_poll(polling, EIO_CLOSE);
    outq_add_unsent(&polling->queue, unsent);
    outq_fini(&polling->queue);
}

static void polling_drop(struct transport *transport)
{
    transport->events = NULL;
    finish(polling_of(transport), EIO_CLOSE);
}

static void polling_abort(struct transport *transport)
{
    struct polling *polling = polling_of(transport);
    finish(polling, EIO_CLOSE);
    free_polling(polling);
}

const struct transport_ops polling_ops = {
    .name = "polling",
    .can_upgrade = true,
    .needs_upgrade = false,
    .accept = polling_accept,
    .on_head = polling_on_head,
    .on_request = polling_on_request,
    .queue = polling_queue,
    .flush = polling_flush,
    .backlog = polling_backlog,
    .release = polling_release,
    .close = polling_close,
    .take_unsent = polling_take_unsent,
    .drop = polling_drop,
    .expire = polling_expire,
    .abort = polling_abort,
};
