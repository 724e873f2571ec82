// SPDX-License-Identifier: MIT
// Acknowledgements, both ways: those that clients ask of us (owed) and those that we ask (awaited).
//
// Deadlines stand in queues of one delay each; a queue is made when the first acknowledgement with
// its time-out is asked for, and stays. Past QUEUES_MAX different time-outs, a new one shares the
// queue of the next longer one (or the longest).

#include <stdlib.h>

#include "gateway/session/sio_internal.h"

#define QUEUES_MAX 64

struct awaited {
    struct sio_ack ack;
    sio_ack_fn *fn;
    void *arg;
    struct gw_deadline deadline;
};

struct ack_queue {
    struct tl_list link; // of server->ack_queues
    struct gw_deadline_queue deadlines;
};

// ---- Owed by us

struct sio_ack *sio__ack_new(struct sio_socket *socket, int64_t id)
{
    struct sio_ack *ack = malloc(sizeof *ack);
    if (!ack)
        return NULL;
    *ack = (struct sio_ack){.socket = socket, .id = id};
    tl_list_append(&socket->acks, &ack->link);
    return ack;
}

void sio_ack_drop(struct sio_ack *ack)
{
    if (!ack)
        return;
    tl_list_remove(&ack->link);
    free(ack);
}

bool sio_ack_answer(struct sio_ack *ack, json_t *args, const struct sio_attachment *attachments,
                    unsigned attachment_count)
{
    struct sio_socket *socket = ack->socket;
    int64_t id = ack->id;
    sio_ack_drop(ack);
    if (!socket || !sio_socket_is_connected(socket))
        return false;
    struct chunk *chunk =
        sio__encode(socket->nsp->server, attachment_count ? SIO_BINARY_ACK : SIO_ACK,
                    socket->nsp->name, id, args, attachments, attachment_count);
    if (!chunk)
        return false;
    bool is_sent = sio__socket_send(socket, chunk);
    chunk_unref(chunk);
    return is_sent;
}

// ---- Awaited from the client

// Calls the callback with the answer, or with NULL, and frees the record.
static void complete(struct awaited *awaited, const struct sio_message *answer)
{
    struct sio_socket *socket = awaited->ack.socket;
    sio_ack_fn *fn = awaited->fn;
    void *arg = awaited->arg;
    gw_deadline_stop(&awaited->deadline);
    tl_list_remove(&awaited->ack.link);
    free(awaited);
    fn(socket, answer, arg);
}

static void on_deadline(struct gw_deadline *deadline)
{
    complete(TL_LIST_ENTRY(deadline, struct awaited, deadline), NULL);
}

static struct gw_deadline_queue *deadline_queue(struct sio_server *server, int64_t timeout_ms)
{
    struct ack_queue *nearest = NULL;
    unsigned count = 0;
    for (struct tl_list *at = server->ack_queues.next; at != &server->ack_queues; at = at->next) {
        struct ack_queue *queue = TL_LIST_ENTRY(at, struct ack_queue, link);
        int64_t delay = queue->deadlines.delay;
        if (delay == timeout_ms)
            return &queue->deadlines;
        bool is_nearer =
            !nearest || (nearest->deadlines.delay < timeout_ms
                             ? delay > nearest->deadlines.delay
                             : delay >= timeout_ms && delay < nearest->deadlines.delay);
        if (is_nearer)
            nearest = queue;
        count++;
    }
    if (count >= QUEUES_MAX)
        return &nearest->deadlines;
    struct ack_queue *queue = malloc(sizeof *queue);
    if (!queue)
        return NULL;
    gw_deadline_queue_init(&queue->deadlines, server->loop, timeout_ms);
    tl_list_append(&server->ack_queues, &queue->link);
    return &queue->deadlines;
}

bool sio_emit_with_ack(struct sio_socket *socket, const struct sio_message *message,
                       unsigned timeout_ms, sio_ack_fn *on_ack, void *arg)
{
    struct sio_namespace *nsp = socket->nsp;
    if (!sio_socket_is_connected(socket))
        return false;
    struct awaited *awaited = malloc(sizeof *awaited);
    struct gw_deadline_queue *queue = deadline_queue(nsp->server, timeout_ms ? timeout_ms : 1);
    struct chunk *chunk = sio__encode(
        nsp->server, message->attachment_count ? SIO_BINARY_EVENT : SIO_EVENT, nsp->name,
        nsp->next_ack, message->args, message->attachments, message->attachment_count);
    if (!awaited || !queue || !chunk || !sio__socket_send(socket, chunk))
        goto fail;
    chunk_unref(chunk);
    awaited->ack = (struct sio_ack){.socket = socket, .id = nsp->next_ack++, .is_awaited = true};
    awaited->fn = on_ack;
    awaited->arg = arg;
    tl_list_append(&socket->acks, &awaited->ack.link);
    gw_deadline_init(&awaited->deadline, on_deadline);
    gw_deadline_start(queue, &awaited->deadline);
    return true;
fail:
    if (chunk)
        chunk_unref(chunk);
    free(awaited);
    return false;
}

static struct awaited *find_awaited(const struct sio_socket *socket, int64_t id)
{
    for (struct tl_list *at = socket->acks.next; at != &socket->acks; at = at->next) {
        struct sio_ack *ack = TL_LIST_ENTRY(at, struct sio_ack, link);
        if (ack->is_awaited && ack->id == id)
            return TL_LIST_ENTRY(ack, struct awaited, ack);
    }
    return NULL;
}

void sio__acks_receive(struct sio_socket *socket, const struct sio_packet *packet)
{
    struct awaited *awaited = find_awaited(socket, packet->id);
    if (!awaited)
        return;
    // An answer with no JSON at all is legal, and has no arguments.
    json_t *args = packet->data ? json_incref(packet->data) : json_array();
    const struct sio_message answer = {
        .args = args,
        .attachments = packet->attachments,
        .attachment_count = packet->attachment_count,
    };
    complete(awaited, args ? &answer : NULL);
    json_decref(args);
}

void sio__acks_end(struct sio_socket *socket)
{
    while (!tl_list_is_empty(&socket->acks)) {
        struct sio_ack *ack = TL_LIST_ENTRY(socket->acks.next, struct sio_ack, link);
        if (ack->is_awaited) {
            complete(TL_LIST_ENTRY(ack, struct awaited, ack), NULL);
            continue;
        }
        tl_list_remove(&ack->link);
        ack->socket = NULL; // whoever holds it may still answer, to nobody
    }
}

void sio__ack_queues_fini(struct sio_server *server)
{
    while (!tl_list_is_empty(&server->ack_queues)) {
        struct ack_queue *queue = TL_LIST_ENTRY(server->ack_queues.next, struct ack_queue, link);
        gw_deadline_queue_fini(&queue->deadlines);
        tl_list_remove(&queue->link);
        free(queue);
    }
}
