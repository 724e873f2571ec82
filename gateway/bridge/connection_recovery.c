// SPDX-License-Identifier: MIT
// The workers' part of recovery: describes a client that is cut off, and restores one that comes
// back.

#include <stdlib.h>
#include <string.h>

#include "common/event_id.h"
#include "gateway/base/log.h"
#include "gateway/bridge/memberships.h"

// ---- Suspension

// A client that disconnected on purpose, or was disconnected, cannot be recovered.
static bool is_cut_off(const char *reason)
{
    return strcmp(reason, "client namespace disconnect") != 0 &&
           strcmp(reason, "server namespace disconnect") != 0 && strcmp(reason, "parse error") != 0;
}

// The outcome of an unanswered request is in doubt: such a client is not recovered, and asks again.
static bool is_idle(const struct client *client)
{
    for (struct tl_list *at = client->memberships.next; at != &client->memberships; at = at->next) {
        const struct membership *membership = TL_LIST_ENTRY(at, struct membership, link);
        if (membership->is_under_way || !tl_list_is_empty(&membership->waiting))
            return false;
    }
    return true;
}

// Whether what the client had got at its CONNECT is still the `since` of its joins, or was when it
// was cut off: that may have been noticed late.
static bool has_stale_since(const struct client *client)
{
    const struct bridge_worker *worker = client->worker;
    int64_t until = client->past->since_until;
    return until > 0 && gw_loop_before(worker->loop) < until + worker->bridge->options.silence_ms;
}

static struct bridge_suspension *describe(const struct client *client)
{
    unsigned count = client->membership_count + 1;
    struct bridge_suspension *suspension =
        calloc(1, sizeof *suspension + count * sizeof suspension->memberships[0]);
    if (!suspension)
        return NULL;
    strcpy(suspension->client, sio_socket_id(client->socket));
    suspension->memberships[0].joined = client->connected;
    suspension->reached = client->worker->newest;
    if (client->past) {
        if (client->past->recovered > suspension->reached)
            suspension->reached = client->past->recovered;
        suspension->left = client->past->left;
        suspension->is_stale_since = has_stale_since(client);
        suspension->is_unsure = client->past->is_unsure;
        suspension->memberships[0].exclusion = client->past->exclusion;
        strcpy(suspension->stale, client->past->stale);
    }
    struct bridge_suspended_membership *to = &suspension->memberships[1];
    for (struct tl_list *at = client->memberships.next; at != &client->memberships;
         at = at->next, to++) {
        const struct membership *membership = TL_LIST_ENTRY(at, struct membership, link);
        to->joined = membership->joined;
        to->is_since = membership->is_since;
        if (membership->exclusion)
            to->exclusion = *membership->exclusion;
        strcpy(to->session, membership->session);
    }
    suspension->membership_count = count;
    return suspension;
}

static void take_unsent(const struct client *client, struct bridge_suspension *suspension)
{
    struct unsent unsent;
    sio_socket_take_unsent(client->socket, &unsent);
    suspension->pending = unsent.events;
    suspension->pending_from = unsent.events > 0 ? unsent.first : suspension->reached + 1;
}

// Consumes the suspension. False: out of memory.
static bool post_suspension(struct bridge_worker *worker, struct bridge_suspension *suspension)
{
    struct bridge_request *request =
        bridge__new_request(worker, BRIDGE_SUSPEND, "", suspension->client);
    if (!request) {
        gw_metrics_drop(worker->metrics, GW_DROPPED_MEMORY, suspension->client,
                        suspension->pending);
        free(suspension);
        return false;
    }
    request->suspension = suspension;
    bridge__post_request(request);
    return true;
}

static struct bridge_request *taker_of(struct tl_list *link)
{
    return TL_LIST_ENTRY(link, struct bridge_request, link);
}

bool bridge__report_suspension(struct client *client, const char *reason)
{
    struct bridge_worker *worker = client->worker;
    if (worker->bridge->options.recovery_window_ms == 0 || !is_cut_off(reason) || !is_idle(client))
        return false;
    struct bridge_suspension *suspension = describe(client);
    if (!suspension)
        return false;
    take_unsent(client, suspension);
    if (!client->past || tl_list_is_empty(&client->past->takers))
        return post_suspension(worker, suspension);
    struct bridge_request *taker = taker_of(client->past->takers.prev); // the newest connection
    taker->suspension = suspension;
    taker->worker_left = worker;
    return true;
}

// ---- A connection that another one of the same client takes the place of

static void pass_on(struct bridge_request *request)
{
    struct bridge *bridge = request->worker->bridge;
    if (++request->asked < bridge->worker_count) {
        gw_loop_post(bridge->workers[request->asked].loop, &request->message);
        return;
    }
    request->message.deliver = bridge->handlers->on_request;
    gw_loop_post(bridge->loop, &request->message);
}

void bridge__on_search(struct gw_loop_message *message)
{
    struct bridge_request *request = TL_LIST_ENTRY(message, struct bridge_request, message);
    struct bridge *bridge = request->worker->bridge;
    if (bridge->are_workers_gone) {
        message->drop(message);
        return;
    }
    struct sio_socket *socket =
        sio_namespace_find(bridge->workers[request->asked].nsp, request->past);
    bool is_here = socket && sio_socket_is_connected(socket);
    struct client *client = is_here ? sio_socket_data(socket) : NULL;
    struct client_past *past = client ? bridge__past_of(client) : NULL;
    if (past) {
        gw_log(GW_LOG_DEBUG, "recovery", "client %s reconnects while its old connection is open",
               request->past);
        tl_list_append(&past->takers, &request->link);
    }
    if (is_here)
        sio_socket_abort(socket);
    if (!past)
        pass_on(request);
}

void bridge__hand_over(struct client *client)
{
    struct tl_list *takers = client->past ? &client->past->takers : NULL;
    while (takers && !tl_list_is_empty(takers)) {
        struct bridge_request *taker = taker_of(takers->prev);
        struct bridge *bridge = taker->worker->bridge;
        tl_list_remove(&taker->link);
        taker->asked = bridge->worker_count;
        taker->message.deliver = bridge->handlers->on_request;
        gw_loop_post(bridge->loop, &taker->message);
    }
}

// ---- Coming back

// What the client says that it got last; "" if it says nothing. An offset that cannot be an event
// id stays unknown: "?" is none.
static void copy_offset(char to[TALUS_ID_MAX + 1], const json_t *auth)
{
    const json_t *offset = json_object_get(auth, "offset");
    if (json_is_string(offset))
        strcpy(to, json_string_length(offset) <= TALUS_ID_MAX ? json_string_value(offset) : "?");
}

bool bridge__ask_recovery(struct bridge_worker *worker, struct sio_socket *socket,
                          const json_t *auth)
{
    const char *pid = json_string_value(json_object_get(auth, "pid")); // NULL: there is none
    char past[GW_ID_SIZE + 1];
    if (worker->bridge->options.recovery_window_ms == 0 || !pid)
        return false;
    if (!sio_pid_id(pid, past)) {
        gw_metric_add(worker->metrics, GW_NOT_RECOVERED, 1);
        return false; // of another gateway, or of this one in an earlier life
    }
    struct bridge_request *request =
        bridge__new_request(worker, BRIDGE_RECOVER, "", sio_socket_id(socket));
    if (!request)
        return false;
    strcpy(request->past, past);
    copy_offset(request->offset, auth);
    bridge__post_request(request);
    return true;
}

// From now on, for a while, what the client has got is the `since` of its joins.
static void let_stale_serve(struct client *client)
{
    const struct bridge_worker *worker = client->worker;
    client->past->since_until =
        gw_loop_now(worker->loop) + worker->bridge->options.recovery_window_ms;
}

// Of a client that was here, or at another gateway, before.
static void note_offset(struct sio_socket *socket, const char *offset)
{
    struct client *client = sio_socket_data(socket);
    if (!client)
        return;
    struct client_past *past = bridge__past_of(client);
    if (!past) {
        sio_socket_drop(socket); // else its joins would miss that offset in silence
        return;
    }
    strcpy(past->stale, offset);
    past->is_unsure = !tl_event_id_check(offset, strlen(offset));
    let_stale_serve(client);
}

void bridge__begin_anew(struct sio_socket *socket, const json_t *auth)
{
    char offset[TALUS_ID_MAX + 1] = "";
    if (!json_is_string(json_object_get(auth, "pid")))
        return;
    copy_offset(offset, auth);
    note_offset(socket, offset);
}

// Nothing is known of it, or not enough.
static void accept_anew(struct sio_socket *socket, const struct bridge_request *request)
{
    if (sio_socket_accept(socket))
        note_offset(socket, request->offset);
}

static bool restore_membership(struct client *client,
                               const struct bridge_suspended_membership *from)
{
    struct membership *membership = bridge__new_membership(client, from->session);
    if (!membership)
        return false;
    membership->is_joined = true;
    membership->joined = from->joined;
    membership->is_since = from->is_since;
    if (from->exclusion.excluded) {
        membership->exclusion = malloc(sizeof *membership->exclusion);
        if (!membership->exclusion)
            return false;
        *membership->exclusion = from->exclusion;
    }
    return sio_join(client->socket, membership->session);
}

static bool restore(struct client *client, const struct bridge_suspension *suspension)
{
    const struct bridge_exclusion *everybody = &suspension->memberships[0].exclusion;
    client->connected = suspension->memberships[0].joined;
    bool is_ahead = suspension->reached > client->worker->newest;
    if (everybody->excluded || suspension->left.index || suspension->is_stale_since ||
        suspension->stale[0] != '\0' || is_ahead) {
        struct client_past *past = bridge__past_of(client);
        if (!past)
            return false;
        past->left = suspension->left;
        past->exclusion = *everybody;
        past->recovered = suspension->reached;
        strcpy(past->stale, suspension->stale);
        if (suspension->is_stale_since) // a join may have been lost with the connection
            let_stale_serve(client);
        past->is_unsure = suspension->is_unsure;
    }
    for (unsigned i = 1; i < suspension->membership_count; i++)
        if (!restore_membership(client, &suspension->memberships[i]))
            return false;
    return true;
}

// Gives the client its id, what it missed, and its sessions. False: memory is out, and it is on its
// way out again.
static bool recover(struct sio_socket *socket, struct bridge_request *request)
{
    struct bridge_suspension *suspension = request->suspension;
    const struct sio_missed missed = bridge_missed_view(&request->missed);
    if (!sio_socket_resume(socket, suspension->client)) {
        sio_socket_drop(socket);
        return false;
    }
    if (missed.count > 0 && !sio_emit_missed(socket, &missed)) {
        sio_socket_drop(socket);
        return false;
    }
    // Whatever follows, it has been given to this connection, which accounts for it.
    suspension->pending = 0;
    suspension->pending_from = suspension->reached + 1;
    if (!sio_socket_accept(socket))
        return false;
    struct client *client = sio_socket_data(socket);
    if (client && restore(client, suspension))
        return true;
    bridge__free_client(client); // its suspension says it all
    sio_socket_drop(socket);
    return false;
}

void bridge__on_recovery_answer(struct bridge_request *request)
{
    struct bridge_worker *worker = request->worker;
    struct sio_socket *socket = sio_namespace_find(worker->nsp, request->client);
    struct bridge_suspension *suspension = request->suspension;
    if (!suspension) {
        if (socket)
            accept_anew(socket, request);
        return;
    }
    if (socket && recover(socket, request))
        return;
    // Gone again, before it could be told: it may come back as before.
    request->suspension = NULL;
    if (!post_suspension(worker, suspension))
        gw_log(GW_LOG_ERROR, "recovery",
               "out of memory: the bus was not told that a client left its sessions");
}
