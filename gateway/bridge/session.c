// SPDX-License-Identifier: MIT
// The sessions of the bus that the bridge is subscribed to, with the number of their members on
// each worker. Bus thread.
//
// When the last client has left, the session lingers, still subscribed, for clients that come back.

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

struct bridge_session *bridge__find_session(const struct bridge *bridge, const char *name)
{
    struct tl_node *node = tl_table_find(&bridge->sessions, name, strlen(name));
    return node ? TL_TABLE_ENTRY(node, struct bridge_session, node) : NULL;
}

static void stop_lingering(struct bridge_session *session)
{
    if (!gw_deadline_is_started(&session->linger))
        return;
    gw_deadline_stop(&session->linger);
    session->bridge->lingering_count--;
}

void bridge__session_free(struct bridge_session *session)
{
    struct bridge *bridge = session->bridge;
    stop_lingering(session);
    session_log_fini(&bridge->log, &session->log);
    tl_table_remove(&bridge->sessions, &session->node);
    gw_metric_add(&bridge->metrics, GW_BUS_SESSIONS, -1);
    free(session);
}

static void unsubscribe(struct bridge_session *session)
{
    talus_subscriber_leave(session->bridge->subscriber, session->name);
    gw_log(GW_LOG_DEBUG, "bridge", "unsubscribed from session %s", session->name);
    bridge__session_free(session);
}

static void on_linger_over(struct gw_deadline *deadline)
{
    struct bridge_session *session = TL_LIST_ENTRY(deadline, struct bridge_session, linger);
    session->bridge->lingering_count--;
    unsubscribe(session);
}

static void unsubscribe_oldest(struct bridge *bridge)
{
    struct tl_list *oldest = bridge->linger.deadlines.next;
    unsubscribe(TL_LIST_ENTRY(oldest, struct bridge_session, linger.link));
}

bool bridge__is_used(const struct bridge_session *session)
{
    return session->clients > 0 || session->held > 0;
}

// A client that walks through sessions leaves them all behind: past the bound, the one that has
// been empty longest goes at once.
void bridge__linger_if_unused(struct bridge_session *session)
{
    struct bridge *bridge = session->bridge;
    if (bridge__is_used(session))
        return;
    gw_deadline_start(&bridge->linger, &session->linger);
    if (++bridge->lingering_count > bridge->options.max_lingering)
        unsubscribe_oldest(bridge);
}

void bridge__hold(struct bridge_session *session)
{
    session->held++;
    stop_lingering(session);
}

bool bridge__evict_lingering(struct bridge *bridge)
{
    if (bridge->lingering_count == 0)
        return false;
    unsubscribe_oldest(bridge);
    return true;
}

struct bridge_session *bridge__session_new(struct bridge *bridge, const char *name)
{
    size_t members_size = bridge->worker_count * sizeof(size_t);
    size_t name_size = strlen(name) + 1;
    struct bridge_session *session = calloc(1, sizeof *session + members_size + name_size);
    if (!session)
        return NULL;
    session->name = memcpy((char *)session->members + members_size, name, name_size);
    session->bridge = bridge;
    tl_list_init(&session->waiting);
    tl_list_init(&session->catch_ups);
    session_log_init(&session->log);
    bridge__origins_init(&session->origins);
    gw_deadline_init(&session->linger, on_linger_over);
    session->node.name = session->name;
    session->node.name_size = name_size - 1;
    tl_table_insert(&bridge->sessions, &session->node);
    gw_metric_add(&bridge->metrics, GW_BUS_SESSIONS, 1);
    talus_error_t error = talus_subscriber_join(bridge->subscriber, name);
    if (error) {
        gw_log(GW_LOG_WARNING, "bridge", "cannot subscribe to session %s: %s", name,
               talus_strerror(error));
        bridge__session_free(session);
        return NULL;
    }
    return session;
}

// ---- Members

void bridge__count_in(struct bridge_session *session, const struct bridge_worker *worker)
{
    session->clients++;
    session->members[worker->index]++;
    stop_lingering(session);
}

void bridge__count_out(struct bridge_session *session, const struct bridge_worker *worker)
{
    session->clients--;
    session->members[worker->index]--;
}
