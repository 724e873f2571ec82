// SPDX-License-Identifier: MIT
// The workers' side: clients' requests in the two namespaces, and the answers.
//
// Each socket has a record of every session that it is in, is joining or is leaving. A record has
// at most one request under way; further requests wait. So the bus thread gets LEAVE and GONE only
// for clients that it counts.

#include <stdlib.h>
#include <string.h>

#include "common/event_id.h"
#include "gateway/base/log.h"
#include "gateway/bridge/memberships.h"

#define WAITING_MAX 64 // requests of one client that may wait

// ---- Telling a client

// Emits `[name, data]` and, if asked for, acknowledges with `[data]`. Consumes `data` and the ack.
static void tell(struct sio_socket *socket, const char *name, json_t *data, struct sio_ack *ack)
{
    struct sio_message message = {.args = json_pack("[sO]", name, data)};
    if (!message.args || !sio_emit(socket, &message))
        gw_log(GW_LOG_DEBUG, "bridge", "%s was not sent to %s", name, sio_socket_id(socket));
    json_decref(message.args);
    if (ack) {
        json_t *args = json_pack("[O]", data);
        if (args)
            sio_ack_answer(ack, args, NULL, 0);
        else
            sio_ack_drop(ack);
        json_decref(args);
    }
    json_decref(data);
}

// Emits `error`, and acknowledges with `{error: …}`.
static void refuse(struct sio_socket *socket, struct gw_metrics *metrics, const char *code,
                   const char *text, struct sio_ack *ack)
{
    gw_metric_add(metrics, GW_CLIENT_ERRORS, 1);
    json_t *error = json_pack("{s:s, s:s}", "message", text, "code", code);
    if (ack) {
        json_t *args = json_pack("[{s:O}]", "error", error);
        if (args)
            sio_ack_answer(ack, args, NULL, 0);
        else
            sio_ack_drop(ack);
        json_decref(args);
    }
    if (error)
        tell(socket, "error", error, NULL);
}

// ---- Requests

// Sends the membership's waiting requests, one after the other; frees a membership that is not
// needed any more.
static void pump(struct client *client, struct membership *membership)
{
    while (!membership->is_under_way && !tl_list_is_empty(&membership->waiting)) {
        struct bridge_request *request =
            TL_LIST_ENTRY(membership->waiting.next, struct bridge_request, link);
        tl_list_remove(&request->link);
        client->waiting_count--;
        if (request->command == BRIDGE_LEAVE && !membership->is_joined) {
            refuse(client->socket, client->worker->metrics, "not_joined", "Not in this session",
                   request->ack);
            bridge__free_request(request);
            continue;
        }
        request->is_member = membership->is_joined;
        membership->is_under_way = true;
        bridge__post_request(request);
    }
    if (!membership->is_under_way && !membership->is_joined)
        bridge__free_membership(client, membership);
}

// A client that could not be recovered named its newest event at CONNECT. Pages that do not use
// `since` receive what came after that.
static void imply_since(const struct client *client, struct bridge_request *request)
{
    const struct client_past *past = client->past;
    if (!past || gw_loop_before(client->worker->loop) >= past->since_until)
        return;
    request->is_implied = true;
    if (!past->is_unsure)
        strcpy(request->since, past->stale);
}

// Lets a request wait at its membership; takes the ack.
static void submit(struct client *client, struct membership *membership,
                   enum bridge_command command, const char *since, struct sio_ack *ack)
{
    struct bridge_request *request = NULL;
    if (client->waiting_count < WAITING_MAX)
        request = bridge__new_request(client->worker, command, membership->session,
                                      sio_socket_id(client->socket));
    if (!request) {
        refuse(client->socket, client->worker->metrics, "unavailable",
               "Too many requests are waiting", ack);
    } else {
        request->ack = ack;
        if (command == BRIDGE_JOIN && since[0] == '\0')
            imply_since(client, request);
        else
            strcpy(request->since, since);
        tl_list_append(&membership->waiting, &request->link);
        client->waiting_count++;
    }
    pump(client, membership);
}

// ---- What clients say

// Finds the session id of a request, or refuses it (taking the ack) and returns NULL.
static const char *session_of(const struct client *client, const struct sio_message *message,
                              struct sio_ack *ack)
{
    json_t *payload = json_array_get(message->args, 1);
    const char *code = NULL;
    const char *text = NULL;
    json_t *id = json_object_get(payload, "session_id");
    if (payload && !json_is_object(payload)) {
        code = "invalid_payload";
        text = "The payload is not an object";
    } else if (!id || json_is_null(id) || (json_is_string(id) && json_string_length(id) == 0)) {
        code = "missing_session_id";
        text = "Missing session_id";
    } else if (!json_is_string(id) ||
               talus_session_check(json_string_value(id), json_string_length(id)) != TALUS_OK) {
        code = "invalid_session_id";
        text = "Invalid session_id";
    }
    if (!code)
        return json_string_value(id);
    refuse(client->socket, client->worker->metrics, code, text, ack);
    return NULL;
}

// Finds the newest event that the client says it has, "" for none, or refuses it (taking the ack)
// and returns NULL.
static const char *since_of(const struct client *client, const struct sio_message *message,
                            struct sio_ack *ack)
{
    const json_t *since = json_object_get(json_array_get(message->args, 1), "since");
    if (!since || json_is_null(since))
        return "";
    // Gaps repeat it as it is.
    const char *text = json_string_value(since); // NULL: it is none
    if (text && tl_event_id_check(text, json_string_length(since)))
        return text;
    refuse(client->socket, client->worker->metrics, "invalid_payload", "since is not an event id",
           ack);
    return NULL;
}

static void on_join(struct client *client, const struct sio_message *message, struct sio_ack *ack)
{
    const char *session = session_of(client, message, ack);
    const char *since = session ? since_of(client, message, ack) : NULL;
    if (!since)
        return;
    struct membership *membership = bridge__find_membership(client, session);
    if (!membership && client->membership_count >= client->worker->bridge->options.max_sessions) {
        refuse(client->socket, client->worker->metrics, "too_many_sessions",
               "Too many sessions joined", ack);
        return;
    }
    if (!membership)
        membership = bridge__new_membership(client, session);
    if (membership)
        submit(client, membership, BRIDGE_JOIN, since, ack);
    else
        refuse(client->socket, client->worker->metrics, "unavailable", "Out of memory", ack);
}

static void on_leave(struct client *client, const struct sio_message *message, struct sio_ack *ack)
{
    const char *session = session_of(client, message, ack);
    if (!session)
        return;
    struct membership *membership = bridge__find_membership(client, session);
    if (membership && client->past) // what it leaves and joins again it would be given twice
        client->past->is_unsure = true;
    if (membership)
        submit(client, membership, BRIDGE_LEAVE, "", ack);
    else
        refuse(client->socket, client->worker->metrics, "not_joined", "Not in this session", ack);
}

static const char *name_of(const struct sio_message *message)
{
    const char *name = json_string_value(json_array_get(message->args, 0));
    return name ? name : ""; // a number is a legal name, and none that we know
}

static void on_room_event(struct sio_socket *socket, const struct sio_message *message,
                          struct sio_ack *ack, void *arg)
{
    struct bridge_worker *worker = arg;
    struct client *client = sio_socket_data(socket);
    const char *name = name_of(message);
    if (strcmp(name, "ping") == 0)
        tell(socket, "pong", json_object(), ack);
    else if (!client)
        refuse(socket, worker->metrics, "unavailable", "Out of memory", ack);
    else if (strcmp(name, "join_session") == 0)
        on_join(client, message, ack);
    else if (strcmp(name, "leave_session") == 0)
        on_leave(client, message, ack);
    else
        refuse(socket, worker->metrics, "unknown_event", "Unknown event", ack);
}

static void on_main_event(struct sio_socket *socket, const struct sio_message *message,
                          struct sio_ack *ack, void *arg)
{
    struct bridge_worker *worker = arg;
    const char *name = name_of(message);
    if (strcmp(name, "ping") == 0)
        tell(socket, "pong", json_object(), ack);
    else if (strcmp(name, "join_session") == 0 || strcmp(name, "leave_session") == 0)
        refuse(socket, worker->metrics, "wrong_namespace", "Sessions are in another namespace",
               ack);
    else
        refuse(socket, worker->metrics, "unknown_event", "Unknown event", ack);
}

static bool on_connect(struct sio_socket *socket, const json_t *auth, struct sio_refusal *refusal,
                       void *arg)
{
    (void)refusal;
    if (bridge__ask_recovery(arg, socket, auth))
        sio_socket_defer(socket);
    return true;
}

static void on_connection(struct sio_socket *socket, const json_t *auth, void *arg)
{
    // Without a record each request of the client is answered `unavailable`.
    bridge__new_client(arg, socket);
    bridge__begin_anew(socket, auth);
}

static void say_gone(struct bridge_worker *worker, const char *session, const char *client_id)
{
    struct bridge_request *request = bridge__new_request(worker, BRIDGE_GONE, session, client_id);
    if (request)
        bridge__post_request(request);
    else
        gw_log(GW_LOG_ERROR, "bridge",
               "out of memory: the bus was not told that client %s left session %s", client_id,
               session);
}

static void on_disconnect(struct sio_socket *socket, const char *reason, void *arg)
{
    struct client *client = sio_socket_data(socket);
    (void)arg;
    if (!client)
        return;
    gw_log(GW_LOG_DEBUG, "bridge", "client %s disconnected: %s", sio_socket_id(socket), reason);
    bool is_said = bridge__report_suspension(client, reason);
    for (struct tl_list *at = client->memberships.next; at != &client->memberships; at = at->next) {
        const struct membership *membership = TL_LIST_ENTRY(at, struct membership, link);
        // While a LEAVE is under way the client is on its way out already. A JOIN under way, be it
        // the first or one more, says GONE when it comes back and the client is gone.
        if (!is_said && membership->is_joined && !membership->is_under_way)
            say_gone(client->worker, membership->session, sio_socket_id(socket));
    }
    bridge__hand_over(client);
    bridge__free_client(client);
}

// ---- What comes back

// The room is told as the bus was, whatever becomes of the join.
static void tell_room(const struct bridge_request *request)
{
    if (!request->presence)
        return;
    const struct sio_encoded encoded = {request->presence->bytes, request->presence->size, 0};
    sio_room_emit_encoded(request->worker->nsp, request->session, &encoded, NULL);
}

static void give_missed(struct bridge_worker *worker, struct sio_socket *socket,
                        const struct bridge_request *request)
{
    const struct sio_missed missed = bridge_missed_view(&request->missed);
    const size_t count = request->shared ? request->shared->copies : missed.count;
    if (count == 0)
        return;
    if (request->shared ? sio_emit_missed_chunk(socket, request->shared)
                        : sio_emit_missed(socket, &missed))
        gw_metric_add(worker->metrics, GW_PUBLISHED, (int64_t)count);
    else
        sio_socket_drop(socket); // it comes back, and asks again
}

static void on_joined(struct client *client, struct membership *membership,
                      struct bridge_request *request)
{
    struct bridge_worker *worker = client->worker;
    struct sio_socket *socket = client->socket;
    bool is_in = request->status == BRIDGE_OK && sio_join(socket, membership->session);
    tell_room(request);
    if (!is_in) {
        if (request->status == BRIDGE_OK)
            say_gone(worker, membership->session, request->client);
        refuse(socket, worker->metrics, "unavailable", "The session cannot be joined now",
               request->ack);
        return;
    }
    membership->is_joined = true;
    if (!request->is_member) {
        membership->joined = request->index;
        membership->is_since = request->shared || bridge_missed_count(&request->missed) > 0;
    }
    json_t *data = json_pack("{s:s, s:s, s:I, s:s}", "session_id", membership->session, "client_id",
                             request->client, "active_clients", (json_int_t)request->active_clients,
                             "offset", request->offset);
    if (data)
        tell(socket, "joined", data, request->ack);
    else
        sio_ack_drop(request->ack);
    give_missed(worker, socket, request);
}

static void on_left(struct client *client, struct membership *membership,
                    struct bridge_request *request)
{
    struct bridge_log_position newest = {.index = request->index};
    strcpy(newest.id, request->offset);
    bridge__note_left(client, membership, &newest);
    membership->is_joined = false;
    sio_leave(client->socket, membership->session);
    json_t *data =
        json_pack("{s:s, s:s}", "session_id", membership->session, "client_id", request->client);
    if (data)
        tell(client->socket, "left", data, request->ack);
    else
        sio_ack_drop(request->ack);
}

// The client disconnected while its request was under way.
static void on_orphan(struct bridge_request *request)
{
    struct bridge_worker *worker = request->worker;
    sio_ack_drop(request->ack);
    if (request->command != BRIDGE_JOIN || request->status != BRIDGE_OK)
        return;
    tell_room(request);
    say_gone(worker, request->session, request->client);
}

// So many bytes that were under way have been taken.
static void work_off(struct bridge_worker *worker, size_t size)
{
    size_t pending = atomic_fetch_sub(&worker->pending, size) - size;
    int expected = BRIDGE_AWAITED;
    if (pending <= BRIDGE_PENDING_MAX / 2 &&
        atomic_compare_exchange_strong(&worker->pace, &expected, BRIDGE_READY))
        gw_loop_post(worker->bridge->loop, &worker->ready_message);
}

void bridge__on_answer(struct gw_loop_message *message)
{
    struct bridge_request *request = TL_LIST_ENTRY(message, struct bridge_request, message);
    if (request->worker->bridge->are_workers_gone) {
        message->drop(message);
        return;
    }
    request->worker->unanswered--;
    work_off(request->worker, request->pending);
    if (request->command == BRIDGE_RECOVER) {
        bridge__on_recovery_answer(request);
        bridge__free_request(request);
        return;
    }
    struct sio_socket *socket = sio_namespace_find(request->worker->nsp, request->client);
    struct client *client = socket ? sio_socket_data(socket) : NULL;
    struct membership *membership =
        client ? bridge__find_membership(client, request->session) : NULL;
    if (!membership) {
        on_orphan(request);
    } else {
        membership->is_under_way = false;
        if (request->command == BRIDGE_JOIN)
            on_joined(client, membership, request);
        else
            on_left(client, membership, request);
        pump(client, membership);
    }
    bridge__free_request(request);
}

void bridge__on_room_message(struct gw_loop_message *message)
{
    struct bridge_room_message *room_message =
        TL_LIST_ENTRY(message, struct bridge_room_message, message);
    if (room_message->worker->bridge->are_workers_gone) {
        message->drop(message);
        return;
    }
    struct bridge_encoded *encoded = room_message->encoded;
    const struct sio_encoded frames = {encoded->bytes, encoded->size, encoded->index};
    struct bridge_worker *worker = room_message->worker;
    sio_room_emit_encoded(worker->nsp, encoded->session[0] ? encoded->session : NULL, &frames,
                          encoded->except[0] ? encoded->except : NULL);
    if (encoded->index > 0) {
        worker->newest = encoded->index;
        if (encoded->except[0])
            bridge__note_exclusion(worker, encoded);
    }
    size_t size = bridge__room_message_size(room_message);
    bridge_encoded_unref(encoded);
    free(room_message);
    work_off(worker, size);
}

// Clients that missed it reconnect, and are given it from the log or see that they are not
// recovered.
void bridge__on_lost(struct gw_loop_message *message)
{
    struct bridge_worker *worker = TL_LIST_ENTRY(message, struct bridge_worker, lost_message);
    atomic_store(&worker->is_lost, false);
    if (!worker->bridge->are_workers_gone)
        sio_namespace_give_up(worker->nsp);
}

bool bridge__worker_init(struct bridge_worker *worker)
{
    const struct sio_handler rooms = {
        .on_connect = on_connect,
        .on_connection = on_connection,
        .on_event = on_room_event,
        .on_disconnect = on_disconnect,
        .has_recovery = worker->bridge->options.recovery_window_ms > 0,
    };
    const struct sio_handler main_namespace = {.on_event = on_main_event};
    worker->nsp = sio_server_add_namespace(worker->server, worker->bridge->nsp, &rooms, worker);
    if (!worker->nsp)
        return false;
    return strcmp(worker->bridge->nsp, "/") == 0 ||
           sio_server_add_namespace(worker->server, "/", &main_namespace, worker) != NULL;
}
