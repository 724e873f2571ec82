// SPDX-License-Identifier: MIT
// WebSocket connections. Invariants:
// - A connection whose client is in the middle of no message owns no decoder.
// - After our close frame nothing else is sent, and of what arrives only the client's close frame
//   counts; the connection then closes, or when the client has taken too long.
// - The struct lives exactly as long as its connection.
#include "gateway/transport/websocket.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/protocol/ws.h"
#include "gateway/transport/conn.h"

#define HEAD_MAX  ((size_t)32 << 10) // bytes of a 101 response
#define LINGER_MS 5000               // to write out what is queued, once the client has closed

struct websocket {
    struct transport base;
    struct conn *conn;
    struct outq *staged; // frames still to be put in text form; NULL: the client takes binary
    struct ws_decoder *decoder; // while a message is incomplete
    bool is_closing;            // our close frame is queued
};

static struct websocket *websocket_of(struct transport *transport)
{
    return (struct websocket *)(void *)transport;
}

// ---- Closing

// Queues our close frame; the client then has a while to answer with its own.
static void say_close(struct websocket *ws, uint16_t code, const char *reason)
{
    uint8_t frame[WS_CLOSE_FRAME_MAX];
    if (ws->is_closing)
        return;
    ws->is_closing = true;
    size_t size = ws_encode_close(frame, code, reason);
    if (!outq_append_copy(conn_queue(ws->conn), frame, size)) {
        conn_abort(ws->conn);
        return;
    }
    conn_flush(ws->conn);
    transport_start_goodbye(&ws->base);
}

// Our close frame is queued: write what is queued, then close.
static void hang_up(struct websocket *ws)
{
    transport_stop_goodbye(&ws->base);
    conn_close(ws->conn, LINGER_MS);
}

static void end(struct websocket *ws, enum transport_end reason)
{
    say_close(ws, WS_CLOSE_NO_STATUS, NULL);
    transport_end(&ws->base, reason);
}

// ---- Input

static void receive_packet(struct websocket *ws, const struct eio_packet *packet)
{
    struct transport *transport = &ws->base;
    if (packet->type == EIO_CLOSE)
        end(ws, TRANSPORT_END_CLOSED);
    else
        transport->events->on_packet(transport, transport->owner, packet);
}

static void receive_text(struct websocket *ws, const struct ws_message *message)
{
    struct eio_packet packet;
    struct tl_buffer scratch; // owns memory only for a message in base64
    tl_buffer_init(&scratch, ws->base.host->max_payload);
    if (eio_decode_text(message->bytes, message->size, &scratch, &packet) == 0)
        receive_packet(ws, &packet);
    else
        end(ws, TRANSPORT_END_MALFORMED);
    tl_buffer_fini(&scratch);
}

// Answers a ping. A client that pings and does not read is behind like any other.
static void receive_ping(struct websocket *ws, const struct ws_message *message)
{
    uint8_t frame[WS_HEADER_MAX + 125];
    if (ws->is_closing)
        return;
    if (ws->base.ops->backlog(&ws->base) > ws->base.host->max_queue) {
        transport_end(&ws->base, TRANSPORT_END_SLOW);
        conn_abort(ws->conn);
        return;
    }
    size_t size = ws_encode_header(frame, WS_PONG, message->size);
    memcpy(frame + size, message->bytes, message->size);
    if (!outq_append_copy(conn_queue(ws->conn), frame, size + message->size))
        return; // out of memory: the client will ping again
    conn_flush(ws->conn);
}

static void receive_close(struct websocket *ws, const struct ws_message *message)
{
    char reason[126];
    memcpy(reason, message->bytes, message->size);
    reason[message->size] = '\0';
    say_close(ws, message->close_code, reason);
    hang_up(ws);
    transport_end(&ws->base, TRANSPORT_END_CLOSED);
}

static void receive(struct websocket *ws, const struct ws_message *message)
{
    const bool is_heard = ws->base.events && !ws->is_closing;
    switch (message->opcode) {
    case WS_TEXT:
        if (is_heard)
            receive_text(ws, message);
        break;
    case WS_BINARY:
        if (is_heard)
            receive_packet(ws, &(struct eio_packet){.type = EIO_MESSAGE,
                                                    .is_binary = true,
                                                    .bytes = message->bytes,
                                                    .size = message->size});
        break;
    case WS_PING:
        receive_ping(ws, message);
        break;
    case WS_CLOSE:
        receive_close(ws, message);
        break;
    case WS_PONG:
    case WS_CONTINUATION: // never handed out
        break;
    }
}

static void fail(struct websocket *ws, uint16_t code)
{
    gw_metric_add(ws->base.host->metrics, GW_WS_ERRORS, 1);
    gw_log(GW_LOG_DEBUG, "websocket", "closed for a protocol error code=%u", (unsigned)code);
    say_close(ws, code, NULL);
    hang_up(ws);
    transport_end(&ws->base, TRANSPORT_END_ERROR);
}

// Feeds the bytes; returns false if the connection is on its way out.
static bool feed(struct websocket *ws, struct ws_decoder *decoder, uint8_t *bytes, size_t size)
{
    enum ws_result result;
    do {
        struct ws_message message;
        size_t consumed = 0;
        result = ws_decoder_feed(decoder, bytes, size, &consumed, &message);
        bytes += consumed;
        size -= consumed;
        if (result == WS_MESSAGE)
            receive(ws, &message);
        else if (result == WS_ERROR)
            fail(ws, decoder->error);
    } while (result == WS_MESSAGE && !conn_is_closing(ws->conn));
    return !conn_is_closing(ws->conn);
}

static void on_data(struct conn *conn, void *owner, uint8_t *bytes, size_t size)
{
    struct websocket *ws = owner;
    struct ws_decoder fresh;
    if (ws->decoder) {
        if (feed(ws, ws->decoder, bytes, size) && !ws_decoder_is_idle(ws->decoder))
            return;
        ws_decoder_fini(ws->decoder);
        free(ws->decoder);
        ws->decoder = NULL;
        return;
    }
    ws_decoder_init(&fresh, ws->base.host->max_payload);
    if (feed(ws, &fresh, bytes, size) && !ws_decoder_is_idle(&fresh)) {
        ws->decoder = malloc(sizeof *ws->decoder);
        if (ws->decoder) {
            *ws->decoder = fresh;
            return;
        }
        conn_abort(conn);
    }
    ws_decoder_fini(&fresh);
}

static void add_unsent(const struct websocket *ws, struct unsent *unsent)
{
    outq_add_unsent(conn_queue(ws->conn), unsent);
    if (ws->staged)
        outq_add_unsent(ws->staged, unsent);
}

// Counts what was to be written still when the owner had gone: see take_unsent.
static void drop_rest(const struct websocket *ws)
{
    struct unsent rest = {0};
    add_unsent(ws, &rest);
    gw_metrics_drop(conn_metrics(ws->conn), GW_DROPPED_SHUTDOWN, NULL,
                    (uint64_t)rest.events + rest.others); // the host may be gone
}

static void on_end(struct conn *conn, void *owner, enum conn_end reason)
{
    struct websocket *ws = owner;
    (void)conn;
    (void)reason;
    if (ws->base.events)
        transport_end(&ws->base, TRANSPORT_END_CLOSED);
    else
        drop_rest(ws);
    transport_fini(&ws->base);
    if (ws->decoder)
        ws_decoder_fini(ws->decoder);
    free(ws->decoder);
    if (ws->staged)
        outq_fini(ws->staged);
    free(ws->staged);
    free(ws);
}

static const struct conn_handler handler = {.on_data = on_data, .on_end = on_end};

// ---- Handshake

static void free_unconnected(struct websocket *ws)
{
    if (ws)
        free(ws->staged);
    free(ws);
}

// `b64`: the client cannot take binary frames.
static struct websocket *new_unconnected(const struct http_request *request)
{
    char value[2];
    struct websocket *ws = calloc(1, sizeof *ws);
    int b64_size = http_query_get(request->query, "b64", value, sizeof value);
    if (!ws || b64_size == 0 || b64_size == -1)
        return ws;
    ws->staged = calloc(1, sizeof *ws->staged);
    if (ws->staged)
        return ws;
    free(ws);
    return NULL;
}

static void refuse(struct transport_host *host, struct http_exchange *exchange,
                   const struct http_request *request, const struct websocket_refusal *refusal)
{
    struct tl_buffer lines;
    char *headers = NULL;
    tl_buffer_init(&lines, HEAD_MAX);
    if (tl_buffer_append_text(&lines, "Content-Type: text/html\r\n") &&
        tl_buffer_append_text(&lines, refusal->headers) && tl_buffer_append(&lines, "", 1))
        headers = transport_headers(host, request, (const char *)lines.bytes);
    http_respond(exchange, refusal->status, headers ? headers : "", refusal->message,
                 strlen(refusal->message), true);
    free(headers);
    tl_buffer_fini(&lines);
}

static bool queue_open(struct websocket *ws, const struct tl_buffer *open)
{
    struct tl_buffer frame;
    tl_buffer_init(&frame, open->size + WS_HEADER_MAX);
    bool is_queued = ws_append_frame(&frame, WS_TEXT, open->bytes, open->size) &&
                     outq_append_copy(conn_queue(ws->conn), frame.bytes, frame.size);
    tl_buffer_fini(&frame);
    if (is_queued)
        conn_flush(ws->conn);
    return is_queued;
}

static struct transport *websocket_accept(struct transport_host *host,
                                          struct http_exchange *exchange,
                                          const struct http_request *request,
                                          const struct tl_buffer *open,
                                          const struct transport_events *events, void *owner)
{
    struct websocket_refusal refusal;
    if (!websocket_check(request, &refusal)) {
        refuse(host, exchange, request, &refusal);
        return NULL;
    }
    struct tl_buffer head;
    tl_buffer_init(&head, HEAD_MAX);
    struct websocket *ws = new_unconnected(request);
    if (!ws || !websocket_append_head(host->cors, request, &head)) {
        http_respond(exchange, 503, "", NULL, 0, true);
        goto fail;
    }
    ws->conn = http_upgrade(exchange, (const char *)head.bytes, head.size, &handler, ws);
    if (!ws->conn)
        goto fail;
    tl_buffer_fini(&head);
    transport_init(&ws->base, &websocket_ops, host, events, owner);
    if (open && !queue_open(ws, open)) {
        // The connection frees the struct when it ends.
        ws->base.events = NULL;
        conn_abort(ws->conn);
        return NULL;
    }
    return &ws->base;
fail:
    tl_buffer_fini(&head);
    free_unconnected(ws);
    return NULL;
}

// ---- What the owner asks for

static struct outq *websocket_queue(struct transport *transport)
{
    struct websocket *ws = websocket_of(transport);
    return ws->staged ? ws->staged : conn_queue(ws->conn);
}

// Appends the first frame of `bytes`, binary as text; `used` receives what it takes of them.
static bool append_as_text(struct tl_buffer *frame, const uint8_t *bytes, size_t size, size_t *used)
{
    enum ws_opcode opcode;
    const uint8_t *payload;
    size_t payload_size;
    *used = ws_split_server_frame(bytes, size, &opcode, &payload, &payload_size);
    assert(*used > 0); // only whole frames are queued
    if (opcode != WS_BINARY)
        return tl_buffer_append(frame, bytes, *used);

    struct tl_buffer text;
    tl_buffer_init(&text, payload_size * 2 + 16);
    bool is_appended = eio_payload_append(&text, true, payload, payload_size) &&
                       ws_append_frame(frame, WS_TEXT, text.bytes, text.size);
    tl_buffer_fini(&text);
    return is_appended;
}

// Moves one staged frame on, with the copies that end in it.
static bool unstage(struct websocket *ws, const struct iovec *staged)
{
    struct tl_buffer frame;
    struct copy_counts counts = {0};
    size_t used;
    tl_buffer_init(&frame, staged->iov_len * 2 + 32);
    bool is_queued = append_as_text(&frame, staged->iov_base, staged->iov_len, &used);
    outq_consume(ws->staged, used, &counts);
    is_queued =
        is_queued && outq_append_counted(conn_queue(ws->conn), frame.bytes, frame.size, &counts);
    tl_buffer_fini(&frame);
    if (!is_queued)
        gw_metrics_drop(ws->base.host->metrics, GW_DROPPED_MEMORY, NULL,
                        copy_counts_pending(&counts));
    return is_queued;
}

static void websocket_flush(struct transport *transport)
{
    struct websocket *ws = websocket_of(transport);
    struct iovec iov;
    while (ws->staged && outq_iov(ws->staged, &iov, 1) == 1) {
        if (!unstage(ws, &iov)) {
            conn_abort(ws->conn);
            return;
        }
    }
    conn_flush(ws->conn);
}

static size_t websocket_backlog(const struct transport *transport)
{
    const struct websocket *ws = (const struct websocket *)(const void *)transport;
    return transport_queue_cost(conn_queue(ws->conn));
}

static void websocket_release(struct transport *transport)
{
    (void)transport; // nothing waits
}

static void websocket_close(struct transport *transport)
{
    end(websocket_of(transport), TRANSPORT_END_CLOSED);
}

static void websocket_take_unsent(struct transport *transport, bool is_last, struct unsent *unsent)
{
    struct websocket *ws = websocket_of(transport);
    conn_write_now(ws->conn);
    if (is_last && !conn_has_ended(ws->conn))
        return;
    struct unsent rest = {0};
    add_unsent(ws, &rest);
    if (rest.events + rest.others == 0)
        return;
    unsent_join(unsent, &rest);
    conn_abort(ws->conn);
    outq_fini(conn_queue(ws->conn));
    if (ws->staged)
        outq_fini(ws->staged);
}

static void websocket_drop(struct transport *transport)
{
    struct websocket *ws = websocket_of(transport);
    transport->events = NULL;
    // A client that far behind would hold its queue for the whole of the goodbye.
    if (websocket_backlog(transport) > transport->host->max_queue)
        conn_abort(ws->conn);
    else
        say_close(ws, WS_CLOSE_NO_STATUS, NULL);
}

static void websocket_abort(struct transport *transport)
{
    conn_abort(websocket_of(transport)->conn);
}

const struct transport_ops websocket_ops = {
    .name = "websocket",
    .can_upgrade = false,
    .needs_upgrade = true,
    .accept = websocket_accept,
    .on_head = NULL,
    .on_request = NULL,
    .queue = websocket_queue,
    .flush = websocket_flush,
    .backlog = websocket_backlog,
    .release = websocket_release,
    .close = websocket_close,
    .take_unsent = websocket_take_unsent,
    .drop = websocket_drop,
    .expire = websocket_abort,
    .abort = websocket_abort,
};
