// SPDX-License-Identifier: MIT
// Clients that come into a session: counts them in, and tells the bus and the session's clients who
// joined and who left. Bus thread.

#include <string.h>

#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

#define FLUSH_MS 1000 // that presence waits for a full queue

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
    // All clients of a large gateway may leave at once. Sending waits for no subscriber, so the
    // queue empties soon; if it once did not, do not wait again until it has taken something.
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
        gw_log(GW_LOG_ERROR, "bridge", "out of memory: %s of client %s was not sent to clients",
               type, client);
        return;
    }
    if (carrier) {
        carrier->presence = encoded;
        bridge_encoded_ref(encoded);
    }
    bridge__fan_out(bridge, session, encoded, carrier ? carrier->worker : NULL);
    bridge_encoded_unref(encoded);
}

void bridge__tell_gone(struct bridge *bridge, const char *session, const char *client)
{
    struct bridge_session *found = bridge__find_session(bridge, session);
    if (found)
        bridge__presence(found, talus_type_session_disconnected, client, NULL);
    else
        tell_bus(bridge, talus_type_session_disconnected, session, client);
}

// ---- The end of a join

static void count_incomplete(struct bridge *bridge, const struct bridge_request *request)
{
    static const enum gw_metric metrics[] = {
        [BRIDGE_UNPROVEN] = GW_SINCE_UNPROVEN,
        [BRIDGE_NO_HISTORY] = GW_SINCE_HISTORY,
        [BRIDGE_NO_ANSWER] = GW_SINCE_NO_ANSWER,
        [BRIDGE_TOO_MUCH] = GW_SINCE_TOO_MUCH,
        [BRIDGE_STREAM_TIMEOUT] = GW_SINCE_STREAM_TIMEOUT,
        [BRIDGE_QUEUE_TIMEOUT] = GW_SINCE_QUEUE_TIMEOUT,
        [BRIDGE_QUEUE_FULL] = GW_SINCE_QUEUE_FULL,
    };
    if (request->incomplete != BRIDGE_COMPLETE)
        gw_metric_add(&bridge->metrics, metrics[request->incomplete], 1);
}

void bridge__join(struct bridge_session *session, struct bridge_request *request)
{
    if (request->status != BRIDGE_OK) {
        bridge__answer(request, request->status);
        bridge__linger_if_unused(session);
        return;
    }
    count_incomplete(session->bridge, request);
    if (!request->is_member) {
        bridge__count_in(session, request->worker);
        bridge__presence(session, talus_type_session_connected, request->client, request);
    }
    request->active_clients = session->clients;
    request->index = session->bridge->log.newest;
    strcpy(request->offset, session->newest);
    bridge__answer(request, BRIDGE_OK);
}
