// SPDX-License-Identifier: MIT
// What the bus thread does with the requests of the workers.
//
// The first request for a session subscribes to it; requests wait until the subscription is live,
// and are handled at once from then on.

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

static void leave(struct bridge_session *session, struct bridge_request *request)
{
    char client[sizeof request->client];
    strcpy(client, request->client);
    bridge__count_out(session, request->worker);
    if (request->command == BRIDGE_LEAVE) {
        struct bridge_log_position newest;
        session_log_newest(&session->log, &newest);
        request->index = newest.index;
        strcpy(request->offset, newest.id);
        bridge__answer(request, BRIDGE_OK); // first: it takes the client out of the room
    } else {
        bridge__free_request(request);
    }
    bridge__presence(session, talus_type_session_disconnected, client, NULL);
    bridge__linger_if_unused(session);
}

enum presence { QUIETLY, TELL };

// The sessions are live: the client was in them.
static void suspend(struct bridge *bridge, struct bridge_request *request, enum presence presence)
{
    struct bridge_suspension *suspension = request->suspension;
    request->suspension = NULL;
    for (unsigned i = 1; i < suspension->membership_count; i++) {
        struct bridge_session *session =
            bridge__find_session(bridge, suspension->memberships[i].session);
        bridge__count_out(session, request->worker_left);
        if (presence == TELL)
            bridge__presence(session, talus_type_session_disconnected, suspension->client, NULL);
    }
    bridge__suspend(bridge, suspension);
}

// Counts the client in its sessions again; with QUIETLY they were not told that it had left.
static void restore(struct bridge *bridge, struct bridge_request *request, enum presence presence)
{
    const struct bridge_suspension *suspension = request->suspension;
    for (unsigned i = 1; i < suspension->membership_count; i++) {
        struct bridge_session *session =
            bridge__find_session(bridge, suspension->memberships[i].session);
        bridge__count_in(session, request->worker);
        if (presence == TELL)
            bridge__presence(session, talus_type_session_connected, suspension->client, NULL);
    }
    bridge__answer(request, BRIDGE_OK);
}

static void recover_suspended(struct bridge *bridge, struct bridge_request *request)
{
    if (bridge__recover(bridge, request))
        restore(bridge, request, TELL);
    else
        bridge__answer(request, BRIDGE_UNKNOWN);
}

// A client takes over its own connection: the sessions are told only if recovery fails.
static void take_over(struct bridge *bridge, struct bridge_request *request)
{
    struct bridge_suspension *left = request->suspension;
    const unsigned count = left->membership_count;
    char(*names)[sizeof left->memberships[0].session] = calloc(count, sizeof *names);
    for (unsigned i = 1; names && i < count; i++)
        strcpy(names[i], left->memberships[i].session);
    suspend(bridge, request, names ? QUIETLY : TELL);
    if (bridge__recover(bridge, request)) {
        gw_metric_add(&bridge->metrics, GW_TAKEN_OVER, 1);
        restore(bridge, request, names ? QUIETLY : TELL);
    } else {
        for (unsigned i = 1; names && i < count; i++)
            bridge__tell_gone(bridge, names[i], request->past);
        bridge__answer(request, BRIDGE_UNKNOWN);
    }
    free(names);
}

// A client that is not suspended may still have a connection that is dead: ask the workers, one
// after the other; the one that has the connection ends it.
static void recover(struct bridge *bridge, struct bridge_request *request)
{
    if (request->suspension) {
        take_over(bridge, request);
    } else if (request->asked > 0 || bridge__is_suspended(bridge, request->past)) {
        recover_suspended(bridge, request);
    } else {
        request->message.deliver = bridge->handlers->on_search;
        gw_loop_post(bridge->workers[0].loop, &request->message);
    }
}

void bridge__work_off(struct bridge_session *session, struct bridge_request *request)
{
    bool is_since = request->command == BRIDGE_JOIN && !request->is_member &&
                    (request->since[0] != '\0' || request->is_implied);
    if (is_since && bridge__catch_up(session, request))
        return;
    if (request->command == BRIDGE_JOIN)
        bridge__join(session, request);
    else
        leave(session, request);
}

// Evict lingering sessions first, then those held only for suspended clients; never one with
// members. Clients that join all that they may and are cut off, again and again, would otherwise
// keep all others out for the whole window.
static void make_room(struct bridge *bridge)
{
    while (bridge->sessions.count >= bridge->options.max_bus_sessions)
        if (!bridge__evict_lingering(bridge) && !bridge__forget_oldest(bridge))
            return;
}

static struct bridge_session *subscribe(struct bridge *bridge, const char *name)
{
    make_room(bridge);
    return bridge__session_new(bridge, name);
}

void bridge__on_request(struct gw_loop_message *message)
{
    struct bridge_request *request = TL_LIST_ENTRY(message, struct bridge_request, message);
    struct bridge *bridge = request->worker->bridge;
    if (request->command == BRIDGE_SUSPEND || request->command == BRIDGE_RECOVER) {
        if (request->command == BRIDGE_RECOVER) {
            recover(bridge, request);
            return;
        }
        request->worker_left = request->worker;
        suspend(bridge, request, TELL);
        bridge__free_request(request);
        return;
    }
    struct bridge_session *session = bridge__find_session(bridge, request->session);
    if (!session && request->command == BRIDGE_JOIN)
        session = subscribe(bridge, request->session);
    if (!session) { // workers send LEAVE and GONE only for what they have joined: a failed JOIN
        bridge__answer(request, BRIDGE_UNAVAILABLE);
        return;
    }
    if (session->is_live)
        bridge__work_off(session, request);
    else
        tl_list_append(&session->waiting, &request->link);
    // Joining may have made something ready to be received without the descriptor's telling.
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
}
