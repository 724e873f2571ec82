// SPDX-License-Identifier: MIT
// Joins that say what the client has (`since`, an event id): what it missed is found in the
// recovery log or, on a gateway that was not there, in the history of the event's broadcaster.
//
// A client that waits for a history is not in its session yet; the session is logged meanwhile.
// When the history has come, the session's live stream may still be behind it: the client joins
// when the stream has reached the history's end, so that nothing comes twice. What cannot be proven
// complete is told by a gap, before what was found, or after it where that is its place.
//
// So many histories are asked for at a time; further joins wait (since_queue.c), and joins with the
// same session and event share one history. A join that waits for too long is told a gap.
//
// An event id says nothing of the events of other broadcasters that came before it here: these the
// client may have or not. So it is told that this is not known (a gap of nobody), unless there are
// none, which each session remembers from its beginning on, however short the log is.

#include <string.h>

#include "gateway/bridge/event_id.h"
#include "gateway/bridge/since.h"

// ---- Telling

static void tell_gap(struct bridge *bridge, struct bridge_request *request, const char *after,
                     const char *first, talus_gap_reason_t reason)
{
    const talus_delivery_t gap = {
        .kind = TALUS_DELIVERY_GAP,
        .session = request->session,
        .after = after,
        .first = first,
        .reason = reason,
    };
    struct bridge_encoded *encoded = encoder_gap(bridge->encoder, &gap);
    if (!encoded || !bridge_missed_add(&request->missed, encoded, COPY_CAUGHT_UP))
        request->status = BRIDGE_UNAVAILABLE; // rather no join than one that hides something
    if (encoded)
        bridge_encoded_unref(encoded);
}

static void note_incomplete(struct bridge_request *request, enum bridge_incomplete why)
{
    if (why > request->incomplete)
        request->incomplete = why;
}

void bridge__count_incomplete(struct bridge *bridge, const struct bridge_request *request)
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

// It is not known what the client has of the events that others sent.
static void tell_unproven(struct bridge *bridge, struct bridge_request *request)
{
    note_incomplete(request, BRIDGE_UNPROVEN);
    tell_gap(bridge, request, "", "", TALUS_GAP_HISTORY);
}

// Nothing at all is known of what came after the event, nor of what others sent.
static void tell_unknown(struct bridge_session *session, struct bridge_request *request,
                         talus_gap_reason_t reason, bool is_unproven, enum bridge_incomplete why)
{
    note_incomplete(request, why);
    tell_gap(session->bridge, request, request->since, "", reason);
    if (!is_unproven && bridge__has_others(&session->origins, request->since, UINT64_MAX))
        tell_unproven(session->bridge, request);
}

// ---- The log

static const struct event_log_entry *entry_of(const struct list *link)
{
    return LIST_ENTRY((struct list *)(uintptr_t)link, struct event_log_entry, session_link);
}

// Whether a client that has the origin's events up to `end` has that one, or what that gap names.
static bool is_within(const struct event_log_entry *entry, const char *origin, uint64_t end)
{
    bool is_gap = entry->id[0] == '\0';
    const char *id = is_gap ? entry->encoded->gap_end : entry->id;
    uint64_t seq;
    return event_id_is_of(id, origin) && event_id_split(id, &seq) && seq <= end + is_gap;
}

// Appends what the log has after an index, but for the origin's (unless that is NULL) up to `end`.
// False: it is more than a client may miss.
static bool append_log(struct bridge_missed *to, const struct session_log *log, uint64_t after,
                       const char *origin, uint64_t end)
{
    for (const struct list *at = log->entries.next; at != &log->entries; at = at->next) {
        const struct event_log_entry *entry = entry_of(at);
        bool is_had = entry->index <= after || (origin && is_within(entry, origin, end));
        if (!is_had && !bridge_missed_add(to, entry->encoded, COPY_CAUGHT_UP))
            return false;
    }
    return true;
}

// The index of the event that the client has, if the log has all that came after it; else 0.
static uint64_t find_index(const struct session_log *log, const char *since)
{
    uint64_t index = session_log_find(log, since);
    return log->gone > index ? 0 : index;
}

static bool find_in_log(struct bridge *bridge, struct bridge_session *session,
                        struct bridge_request *request)
{
    const struct session_log *log = &session->log;
    uint64_t index = find_index(log, request->since);
    if (index == 0)
        return false;
    bool is_unproven = bridge__has_others(&session->origins, request->since, index);
    if (is_unproven)
        tell_unproven(bridge, request);
    size_t told = bridge_missed_count(&request->missed);
    if (append_log(&request->missed, log, index, NULL, 0))
        return true;
    bridge_missed_truncate(&request->missed, told);
    tell_unknown(session, request, TALUS_GAP_HISTORY, is_unproven, BRIDGE_TOO_MUCH);
    return true;
}

// ---- The broadcaster's history

// What the client named is an event of another session: of this one it says nothing.
static bool is_of_another_session(const struct bridge_since *since)
{
    return since->request->is_implied && since->is_asked && !since->is_known;
}

// Everything that is to be told is in the request.
static void let_join(struct bridge_since *since)
{
    struct bridge_session *session = since->session;
    struct bridge *bridge = session->bridge;
    struct bridge_request *request = since->request;
    session->held++; // it stays until all have joined
    bridge__since_join_followers(since);
    bridge__since_free(since);
    session->held--;
    bridge__join(session, request);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task); // to ask the next
}

bool bridge__since_find(struct bridge_since *since)
{
    struct bridge_session *session = since->session;
    if (!find_in_log(session->bridge, session, since->request))
        return false;
    let_join(since);
    return true;
}

// What was found cannot be given, or not all that the stream brought since.
static void tell_instead(struct bridge_since *since)
{
    struct bridge_session *session = since->session;
    struct bridge_request *request = since->request;
    enum bridge_incomplete why = since->cut_for   ? since->cut_for
                                 : since->is_lost ? BRIDGE_NO_ANSWER
                                                  : BRIDGE_TOO_MUCH;
    uint64_t upto = since->heard > since->end ? since->heard : since->end;
    char first[TALUS_ID_MAX + 1];
    if (since->is_answered) {
        bridge_missed_truncate(&request->missed, since->told); // that gap is part of this one
        request->incomplete = since->is_unproven ? BRIDGE_UNPROVEN : BRIDGE_COMPLETE;
    }
    if (!since->is_followed || since->is_over) {
        tell_unknown(session, request, since->is_lost ? TALUS_GAP_ORIGIN_LOST : TALUS_GAP_HISTORY,
                     since->is_unproven, why);
        return;
    }
    event_id_format(first, request->since, upto + 1);
    if (upto > since->after) {
        note_incomplete(request, why);
        tell_gap(session->bridge, request, request->since, first, TALUS_GAP_ORIGIN_LOST);
    }
    if (!since->is_unproven && bridge__has_others(&session->origins, request->since, UINT64_MAX))
        tell_unproven(session->bridge, request);
}

void bridge__since_finish(struct bridge_since *since)
{
    struct bridge_session *session = since->session;
    struct bridge_request *request = since->request;
    bool is_whole =
        !since->is_cut && session->log.gone <= since->asked_at &&
        append_log(&since->found, &session->log, since->asked_at, request->since, since->end) &&
        bridge_missed_join(&request->missed, &since->found);
    if (!is_whole)
        tell_instead(since);
    let_join(since);
}

bool bridge__join_since(struct bridge_session *session, struct bridge_request *request)
{
    struct bridge *bridge = session->bridge;
    bridge_missed_init(&request->missed, bridge->options.max_missed);
    if (request->since[0] == '\0') {
        if (session->newest[0] != '\0')
            tell_unproven(bridge, request);
        return false;
    }
    bool is_newest = strcmp(request->since, session->newest) == 0;
    bool is_paced = !is_newest && bridge__is_behind(request->worker) &&
                    find_index(&session->log, request->since) > 0;
    if (!is_paced && find_in_log(bridge, session, request))
        return false;
    // The newest event needs no history; nor is anything owed of a gateway's presence.
    if (is_newest || bridge__is_presence_id(request->since)) {
        // An event that a gateway sent says nothing of those that nobody here has heard of.
        if (bridge__has_others(&session->origins, request->since, UINT64_MAX) ||
            session->newest[0] == '\0')
            tell_unproven(bridge, request);
        return false;
    }
    if (bridge__since_wait(session, request, is_paced))
        return true;
    tell_unknown(session, request, TALUS_GAP_HISTORY, false, BRIDGE_QUEUE_FULL);
    return false;
}

// Before what was found: what is missing begins after the client's own event, also where that was
// asked for with it.
static void tell_missing_before(struct bridge_since *since, const talus_delivery_t *delivery)
{
    struct bridge *bridge = since->session->bridge;
    const char *after = delivery->after;
    uint64_t seq;
    if (!event_id_split(after, &seq) || seq < since->after)
        after = since->request->since;
    if (!event_id_split(delivery->first, &seq) || seq > since->after + 1) {
        note_incomplete(since->request, since->is_lost ? BRIDGE_NO_ANSWER : BRIDGE_NO_HISTORY);
        tell_gap(bridge, since->request, after, delivery->first, delivery->reason);
    } else if (!since->is_lost && !since->is_unproven) {
        // Missing is the client's event, or one of another session. A broadcaster that is lost has
        // named the client's as the session's newest.
        tell_unproven(bridge, since->request);
    }
}

// A broadcaster that is lost while it answers leaves a gap after what came of it, any other
// incomplete answer one before.
static void tell_missing(struct bridge_since *since, const talus_delivery_t *delivery)
{
    uint64_t after;
    if (since->is_lost && event_id_split(delivery->after, &after) && after < since->last)
        bridge_missed_truncate(&since->found, 0); // it had a hole, and all of it counts as missing
    if (!since->is_lost || bridge_missed_count(&since->found) == 0) {
        tell_missing_before(since, delivery);
        return;
    }
    note_incomplete(since->request, BRIDGE_NO_ANSWER);
    talus_delivery_t gap = *delivery;
    gap.session = since->request->session;
    struct bridge_encoded *encoded = encoder_gap(since->session->bridge->encoder, &gap);
    since->is_cut |= !encoded || !bridge_missed_add(&since->found, encoded, COPY_CAUGHT_UP);
    if (encoded)
        bridge_encoded_unref(encoded);
}

static struct bridge_since *find_since(const struct bridge *bridge, uint64_t id)
{
    for (struct list *at = bridge->sinces.next; at != &bridge->sinces; at = at->next) {
        struct bridge_since *since = LIST_ENTRY(at, struct bridge_since, link);
        if (since->id == id && !since->is_answered)
            return since;
    }
    return NULL;
}

void bridge__on_replayed(struct bridge *bridge, const talus_delivery_t *delivery)
{
    struct bridge_since *since = find_since(bridge, delivery->request);
    if (!since || since->is_cut)
        return;
    if (delivery->event->seq <= since->after) {
        since->is_known = true;
        return;
    }
    since->last = delivery->event->seq;
    struct bridge_encoded *encoded = encoder_event(bridge->encoder, delivery->event);
    since->is_cut = !encoded || !bridge_missed_add(&since->found, encoded, COPY_CAUGHT_UP);
    if (encoded)
        bridge_encoded_unref(encoded);
}

void bridge__on_recovered(struct bridge *bridge, const talus_delivery_t *delivery)
{
    struct bridge_since *since = find_since(bridge, delivery->request);
    if (!since)
        return;
    since->is_answered = true;
    since->is_lost = delivery->reason == TALUS_GAP_ORIGIN_LOST;
    event_id_split(delivery->newest, &since->end);
    if (since->end < since->after)
        since->end = since->after; // it was asked for from the event before
    since->is_known |=
        !delivery->complete ||
        (since->is_lost && session_log_find(&since->session->log, since->request->since) > 0);
    if (is_of_another_session(since)) {
        if (since->session->newest[0] != '\0') // else nobody has sent anything to it
            tell_unproven(bridge, since->request);
        let_join(since);
        return;
    }
    // The session knows of some that libtalus has forgotten since.
    since->is_unproven =
        !delivery->is_only_origin ||
        bridge__has_others(&since->session->origins, since->request->since, since->asked_at + 1);
    if (since->is_unproven)
        tell_unproven(bridge, since->request);
    since->told = bridge_missed_count(&since->request->missed);
    if (!delivery->complete)
        tell_missing(since, delivery);
    // Only a stream that has come to the client's event brings nothing again.
    since->is_followed = since->is_lost && delivery->is_reached &&
                         (delivery->complete || delivery->first[0] != '\0');
    // Who does not answer may be there still, and bring what was found again. If it is lost, a gap
    // of the stream says so.
    bool is_nothing_found = !delivery->complete && bridge_missed_count(&since->found) == 0;
    if (delivery->is_reached || is_nothing_found)
        bridge__since_finish(since);
    else
        gw_deadline_start(&bridge->since_deadlines, &since->deadline);
}

// The stream has come so far: `id` names the origin, `seq` its event.
static void hear_up_to(struct bridge_session *session, const char *id, uint64_t seq)
{
    struct list *next;
    for (struct list *at = session->bridge->sinces.next; at != &session->bridge->sinces;
         at = next) {
        struct bridge_since *since = LIST_ENTRY(at, struct bridge_since, link);
        next = at->next;
        if (since->session != session || !event_id_is_of(id, since->request->since))
            continue;
        since->is_over |= seq == UINT64_MAX;
        if (seq > since->heard)
            since->heard = seq;
        if (since->is_answered && seq >= since->end)
            bridge__since_finish(since);
    }
}

void bridge__sinces_hear(struct bridge_session *session, const talus_event_t *event)
{
    hear_up_to(session, event->id, event->seq);
}

void bridge__sinces_hear_gap(struct bridge_session *session, const talus_delivery_t *gap)
{
    uint64_t first;
    if (gap->first[0] == '\0')
        hear_up_to(session, gap->after, UINT64_MAX); // nothing more will come
    else if (event_id_split(gap->first, &first) && first > 0)
        hear_up_to(session, gap->first, first - 1);
}
