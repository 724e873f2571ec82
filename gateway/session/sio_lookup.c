// SPDX-License-Identifier: MIT
// Sockets looked up, and what can be asked of one.

#include <string.h>

#include "gateway/session/sio_internal.h"

const char *sio_socket_id(const struct sio_socket *socket)
{
    return socket->id;
}

void sio_socket_take_unsent(struct sio_socket *socket, struct unsent *unsent)
{
    struct unsent *all = eio_session_unsent(socket->session);
    *unsent = *all;
    unsent->others = 0;
    all->events = 0;
}

bool sio_socket_pid(const struct sio_socket *socket, char pid[SIO_PID_SIZE + 1])
{
    memcpy(pid, socket->id, GW_ID_SIZE);
    return gw_secret_of(socket->id, pid + GW_ID_SIZE);
}

bool sio_pid_id(const char *pid, char id[GW_ID_SIZE + 1])
{
    char secret[GW_SECRET_SIZE + 1];
    if (strlen(pid) != SIO_PID_SIZE)
        return false;
    memcpy(id, pid, GW_ID_SIZE);
    id[GW_ID_SIZE] = '\0';
    if (!gw_secret_of(id, secret))
        return false;
    unsigned difference = 0; // all of it is looked at, so that the time tells nothing
    for (size_t i = 0; i < GW_SECRET_SIZE; i++)
        difference |= (unsigned char)pid[GW_ID_SIZE + i] ^ (unsigned char)secret[i];
    return difference == 0;
}

struct sio_namespace *sio_socket_namespace(const struct sio_socket *socket)
{
    return socket->nsp;
}

bool sio_socket_is_connected(const struct sio_socket *socket)
{
    return socket->state == SIO_SOCKET_CONNECTED;
}

void sio_socket_set_data(struct sio_socket *socket, void *data)
{
    socket->data = data;
}

void *sio_socket_data(const struct sio_socket *socket)
{
    return socket->data;
}

struct sio_socket *sio_namespace_find(struct sio_namespace *nsp, const char *id)
{
    struct tl_node *node = tl_table_find(&nsp->sockets, id, strlen(id));
    return node ? sio__socket_at(node) : NULL;
}

struct sio_socket *sio__client_socket(const struct sio_client *client,
                                      const struct sio_namespace *nsp)
{
    for (struct tl_list *at = client->sockets.next; at != &client->sockets; at = at->next) {
        struct sio_socket *socket = TL_LIST_ENTRY(at, struct sio_socket, link);
        if (socket->nsp == nsp && socket->state <= SIO_SOCKET_CONNECTED)
            return socket;
    }
    return NULL;
}
