// SPDX-License-Identifier: MIT
// Handles the subscriber's deliveries on the bus thread: events and gaps go to the log and to the
// workers, the presence of other gateways to the workers.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/event_id.h"
#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

static void on_live(struct bridge *bridge, const talus_delivery_t *delivery)
{
    struct bridge_session *session = bridge__find_session(bridge, delivery->session);
    if (!delivery->live.complete) // libtalus logs the session and the broadcasters
        gw_metric_add(&bridge->metrics, GW_BUS_JOIN_INCOMPLETE, 1);
    if (!session)
        return;
    if (session->newest[0] == '\0')
        strcpy(session->newest, delivery->live.newest);
    bridge__origins_begin(&session->origins, &delivery->live);
    session->is_live = true;
    while (!tl_list_is_empty(&session->waiting)) {
        struct bridge_request *request =
            TL_LIST_ENTRY(session->waiting.next, struct bridge_request, link);
        tl_list_remove(&request->link);
        bridge__work_off(session, request);
    }
}

static void on_gap(struct bridge *bridge, const char *name, const talus_gap_t *gap)
{
    struct bridge_session *session = NULL;
    if (name[0] != '\0') {
        session = bridge__find_session(bridge, name);
        if (!session)
            return;
    }
    if (!session || bridge__is_used(session))
        gw_metric_add(&bridge->metrics, GW_BUS_GAPS, 1);
    struct bridge_encoded *encoded = encoder_gap(bridge->encoder, name, gap);
    // A recovered client receives it in its place.
    bridge__log(bridge, session, encoded, NULL);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "bridge",
               "out of memory: clients of session %s were not told that events are missing", name);
        return;
    }
    bridge__fan_out(bridge, session, encoded, NULL);
    bridge_encoded_unref(encoded);
    if (session && bridge->catch_up_count > 0)
        bridge__catch_ups_on_gap(session, gap);
}

// An event that cannot be sent to clients is a gap of one.
static void tell_refused(struct bridge *bridge, const struct bridge_session *session,
                         const talus_event_t *event)
{
    char after[TALUS_ID_MAX + 1];
    char first[TALUS_ID_MAX + 1];
    const uint64_t before = event->prev ? event->prev : event->seq - 1;
    tl_event_id_format(after, event->origin, before);
    tl_event_id_format(first, event->origin, event->seq + 1);
    const talus_gap_t gap = {
        .origin = event->origin,
        .after = after,
        .first = first,
        .reason = TALUS_GAP_REFUSED,
    };
    on_gap(bridge, session ? session->name : "", &gap);
}

// Presence of another gateway's clients is sent like that of this one's: without an id, which
// official clients would name as their offset when they reconnect, and not logged.
static void tell_presence(struct bridge *bridge, const struct bridge_session *session,
                          const talus_event_t *event)
{
    talus_event_t nameless = *event;
    nameless.id = "";
    struct bridge_encoded *encoded = encoder_event(bridge->encoder, &nameless);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "bridge", "out of memory: %s in session %s was not sent to clients",
               event->type, event->session);
        return;
    }
    bridge__fan_out(bridge, session, encoded, NULL);
    bridge_encoded_unref(encoded);
}

static void on_event(struct bridge *bridge, const talus_event_t *event)
{
    struct bridge_session *session = NULL;
    gw_metric_add(&bridge->metrics, GW_BUS_EVENTS, 1);
    if (event->session[0] != '\0') {
        session = bridge__find_session(bridge, event->session);
        if (!session)
            return;
        if (bridge__is_gateway_presence(event)) {
            tell_presence(bridge, session, event);
            return;
        }
        strcpy(session->newest, event->id);
        if (!bridge__is_used(session)) {
            bridge__log(bridge, session, NULL, event);
            return;
        }
    }
    struct bridge_encoded *encoded = encoder_event(bridge->encoder, event);
    if (!encoded) {
        gw_metric_add(&bridge->metrics, GW_BUS_REFUSED, 1);
        gw_log(GW_LOG_WARNING, "bridge",
               "event %s cannot be delivered: it is too large, or out of memory", event->id);
        tell_refused(bridge, session, event);
        return;
    }
    bridge__log(bridge, session, encoded, event);
    bridge__fan_out(bridge, session, encoded, NULL);
    if (session && bridge->catch_up_count > 0)
        bridge__catch_ups_on_event(session, event);
    bridge_encoded_unref(encoded);
}

void bridge__on_delivery(struct bridge *bridge, const talus_delivery_t *delivery)
{
    switch (delivery->kind) {
    case TALUS_DELIVERY_LIVE:
        on_live(bridge, delivery);
        break;
    case TALUS_DELIVERY_EVENT:
        on_event(bridge, delivery->event);
        break;
    case TALUS_DELIVERY_GAP:
        on_gap(bridge, delivery->session, &delivery->gap);
        break;
    case TALUS_DELIVERY_REPLAYED:
        bridge__on_replayed(bridge, &delivery->replayed);
        break;
    case TALUS_DELIVERY_RECOVERED:
        bridge__on_recovered(bridge, &delivery->recovered);
        break;
    }
}
