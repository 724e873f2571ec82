// SPDX-License-Identifier: MIT
#include "gateway/bridge/memberships.h"

#include <stdlib.h>
#include <string.h>

struct client *bridge__new_client(struct bridge_worker *worker, struct sio_socket *socket)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->worker = worker;
    client->socket = socket;
    client->connected = worker->newest;
    tl_list_init(&client->memberships);
    sio_socket_set_data(socket, client);
    return client;
}

void bridge__free_client(struct client *client)
{
    if (!client)
        return;
    while (!tl_list_is_empty(&client->memberships))
        bridge__free_membership(client,
                                TL_LIST_ENTRY(client->memberships.next, struct membership, link));
    sio_socket_set_data(client->socket, NULL);
    free(client->past);
    free(client);
}

struct membership *bridge__find_membership(const struct client *client, const char *session)
{
    for (struct tl_list *at = client->memberships.next; at != &client->memberships; at = at->next) {
        struct membership *membership = TL_LIST_ENTRY(at, struct membership, link);
        if (strcmp(membership->session, session) == 0)
            return membership;
    }
    return NULL;
}

struct membership *bridge__new_membership(struct client *client, const char *session)
{
    size_t size = strlen(session) + 1;
    struct membership *membership = calloc(1, sizeof *membership + size);
    if (!membership)
        return NULL;
    tl_list_init(&membership->waiting);
    memcpy(membership->session, session, size);
    tl_list_append(&client->memberships, &membership->link);
    client->membership_count++;
    return membership;
}

void bridge__free_membership(struct client *client, struct membership *membership)
{
    while (!tl_list_is_empty(&membership->waiting)) {
        struct bridge_request *request =
            TL_LIST_ENTRY(membership->waiting.next, struct bridge_request, link);
        tl_list_remove(&request->link);
        sio_ack_drop(request->ack);
        bridge__free_request(request);
    }
    tl_list_remove(&membership->link);
    client->membership_count--;
    free(membership->exclusion);
    free(membership);
}

struct client_past *bridge__past_of(struct client *client)
{
    if (client->past)
        return client->past;
    client->past = calloc(1, sizeof *client->past);
    if (client->past)
        tl_list_init(&client->past->takers);
    return client->past;
}

void bridge__note_left(struct client *client, const struct membership *membership,
                       const struct bridge_log_position *newest)
{
    bool is_excluded = membership->exclusion && membership->exclusion->excluded == newest->index;
    const struct bridge_log_position *sent = is_excluded ? &membership->exclusion->before : newest;
    struct client_past *past = sent->index > membership->joined ? bridge__past_of(client) : NULL;
    if (past && sent->index > past->left.index)
        past->left = *sent;
}

// Several events in a row that leave a client out have one event before them.
static void note(struct bridge_exclusion *exclusion, const struct bridge_encoded *encoded)
{
    if (exclusion->excluded != encoded->before.index || exclusion->excluded == 0)
        exclusion->before = encoded->before;
    exclusion->excluded = encoded->index;
}

void bridge__note_exclusion(struct bridge_worker *worker, const struct bridge_encoded *encoded)
{
    struct sio_socket *socket = sio_namespace_find(worker->nsp, encoded->except);
    struct client *client = socket ? sio_socket_data(socket) : NULL;
    if (!client)
        return;
    if (encoded->session[0] == '\0') {
        struct client_past *past = bridge__past_of(client);
        if (past)
            note(&past->exclusion, encoded);
        return;
    }
    struct membership *membership = bridge__find_membership(client, encoded->session);
    if (membership && !membership->exclusion)
        membership->exclusion = calloc(1, sizeof *membership->exclusion);
    if (membership && membership->exclusion)
        note(membership->exclusion, encoded);
}
