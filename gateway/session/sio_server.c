// SPDX-License-Identifier: MIT
// The Socket.IO server: namespaces, clients, and what each packet of a client means.

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/session/sio_internal.h"

#define SCRATCH_MAX (64u << 20) // bytes of one encoded packet

void sio_server_options_init(struct sio_server_options *options)
{
    *options = (struct sio_server_options){
        .connect_timeout_ms = 45000,
        .max_namespaces = 16,
    };
    eio_server_options_init(&options->engine);
}

static struct sio_namespace *find_namespace(const struct sio_server *server, const char *name)
{
    for (struct tl_list *at = server->namespaces.next; at != &server->namespaces; at = at->next) {
        struct sio_namespace *nsp = TL_LIST_ENTRY(at, struct sio_namespace, link);
        if (strcmp(nsp->name, name) == 0)
            return nsp;
    }
    return NULL;
}

struct sio_namespace *sio_server_add_namespace(struct sio_server *server, const char *name,
                                               const struct sio_handler *handler, void *arg)
{
    size_t size = strlen(name) + 1;
    if (find_namespace(server, name))
        return NULL;
    struct sio_namespace *nsp = calloc(1, sizeof *nsp + size);
    if (!nsp)
        return NULL;
    nsp->server = server;
    nsp->handler = *handler;
    nsp->arg = arg;
    memcpy(nsp->name, name, size);
    tl_table_init(&nsp->sockets);
    tl_table_init(&nsp->rooms);
    tl_list_append(&server->namespaces, &nsp->link);
    return nsp;
}

// ---- Clients

static void on_open(struct eio_session *session, void *arg)
{
    struct sio_server *server = arg;
    struct sio_client *client = sio__client_new(server, session);
    if (!client) {
        eio_session_abort(session, "transport error");
        return;
    }
    eio_session_set_data(session, client);
    server->client_count++;
}

// Counts as dropped what no suspension has taken along. `id`: of a socket of the client that was
// there to the end; "": there was none, so all it missed came before its disconnect.
static void drop_unsent(struct sio_server *server, struct eio_session *session, const char *id)
{
    struct unsent *unsent = eio_session_unsent(session);
    enum gw_metric reason = eio_session_drop_reason(session);
    if (id[0] == '\0' && reason == GW_DROPPED_CLOSE)
        reason = GW_DROPPED_DISCONNECT;
    gw_metrics_drop(server->metrics, reason, id[0] ? id : eio_session_id(session),
                    (uint64_t)unsent->events + unsent->others);
    *unsent = (struct unsent){0};
}

static void on_close(struct eio_session *session, const char *reason, void *arg)
{
    struct sio_server *server = arg;
    struct sio_client *client = eio_session_data(session);
    if (!client)
        return;
    client->is_closing = true;
    char id[GW_ID_SIZE + 1] = "";
    while (!tl_list_is_empty(&client->sockets)) {
        struct sio_socket *socket = TL_LIST_ENTRY(client->sockets.next, struct sio_socket, link);
        strcpy(id, socket->id);
        sio__socket_end(socket, reason);
    }
    drop_unsent(server, session, id);
    sio__client_stop_waiting(client);
    sio_decoder_destroy(&client->decoder);
    free(client);
    server->client_count--;
}

// ---- Packets

// A CONNECT for a namespace that the client is not in.
static void connect_namespace(struct sio_client *client, const struct sio_packet *packet)
{
    struct sio_server *server = client->server;
    struct sio_namespace *nsp = find_namespace(server, packet->nsp);
    if (nsp && client->socket_count < server->options.max_namespaces) {
        sio__socket_connect(client, nsp, packet->data);
        return;
    }
    json_t *error =
        json_pack("{s:s}", "message", nsp ? "Too many namespaces" : "Invalid namespace");
    if (!error || !sio__client_send(client, SIO_CONNECT_ERROR, packet->nsp, error))
        sio__client_close(client);
    json_decref(error);
}

static void receive_packet(struct sio_client *client, const struct sio_packet *packet)
{
    struct sio_namespace *nsp = find_namespace(client->server, packet->nsp);
    struct sio_socket *socket = nsp ? sio__client_socket(client, nsp) : NULL;
    gw_metric_add(client->server->metrics, GW_SIO_PACKETS_IN, 1);
    if (packet->type == SIO_CONNECT && !socket) {
        connect_namespace(client, packet);
        return;
    }
    // Anything else needs a socket that is connected, and a second CONNECT must not find one: the
    // reference closes the whole connection on either.
    if (!socket || socket->state != SIO_SOCKET_CONNECTED || packet->type == SIO_CONNECT ||
        packet->type == SIO_CONNECT_ERROR) {
        gw_metric_add(client->server->metrics, GW_SIO_PARSE_ERRORS, 1);
        sio__client_close(client);
        return;
    }
    if (packet->type == SIO_DISCONNECT)
        sio__socket_end(socket, "client namespace disconnect");
    else
        sio__socket_receive(socket, packet);
}

// The decoder of the server serves all packets that come whole. One that waits for attachments
// takes it along, so that only clients in that state have a decoder of their own.
static struct sio_decoder *borrow_decoder(struct sio_client *client)
{
    struct sio_server *server = client->server;
    struct sio_decoder *decoder = client->decoder ? client->decoder : server->decoder;
    if (!decoder)
        return sio_decoder_new(server->options.max_packet);
    if (decoder == server->decoder)
        server->decoder = NULL;
    client->decoder = NULL;
    return decoder;
}

static void return_decoder(struct sio_server *server, struct sio_decoder *decoder)
{
    if (server->decoder)
        sio_decoder_destroy(&decoder);
    else
        server->decoder = decoder;
}

static void on_message(struct eio_session *session, bool is_binary, const uint8_t *bytes,
                       size_t size, void *arg)
{
    struct sio_server *server = arg;
    struct sio_client *client = eio_session_data(session);
    if (!client || client->is_closing)
        return;
    struct sio_decoder *decoder = borrow_decoder(client);
    if (!decoder) {
        sio__client_close(client);
        return;
    }
    const struct sio_packet *packet;
    switch (sio_decoder_feed(decoder, is_binary, bytes, size, &packet)) {
    case SIO_MORE:
        client->decoder = decoder;
        return;
    case SIO_PACKET:
        receive_packet(client, packet);
        break;
    case SIO_ERROR:
        gw_metric_add(server->metrics, GW_SIO_PARSE_ERRORS, 1);
        gw_log(GW_LOG_DEBUG, "socket", "malformed packet from %s", eio_session_id(session));
        sio__client_close(client);
        sio_decoder_destroy(&decoder); // an error is final for a decoder
        return;
    }
    return_decoder(server, decoder);
}

// ---- The server

struct sio_server *sio_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                  const struct sio_server_options *options)
{
    static const struct eio_handler handler = {
        .on_open = on_open,
        .on_message = on_message,
        .on_close = on_close,
    };
    struct sio_server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->loop = loop;
    server->metrics = metrics;
    server->options = *options;
    if (server->options.max_packet == 0)
        server->options.max_packet = options->engine.max_payload * (SIO_MAX_ATTACHMENTS + 1);
    tl_list_init(&server->namespaces);
    tl_list_init(&server->ack_queues);
    tl_buffer_init(&server->scratch, SCRATCH_MAX);
    server->engine = eio_server_new(loop, metrics, &options->engine, &handler, server);
    if (!server->engine) {
        free(server);
        return NULL;
    }
    gw_deadline_queue_init(&server->connect_deadlines, loop, options->connect_timeout_ms);
    return server;
}

void sio_server_stop(struct sio_server *server)
{
    eio_server_stop(server->engine);
}

bool sio_server_is_drained(const struct sio_server *server)
{
    return eio_server_is_drained(server->engine);
}

void sio_server_destroy(struct sio_server **handle)
{
    struct sio_server *server = *handle;
    if (!server)
        return;
    eio_server_destroy(&server->engine);
    assert(server->client_count == 0);
    sio__ack_queues_fini(server);
    gw_deadline_queue_fini(&server->connect_deadlines);
    while (!tl_list_is_empty(&server->namespaces)) {
        struct sio_namespace *nsp =
            TL_LIST_ENTRY(server->namespaces.next, struct sio_namespace, link);
        tl_list_remove(&nsp->link);
        tl_table_fini(&nsp->sockets);
        tl_table_fini(&nsp->rooms);
        free(nsp);
    }
    sio_decoder_destroy(&server->decoder);
    tl_buffer_fini(&server->scratch);
    free(server);
    *handle = NULL;
}

void sio_server_handle_head(struct sio_server *server, struct http_exchange *exchange,
                            const struct http_request *request)
{
    eio_server_handle_head(server->engine, exchange, request);
}

void sio_server_handle(struct sio_server *server, struct http_exchange *exchange,
                       const struct http_request *request)
{
    eio_server_handle(server->engine, exchange, request);
}
