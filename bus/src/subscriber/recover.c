// SPDX-License-Identifier: MIT
// Recoveries.
#include "bus/src/subscriber/recover.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "common/event_id.h"

#define RECOVERIES_MOST 10000

// A recovery that ended without an answer, until it is told. The members are as in
// talus__replay_request.
struct talus__failed_recovery {
    struct talus__failed_recovery *next;
    uint64_t request;
    uint64_t after;
    uint64_t stream;
    bool has_stream;
    char origin[TALUS_ORIGIN_MAX + 1];
    char session[];
};

// Whether nothing of the origin up to `seq` is still to be delivered in the session.
static bool is_reached(struct talus__recover *recover, const char *session, const char *name,
                       uint64_t seq)
{
    struct talus__joined *joined =
        talus__joined_find(&recover->core->joined, session, strlen(session));
    struct talus__origin *origin = talus__origins_find(&recover->core->origins, name, strlen(name));

    if (!joined || talus__joined_is_left(joined))
        return false;
    if (seq == 0 || !origin)
        return seq == 0;
    const struct talus__cursor *cursor =
        talus__cursor_find(joined, talus__origin_refer(&recover->core->origins, origin));
    return cursor && cursor->stream.has_baseline && cursor->stream.last >= seq;
}

static void set_recovered(struct talus__recover *recover, const char *session, const char *origin,
                          uint64_t request, uint64_t head)
{
    talus__delivery_clear(&recover->core->delivery, TALUS_DELIVERY_RECOVERED);
    strcpy(recover->core->delivery.session, session);
    strcpy(recover->core->delivery.origin, origin);
    tl_event_id_format(recover->core->delivery.id, origin, head);
    recover->core->delivery.given.session = recover->core->delivery.session;
    recover->core->delivery.given.origin = recover->core->delivery.origin;
    recover->core->delivery.given.newest = recover->core->delivery.id;
    recover->core->delivery.given.request = request;
    recover->core->delivery.given.complete = true;
    recover->core->delivery.given.is_only_origin =
        talus__joined_is_only_origin(&recover->core->joined, session, origin);
    recover->core->delivery.given.is_reached = is_reached(recover, session, origin, head);
    recover->open--;
}

// `first`: what is missing ends before it; 0: that is not known.
static void set_missing(struct talus__recover *recover, uint64_t after, uint64_t first,
                        talus_gap_reason_t reason)
{
    talus_delivery_t *delivery = &recover->core->delivery.given;

    tl_event_id_format(recover->core->delivery.after, recover->core->delivery.origin, after);
    recover->core->delivery.first[0] = '\0';
    if (first > 0)
        tl_event_id_format(recover->core->delivery.first, recover->core->delivery.origin, first);
    delivery->complete = false;
    delivery->after = recover->core->delivery.after;
    delivery->first = recover->core->delivery.first;
    delivery->reason = reason;
}

// Tells a recovery that has failed later. Takes request, after and the stream from `failure`.
static int fail_recovery(struct talus__recover *recover, const char *session, const char *origin,
                         const struct talus__failed_recovery *failure)
{
    struct talus__failed_recovery *failed = malloc(sizeof *failed + strlen(session) + 1);

    if (!failed)
        return TALUS_ENOMEM;
    *failed = *failure;
    failed->next = NULL;
    strcpy(failed->origin, origin);
    strcpy(failed->session, session);
    if (recover->last_failed)
        recover->last_failed->next = failed;
    else
        recover->first_failed = failed;
    recover->last_failed = failed;
    talus__wake_set(&recover->core->wake);
    return 0;
}

// The broadcaster says nothing, but what the session's own deliveries go on after is known:
// everything later comes by them, or they tell that it is lost.
static void set_failed(struct talus__recover *recover, const struct talus__failed_recovery *failed)
{
    bool is_behind = failed->has_stream && failed->stream < failed->after;
    bool is_known = talus__origins_find(&recover->core->origins, failed->origin,
                                        strlen(failed->origin)) != NULL;

    set_recovered(recover, failed->session, failed->origin, failed->request,
                  failed->has_stream && !is_behind ? failed->stream : failed->after);
    recover->core->delivery.given.reason = TALUS_GAP_ORIGIN_LOST;
    if (!failed->has_stream)
        set_missing(recover, failed->after, 0, TALUS_GAP_ORIGIN_LOST);
    else if (failed->stream > failed->after)
        set_missing(recover, failed->after, failed->stream + 1, TALUS_GAP_ORIGIN_LOST);
    if (failed->has_stream && (!is_behind || !is_known))
        recover->core->delivery.given.is_reached = true;
}

bool talus__recover_take_failed(struct talus__recover *recover)
{
    struct talus__failed_recovery *failed = recover->first_failed;

    recover->first_failed = failed->next;
    if (!failed->next)
        recover->last_failed = NULL;
    set_failed(recover, failed);
    free(failed);
    return true;
}

void talus__recover_fini(struct talus__recover *recover)
{
    while (recover->first_failed) {
        struct talus__failed_recovery *failed = recover->first_failed;
        recover->first_failed = failed->next;
        free(failed);
    }
}

// Takes an event id apart. False: it is none, or nothing can come after it.
static bool parse_id(const char *id, char origin[TALUS_ORIGIN_MAX + 1], uint64_t *seq)
{
    size_t size = tl_event_id_split(id, seq);

    memcpy(origin, id, size);
    origin[size] = '\0';
    return size > 0 && *seq < UINT64_MAX;
}

// Whether the session's deliveries will bring everything of the origin after some seq, as far as
// they can.
static bool find_stream(struct talus__recover *recover, const char *session,
                        const struct talus__origin *origin, uint64_t *seq)
{
    struct talus__joined *joined =
        talus__joined_find(&recover->core->joined, session, strlen(session));

    if (!joined || talus__joined_is_left(joined) || !joined->is_live)
        return false;
    const struct talus__cursor *cursor =
        talus__cursor_find(joined, talus__origin_refer(&recover->core->origins, origin));
    if (!cursor || !cursor->stream.has_baseline || cursor->stream.state == TALUS__STREAM_ENDED)
        return false;
    *seq = cursor->stream.last;
    return true;
}

static int start_recovery(struct talus__recover *recover, const char *session, const char *name,
                          uint64_t after, uint64_t request)
{
    struct talus__origin *origin = talus__origins_find(&recover->core->origins, name, strlen(name));
    struct talus__failed_recovery failure = {.request = request, .after = after};

    failure.has_stream = origin && find_stream(recover, session, origin, &failure.stream);
    if (!origin || !origin->replay || origin->is_dead)
        return fail_recovery(recover, session, name, &failure);
    struct talus__replay_request *asked =
        talus__replay_request_new(TALUS__REPLAY_RECOVER, session, after);
    if (!asked)
        return TALUS_ENOMEM;
    asked->request = request;
    asked->stream = failure.stream;
    asked->has_stream = failure.has_stream;
    return talus__replay_client_request(&recover->core->replay_client, origin, asked);
}

int talus__recover_start(struct talus__recover *recover, const char *session, const char *since,
                         uint64_t *request)
{
    char origin[TALUS_ORIGIN_MAX + 1];
    uint64_t after;

    if (*session && talus_session_check(session, strlen(session)) != 0)
        return TALUS_ESESSION;
    if (!parse_id(since, origin, &after))
        return TALUS_EINVAL;
    if (recover->open >= RECOVERIES_MOST)
        return TALUS_ELIMIT;
    int error = start_recovery(recover, session, origin, after, recover->last_request + 1);
    if (error)
        return error;
    recover->open++;
    *request = ++recover->last_request;
    talus__wake_set(&recover->core->wake);
    talus__wake_by(&recover->core->wake, recover->core->replay_client.tend_at);
    return 0;
}

// Where a hole is known already, everything after it counts as missing.
static struct talus__failed_recovery failure_of(const struct talus__replay_request *asked)
{
    return (struct talus__failed_recovery){
        .request = asked->request,
        .after = asked->gap_first > 0 ? asked->gap_after : asked->after,
        .stream = asked->stream,
        .has_stream = asked->has_stream && asked->gap_first == 0,
    };
}

void talus__recover_failed(struct talus__recover *recover, struct talus__replay_request *request,
                           const struct talus__origin *origin)
{
    const struct talus__failed_recovery failure = failure_of(request);

    if (fail_recovery(recover, request->session, origin->name, &failure) != 0)
        recover->open--; // no memory even to tell it
}

// ---- Responses

// Events after `asked->after` and before `first` do not come. Several holes are told as one.
static void note_missing(struct talus__replay_request *asked, uint64_t first)
{
    if (asked->gap_first == 0)
        asked->gap_after = asked->after;
    asked->gap_first = first;
}

int talus__recover_event(struct talus__recover *recover, struct talus__replay_request *asked,
                         const struct talus__topic *topic, const struct talus__body *body,
                         int refusal)
{
    if (body->seq <= asked->after)
        return TALUS__TAKEN_HANDLED; // asked again after a connection was lost
    if (body->prev > asked->after)
        note_missing(asked, body->prev + 1);
    if (refusal)
        note_missing(asked, body->seq + 1);
    asked->after = body->seq;
    if (refusal) {
        recover->core->stats.refused_bounds++;
        return TALUS__TAKEN_HANDLED;
    }
    talus__delivery_event(&recover->core->delivery, topic, body);
    recover->core->delivery.given.kind = TALUS_DELIVERY_REPLAYED;
    recover->core->delivery.given.request = asked->request;
    return TALUS__TAKEN_EVENT;
}

// There is more than this answer held: asks for what comes after it. Returns whether it could.
static bool ask_on(struct talus__recover *recover, struct talus__origin *origin,
                   const struct talus__replay_request *asked)
{
    struct talus__replay_request *next =
        talus__replay_request_new(TALUS__REPLAY_RECOVER, asked->session, asked->after);

    if (!next)
        return false;
    next->request = asked->request;
    next->gap_first = asked->gap_first;
    next->gap_after = asked->gap_after;
    next->stream = asked->stream;
    next->has_stream = asked->has_stream;
    return talus__replay_client_request(&recover->core->replay_client, origin, next) == 0;
}

// Whatever is known to have been sent and did not come is asked for, or told to be missing.
int talus__recover_end(struct talus__recover *recover, struct talus__origin *origin,
                       struct talus__replay_request *asked, const struct talus__end *end)
{
    uint64_t newest = end->head > asked->after ? end->head : asked->after;

    if (end->first > asked->after + 1) {
        note_missing(asked, end->first);
        asked->after = end->first - 1;
    }
    if (asked->after < end->head) {
        if (asked->after > asked->since && ask_on(recover, origin, asked))
            return TALUS__TAKEN_HANDLED;
        note_missing(asked, end->head + 1);
    }
    set_recovered(recover, asked->session, origin->name, asked->request, newest);
    if (asked->gap_first > 0)
        set_missing(recover, asked->gap_after, asked->gap_first, TALUS_GAP_HISTORY);
    return TALUS__TAKEN_EVENT;
}
