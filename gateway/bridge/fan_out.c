// SPDX-License-Identifier: MIT
// Sends an encoded event to the workers that have members in its session: one room message each,
// with a reference to the bytes. Bus thread.

#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

static void drop_room_message(struct gw_loop_message *message)
{
    struct bridge_room_message *room_message =
        TL_LIST_ENTRY(message, struct bridge_room_message, message);
    bridge_encoded_unref(room_message->encoded);
    free(room_message);
}

size_t bridge__room_message_size(const struct bridge_room_message *room_message)
{
    return sizeof *room_message + sizeof *room_message->encoded + room_message->encoded->size;
}

// There is no memory to say which clients: all of the worker's are to see for themselves.
static void post_lost(struct bridge_worker *worker, const struct bridge_encoded *encoded)
{
    gw_log(GW_LOG_ERROR, "bridge",
           "out of memory for an event of session '%s': closing the clients of worker %u",
           encoded->session, worker->index);
    gw_metric_add(&worker->bridge->metrics, GW_BUS_REFUSED, 1);
    if (!atomic_exchange(&worker->is_lost, true))
        gw_loop_post(worker->loop, &worker->lost_message);
}

void bridge__fan_out(struct bridge *bridge, const struct bridge_session *session,
                     struct bridge_encoded *encoded, const struct bridge_worker *except)
{
    for (unsigned i = 0; i < bridge->worker_count; i++) {
        if ((session && session->members[i] == 0) || &bridge->workers[i] == except)
            continue;
        struct bridge_room_message *room_message = malloc(sizeof *room_message);
        if (!room_message) {
            post_lost(&bridge->workers[i], encoded);
            continue;
        }
        room_message->message.deliver = bridge->handlers->on_room_message;
        room_message->message.drop = drop_room_message;
        room_message->worker = &bridge->workers[i];
        room_message->encoded = encoded;
        bridge_encoded_ref(encoded);
        atomic_fetch_add(&room_message->worker->pending, bridge__room_message_size(room_message));
        gw_loop_post(room_message->worker->loop, &room_message->message);
    }
}
