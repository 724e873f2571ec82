// SPDX-License-Identifier: MIT
// Recoveries.
#include "bus/src/subscriber/recover.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "common/event_id.h"

#define RECOVERIES_MOST 10000

// A recovery that ended without an answer, until it is told. The members are as in
// talus__open_replay.
struct talus__failed_recovery {
    struct talus__failed_recovery *next;
    uint64_t request;
    uint64_t after;
    uint64_t stream;
    bool has_stream;
    char origin[TALUS_ORIGIN_MAX + 1];
    char session[];
};

// Whether nothing of the publisher up to `seq` is still to be delivered in the session.
static bool is_reached(struct talus__recover *recover, const char *session, const char *name,
                       uint64_t seq)
{
    struct talus__subscription *subscription =
        talus__subscriptions_find(&recover->core->subscriptions, session, strlen(session));
    struct talus__publisher *publisher =
        talus__publishers_find(&recover->core->publishers, name, strlen(name));

    if (!subscription || talus__subscription_is_left(subscription))
        return false;
    if (seq == 0 || !publisher)
        return seq == 0;
    const struct talus__stream_cursor *cursor = talus__stream_cursor_find(
        subscription, talus__publisher_weak_ref_of(&recover->core->publishers, publisher));
    return cursor && cursor->stream.has_baseline && cursor->stream.last >= seq;
}

static void set_recovered(struct talus__recover *recover, const char *session, const char *origin,
                          uint64_t request, uint64_t newest)
{
    struct talus__delivery *delivery = &recover->core->delivery;

    talus__delivery_recovered(delivery, session, origin, request, newest);
    delivery->given.recovered.is_only_origin = talus__subscriptions_is_only_origin(
        &recover->core->subscriptions, &recover->core->publishers, session, origin);
    delivery->given.recovered.is_reached = is_reached(recover, session, origin, newest);
    recover->open--;
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
    struct talus__delivery *delivery = &recover->core->delivery;
    bool is_behind = failed->has_stream && failed->stream < failed->after;
    bool is_known = talus__publishers_find(&recover->core->publishers, failed->origin,
                                           strlen(failed->origin)) != NULL;

    set_recovered(recover, failed->session, failed->origin, failed->request,
                  failed->has_stream && !is_behind ? failed->stream : failed->after);
    delivery->given.recovered.is_answered = false;
    if (!failed->has_stream)
        talus__delivery_missing(delivery, failed->after, 0, TALUS_GAP_ORIGIN_LOST);
    else if (failed->stream > failed->after)
        talus__delivery_missing(delivery, failed->after, failed->stream + 1, TALUS_GAP_ORIGIN_LOST);
    if (failed->has_stream && (!is_behind || !is_known))
        delivery->given.recovered.is_reached = true;
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

// Whether the session's deliveries will bring everything of the publisher after some seq, as far as
// they can.
static bool find_stream(struct talus__recover *recover, const char *session,
                        const struct talus__publisher *publisher, uint64_t *seq)
{
    struct talus__subscription *subscription =
        talus__subscriptions_find(&recover->core->subscriptions, session, strlen(session));

    if (!subscription || talus__subscription_is_left(subscription) || !subscription->is_live)
        return false;
    const struct talus__stream_cursor *cursor = talus__stream_cursor_find(
        subscription, talus__publisher_weak_ref_of(&recover->core->publishers, publisher));
    if (!cursor || !cursor->stream.has_baseline || cursor->stream.state == TALUS__STREAM_ENDED)
        return false;
    *seq = cursor->stream.last;
    return true;
}

static int send_request(struct talus__recover *recover, struct talus__publisher *publisher,
                        struct talus__open_replay *replay)
{
    struct talus__receive_transport *transport = recover->core->transport;

    return transport->ops->request(transport, publisher, &replay->request);
}

static int start_recovery(struct talus__recover *recover, const char *session, const char *name,
                          uint64_t after, uint64_t request)
{
    struct talus__publisher *publisher =
        talus__publishers_find(&recover->core->publishers, name, strlen(name));
    struct talus__failed_recovery failure = {.request = request, .after = after};

    failure.has_stream = publisher && find_stream(recover, session, publisher, &failure.stream);
    if (!publisher || !publisher->can_replay || publisher->is_dead)
        return fail_recovery(recover, session, name, &failure);
    struct talus__open_replay *replay = talus__open_replay_new(session, after);
    if (!replay)
        return TALUS_ENOMEM;
    replay->is_recovery = true;
    replay->number = request;
    replay->stream = failure.stream;
    replay->has_stream = failure.has_stream;
    return send_request(recover, publisher, replay);
}

int talus__recover_start(struct talus__recover *recover, const char *session, const char *since,
                         uint64_t *request)
{
    char origin[TALUS_ORIGIN_MAX + 1];
    uint64_t after;

    if (*session && talus_session_check(session, strlen(session)) != 0)
        return TALUS_ESESSION;
    if (!talus__parse_id(since, strlen(since), origin, &after))
        return TALUS_EINVAL;
    if (recover->open >= RECOVERIES_MOST)
        return TALUS_ELIMIT;
    int error = start_recovery(recover, session, origin, after, recover->last_request + 1);
    if (error)
        return error;
    recover->open++;
    *request = ++recover->last_request;
    talus__wake_set(&recover->core->wake);
    const struct talus__receive_transport *transport = recover->core->transport;
    talus__wake_by(&recover->core->wake, transport->ops->due(transport));
    return 0;
}

// Where a hole is known already, everything after it counts as missing.
static struct talus__failed_recovery failure_of(const struct talus__open_replay *replay)
{
    return (struct talus__failed_recovery){
        .request = replay->number,
        .after = replay->gap_first > 0 ? replay->gap_after : replay->request.after,
        .stream = replay->stream,
        .has_stream = replay->has_stream && replay->gap_first == 0,
    };
}

void talus__recover_failed(struct talus__recover *recover, const struct talus__open_replay *replay,
                           const struct talus__publisher *publisher)
{
    const struct talus__failed_recovery failure = failure_of(replay);

    if (fail_recovery(recover, replay->session, publisher->name, &failure) != 0)
        recover->open--; // no memory even to tell it
}

// ---- Responses

// Events after `replay->request.after` and before `first` do not come. Several holes are told as
// one.
static void note_missing(struct talus__open_replay *replay, uint64_t first)
{
    if (replay->gap_first == 0)
        replay->gap_after = replay->request.after;
    replay->gap_first = first;
}

int talus__recover_event(struct talus__recover *recover, struct talus__open_replay *replay,
                         const struct talus__ordered_event *event)
{
    if (event->seq <= replay->request.after)
        return TALUS__TAKEN_HANDLED; // requested again after a connection was lost
    if (event->prev > replay->request.after)
        note_missing(replay, event->prev + 1);
    if (event->refusal)
        note_missing(replay, event->seq + 1);
    replay->request.after = event->seq;
    if (event->refusal) {
        recover->core->stats.refused_bounds++;
        return TALUS__TAKEN_HANDLED;
    }
    talus__delivery_replayed(&recover->core->delivery, event->topic, event->body, replay->number);
    return TALUS__TAKEN_EVENT;
}

// There is more than this response held: requests what comes after it. Returns whether it could.
static bool go_on(struct talus__recover *recover, struct talus__publisher *publisher,
                  const struct talus__open_replay *replay)
{
    struct talus__open_replay *next =
        talus__open_replay_new(replay->session, replay->request.after);

    if (!next)
        return false;
    next->is_recovery = true;
    next->number = replay->number;
    next->gap_first = replay->gap_first;
    next->gap_after = replay->gap_after;
    next->stream = replay->stream;
    next->has_stream = replay->has_stream;
    return send_request(recover, publisher, next) == 0;
}

// Whatever is known to have been sent and did not come is requested, or told to be missing.
int talus__recover_end(struct talus__recover *recover, struct talus__publisher *publisher,
                       struct talus__open_replay *replay, uint64_t first, uint64_t newest)
{
    uint64_t last = newest > replay->request.after ? newest : replay->request.after;

    if (first > replay->request.after + 1) {
        note_missing(replay, first);
        replay->request.after = first - 1;
    }
    if (replay->request.after < newest) {
        if (replay->request.after > replay->since && go_on(recover, publisher, replay))
            return TALUS__TAKEN_HANDLED;
        note_missing(replay, newest + 1);
    }
    set_recovered(recover, replay->session, publisher->name, replay->number, last);
    if (replay->gap_first > 0)
        talus__delivery_missing(&recover->core->delivery, replay->gap_after, replay->gap_first,
                                TALUS_GAP_HISTORY);
    return TALUS__TAKEN_EVENT;
}
