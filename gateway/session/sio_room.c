// SPDX-License-Identifier: MIT
// Rooms: who is in them, and how a message reaches them all (sio_internal.h says how order is
// kept).

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/session/sio_internal.h"

#define CHUNK_MIN ((size_t)1024)

static struct sio_room *find_room(const struct sio_namespace *nsp, const char *name)
{
    struct tl_node *node = tl_table_find(&nsp->rooms, name, strlen(name));
    return node ? TL_TABLE_ENTRY(node, struct sio_room, node) : NULL;
}

static void on_distribute(struct gw_task *task)
{
    sio__room_distribute(TL_LIST_ENTRY(task, struct sio_room, task));
}

static struct sio_room *new_room(struct sio_namespace *nsp, const char *name)
{
    size_t size = strlen(name);
    struct sio_room *room = calloc(1, sizeof *room + size + 1);
    if (!room)
        return NULL;
    room->nsp = nsp;
    room->next_capacity = CHUNK_MIN;
    tl_list_init(&room->single);
    tl_list_init(&room->multi);
    gw_task_init(&room->task, on_distribute);
    memcpy(room->name, name, size + 1);
    room->node.name = room->name;
    room->node.name_size = size;
    tl_table_insert(&nsp->rooms, &room->node);
    gw_metric_add(nsp->server->metrics, GW_ROOMS, 1);
    return room;
}

static void free_room(struct sio_room *room)
{
    tl_table_remove(&room->nsp->rooms, &room->node);
    gw_metric_add(room->nsp->server->metrics, GW_ROOMS, -1);
    gw_task_cancel(&room->task);
    if (room->chunk)
        chunk_unref(room->chunk);
    free(room);
}

// ---- Members

static struct sio_membership *find_membership(const struct sio_socket *socket, const char *name)
{
    struct sio_membership *membership = socket->memberships;
    while (membership && strcmp(membership->room->name, name) != 0)
        membership = membership->next;
    return membership;
}

static bool is_in_one(const struct sio_socket *socket)
{
    return socket->memberships && !socket->memberships->next;
}

// Puts each membership of the socket into the list of its room where it belongs. What the rooms had
// pending has been given out before.
static void relist(struct sio_socket *socket)
{
    bool is_single = is_in_one(socket);
    for (struct sio_membership *at = socket->memberships; at; at = at->next) {
        tl_list_remove(&at->link);
        tl_list_append(is_single ? &at->room->single : &at->room->multi, &at->link);
    }
}

// Where the next membership is to be hung.
static struct sio_membership **end_of(struct sio_socket *socket)
{
    struct sio_membership **end = &socket->memberships;
    while (*end)
        end = &(*end)->next;
    return end;
}

bool sio_join(struct sio_socket *socket, const char *name)
{
    if (find_membership(socket, name))
        return true;
    struct sio_room *room = find_room(socket->nsp, name);
    struct sio_membership *membership = malloc(sizeof *membership);
    if (!room)
        room = new_room(socket->nsp, name);
    if (!membership || !room) {
        free(membership);
        if (room && room->size == 0)
            free_room(room);
        return false;
    }
    sio__socket_distribute(socket);
    sio__room_distribute(room); // a member gets nothing from before its join
    bool was_in_one = is_in_one(socket);
    *membership = (struct sio_membership){.socket = socket, .room = room};
    tl_list_init(&membership->link);
    *end_of(socket) = membership;
    room->size++;
    if (was_in_one || is_in_one(socket))
        relist(socket);
    else
        tl_list_append(&room->multi, &membership->link);
    return true;
}

static void remove_membership(struct sio_membership *membership)
{
    struct sio_room *room = membership->room;
    struct sio_membership **at = &membership->socket->memberships;
    while (*at != membership)
        at = &(*at)->next;
    *at = membership->next;
    tl_list_remove(&membership->link);
    free(membership);
    if (--room->size == 0)
        free_room(room);
}

void sio_leave(struct sio_socket *socket, const char *name)
{
    struct sio_membership *membership = find_membership(socket, name);
    if (!membership)
        return;
    sio__socket_distribute(socket);
    remove_membership(membership);
    if (is_in_one(socket))
        relist(socket);
}

void sio__socket_leave_all(struct sio_socket *socket)
{
    sio__socket_distribute(socket); // what it was to get is to be counted as missed
    while (socket->memberships)
        remove_membership(socket->memberships);
}

bool sio_is_in(const struct sio_socket *socket, const char *name)
{
    return find_membership(socket, name) != NULL;
}

size_t sio_room_size(struct sio_namespace *nsp, const char *name)
{
    const struct sio_room *room = find_room(nsp, name);
    return room ? room->size : 0;
}

// ---- Encoded messages: appended to the room's chunk

// Makes sure that `size` bytes and a boundary fit into the room's chunk. A chunk that nobody else
// holds any more is used again from its beginning.
static bool reserve(struct sio_room *room, size_t size)
{
    struct chunk *chunk = room->chunk;
    if (size > CHUNK_BYTES_MAX - CHUNK_BOUNDARY_SIZE)
        return false;
    size += CHUNK_BOUNDARY_SIZE;
    if (chunk && chunk->refs == 1 && room->distributed == chunk->size) {
        chunk->size = 0;
        chunk->copies = 0;
        room->distributed = 0;
        room->counted = 0;
    }
    if (chunk && chunk_room(chunk) >= size)
        return true;
    size_t capacity = size > room->next_capacity ? size : room->next_capacity;
    struct chunk *fresh = chunk_new(capacity);
    if (!fresh)
        return false;
    sio__room_distribute(room);
    if (room->chunk)
        chunk_unref(room->chunk);
    room->chunk = fresh;
    room->distributed = 0;
    room->counted = 0;
    if (room->next_capacity < SIO__CHUNK_MAX)
        room->next_capacity *= 2;
    return true;
}

// Whether `id` is a member: then a message that excepts it cannot wait for the end of the turn.
static bool has_member(const struct sio_room *room, const char *id)
{
    const struct sio_socket *socket = sio_namespace_find(room->nsp, id);
    return socket && find_membership(socket, room->name);
}

// What a member misses cannot be made good: it is to come back and see for itself.
static void give_up(struct sio_socket *socket, const struct sio_encoded *encoded,
                    const char *except)
{
    if (except && strcmp(socket->id, except) == 0)
        return;
    unsent_add(eio_session_unsent(socket->session), COPY_LIVE, encoded->index, 1);
    eio_session_fail(socket->session);
}

static void give_up_list(struct tl_list *members, const struct sio_encoded *encoded,
                         const char *except)
{
    for (struct tl_list *at = members->next; at != members; at = at->next)
        give_up(TL_LIST_ENTRY(at, struct sio_membership, link)->socket, encoded, except);
}

// Each member is owed a copy from here on.
static void publish(const struct sio_namespace *nsp, size_t count)
{
    gw_metric_add(nsp->server->metrics, GW_PUBLISHED, (int64_t)count);
}

void sio_namespace_give_up(struct sio_namespace *nsp)
{
    for (struct tl_node *node = tl_table_first(&nsp->sockets), *next; node; node = next) {
        next = tl_table_next(&nsp->sockets, node);
        eio_session_fail(sio__socket_at(node)->session);
    }
}

static size_t append_to_room(struct sio_room *room, const struct sio_encoded *encoded,
                             const char *except)
{
    bool is_split = except && has_member(room, except);
    size_t count = room->size - is_split;
    publish(room->nsp, count);
    if (is_split)
        sio__room_distribute(room);
    if (!reserve(room, encoded->size)) {
        gw_log(GW_LOG_ERROR, "room", "out of memory: a message of %zu bytes to room %s is lost",
               encoded->size, room->name);
        give_up_list(&room->single, encoded, except);
        give_up_list(&room->multi, encoded, except);
        return 0;
    }
    struct chunk *chunk = room->chunk;
    uint32_t start = chunk->size;
    memcpy(chunk->bytes + start, encoded->bytes, encoded->size);
    chunk->size += (uint32_t)encoded->size;
    chunk_add_boundary(chunk, COPY_LIVE, encoded->index);
    const struct range range = {chunk, start, chunk->size, 1};
    sio__give_range(&room->multi, &range, except);
    if (is_split) {
        room->distributed = chunk->size;
        room->counted = chunk->copies;
        sio__give_range(&room->single, &range, except);
        sio__room_drop_large_chunk(room);
    } else {
        gw_task_schedule(room->nsp->server->loop, GW_PHASE_DISTRIBUTE, &room->task);
    }
    return count;
}

// ---- Chunks of their own: presence and the like, and what goes to a whole namespace

static bool is_excepted(const struct sio_socket *socket, const char *const *except, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(socket->id, except[i]) == 0)
            return true;
    return false;
}

static size_t send_to_list(struct tl_list *members, struct chunk *chunk, const char *const *except,
                           size_t except_count)
{
    size_t count = 0;
    for (struct tl_list *at = members->next; at != members; at = at->next) {
        struct sio_socket *socket = TL_LIST_ENTRY(at, struct sio_membership, link)->socket;
        if (!is_excepted(socket, except, except_count))
            count += sio__socket_send(socket, chunk);
    }
    return count;
}

static size_t send_to_all(struct sio_namespace *nsp, struct chunk *chunk, const char *const *except,
                          size_t except_count)
{
    size_t count = 0;
    for (struct tl_node *node = tl_table_first(&nsp->sockets), *next; node; node = next) {
        next = tl_table_next(&nsp->sockets, node);
        struct sio_socket *socket = sio__socket_at(node);
        if (!is_excepted(socket, except, except_count))
            count += sio__socket_send(socket, chunk);
    }
    return count;
}

static size_t send_chunk(struct sio_namespace *nsp, const char *name, struct chunk *chunk,
                         const char *const *except, size_t except_count)
{
    if (!name)
        return send_to_all(nsp, chunk, except, except_count);
    struct sio_room *room = find_room(nsp, name);
    if (!room)
        return 0;
    return send_to_list(&room->single, chunk, except, except_count) +
           send_to_list(&room->multi, chunk, except, except_count);
}

size_t sio_room_emit(struct sio_namespace *nsp, const char *name, const struct sio_message *message,
                     const char *const *except, size_t except_count)
{
    struct chunk *chunk = sio__encode(
        nsp->server, message->attachment_count ? SIO_BINARY_EVENT : SIO_EVENT, nsp->name, SIO_NO_ID,
        message->args, message->attachments, message->attachment_count);
    if (!chunk)
        return 0;
    size_t count = send_chunk(nsp, name, chunk, except, except_count);
    chunk_unref(chunk);
    return count;
}

// A chunk of its own for a message. NULL: out of memory.
static struct chunk *chunk_of(const struct sio_encoded *encoded)
{
    if (encoded->size > CHUNK_BYTES_MAX)
        return NULL;
    struct chunk *chunk = chunk_new(encoded->size + CHUNK_BOUNDARY_SIZE);
    if (!chunk)
        return NULL;
    memcpy(chunk->bytes, encoded->bytes, encoded->size);
    chunk->size = (uint32_t)encoded->size;
    chunk_add_boundary(chunk, COPY_LIVE, encoded->index);
    return chunk;
}

static size_t send_encoded_to_all(struct sio_namespace *nsp, const struct sio_encoded *encoded,
                                  const char *except)
{
    struct chunk *chunk = chunk_of(encoded);
    size_t count = 0;
    size_t sent = 0;
    if (!chunk)
        gw_log(GW_LOG_ERROR, "room", "out of memory: a message of %zu bytes to all clients is lost",
               encoded->size);
    for (struct tl_node *node = tl_table_first(&nsp->sockets), *next; node; node = next) {
        next = tl_table_next(&nsp->sockets, node);
        struct sio_socket *socket = sio__socket_at(node);
        if (socket->state != SIO_SOCKET_CONNECTED || (except && strcmp(socket->id, except) == 0))
            continue;
        count++;
        if (!chunk)
            give_up(socket, encoded, NULL);
        else if (sio__socket_send(socket, chunk))
            sent++;
        else
            sio__socket_miss(socket, &(struct range){chunk, 0, chunk->size, chunk->copies});
    }
    publish(nsp, count);
    if (chunk)
        chunk_unref(chunk);
    return sent;
}

size_t sio_room_emit_encoded(struct sio_namespace *nsp, const char *name,
                             const struct sio_encoded *encoded, const char *except)
{
    if (!name)
        return send_encoded_to_all(nsp, encoded, except);
    struct sio_room *room = find_room(nsp, name);
    return room ? append_to_room(room, encoded, except) : 0;
}
