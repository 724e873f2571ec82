// SPDX-License-Identifier: MIT
// Joins with `since`, the id of the newest event that the client has. What it missed comes from the
// recovery log or, on a gateway that was not subscribed before, from the history of the event's
// broadcaster.
//
// A client that waits for a history is not in its session yet; the session is logged meanwhile.
// When the history has arrived, the session's live stream may still be behind it: the client joins
// when the stream has reached the history's end, so that nothing comes twice. What cannot be proven
// complete becomes a gap, before or after what was found.
//
// A bounded number of histories is requested at a time and other joins wait (catch_up_queue.c);
// joins with the same session and event share one history. A join that waits too long gets a gap.
//
// An event id says nothing about other broadcasters' events: the client may have them or not. So it
// gets a gap without a broadcaster, unless there are no others; each session remembers that from
// its beginning, however short the log is (origins.c).

#include <string.h>

#include "common/event_id.h"
#include "gateway/bridge/catch_up.h"

// ---- Telling

static void tell_gap(struct bridge *bridge, struct bridge_request *request, const char *after,
                     const char *first, talus_gap_reason_t reason)
{
    const talus_gap_t gap = {.origin = "", .after = after, .first = first, .reason = reason};
    struct bridge_encoded *encoded = encoder_gap(bridge->encoder, request->session, &gap);
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

static const struct event_log_entry *entry_of(const struct tl_list *link)
{
    return TL_LIST_ENTRY((struct tl_list *)(uintptr_t)link, struct event_log_entry, session_link);
}

// Whether a client that has the origin's events up to `end` has that one, or what that gap names.
static bool is_within(const struct event_log_entry *entry, const char *origin, uint64_t end)
{
    bool is_gap = entry->id[0] == '\0';
    const char *id = is_gap ? entry->encoded->gap_end : entry->id;
    uint64_t seq;
    return tl_event_id_is_of(id, origin) && tl_event_id_split(id, &seq) && seq <= end + is_gap;
}

// Appends what the log has after an index, but for the origin's (unless that is NULL) up to `end`.
// False: it is more than a client may miss.
static bool append_log(struct bridge_missed *to, const struct session_log *log, uint64_t after,
                       const char *origin, uint64_t end)
{
    for (const struct tl_list *at = log->entries.next; at != &log->entries; at = at->next) {
        const struct event_log_entry *entry = entry_of(at);
        bool is_had = entry->index <= after || (origin && is_within(entry, origin, end));
        if (!is_had && !bridge_missed_add(to, entry->encoded, COPY_CAUGHT_UP))
            return false;
    }
    return true;
}

// The index of the event that the client has, if the log has all that came after it; else 0.
static uint64_t find_index(const struct session_log *log, const char *id)
{
    uint64_t index = session_log_find(log, id);
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
static bool is_of_another_session(const struct bridge_catch_up *catch_up)
{
    return catch_up->request->is_implied && catch_up->is_asked && !catch_up->is_known;
}

// Everything that is to be told is in the request.
static void let_join(struct bridge_catch_up *catch_up)
{
    struct bridge_session *session = catch_up->session;
    struct bridge *bridge = session->bridge;
    struct bridge_request *request = catch_up->request;
    session->held++; // it stays until all have joined
    bridge__catch_up_join_followers(catch_up);
    bridge__catch_up_free(catch_up);
    session->held--;
    bridge__join(session, request);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task); // to ask the next
}

static bool join_with_log(struct bridge_catch_up *catch_up)
{
    struct bridge_session *session = catch_up->session;
    if (!find_in_log(session->bridge, session, catch_up->request))
        return false;
    let_join(catch_up);
    return true;
}

// What was found cannot be given, or not all that the stream brought since.
static void tell_instead(struct bridge_catch_up *catch_up)
{
    struct bridge_session *session = catch_up->session;
    struct bridge_request *request = catch_up->request;
    enum bridge_incomplete why = catch_up->cut_for   ? catch_up->cut_for
                                 : catch_up->is_lost ? BRIDGE_NO_ANSWER
                                                     : BRIDGE_TOO_MUCH;
    uint64_t upto = catch_up->heard > catch_up->end ? catch_up->heard : catch_up->end;
    char first[TALUS_ID_MAX + 1];
    if (catch_up->is_answered) {
        bridge_missed_truncate(&request->missed, catch_up->told); // that gap is part of this one
        request->incomplete = catch_up->is_unproven ? BRIDGE_UNPROVEN : BRIDGE_COMPLETE;
    }
    if (!catch_up->is_followed || catch_up->is_over) {
        tell_unknown(session, request,
                     catch_up->is_lost ? TALUS_GAP_ORIGIN_LOST : TALUS_GAP_HISTORY,
                     catch_up->is_unproven, why);
        return;
    }
    tl_event_id_format(first, request->since, upto + 1);
    if (upto > catch_up->after) {
        note_incomplete(request, why);
        tell_gap(session->bridge, request, request->since, first, TALUS_GAP_ORIGIN_LOST);
    }
    if (!catch_up->is_unproven && bridge__has_others(&session->origins, request->since, UINT64_MAX))
        tell_unproven(session->bridge, request);
}

static void finish(struct bridge_catch_up *catch_up)
{
    struct bridge_session *session = catch_up->session;
    struct bridge_request *request = catch_up->request;
    bool is_whole = !catch_up->is_cut && session->log.gone <= catch_up->asked_at &&
                    append_log(&catch_up->found, &session->log, catch_up->asked_at, request->since,
                               catch_up->end) &&
                    bridge_missed_join(&request->missed, &catch_up->found);
    if (!is_whole)
        tell_instead(catch_up);
    let_join(catch_up);
}

static const struct bridge_catch_up_handler handler = {
    .find_in_log = join_with_log,
    .finish = finish,
};

bool bridge__catch_up(struct bridge_session *session, struct bridge_request *request)
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
        // A gateway's own event says nothing about broadcasters that this gateway has not met.
        if (bridge__has_others(&session->origins, request->since, UINT64_MAX) ||
            session->newest[0] == '\0')
            tell_unproven(bridge, request);
        return false;
    }
    if (bridge__catch_up_wait(session, request, is_paced, &handler))
        return true;
    tell_unknown(session, request, TALUS_GAP_HISTORY, false, BRIDGE_QUEUE_FULL);
    return false;
}

// Before what was found: what is missing begins after the client's own event, also where that was
// asked for with it.
static void tell_missing_before(struct bridge_catch_up *catch_up, const talus_gap_t *gap)
{
    struct bridge *bridge = catch_up->session->bridge;
    const char *after = gap->after;
    uint64_t seq;
    if (!tl_event_id_split(after, &seq) || seq < catch_up->after)
        after = catch_up->request->since;
    if (!tl_event_id_split(gap->first, &seq) || seq > catch_up->after + 1) {
        note_incomplete(catch_up->request,
                        catch_up->is_lost ? BRIDGE_NO_ANSWER : BRIDGE_NO_HISTORY);
        tell_gap(bridge, catch_up->request, after, gap->first, gap->reason);
    } else if (!catch_up->is_lost && !catch_up->is_unproven) {
        // Missing is the client's event, or one of another session. A broadcaster that is lost has
        // named the client's as the session's newest.
        tell_unproven(bridge, catch_up->request);
    }
}

// A broadcaster that is lost while it answers leaves a gap after what came of it, any other
// incomplete answer one before.
static void tell_missing(struct bridge_catch_up *catch_up, const talus_gap_t *missing)
{
    uint64_t after;
    talus_gap_t gap = *missing;
    if (catch_up->is_lost && tl_event_id_split(gap.after, &after) && after < catch_up->last) {
        // What came has a hole: all of it counts as missing, also what came before the hole.
        bridge_missed_truncate(&catch_up->found, 0);
        gap.after = catch_up->request->since;
    }
    if (!catch_up->is_lost || bridge_missed_count(&catch_up->found) == 0) {
        tell_missing_before(catch_up, &gap);
        return;
    }
    note_incomplete(catch_up->request, BRIDGE_NO_ANSWER);
    struct bridge_encoded *encoded =
        encoder_gap(catch_up->session->bridge->encoder, catch_up->request->session, &gap);
    catch_up->is_cut |= !encoded || !bridge_missed_add(&catch_up->found, encoded, COPY_CAUGHT_UP);
    if (encoded)
        bridge_encoded_unref(encoded);
}

static struct bridge_catch_up *find_catch_up(const struct bridge *bridge, uint64_t id)
{
    for (struct tl_list *at = bridge->catch_ups.next; at != &bridge->catch_ups; at = at->next) {
        struct bridge_catch_up *catch_up = TL_LIST_ENTRY(at, struct bridge_catch_up, link);
        if (catch_up->id == id && !catch_up->is_answered)
            return catch_up;
    }
    return NULL;
}

void bridge__on_replayed(struct bridge *bridge, const talus_replayed_t *replayed)
{
    struct bridge_catch_up *catch_up = find_catch_up(bridge, replayed->request);
    if (!catch_up || catch_up->is_cut)
        return;
    if (replayed->event->seq <= catch_up->after) {
        catch_up->is_known = true;
        return;
    }
    catch_up->last = replayed->event->seq;
    struct bridge_encoded *encoded = encoder_event(bridge->encoder, replayed->event);
    catch_up->is_cut = !encoded || !bridge_missed_add(&catch_up->found, encoded, COPY_CAUGHT_UP);
    if (encoded)
        bridge_encoded_unref(encoded);
}

void bridge__on_recovered(struct bridge *bridge, const talus_recovered_t *recovered)
{
    struct bridge_catch_up *catch_up = find_catch_up(bridge, recovered->request);
    if (!catch_up)
        return;
    catch_up->is_answered = true;
    catch_up->is_lost = !recovered->is_answered;
    tl_event_id_split(recovered->newest, &catch_up->end);
    if (catch_up->end < catch_up->after)
        catch_up->end = catch_up->after; // it was asked for from the event before
    catch_up->is_known |=
        recovered->gap || (catch_up->is_lost &&
                           session_log_find(&catch_up->session->log, catch_up->request->since) > 0);
    if (is_of_another_session(catch_up)) {
        if (catch_up->session->newest[0] != '\0') // else no broadcaster is known to have sent to it
            tell_unproven(bridge, catch_up->request);
        let_join(catch_up);
        return;
    }
    // The session knows of some that libtalus has forgotten since.
    catch_up->is_unproven = !recovered->is_only_origin ||
                            bridge__has_others(&catch_up->session->origins,
                                               catch_up->request->since, catch_up->asked_at + 1);
    if (catch_up->is_unproven)
        tell_unproven(bridge, catch_up->request);
    catch_up->told = bridge_missed_count(&catch_up->request->missed);
    if (recovered->gap)
        tell_missing(catch_up, recovered->gap);
    // Only a stream that has come to the client's event brings nothing again.
    catch_up->is_followed = catch_up->is_lost && recovered->is_reached &&
                            (!recovered->gap || recovered->gap->first[0] != '\0');
    // Who does not answer may be there still, and bring what was found again. If it is lost, a gap
    // of the stream says so.
    bool is_nothing_found = recovered->gap && bridge_missed_count(&catch_up->found) == 0;
    if (recovered->is_reached || is_nothing_found)
        finish(catch_up);
    else
        gw_deadline_start(&bridge->catch_up_deadlines, &catch_up->deadline);
}

// The stream has come so far: `id` names the origin, `seq` its event.
static void hear_up_to(struct bridge_session *session, const char *id, uint64_t seq)
{
    struct tl_list *next;
    for (struct tl_list *at = session->bridge->catch_ups.next; at != &session->bridge->catch_ups;
         at = next) {
        struct bridge_catch_up *catch_up = TL_LIST_ENTRY(at, struct bridge_catch_up, link);
        next = at->next;
        if (catch_up->session != session || !tl_event_id_is_of(id, catch_up->request->since))
            continue;
        catch_up->is_over |= seq == UINT64_MAX;
        if (seq > catch_up->heard)
            catch_up->heard = seq;
        if (catch_up->is_answered && seq >= catch_up->end)
            finish(catch_up);
    }
}

void bridge__catch_ups_on_event(struct bridge_session *session, const talus_event_t *event)
{
    hear_up_to(session, event->id, event->seq);
}

void bridge__catch_ups_on_gap(struct bridge_session *session, const talus_gap_t *gap)
{
    uint64_t first;
    if (gap->first[0] == '\0')
        hear_up_to(session, gap->after, UINT64_MAX); // nothing more will come
    else if (tl_event_id_split(gap->first, &first) && first > 0)
        hear_up_to(session, gap->first, first - 1);
}
