// SPDX-License-Identifier: MIT
// Clients: one for each Engine.IO session, which must connect to a namespace in time.

#include <stdlib.h>

#include "gateway/session/sio_internal.h"

void sio__client_close(struct sio_client *client)
{
    if (client->is_closing)
        return;
    client->is_closing = true;
    eio_session_close(client->session, "forced close");
}

void sio__client_stop_waiting(struct sio_client *client)
{
    if (!client->connect_wait)
        return;
    gw_deadline_stop(&client->connect_wait->deadline);
    free(client->connect_wait);
    client->connect_wait = NULL;
}

static void on_connect_deadline(struct gw_deadline *deadline)
{
    struct sio_client *client = TL_LIST_ENTRY(deadline, struct sio_connect_wait, deadline)->client;
    sio__client_stop_waiting(client);
    sio__client_close(client);
}

struct sio_client *sio__client_new(struct sio_server *server, struct eio_session *session)
{
    struct sio_client *client = calloc(1, sizeof *client);
    struct sio_connect_wait *wait = malloc(sizeof *wait);
    if (!client || !wait) {
        free(client);
        free(wait);
        return NULL;
    }
    client->server = server;
    client->session = session;
    client->connect_wait = wait;
    tl_list_init(&client->sockets);
    wait->client = client;
    gw_deadline_init(&wait->deadline, on_connect_deadline);
    gw_deadline_start(&server->connect_deadlines, &wait->deadline);
    return client;
}
