// SPDX-License-Identifier: MIT
// The end of a join: the client is counted into the session, and its worker is answered. Bus
// thread.

#include <string.h>

#include "gateway/bridge/internal.h"

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
