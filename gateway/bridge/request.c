// SPDX-License-Identifier: MIT
// Requests of the workers to the bus thread: their life and their two ways.

#include <stdlib.h>
#include <string.h>

#include "gateway/bridge/internal.h"

struct bridge_request *bridge__new_request(struct bridge_worker *worker,
                                           enum bridge_command command, const char *session,
                                           const char *client_id)
{
    struct bridge_request *request = calloc(1, sizeof *request);
    if (!request)
        return NULL;
    request->message.deliver = worker->bridge->handlers->on_request;
    request->message.drop = bridge__drop_request;
    tl_list_init(&request->link);
    request->worker = worker;
    request->command = command;
    strcpy(request->session, session);
    strcpy(request->client, client_id);
    return request;
}

void bridge__post_request(struct bridge_request *request)
{
    if (request->command != BRIDGE_GONE && request->command != BRIDGE_SUSPEND)
        request->worker->unanswered++;
    gw_loop_post(request->worker->bridge->loop, &request->message);
}

void bridge__answer(struct bridge_request *request, enum bridge_status status)
{
    request->status = status;
    request->message.deliver = request->worker->bridge->handlers->on_answer;
    request->pending += bridge_missed_size(&request->missed);
    atomic_fetch_add(&request->worker->pending, request->pending);
    gw_loop_post(request->worker->loop, &request->message);
}

void bridge__free_request(struct bridge_request *request)
{
    if (request->presence)
        bridge_encoded_unref(request->presence);
    bridge_missed_fini(&request->missed);
    if (request->shared)
        chunk_unref(request->shared);
    free(request->suspension);
    free(request);
}

void bridge__drop_request(struct gw_loop_message *message)
{
    struct bridge_request *request = TL_LIST_ENTRY(message, struct bridge_request, message);
    sio_ack_drop(request->ack);
    bridge__free_request(request);
}
