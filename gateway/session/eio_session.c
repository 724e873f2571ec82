// SPDX-License-Identifier: MIT
// Engine.IO sessions: packets in, messages out, heartbeats, the end. Invariants:
// - The heartbeat runs exactly while the state is OPEN.
// - A session is in the table of ids exactly while it is OPEN or CLOSING.
// - Every session whose on_open was called has its on_close called once.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/protocol/ws.h"
#include "gateway/session/eio_internal.h"

#define SMALL_MESSAGE     512 // bytes; smaller ones may share a chunk
#define TIMER_LATENESS_MS 5   // of a timer by its nature; later means that we had no time for it

static void set_state(struct eio_session *session, enum eio_session_state state)
{
    assert(state > (enum eio_session_state)session->state);
#ifndef NDEBUG
    static const char *const names[] = {"opening", "open", "closing", "ended"};
    gw_log(GW_LOG_DEBUG, "engine", "session=%s %s -> %s", session->id, names[session->state],
           names[state]);
#endif
    session->state = (uint8_t)state;
}

// ---- Heartbeat

static void start_ping_interval(struct eio_session *session)
{
    session->is_pong_awaited = false;
    gw_deadline_start(&session->server->ping_intervals, &session->heartbeat);
}

static void start_ping_timeout(struct eio_session *session)
{
    session->lateness_ms = 0;
    gw_deadline_start(&session->server->ping_timeouts, &session->heartbeat);
}

static void expire(struct eio_session *session)
{
    gw_metric_add(session->server->host.metrics, GW_EIO_PING_TIMEOUTS, 1);
    eio__session_end(session, "ping timeout");
}

static void on_heartbeat(struct gw_deadline *deadline)
{
    struct eio_session *session = TL_LIST_ENTRY(deadline, struct eio_session, heartbeat);
    if (session->is_pong_awaited) {
        expire(session);
        return;
    }
    int64_t lateness = gw_loop_now(session->server->host.loop) - deadline->due;
    session->is_pong_awaited = true;
    session->is_patience_used = false;
    start_ping_timeout(session);
    if (lateness <= TIMER_LATENESS_MS)
        session->lateness_ms = (uint8_t)lateness;
    if (!transport_send(session->transport, EIO_PING, ""))
        eio__session_end(session, "transport error");
}

// ---- Packets

static void on_packet(struct transport *transport, void *owner, const struct eio_packet *packet)
{
    struct eio_session *session = owner;
    const struct eio_server *server = session->server;
    (void)transport;
    if (session->state != EIO_SESSION_OPEN)
        return;
    if (packet->type == EIO_PONG) {
        start_ping_interval(session);
        return;
    }
    // A client in the middle of sending something large is alive, though its pong has to wait.
    if (session->is_pong_awaited && !session->is_patience_used) {
        session->is_patience_used = true;
        start_ping_timeout(session);
    }
    if (packet->type == EIO_MESSAGE)
        server->handler->on_message(session, packet->is_binary, packet->bytes, packet->size,
                                    server->arg);
    else if (packet->type == EIO_PING) // pings are the server's
        eio__session_end(session, "transport error");
}

static void on_end(struct transport *transport, void *owner, enum transport_end end)
{
    static const char *const reasons[] = {
        [TRANSPORT_END_CLOSED] = "transport close",
        [TRANSPORT_END_ERROR] = "transport error",
        [TRANSPORT_END_MALFORMED] = "parse error",
        [TRANSPORT_END_SLOW] = "transport close",
    };
    struct eio_session *session = owner;
    struct gw_metrics *metrics = session->server->host.metrics;
    session->transport = NULL;
    if (end == TRANSPORT_END_MALFORMED)
        gw_metric_add(metrics, GW_EIO_PARSE_ERRORS, 1);
    else if (end == TRANSPORT_END_SLOW)
        gw_metric_add(metrics, GW_SLOW_CLIENTS, 1);
    session->is_behind |= end == TRANSPORT_END_SLOW;
    transport->ops->take_unsent(transport, session->server->is_stopping, &session->unsent);
    bool is_closing = session->state == EIO_SESSION_CLOSING;
    eio__session_end(session, is_closing ? session->reason : reasons[end]);
}

const struct transport_events eio__session_events = {.on_packet = on_packet, .on_end = on_end};

// ---- Sending

// A client is slow if a turn's flush left too much behind; the sender cannot know.
static void judge(struct eio_session *session)
{
    const struct eio_server *server = session->server;
    size_t backlog = session->transport->ops->backlog(session->transport);
    if (session->state != EIO_SESSION_OPEN || backlog <= server->options.max_queue)
        return;
    gw_metric_add(server->host.metrics, GW_SLOW_CLIENTS, 1);
    gw_log(GW_LOG_INFO, "engine",
           "closed a slow client: it does not read engine_session=%s bytes=%zu", session->id,
           backlog);
    session->is_behind = true;
    eio__session_end(session, "transport close");
}

// The queue to append to, or NULL if nothing may be sent.
static struct outq *begin_send(struct eio_session *session)
{
    if (session->state != EIO_SESSION_OPEN)
        return NULL;
    struct transport *transport = session->transport;
    const struct eio_server *server = session->server;
    if (transport->ops->backlog(transport) > server->options.max_queue)
        gw_task_schedule(server->host.loop, GW_PHASE_REAP, &session->task);
    return transport->ops->queue(transport);
}

static bool end_send(struct eio_session *session, bool is_queued)
{
    if (is_queued)
        session->transport->ops->flush(session->transport);
    else
        eio_session_fail(session);
    return is_queued;
}

bool eio_session_send(struct eio_session *session, const struct range *range)
{
    struct outq *queue = begin_send(session);
    return queue && end_send(session, outq_append_range(queue, range));
}

static size_t write_message(uint8_t *out, bool is_binary, const void *bytes, size_t size)
{
    size_t at = ws_encode_header(out, is_binary ? WS_BINARY : WS_TEXT, is_binary ? size : size + 1);
    if (!is_binary)
        out[at++] = EIO_MESSAGE;
    if (size > 0)
        memcpy(out + at, bytes, size);
    return at + size;
}

static bool append_large_message(struct outq *queue, bool is_binary, const void *bytes, size_t size)
{
    struct chunk *chunk = chunk_new(WS_HEADER_MAX + 1 + size);
    if (!chunk)
        return false;
    chunk->size = (uint32_t)write_message(chunk->bytes, is_binary, bytes, size);
    bool is_queued = outq_append(queue, chunk, 0, chunk->size);
    chunk_unref(chunk);
    return is_queued;
}

bool eio_session_send_message(struct eio_session *session, bool is_binary, const void *bytes,
                              size_t size)
{
    struct outq *queue = begin_send(session);
    if (!queue)
        return false;
    if (size > SMALL_MESSAGE)
        return end_send(session, append_large_message(queue, is_binary, bytes, size));
    uint8_t frame[WS_HEADER_MAX + 1 + SMALL_MESSAGE];
    size_t frame_size = write_message(frame, is_binary, bytes, size);
    return end_send(session, outq_append_copy(queue, frame, frame_size));
}

// ---- The end

static void tell_close(struct eio_session *session)
{
    const struct eio_server *server = session->server;
    if (session->is_close_told)
        return;
    session->is_close_told = true;
    gw_metric_add(server->host.metrics, GW_EIO_SESSIONS, -1);
    server->handler->on_close(session, session->reason, server->arg);
}

static void on_task(struct gw_task *task)
{
    struct eio_session *session = TL_LIST_ENTRY(task, struct eio_session, task);
    if (session->state != EIO_SESSION_ENDED) {
        judge(session);
    } else if (!session->is_close_told) {
        tell_close(session);
        gw_task_schedule(session->server->host.loop, GW_PHASE_REAP, &session->task);
    } else {
        eio__session_destroy(session);
    }
}

void eio__session_end(struct eio_session *session, const char *reason)
{
    struct eio_server *server = session->server;
    if (session->state == EIO_SESSION_ENDED)
        return;
    set_state(session, EIO_SESSION_ENDED);
    session->reason = reason;
    tl_table_remove(&server->by_id, &session->node);
    gw_deadline_stop(&session->heartbeat);
    struct transport *transport = session->transport;
    session->transport = NULL;
    if (transport)
        eio__upgrade_orphan(session);
    else
        eio__upgrade_abandon(session); // the old transport has told its client
    if (transport) {
        transport->ops->take_unsent(transport, server->is_stopping, &session->unsent);
        transport->ops->drop(transport);
    }
    gw_task_cancel(&session->task); // it may have been about to judge
    gw_task_schedule(server->host.loop, GW_PHASE_DISTRIBUTE, &session->task);
}

void eio__session_destroy(struct eio_session *session)
{
    assert(session->state == EIO_SESSION_ENDED);
    tell_close(session);
    gw_task_cancel(&session->task);
    tl_list_remove(&session->link);
    free(session);
}

void eio_session_close(struct eio_session *session, const char *reason)
{
    if (session->state != EIO_SESSION_OPEN)
        return;
    set_state(session, EIO_SESSION_CLOSING);
    session->reason = reason;
    gw_deadline_stop(&session->heartbeat);
    session->transport->ops->close(session->transport);
}

void eio_session_fail(struct eio_session *session)
{
    session->is_memory_out |= session->state != EIO_SESSION_ENDED;
    eio__session_end(session, "transport close");
}

struct unsent *eio_session_unsent(struct eio_session *session)
{
    return &session->unsent;
}

enum gw_metric eio_session_drop_reason(const struct eio_session *session)
{
    static const struct {
        const char *reason;
        enum gw_metric metric;
    } metrics[] = {
        {"ping timeout", GW_DROPPED_PING_TIMEOUT}, {"transport error", GW_DROPPED_ERROR},
        {"parse error", GW_DROPPED_ERROR},         {"forced close", GW_DROPPED_FORCED_CLOSE},
        {EIO__SHUTTING_DOWN, GW_DROPPED_SHUTDOWN},
    };
    if (session->is_memory_out)
        return GW_DROPPED_MEMORY;
    if (session->is_behind)
        return GW_DROPPED_BACKLOG;
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++)
        if (session->reason && strcmp(session->reason, metrics[i].reason) == 0)
            return metrics[i].metric;
    return GW_DROPPED_CLOSE;
}

void eio_session_abort(struct eio_session *session, const char *reason)
{
    eio__session_end(session, reason);
}

// ---- The beginning

struct eio_session *eio__session_new(struct eio_server *server)
{
    struct eio_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    if (!gw_random_id_tagged(session->id, server->options.worker)) {
        free(session);
        return NULL;
    }
    session->server = server;
    session->state = EIO_SESSION_OPENING;
    gw_deadline_init(&session->heartbeat, on_heartbeat);
    gw_task_init(&session->task, on_task);
    tl_list_append(&server->sessions, &session->link);
    return session;
}

void eio__session_discard(struct eio_session *session)
{
    assert(session->state == EIO_SESSION_OPENING);
    tl_list_remove(&session->link);
    free(session);
}

void eio__session_open(struct eio_session *session, struct transport *transport)
{
    struct eio_server *server = session->server;
    struct gw_metrics *metrics = server->host.metrics;
    session->node.name = session->id;
    session->node.name_size = GW_ID_SIZE;
    tl_table_insert(&server->by_id, &session->node);
    session->transport = transport;
    set_state(session, EIO_SESSION_OPEN);
    start_ping_interval(session);
    gw_metric_add(metrics, GW_EIO_SESSIONS, 1);
    gw_metric_add(metrics, GW_EIO_SESSIONS_TOTAL, 1);
    server->handler->on_open(session, server->arg);
}

int eio_id_worker(const char *id)
{
    return gw_id_tag(id);
}

struct eio_session *eio__session_find(struct eio_server *server, const char *id)
{
    struct tl_node *node = tl_table_find(&server->by_id, id, strlen(id));
    struct eio_session *session = node ? TL_TABLE_ENTRY(node, struct eio_session, node) : NULL;
    // Input comes before deadlines in a turn, and timers are a little late; but a request that
    // comes after the time is up, as its client counts, must not find the session.
    if (session && session->state == EIO_SESSION_OPEN && session->is_pong_awaited &&
        session->heartbeat.due - session->lateness_ms <= gw_loop_now(server->host.loop)) {
        expire(session);
        return NULL;
    }
    return session;
}

// ---- What the handler may ask

const char *eio_session_id(const struct eio_session *session)
{
    return session->id;
}

const char *eio_session_transport(const struct eio_session *session)
{
    return session->transport ? session->transport->ops->name : "";
}

bool eio_session_is_open(const struct eio_session *session)
{
    return session->state == EIO_SESSION_OPEN;
}

void eio_session_set_data(struct eio_session *session, void *data)
{
    session->data = data;
}

void *eio_session_data(const struct eio_session *session)
{
    return session->data;
}
