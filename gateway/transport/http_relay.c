// SPDX-License-Identifier: MIT
// Relays: a request's own exchange at its local loop, where the connection is, and one that stands
// for it at the remote loop, which answers. They write to each other by loop messages, which keep
// their order. Invariants:
// - The remote side answers once, whatever happens; the local side takes the answer unless its
//   connection has ended.
// - The local side says once that its connection has ended, unless the answer came first. Both may
//   be under way at a time, and find nobody then.
// - A relay is freed by the last that refers to it: its two sides, and each message under way. No
//   message that is dropped at the end, nor a side's end then, touches the other side's server.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/transport/http_internal.h"

#define ARREARS_MAX ((size_t)32 << 20) // bytes of requests that a server may be behind with

enum remote_state {
    REMOTE_NEW,
    REMOTE_PENDING, // the stand-in exists
    REMOTE_DONE,    // it was answered or aborted
};

struct http_relay {
    atomic_uint refs;
    struct gw_loop *local_loop;
    struct gw_loop *remote_loop;
    struct gw_metrics *local_metrics;
    // Of the local loop.
    struct http_exchange *exchange; // NULL: answered or aborted
    struct gw_loop_message abort_message;
    // Of the remote loop; of the local one, once the answer has arrived.
    struct http_server *remote;
    struct http_exchange stand_in;
    enum remote_state state;
    struct gw_loop_message answer_message;
    int status;    // of the answer; 0: the connection is to be closed
    char *headers; // whole lines
    struct outq body;
    bool closes;
};

// A request, or its head, on its way out.
struct relayed_request {
    struct gw_loop_message message;
    struct http_relay *relay;
    struct http_request *request;
    size_t size;
};

// An upgrade on its way out.
struct relayed_upgrade {
    struct gw_loop_message message;
    struct http_server *to;
    struct http_request *request;
    struct tl_buffer rest;     // what was read behind the request
    struct tl_buffer unsent;   // answers to earlier ones
    struct copy_counts counts; // the copies in them
    int fd;
};

static void ref(struct http_relay *relay)
{
    atomic_fetch_add_explicit(&relay->refs, 1, memory_order_relaxed);
}

static void unref(struct http_relay *relay)
{
    if (atomic_fetch_sub_explicit(&relay->refs, 1, memory_order_acq_rel) > 1)
        return;
    outq_fini(&relay->body);
    free(relay->headers);
    free(relay);
}

static void respond_unavailable(struct http_exchange *exchange)
{
    http_respond(exchange, 503, "", NULL, 0, true);
}

// ---- The local side: answers and aborts

static void on_answer(struct gw_loop_message *message)
{
    struct http_relay *relay = TL_LIST_ENTRY(message, struct http_relay, answer_message);
    struct http_exchange *exchange = relay->exchange;
    relay->exchange = NULL;
    if (exchange) {
        if (relay->status > 0)
            http_respond_ranges(exchange, relay->status, relay->headers, &relay->body,
                                relay->closes);
        else
            http_exchange_abort(exchange);
        unref(relay); // of this side
    } else {
        http__drop_queue(relay->local_metrics, &relay->body);
    }
    unref(relay);
}

static void drop_answer(struct gw_loop_message *message)
{
    unref(TL_LIST_ENTRY(message, struct http_relay, answer_message));
}

static void on_abort(struct gw_loop_message *message);

static void drop_abort(struct gw_loop_message *message)
{
    unref(TL_LIST_ENTRY(message, struct http_relay, abort_message));
}

// The connection has ended, or what is left of the request cannot be sent on.
static void on_exchange_aborted(struct http_exchange *exchange, void *arg)
{
    struct http_relay *relay = arg;
    (void)exchange;
    relay->exchange = NULL;
    relay->abort_message = (struct gw_loop_message){.deliver = on_abort, .drop = drop_abort};
    gw_loop_post(relay->remote_loop, &relay->abort_message); // with the reference of this side
}

// ---- The remote side: the stand-in

static void end(struct http_relay *relay)
{
    relay->state = REMOTE_DONE;
    tl_list_remove(&relay->stand_in.link);
}

static void post_answer(struct http_relay *relay)
{
    end(relay);
    relay->answer_message = (struct gw_loop_message){.deliver = on_answer, .drop = drop_answer};
    gw_loop_post(relay->local_loop, &relay->answer_message); // with the reference of this side
}

static void answer(struct http_exchange *exchange, int status, const char *headers,
                   struct outq *body, bool close)
{
    struct http_relay *relay = exchange->relay;
    struct copy_counts counts = {0};
    struct iovec iov;
    relay->headers = strdup(headers);
    relay->closes = close;
    // Chunks are for one thread, so they are not shared with this one's.
    bool is_whole = relay->headers != NULL;
    while (is_whole && outq_front(body, &iov, &counts)) {
        is_whole = outq_append_counted(&relay->body, iov.iov_base, iov.iov_len, &counts);
        if (is_whole)
            outq_consume(body, iov.iov_len, &counts);
    }
    relay->status = is_whole ? status : 0;
    http__drop_queue(relay->remote->metrics, body);
    post_answer(relay);
}

static void abort_stand_in(struct http_exchange *exchange)
{
    post_answer(exchange->relay);
}

static const struct http_stand_in_ops stand_in_ops = {
    .answer = answer,
    .abort = abort_stand_in,
};

static void begin(struct http_relay *relay)
{
    if (relay->state != REMOTE_NEW)
        return;
    relay->state = REMOTE_PENDING;
    relay->stand_in.relay = relay;
    relay->stand_in.remote = &stand_in_ops;
    tl_list_append(&relay->remote->relayed, &relay->stand_in.link);
    ref(relay);
}

void http__abort_relayed(struct http_server *server)
{
    while (!tl_list_is_empty(&server->relayed)) {
        struct http_exchange *exchange =
            TL_LIST_ENTRY(server->relayed.next, struct http_exchange, link);
        if (exchange->on_abort)
            exchange->on_abort(exchange, exchange->arg);
        abort_stand_in(exchange);
    }
}

// ---- The remote side: what the local side says

static void on_abort(struct gw_loop_message *message)
{
    struct http_relay *relay = TL_LIST_ENTRY(message, struct http_relay, abort_message);
    struct http_exchange *exchange = &relay->stand_in;
    if (relay->state == REMOTE_PENDING) {
        end(relay);
        if (exchange->on_abort)
            exchange->on_abort(exchange, exchange->arg);
        unref(relay); // of this side
    }
    unref(relay);
}

static void free_request(struct relayed_request *relayed)
{
    struct http_relay *relay = relayed->relay;
    free(relayed->request);
    free(relayed);
    unref(relay);
}

static void drop_request(struct gw_loop_message *message)
{
    free_request(TL_LIST_ENTRY(message, struct relayed_request, message));
}

static void on_head(struct gw_loop_message *message)
{
    struct relayed_request *relayed = TL_LIST_ENTRY(message, struct relayed_request, message);
    struct http_relay *relay = relayed->relay;
    struct http_server *server = relay->remote;
    begin(relay);
    if (server->options.on_head)
        server->options.on_head(&relay->stand_in, relayed->request, server->arg);
    atomic_fetch_sub_explicit(&server->arrears, relayed->size, memory_order_relaxed);
    free_request(relayed);
}

static void on_request(struct gw_loop_message *message)
{
    struct relayed_request *relayed = TL_LIST_ENTRY(message, struct relayed_request, message);
    struct http_relay *relay = relayed->relay;
    struct http_server *server = relay->remote;
    begin(relay);
    if (relay->state == REMOTE_PENDING) // the head was enough for an answer otherwise
        http__exchange_handle(server, &relay->stand_in, relayed->request);
    atomic_fetch_sub_explicit(&server->arrears, relayed->size, memory_order_relaxed);
    free_request(relayed);
}

// ---- The local side: requests

static struct http_relay *new_relay(struct http_exchange *exchange, struct http_server *to)
{
    struct http_relay *relay = calloc(1, sizeof *relay);
    if (!relay)
        return NULL;
    atomic_init(&relay->refs, 1);
    relay->local_loop = exchange->http->server->loop;
    relay->local_metrics = exchange->http->server->metrics;
    relay->remote_loop = to->loop;
    relay->remote = to;
    relay->exchange = exchange;
    tl_list_init(&relay->stand_in.link);
    outq_init(&relay->stand_in.answer);
    outq_init(&relay->body);
    return relay;
}

// Sends the other loop a copy. False: out of memory, or it is too far behind.
static bool post_request(struct http_relay *relay, const struct http_request *request,
                         void (*deliver)(struct gw_loop_message *message))
{
    struct http_server *to = relay->remote;
    if (atomic_load_explicit(&to->arrears, memory_order_relaxed) > ARREARS_MAX) {
        gw_log(GW_LOG_WARNING, "http", "refused a request with 503: its worker is too far behind");
        return false;
    }
    size_t size;
    struct relayed_request *relayed = malloc(sizeof *relayed);
    struct http_request *copy = http_request_copy(request, &size);
    if (!relayed || !copy) {
        free(relayed);
        free(copy);
        return false;
    }
    *relayed = (struct relayed_request){
        .message = {.deliver = deliver, .drop = drop_request},
        .relay = relay,
        .request = copy,
        .size = sizeof *relayed + size,
    };
    ref(relay);
    atomic_fetch_add_explicit(&to->arrears, relayed->size, memory_order_relaxed);
    gw_loop_post(to->loop, &relayed->message);
    return true;
}

// The rest of a request whose head was sent.
static void send_rest(struct http_exchange *exchange, const struct http_request *request, void *arg)
{
    if (post_request(arg, request, on_request))
        return;
    on_exchange_aborted(exchange, arg);
    http_exchange_on_abort(exchange, NULL, NULL);
    respond_unavailable(exchange);
}

void http_relay_head(struct http_exchange *exchange, const struct http_request *request,
                     struct http_server *to)
{
    struct http_relay *relay = new_relay(exchange, to);
    if (!relay)
        return;
    if (!post_request(relay, request, on_head)) {
        unref(relay);
        return;
    }
    gw_metric_add(exchange->http->server->metrics, GW_HTTP_RELAYED, 1);
    http_exchange_claim(exchange, send_rest, on_exchange_aborted, relay);
}

// ---- Upgrades

static void free_upgrade(struct relayed_upgrade *upgrade)
{
    if (upgrade->fd >= 0)
        close(upgrade->fd);
    tl_buffer_fini(&upgrade->rest);
    tl_buffer_fini(&upgrade->unsent);
    free(upgrade->request);
    free(upgrade);
}

static void on_upgrade(struct gw_loop_message *message)
{
    struct relayed_upgrade *upgrade = TL_LIST_ENTRY(message, struct relayed_upgrade, message);
    struct http_server *server = upgrade->to;
    if (!server->is_stopping &&
        http__connection_adopt(server, upgrade->fd, upgrade->request, &upgrade->rest,
                               &upgrade->unsent, &upgrade->counts)) {
        upgrade->fd = -1;
    } else {
        gw_metric_add(server->metrics, GW_ACCEPT_FAILED, server->is_stopping ? 0 : 1);
        gw_metrics_drop(server->metrics, GW_DROPPED_CLOSE, NULL,
                        copy_counts_pending(&upgrade->counts));
    }
    free_upgrade(upgrade);
}

static void drop_upgrade(struct gw_loop_message *message)
{
    free_upgrade(TL_LIST_ENTRY(message, struct relayed_upgrade, message));
}

static void relay_upgrade(struct http_exchange *exchange, const struct http_request *request,
                          struct http_server *to)
{
    struct gw_metrics *metrics = exchange->http->server->metrics;
    size_t size;
    struct relayed_upgrade *upgrade = malloc(sizeof *upgrade);
    struct http_request *copy = http_request_copy(request, &size);
    if (!upgrade || !copy) {
        free(upgrade);
        free(copy);
        respond_unavailable(exchange);
        return;
    }
    *upgrade = (struct relayed_upgrade){
        .message = {.deliver = on_upgrade, .drop = drop_upgrade},
        .to = to,
        .request = copy,
    };
    tl_buffer_init(&upgrade->rest, SIZE_MAX); // what there is has its bounds
    tl_buffer_init(&upgrade->unsent, SIZE_MAX);
    upgrade->fd = http__detach(exchange, &upgrade->rest, &upgrade->unsent, &upgrade->counts);
    if (upgrade->fd < 0) {
        gw_metrics_drop(metrics, GW_DROPPED_CLOSE, NULL, copy_counts_pending(&upgrade->counts));
        free_upgrade(upgrade);
        return;
    }
    gw_metric_add(metrics, GW_HTTP_HANDED_OVER, 1);
    gw_loop_post(to->loop, &upgrade->message);
}

void http_relay(struct http_exchange *exchange, const struct http_request *request,
                struct http_server *to)
{
    if (request->is_upgrade) {
        relay_upgrade(exchange, request, to);
        return;
    }
    struct http_relay *relay = new_relay(exchange, to);
    if (!relay || !post_request(relay, request, on_request)) {
        if (relay)
            unref(relay);
        respond_unavailable(exchange);
        return;
    }
    gw_metric_add(exchange->http->server->metrics, GW_HTTP_RELAYED, 1);
    http_exchange_on_abort(exchange, on_exchange_aborted, relay);
}
