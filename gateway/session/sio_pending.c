// SPDX-License-Identifier: MIT
// What rooms have pending for their members, and what is sent to sockets behind it: the order of
// calls is the order on the wire (see sio_internal.h).

#include <string.h>

#include "gateway/session/sio_internal.h"

void sio__socket_miss(struct sio_socket *socket, const struct range *range)
{
    struct unsent missed = {0};
    unsent_add_range(&missed, range);
    if (eio_session_is_open(socket->session))
        gw_metrics_drop(socket->nsp->server->metrics, GW_DROPPED_DISCONNECT, socket->id,
                        (uint64_t)missed.events + missed.others);
    else
        unsent_join(eio_session_unsent(socket->session), &missed);
}

void sio__give_range(struct tl_list *members, const struct range *range, const char *except)
{
    for (struct tl_list *at = members->next; at != members; at = at->next) {
        struct sio_socket *socket = TL_LIST_ENTRY(at, struct sio_membership, link)->socket;
        if (except && strcmp(socket->id, except) == 0)
            continue;
        if (socket->state != SIO_SOCKET_CONNECTED || !eio_session_send(socket->session, range))
            sio__socket_miss(socket, range);
    }
}

void sio__room_drop_large_chunk(struct sio_room *room)
{
    if (room->chunk->capacity <= SIO__CHUNK_MAX)
        return;
    chunk_unref(room->chunk);
    room->chunk = NULL;
    room->distributed = 0;
    room->counted = 0;
}

void sio__room_distribute(struct sio_room *room)
{
    struct chunk *chunk = room->chunk;
    if (!chunk || room->distributed == chunk->size)
        return;
    const struct range range = {chunk, room->distributed, chunk->size,
                                chunk->copies - room->counted};
    room->distributed = chunk->size;
    room->counted = chunk->copies;
    sio__give_range(&room->single, &range, NULL);
    sio__room_drop_large_chunk(room);
}

void sio__socket_distribute(struct sio_socket *socket)
{
    for (const struct sio_membership *at = socket->memberships; at; at = at->next)
        sio__room_distribute(at->room);
}

bool sio__socket_send(struct sio_socket *socket, struct chunk *chunk)
{
    if (socket->state != SIO_SOCKET_CONNECTED)
        return false;
    sio__socket_distribute(socket);
    if (!sio__send_chunk(socket->session, chunk))
        return false;
    gw_metric_add(sio__client_of(socket)->server->metrics, GW_SIO_PACKETS_OUT, 1);
    return true;
}
