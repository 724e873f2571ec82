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
    case TALUS_GAP_UNKNOWN:
        return "unknown";
    }
    return "unknown";
}

// Splits an event id. False: it is none, or nothing can come after it.
bool talus__parse_id(const char *text, size_t size, char origin[TALUS_ORIGIN_MAX + 1],
                     uint64_t *seq)
{
    char id[TALUS_ID_MAX + 1];
    size_t origin_size;

    if (size >= sizeof id)
        return false;
    copy_text(id, text, size);
    origin_size = tl_event_id_split(id, seq);
    copy_text(origin, text, origin_size);
    return origin_size > 0 && *seq < UINT64_MAX;
}

static void set_event(struct talus__delivery *delivery, const struct talus__topic *topic,
                      const struct talus__body *body)
{
    copy_text(delivery->session, topic->session, topic->session_size);
    copy_text(delivery->type, topic->type, topic->type_size);
    copy_text(delivery->origin, body->origin, body->origin_size);
    copy_text(delivery->except, body->except, body->except_size);
    tl_event_id_write(delivery->id, delivery->origin, body->origin_size, body->seq);
    delivery->event = (talus_event_t){
        .session = delivery->session,
        .type = delivery->type,
        .id = delivery->id,
        .origin = delivery->origin,
        .except = delivery->except,
        .seq = body->seq,
        .prev = body->prev,
        .ts = body->ts,
        .data = body->data,
        .data_size = body->data_size,
    };
    delivery->given.session = delivery->session;
    delivery->stats->delivered++;
    TALUS__PROBE4(deliver, talus__probe_text(delivery->origin), body->seq,
                  talus__probe_text(delivery->session), talus__probe_text(delivery->type));
}

void talus__delivery_event(struct talus__delivery *delivery, const struct talus__topic *topic,
                           const struct talus__body *body)
{
    set_event(delivery, topic, body);
    delivery->given.kind = TALUS_DELIVERY_EVENT;
    delivery->given.event = &delivery->event;
}

void talus__delivery_replayed(struct talus__delivery *delivery, const struct talus__topic *topic,
                              const struct talus__body *body, uint64_t request)
{
    set_event(delivery, topic, body);
    delivery->given.kind = TALUS_DELIVERY_REPLAYED;
    delivery->given.replayed = (talus_replayed_t){.event = &delivery->event, .request = request};
}

void talus__delivery_live(struct talus__delivery *delivery, const char *session,
                          const char *newest_origin, uint64_t newest_seq, bool is_complete)
{
    copy_text(delivery->session, session, strlen(session));
    delivery->id[0] = '\0';
    if (newest_seq > 0)
        tl_event_id_format(delivery->id, newest_origin, newest_seq);
    delivery->given = (talus_delivery_t){
        .kind = TALUS_DELIVERY_LIVE,
        .session = delivery->session,
        .live = {.newest = delivery->id, .complete = is_complete},
    };
}

// The texts of a gap of delivery->origin.
static talus_gap_t make_gap(struct talus__delivery *delivery, uint64_t after, uint64_t first,
                            talus_gap_reason_t reason)
{
    tl_event_id_format(delivery->after, delivery->origin, after);
    delivery->first[0] = '\0';
    if (first > 0)
        tl_event_id_format(delivery->first, delivery->origin, first);
    return (talus_gap_t){.origin = delivery->origin,
                         .after = delivery->after,
                         .first = delivery->first,
                         .reason = reason};
}

void talus__delivery_gap(struct talus__delivery *delivery, const char *session, const char *origin,
                         uint64_t after, uint64_t first, talus_gap_reason_t reason)
{
    unsigned long long held_back;

    copy_text(delivery->session, session, strlen(session));
    copy_text(delivery->origin, origin, strlen(origin));
    delivery->given = (talus_delivery_t){
        .kind = TALUS_DELIVERY_GAP,
        .session = delivery->session,
        .gap = make_gap(delivery, after, first, reason),
    };
    delivery->stats->gaps++;
    if (talus__may_log(&delivery->gap_gate, &held_back))
        talus__log(TALUS_LOG_WARNING,
                   "session '%s' has a gap: events after %s and before %s are lost: %s (and %llu "
                   "more gaps)",
                   session, delivery->after, first > 0 ? delivery->first : "whatever follows",
                   talus_gap_reason_name(reason), held_back);
}

void talus__delivery_recovered(struct talus__delivery *delivery, const char *session,
                               const char *origin, uint64_t request, uint64_t newest)
{
    copy_text(delivery->session, session, strlen(session));
    copy_text(delivery->origin, origin, strlen(origin));
    tl_event_id_format(delivery->id, origin, newest);
    delivery->given = (talus_delivery_t){
        .kind = TALUS_DELIVERY_RECOVERED,
        .session = delivery->session,
        .recovered = {.request = request, .newest = delivery->id, .is_answered = true},
    };
}

void talus__delivery_missing(struct talus__delivery *delivery, uint64_t after, uint64_t first,
                             talus_gap_reason_t reason)
{
    delivery->missing = make_gap(delivery, after, first, reason);
    delivery->given.recovered.gap = &delivery->missing;
}
