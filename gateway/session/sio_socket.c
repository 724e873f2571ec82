// SPDX-License-Identifier: MIT
// Sockets: their life from CONNECT to the end, and what is emitted to them.

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/session/sio_internal.h"

// ---- Sending

bool sio_emit(struct sio_socket *socket, const struct sio_message *message)
{
    if (socket->state != SIO_SOCKET_CONNECTED)
        return false;
    struct chunk *chunk =
        sio__encode(socket->nsp->server, message->attachment_count ? SIO_BINARY_EVENT : SIO_EVENT,
                    socket->nsp->name, SIO_NO_ID, message->args, message->attachments,
                    message->attachment_count);
    if (!chunk)
        return false;
    bool is_sent = sio__socket_send(socket, chunk);
    chunk_unref(chunk);
    return is_sent;
}

// ---- The beginning

static void refuse(struct sio_socket *socket, const struct sio_refusal *refusal)
{
    json_t *error = json_pack("{s:s}", "message", refusal->message);
    if (error && refusal->data)
        json_object_set_new(error, "data", json_incref(refusal->data));
    if (!error ||
        !sio__client_send(sio__client_of(socket), SIO_CONNECT_ERROR, socket->nsp->name, error))
        sio__client_close(sio__client_of(socket));
    json_decref(error);
}

// Frees a socket that is in no table any more. Acknowledgements end first: what their callbacks do
// to the socket is undone then.
static void free_socket(struct sio_socket *socket)
{
    sio__acks_end(socket);
    sio__socket_leave_all(socket);
    gw_task_cancel(&socket->end_task);
    tl_list_remove(&socket->link);
    sio__client_of(socket)->socket_count--;
    free(socket);
}

static void remember_id(struct sio_socket *socket)
{
    socket->node.name = socket->id;
    socket->node.name_size = strlen(socket->id);
    tl_table_insert(&socket->nsp->sockets, &socket->node);
}

static void forget_id(struct sio_socket *socket)
{
    tl_table_remove(&socket->nsp->sockets, &socket->node);
}

static void on_end_task(struct gw_task *task)
{
    sio__socket_end(TL_LIST_ENTRY(task, struct sio_socket, end_task),
                    "server namespace disconnect");
}

static struct sio_socket *new_socket(struct sio_client *client, struct sio_namespace *nsp)
{
    struct sio_socket *socket = calloc(1, sizeof *socket);
    if (!socket)
        return NULL;
    if (!gw_random_id(socket->id)) {
        free(socket);
        return NULL;
    }
    socket->session = client->session;
    socket->nsp = nsp;
    tl_list_init(&socket->acks);
    gw_task_init(&socket->end_task, on_end_task);
    remember_id(socket);
    tl_list_append(&client->sockets, &socket->link);
    client->socket_count++;
    return socket;
}

// The client cannot go on without an answer. Unless it is gone, or on its way out, memory is out.
static void fail_to_connect(struct sio_socket *socket)
{
    struct sio_client *client = sio__client_of(socket);
    forget_id(socket);
    free_socket(socket);
    if (eio_session_is_open(client->session))
        gw_log(GW_LOG_ERROR, "socket", "out of memory: a client could not be connected");
    sio__client_close(client);
}

static bool accept_socket(struct sio_socket *socket, const json_t *auth)
{
    struct sio_client *client = sio__client_of(socket);
    struct sio_namespace *nsp = socket->nsp;
    char pid[SIO_PID_SIZE + 1];
    bool has_pid = nsp->handler.has_recovery && sio_socket_pid(socket, pid);
    json_t *answer = json_pack("{s:s, s:s*}", "sid", socket->id, "pid", has_pid ? pid : NULL);
    bool is_sent = answer && sio__client_send(client, SIO_CONNECT, nsp->name, answer);
    json_decref(answer);
    if (!is_sent) {
        fail_to_connect(socket);
        return false;
    }
    socket->state = SIO_SOCKET_CONNECTED;
    sio__client_stop_waiting(client);
    gw_metric_add(client->server->metrics, GW_SIO_SOCKETS, 1);
    gw_metric_add(client->server->metrics, GW_SIO_SOCKETS_TOTAL, 1);
    if (nsp->handler.on_connection)
        nsp->handler.on_connection(socket, auth, nsp->arg);
    return true;
}

void sio_socket_refuse(struct sio_socket *socket, const struct sio_refusal *refusal)
{
    refuse(socket, refusal);
    forget_id(socket);
    free_socket(socket);
}

bool sio_socket_accept(struct sio_socket *socket)
{
    return accept_socket(socket, NULL);
}

void sio_socket_defer(struct sio_socket *socket)
{
    if (socket->state == SIO_SOCKET_CONNECTING)
        socket->state = SIO_SOCKET_DEFERRED;
}

bool sio_socket_resume(struct sio_socket *socket, const char *id)
{
    if (socket->state != SIO_SOCKET_DEFERRED || strlen(id) >= sizeof socket->id ||
        sio_namespace_find(socket->nsp, id))
        return false;
    forget_id(socket);
    strcpy(socket->id, id);
    remember_id(socket);
    return true;
}

struct chunk *sio_missed_chunk(const struct sio_missed *missed)
{
    if (missed->size > CHUNK_BYTES_MAX)
        return NULL;
    struct chunk *chunk = chunk_new(missed->size + missed->count * CHUNK_BOUNDARY_SIZE);
    if (!chunk)
        return NULL;
    memcpy(chunk->bytes, missed->bytes, missed->size);
    chunk->size = (uint32_t)missed->size;
    for (size_t i = 0; i < missed->count; i++)
        chunk_add_boundary_at(chunk, missed->copies[i].end, missed->copies[i].kind,
                              missed->copies[i].index);
    return chunk;
}

bool sio_emit_missed_chunk(struct sio_socket *socket, struct chunk *chunk)
{
    if (socket->state != SIO_SOCKET_DEFERRED && socket->state != SIO_SOCKET_CONNECTED)
        return false;
    sio__socket_distribute(socket);
    return sio__send_chunk(socket->session, chunk);
}

bool sio_emit_missed(struct sio_socket *socket, const struct sio_missed *missed)
{
    struct chunk *chunk = sio_missed_chunk(missed);
    bool is_sent = chunk && sio_emit_missed_chunk(socket, chunk);
    if (chunk)
        chunk_unref(chunk);
    return is_sent;
}

void sio__socket_connect(struct sio_client *client, struct sio_namespace *nsp, const json_t *auth)
{
    struct sio_socket *socket = new_socket(client, nsp);
    struct sio_refusal refusal = {.message = ""};
    if (!socket) {
        gw_log(GW_LOG_ERROR, "socket", "out of memory: a client could not be connected");
        sio__client_close(client);
        return;
    }
    bool is_accepted =
        !nsp->handler.on_connect || nsp->handler.on_connect(socket, auth, &refusal, nsp->arg);
    if (!is_accepted)
        sio_socket_refuse(socket, &refusal);
    else if (socket->state != SIO_SOCKET_DEFERRED)
        accept_socket(socket, auth);
    json_decref(refusal.data);
}

// ---- The end

void sio__socket_end(struct sio_socket *socket, const char *reason)
{
    struct sio_namespace *nsp = socket->nsp;
    bool was_connected = socket->state >= SIO_SOCKET_CONNECTED;
    sio__socket_distribute(socket); // what it was to get counts as that
    if (socket->state == SIO_SOCKET_DISCONNECTING)
        reason = "server namespace disconnect"; // what was asked first counts
    socket->state = SIO_SOCKET_ENDED;
    forget_id(socket);
    if (was_connected) {
        gw_metric_add(nsp->server->metrics, GW_SIO_SOCKETS, -1);
        if (nsp->handler.on_disconnect)
            nsp->handler.on_disconnect(socket, reason, nsp->arg);
    }
    free_socket(socket);
}

void sio_socket_disconnect(struct sio_socket *socket, bool close)
{
    struct sio_client *client = sio__client_of(socket);
    if (socket->state == SIO_SOCKET_CONNECTED) {
        sio__socket_distribute(socket);
        // A client that cannot be told would go on as if nothing had been.
        if (!sio__client_send(client, SIO_DISCONNECT, socket->nsp->name, NULL))
            sio__client_close(client);
        socket->state = SIO_SOCKET_DISCONNECTING;
        gw_task_schedule(client->server->loop, GW_PHASE_DISTRIBUTE, &socket->end_task);
    }
    if (!close)
        return;
    for (struct tl_list *at = client->sockets.next; at != &client->sockets; at = at->next) {
        struct sio_socket *other = TL_LIST_ENTRY(at, struct sio_socket, link);
        if (other->state == SIO_SOCKET_CONNECTED)
            sio_socket_disconnect(other, false);
    }
    sio__client_close(client);
}

void sio_socket_drop(struct sio_socket *socket)
{
    sio__client_close(sio__client_of(socket));
}

void sio_socket_abort(struct sio_socket *socket)
{
    eio_session_abort(socket->session, "transport close");
}

// ---- Receiving

void sio__socket_receive(struct sio_socket *socket, const struct sio_packet *packet)
{
    const struct sio_handler *handler = &socket->nsp->handler;
    if (packet->type == SIO_ACK || packet->type == SIO_BINARY_ACK) {
        sio__acks_receive(socket, packet);
        return;
    }
    // An event without a name (no JSON at all) is legal, and has no handler.
    if (!packet->data || !handler->on_event)
        return;
    struct sio_ack *ack = NULL;
    if (packet->id != SIO_NO_ID) {
        ack = sio__ack_new(socket, packet->id);
        if (!ack) {
            sio__client_close(sio__client_of(socket));
            return;
        }
    }
    const struct sio_message message = {
        .args = packet->data,
        .attachments = packet->attachments,
        .attachment_count = packet->attachment_count,
    };
    handler->on_event(socket, &message, ack, socket->nsp->arg);
}
