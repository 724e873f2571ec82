// SPDX-License-Identifier: MIT
// Who comes and goes, told to the bus and to the clients of the session; and the posting of
// room messages. Everything here runs on the bus thread.

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

#define FLUSH_MS 1000 // that presence waits for a full queue

static void drop_room_message(struct gw_loop_message *message)
{
    struct bridge_room_message *room_message =
        LIST_ENTRY(message, struct bridge_room_message, message);
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
           "out of memory for an event of session '%s': the clients of worker %u are closed",
           encoded->session, worker->index);
    gw_metric_add(&worker->bridge->metrics, GW_BUS_REFUSED, 1);
    if (!atomic_exchange(&worker->is_lost, true))
        gw_loop_post(worker->loop, &worker->lost_message);
}

void bridge__post(struct bridge *bridge, const struct bridge_session *session,
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
        room_message->message.deliver = bridge__on_room_message;
        room_message->message.drop = drop_room_message;
        room_message->worker = &bridge->workers[i];
        room_message->encoded = encoded;
        bridge_encoded_ref(encoded);
        atomic_fetch_add(&room_message->worker->pending, bridge__room_message_size(room_message));
        gw_loop_post(room_message->worker->loop, &room_message->message);
    }
}

static int emit_presence(struct bridge *bridge, const char *type, const char *session,
                         const char *client)
{
    return strcmp(type, talus_type_session_connected) == 0
               ? talus_emit_session_connected(bridge->broadcaster, session, client, NULL)
               : talus_emit_session_disconnected(bridge->broadcaster, session, client, NULL);
}

static void tell_bus(struct bridge *bridge, const char *type, const char *session,
                     const char *client)
{
    int error = emit_presence(bridge, type, session, client);
    // All clients of a large gateway may go at once. Sending waits for no subscriber, so the queue
    // is soon empty; if it once was not, nobody waits for it again until it takes something.
    if (error == TALUS_EQUEUEFULL && !bridge->is_publishing_stuck &&
        talus_broadcaster_flush(bridge->broadcaster, FLUSH_MS) == 0)
        error = emit_presence(bridge, type, session, client);
    bridge->is_publishing_stuck = error == TALUS_EQUEUEFULL;
    if (!error)
        return;
    gw_metric_add(&bridge->metrics, GW_BUS_PRESENCE_LOST, 1);
    gw_log(GW_LOG_WARNING, "bridge", "%s of client %s in session %s was not published: %s", type,
           client, session, talus_strerror(error));
}

void bridge__presence(struct bridge_session *session, const char *type, const char *client,
                      struct bridge_request *carrier)
{
    struct bridge *bridge = session->bridge;
    tell_bus(bridge, type, session->name, client);
    // Telling each of N members of each of N joins costs the square; a limit spares large rooms
    // that.
    if (session->clients == 0 || session->clients > bridge->options.presence_limit)
        return;
    struct bridge_encoded *encoded = encoder_presence(bridge->encoder, type, session->name, client);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "bridge", "%s of client %s was not told: out of memory", type, client);
        return;
    }
    if (carrier) {
        carrier->presence = encoded;
        bridge_encoded_ref(encoded);
    }
    bridge__post(bridge, session, encoded, carrier ? carrier->worker : NULL);
    bridge_encoded_unref(encoded);
}

void bridge__drop_request(struct gw_loop_message *message)
{
    struct bridge_request *request = LIST_ENTRY(message, struct bridge_request, message);
    sio_ack_drop(request->ack);
    bridge__free_request(request);
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

void bridge__tell_gone(struct bridge *bridge, const char *session, const char *client)
{
    struct bridge_session *found = bridge__find_session(bridge, session);
    if (found)
        bridge__presence(found, talus_type_session_disconnected, client, NULL);
    else
        tell_bus(bridge, talus_type_session_disconnected, session, client);
}
