// SPDX-License-Identifier: MIT
// The transport that a session may move to, as the session knows it: its end. How it comes and what
// it says is in eio_upgrade.c.
//
// Official clients ignore a WebSocket that is closed between the answer to their probe and their
// `5`, and poll no more: such a client would notice the end only by its ping timeout. So the
// WebSocket of a session that was ended meanwhile outlives it, an orphan, until the client has
// moved to it.
#include <stdlib.h>

#include "gateway/session/eio_internal.h"

void eio__upgrade_free(struct eio_upgrade *upgrade)
{
    if (upgrade->session)
        upgrade->session->upgrade = NULL;
    tl_list_remove(&upgrade->link);
    gw_deadline_stop(&upgrade->timeout);
    gw_deadline_stop(&upgrade->release);
    free(upgrade);
}

void eio__upgrade_abandon(struct eio_session *session)
{
    if (!session->upgrade)
        return;
    struct transport *transport = session->upgrade->transport;
    eio__upgrade_free(session->upgrade);
    transport->ops->drop(transport);
}

bool eio__upgrade_is_probed(const struct eio_session *session)
{
    return session->upgrade && gw_deadline_is_started(&session->upgrade->release);
}

// ---- Orphans

static void drop_orphan(struct eio_upgrade *upgrade)
{
    struct transport *transport = upgrade->transport;
    eio__upgrade_free(upgrade);
    transport->ops->drop(transport);
}

// Whatever the client says: its transport is the session's now, and is closed.
static void on_packet(struct transport *transport, void *owner, const struct eio_packet *packet)
{
    (void)transport;
    (void)packet;
    drop_orphan(owner);
}

static void on_end(struct transport *transport, void *owner, enum transport_end end)
{
    (void)transport;
    (void)end;
    eio__upgrade_free(owner);
}

static const struct transport_events orphan_events = {.on_packet = on_packet, .on_end = on_end};

static void on_timeout(struct gw_deadline *deadline)
{
    drop_orphan(TL_LIST_ENTRY(deadline, struct eio_upgrade, timeout));
}

void eio__upgrade_orphan(struct eio_session *session)
{
    struct eio_upgrade *upgrade = session->upgrade;
    if (!eio__upgrade_is_probed(session)) {
        eio__upgrade_abandon(session);
        return;
    }
    session->upgrade = NULL;
    upgrade->session = NULL;
    upgrade->transport->events = &orphan_events;
    upgrade->transport->owner = upgrade;
    gw_deadline_stop(&upgrade->release);
    gw_deadline_stop(&upgrade->timeout);
    gw_deadline_init(&upgrade->timeout, on_timeout);
    gw_deadline_start(&session->server->upgrade_timeouts, &upgrade->timeout);
    tl_list_append(&session->server->orphans, &upgrade->link);
}

void eio__upgrades_drop_orphans(struct eio_server *server)
{
    while (!tl_list_is_empty(&server->orphans))
        drop_orphan(TL_LIST_ENTRY(server->orphans.next, struct eio_upgrade, link));
}
