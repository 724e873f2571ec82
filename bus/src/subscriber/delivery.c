// SPDX-License-Identifier: MIT
// Deliveries.
#include "bus/src/subscriber/delivery.h"

#include <string.h>

#include "bus/src/base/log.h"
#include "bus/src/base/probes.h"
#include "common/event_id.h"

static void copy_text(char *out, const char *text, size_t size)
{
    if (size > 0)
        memcpy(out, text, size);
    out[size] = '\0';
}

const char *talus_gap_reason_name(talus_gap_reason_t reason)
{
    switch (reason) {
    case TALUS_GAP_HISTORY:
        return "history";
    case TALUS_GAP_ORIGIN_LOST:
        return "origin_lost";
    case TALUS_GAP_REFUSED:
        return "refused";
    }
    return "unknown";
}

void talus__delivery_clear(struct talus__delivery *delivery, talus_delivery_kind_t kind)
{
    delivery->given = (talus_delivery_t){
        .kind = kind, .session = "", .newest = "", .origin = "", .after = "", .first = ""};
}

void talus__delivery_event(struct talus__delivery *delivery, const struct talus__topic *topic,
                           const struct talus__body *body)
{
    copy_text(delivery->session, topic->session, topic->session_size);
    copy_text(delivery->type, topic->type, topic->type_size);
    copy_text(delivery->origin, body->origin, body->origin_size);
    copy_text(delivery->skip, body->skip, body->skip_size);
    tl_event_id_write(delivery->id, delivery->origin, body->origin_size, body->seq);
    delivery->event = (talus_event_t){
        .session = delivery->session,
        .type = delivery->type,
        .id = delivery->id,
        .origin = delivery->origin,
        .skip = delivery->skip,
        .seq = body->seq,
        .prev = body->prev,
        .ts = body->ts,
        .data = body->data,
        .data_size = body->data_size,
    };
    talus__delivery_clear(delivery, TALUS_DELIVERY_EVENT);
    delivery->given.session = delivery->session;
    delivery->given.event = &delivery->event;
    delivery->given.complete = true;
    delivery->stats->delivered++;
    TALUS__PROBE4(deliver, talus__probe_text(delivery->origin), body->seq,
                  talus__probe_text(delivery->session), talus__probe_text(delivery->type));
}

void talus__delivery_gap(struct talus__delivery *delivery, const char *session, const char *origin,
                         uint64_t after, uint64_t first, talus_gap_reason_t reason)
{
    unsigned long long held_back;

    copy_text(delivery->session, session, strlen(session));
    copy_text(delivery->origin, origin, strlen(origin));
    tl_event_id_format(delivery->after, origin, after);
    delivery->first[0] = '\0';
    if (first > 0)
        tl_event_id_format(delivery->first, origin, first);
    talus__delivery_clear(delivery, TALUS_DELIVERY_GAP);
    delivery->given.session = delivery->session;
    delivery->given.origin = delivery->origin;
    delivery->given.after = delivery->after;
    delivery->given.first = delivery->first;
    delivery->given.reason = reason;
    delivery->stats->gaps++;
    if (talus__may_log(&delivery->gap_gate, &held_back))
        talus__log(TALUS_LOG_WARNING,
                   "session '%s' has a gap: events after %s and before %s are lost: %s (and %llu "
                   "more gaps)",
                   session, delivery->after, first > 0 ? delivery->first : "whatever follows",
                   talus_gap_reason_name(reason), held_back);
}
