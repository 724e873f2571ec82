// SPDX-License-Identifier: MIT
// The upgrade of a session to a WebSocket. The client opens one with the session's id and probes it
// (`2probe`, `3probe`); it then stops polling and, once its last poll and post are answered, says
// `5`: from there on the session uses the WebSocket. Invariants:
// - Until the `5` everything that is sent goes by way of the old transport, and what is still in
//   its queue then is moved as a whole, so nothing is lost, doubled or reordered.
// - Whatever else comes or does not come on the new transport ends it, and leaves the session as it
//   was.
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/session/eio_internal.h"

#define PROBE "probe"

// The attempt is over. A session that waited with its end for the client's move waits no more once
// its server refuses polls.
static void give_up(struct eio_session *session)
{
    eio__upgrade_abandon(session);
    if (session->state == EIO_SESSION_CLOSING && session->server->is_stopping)
        eio__session_end(session, session->reason);
}

static void on_timeout(struct gw_deadline *deadline)
{
    give_up(TL_LIST_ENTRY(deadline, struct eio_upgrade, timeout)->session);
}

static void release_poll(struct eio_upgrade *upgrade)
{
    struct eio_session *session = upgrade->session;
    session->transport->ops->release(session->transport);
    gw_deadline_start(&session->server->releases, &upgrade->release);
}

// A client that has not seen the answer to its probe yet polls once more.
static void on_release(struct gw_deadline *deadline)
{
    release_poll(TL_LIST_ENTRY(deadline, struct eio_upgrade, release));
}

// The client has moved.
static void complete(struct eio_session *session)
{
    struct transport *from = session->transport;
    struct transport *to = session->upgrade->transport;
    if (!outq_move(to->ops->queue(to), from->ops->queue(from))) {
        eio__upgrade_abandon(session); // the client has moved, and hears of it now
        eio__session_end(session, "transport error");
        return;
    }
    eio__upgrade_free(session->upgrade);
    to->events = &eio__session_events;
    session->transport = to;
    from->ops->drop(from);
    to->ops->flush(to);
    gw_metric_add(session->server->host.metrics, GW_EIO_UPGRADES, 1);
    if (session->state == EIO_SESSION_CLOSING)
        to->ops->close(to);
}

static bool is_probe(const struct eio_packet *packet)
{
    return packet->type == EIO_PING && packet->size == strlen(PROBE) &&
           memcmp(packet->bytes, PROBE, packet->size) == 0;
}

static void on_packet(struct transport *transport, void *owner, const struct eio_packet *packet)
{
    struct eio_session *session = owner;
    if (packet->type == EIO_UPGRADE)
        complete(session);
    else if (is_probe(packet) && transport_send(transport, EIO_PONG, PROBE))
        release_poll(session->upgrade);
    else
        give_up(session);
}

static void on_end(struct transport *transport, void *owner, enum transport_end end)
{
    struct eio_session *session = owner;
    (void)transport;
    (void)end;
    eio__upgrade_free(session->upgrade);
    give_up(session);
}

static const struct transport_events probe_events = {.on_packet = on_packet, .on_end = on_end};

// Accepts the handshake and closes at once: clients know this answer.
static void turn_away(struct eio_server *server, const struct transport_ops *ops,
                      struct http_exchange *exchange, const struct http_request *request)
{
    struct transport *transport = ops->accept(&server->host, exchange, request, NULL, NULL, NULL);
    if (transport)
        ops->drop(transport);
}

void eio__upgrade_begin(struct eio_session *session, const struct transport_ops *ops,
                        struct http_exchange *exchange, const struct http_request *request)
{
    struct eio_server *server = session->server;
    struct eio_upgrade *upgrade = NULL;
    if (session->transport->ops->can_upgrade && !session->upgrade)
        upgrade = calloc(1, sizeof *upgrade);
    if (!upgrade) {
        turn_away(server, ops, exchange, request);
        return;
    }
    upgrade->session = session;
    tl_list_init(&upgrade->link);
    gw_deadline_init(&upgrade->timeout, on_timeout);
    gw_deadline_init(&upgrade->release, on_release);
    session->upgrade = upgrade;
    upgrade->transport =
        ops->accept(&server->host, exchange, request, NULL, &probe_events, session);
    if (upgrade->transport)
        gw_deadline_start(&server->upgrade_timeouts, &upgrade->timeout);
    else
        eio__upgrade_free(upgrade);
}
