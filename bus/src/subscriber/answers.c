// SPDX-License-Identifier: MIT
// Answers of broadcasters: events for heals and recoveries, heads for joins, and their ends.
#include "bus/src/subscriber/answers.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/order.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/zmq_handover.h"

#define RECOVERIES_MOST 10000

// A recovery that ended without an answer, until it is told. The members are as in talus__ask.
struct talus__failed_recovery {
    struct talus__failed_recovery *next;
    uint64_t request;
    uint64_t after;
    uint64_t stream;
    bool has_stream;
    char origin[TALUS_ORIGIN_MAX + 1];
    char session[];
};

// ---- Recoveries

bool talus__is_only_origin(talus_subscriber_t *subscriber, const char *session, const char *origin)
{
    struct talus__joined *joined =
        talus__joined_find(&subscriber->joined, session, strlen(session));

    if (!joined || talus__joined_is_left(joined))
        return false;
    for (uint32_t i = 0; i < joined->position_count; i++) {
        const struct talus__position *position = &joined->positions[i];
        if (position->last > 0 && !position->is_presence &&
            !talus__position_is_of(position, origin))
            return false;
    }
    return true;
}

// Whether nothing of the origin up to `seq` is still to be delivered in the session.
static bool is_reached(talus_subscriber_t *subscriber, const char *session, const char *name,
                       uint64_t seq)
{
    struct talus__joined *joined =
        talus__joined_find(&subscriber->joined, session, strlen(session));
    struct talus__origin *origin = talus__origins_find(&subscriber->origins, name, strlen(name));

    if (!joined || talus__joined_is_left(joined))
        return false;
    if (seq == 0 || !origin)
        return seq == 0;
    const struct talus__position *position =
        talus__position_find(joined, talus__origin_refer(&subscriber->origins, origin));
    return position && position->has_baseline && position->last >= seq;
}

static void set_recovered(talus_subscriber_t *subscriber, const char *session, const char *origin,
                          uint64_t request, uint64_t head)
{
    talus__clear_delivery(subscriber, TALUS_DELIVERY_RECOVERED);
    strcpy(subscriber->session, session);
    strcpy(subscriber->origin, origin);
    talus__format_id(subscriber->id, origin, head);
    subscriber->delivery.session = subscriber->session;
    subscriber->delivery.origin = subscriber->origin;
    subscriber->delivery.newest = subscriber->id;
    subscriber->delivery.request = request;
    subscriber->delivery.complete = true;
    subscriber->delivery.is_only_origin = talus__is_only_origin(subscriber, session, origin);
    subscriber->delivery.is_reached = is_reached(subscriber, session, origin, head);
    subscriber->recoveries--;
}

// `first`: what is missing ends before it; 0: that is not known.
static void set_missing(talus_subscriber_t *subscriber, uint64_t after, uint64_t first,
                        talus_gap_reason_t reason)
{
    talus_delivery_t *delivery = &subscriber->delivery;

    talus__format_id(subscriber->after, subscriber->origin, after);
    subscriber->first[0] = '\0';
    if (first > 0)
        talus__format_id(subscriber->first, subscriber->origin, first);
    delivery->complete = false;
    delivery->after = subscriber->after;
    delivery->first = subscriber->first;
    delivery->reason = reason;
}

// Tells a recovery that has failed later. Takes request, after and the stream from `failure`.
static int fail_recovery(talus_subscriber_t *subscriber, const char *session, const char *origin,
                         const struct talus__failed_recovery *failure)
{
    struct talus__failed_recovery *failed = malloc(sizeof *failed + strlen(session) + 1);

    if (!failed)
        return TALUS_ENOMEM;
    *failed = *failure;
    failed->next = NULL;
    strcpy(failed->origin, origin);
    strcpy(failed->session, session);
    if (subscriber->last_failed)
        subscriber->last_failed->next = failed;
    else
        subscriber->first_failed = failed;
    subscriber->last_failed = failed;
    talus__raise(subscriber);
    return 0;
}

// The broadcaster says nothing, but what the session's own deliveries go on after is known:
// everything later comes by them, or they tell that it is lost.
static void set_failed(talus_subscriber_t *subscriber, const struct talus__failed_recovery *failed)
{
    bool is_behind = failed->has_stream && failed->stream < failed->after;
    bool is_known =
        talus__origins_find(&subscriber->origins, failed->origin, strlen(failed->origin)) != NULL;

    set_recovered(subscriber, failed->session, failed->origin, failed->request,
                  failed->has_stream && !is_behind ? failed->stream : failed->after);
    subscriber->delivery.reason = TALUS_GAP_ORIGIN_LOST;
    if (!failed->has_stream)
        set_missing(subscriber, failed->after, 0, TALUS_GAP_ORIGIN_LOST);
    else if (failed->stream > failed->after)
        set_missing(subscriber, failed->after, failed->stream + 1, TALUS_GAP_ORIGIN_LOST);
    if (failed->has_stream && (!is_behind || !is_known))
        subscriber->delivery.is_reached = true;
}

bool talus__recovery_take(talus_subscriber_t *subscriber)
{
    struct talus__failed_recovery *failed = subscriber->first_failed;

    if (!failed)
        return false;
    subscriber->first_failed = failed->next;
    if (!failed->next)
        subscriber->last_failed = NULL;
    set_failed(subscriber, failed);
    free(failed);
    return true;
}

void talus__recoveries_fini(talus_subscriber_t *subscriber)
{
    while (subscriber->first_failed) {
        struct talus__failed_recovery *failed = subscriber->first_failed;
        subscriber->first_failed = failed->next;
        free(failed);
    }
}

// ORIGIN.SEQ
static bool parse_id(const char *id, char origin[TALUS_ORIGIN_MAX + 1], uint64_t *seq)
{
    const char *dot = strchr(id, '.');
    size_t size = dot ? (size_t)(dot - id) : 0;

    if (!dot || !talus__is_origin(id, size) || !dot[1])
        return false;
    memcpy(origin, id, size);
    origin[size] = '\0';
    *seq = 0;
    for (const char *digit = dot + 1; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || *seq > (UINT64_MAX - 9) / 10)
            return false;
        *seq = *seq * 10 + (uint64_t)(*digit - '0');
    }
    return true;
}

// Whether the session's deliveries will bring everything of the origin after some seq, as far as
// they can.
static bool find_stream(talus_subscriber_t *subscriber, const char *session,
                        const struct talus__origin *origin, uint64_t *seq)
{
    struct talus__joined *joined =
        talus__joined_find(&subscriber->joined, session, strlen(session));

    if (!joined || talus__joined_is_left(joined) || !joined->is_live)
        return false;
    const struct talus__position *position =
        talus__position_find(joined, talus__origin_refer(&subscriber->origins, origin));
    if (!position || !position->has_baseline || position->is_over)
        return false;
    *seq = position->last;
    return true;
}

static int start_recovery(talus_subscriber_t *subscriber, const char *session, const char *name,
                          uint64_t after, uint64_t request)
{
    struct talus__origin *origin = talus__origins_find(&subscriber->origins, name, strlen(name));
    struct talus__failed_recovery failure = {.request = request, .after = after};

    failure.has_stream = origin && find_stream(subscriber, session, origin, &failure.stream);
    if (!origin || !origin->replay || origin->is_dead)
        return fail_recovery(subscriber, session, name, &failure);
    struct talus__ask *ask = talus__ask_new(TALUS__ASK_RECOVER, session, after);
    if (!ask)
        return TALUS_ENOMEM;
    ask->request = request;
    ask->stream = failure.stream;
    ask->has_stream = failure.has_stream;
    return talus__askers_ask(&subscriber->askers, origin, ask);
}

int talus_subscriber_recover(talus_subscriber_t *subscriber, const char *session, const char *since,
                             uint64_t *request)
{
    char origin[TALUS_ORIGIN_MAX + 1];
    uint64_t after;

    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    if (*session && talus_session_check(session, strlen(session)) != 0)
        return TALUS_ESESSION;
    if (!parse_id(since, origin, &after))
        return TALUS_EINVAL;
    if (subscriber->recoveries >= RECOVERIES_MOST)
        return TALUS_ELIMIT;
    talus__enter(subscriber);
    int error = start_recovery(subscriber, session, origin, after, subscriber->last_request + 1);
    if (!error) {
        subscriber->recoveries++;
        *request = ++subscriber->last_request;
        talus__raise(subscriber);
        talus__arm_timer(subscriber);
    }
    talus__leave(subscriber);
    return error;
}

// Where a hole is known already, everything after it counts as missing.
static struct talus__failed_recovery failure_of(const struct talus__ask *ask)
{
    return (struct talus__failed_recovery){
        .request = ask->request,
        .after = ask->gap_first > 0 ? ask->gap_after : ask->after,
        .stream = ask->stream,
        .has_stream = ask->has_stream && ask->gap_first == 0,
    };
}

void talus__on_ask_failed(struct talus__ask *ask, struct talus__origin *origin, void *arg)
{
    talus_subscriber_t *subscriber = arg;

    if (ask->kind == TALUS__ASK_HEAL && ask->heal) {
        ask->heal->ask = NULL;
        talus__heal_fail(subscriber, ask->heal, TALUS_GAP_ORIGIN_LOST);
    } else if (ask->kind == TALUS__ASK_RECOVER) {
        const struct talus__failed_recovery failure = failure_of(ask);
        if (fail_recovery(subscriber, ask->session, origin->name, &failure) != 0)
            subscriber->recoveries--; // no memory even to tell it
    }
}

// ---- Messages

static bool is_of_session(const struct talus__ask *ask, const struct talus__topic *topic)
{
    return topic->session_size == strlen(ask->session) &&
           memcmp(topic->session, ask->session, topic->session_size) == 0;
}

static bool is_of_origin(const struct talus__asker *asker, const char *origin, size_t size)
{
    return asker->origin->node.name_size == size && memcmp(asker->origin->name, origin, size) == 0;
}

// An answer that makes no sense: what follows it would not, either.
static int on_nonsense(talus_subscriber_t *subscriber, struct talus__asker *asker)
{
    talus__on_malformed(subscriber, "it answers something that was not asked");
    if (asker->first)
        talus__asker_reset(&subscriber->askers, asker);
    return TALUS__INTAKE_HANDLED;
}

// Events after `ask->after` and before `first` do not come. Several holes are told as one.
static void note_missing(struct talus__ask *ask, uint64_t first)
{
    if (ask->gap_first == 0)
        ask->gap_after = ask->after;
    ask->gap_first = first;
}

static int on_recovered_event(talus_subscriber_t *subscriber, struct talus__ask *ask,
                              const struct talus__topic *topic, const struct talus__body *body,
                              int refusal)
{
    if (body->seq <= ask->after)
        return TALUS__INTAKE_HANDLED; // asked again after a connection was lost
    if (body->prev > ask->after)
        note_missing(ask, body->prev + 1);
    if (refusal)
        note_missing(ask, body->seq + 1);
    ask->after = body->seq;
    if (refusal) {
        subscriber->stats.refused_bounds++;
        return TALUS__INTAKE_HANDLED;
    }
    talus__set_event(subscriber, topic, body);
    subscriber->delivery.kind = TALUS_DELIVERY_REPLAYED;
    subscriber->delivery.request = ask->request;
    return TALUS__INTAKE_EVENT;
}

static int on_answer_event(talus_subscriber_t *subscriber, struct talus__asker *asker,
                           const struct talus__topic *topic)
{
    struct talus__ask *ask = asker->first;
    struct talus__body body;
    int refusal = talus__body_decode(zmq_msg_data(&subscriber->body),
                                     zmq_msg_size(&subscriber->body), &subscriber->limits, &body);

    if (refusal == TALUS_EBODY || refusal == TALUS_EMSGPACK)
        return talus__on_malformed(subscriber, talus_strerror(refusal));
    if (!ask || ask->kind == TALUS__ASK_HEADS ||
        !is_of_origin(asker, body.origin, body.origin_size) ||
        (strcmp(ask->session, TALUS__EVERYTHING) != 0 && !is_of_session(ask, topic)))
        return on_nonsense(subscriber, asker);
    if (ask->kind == TALUS__ASK_RECOVER)
        return on_recovered_event(subscriber, ask, topic, &body, refusal);
    if (!ask->heal)
        return TALUS__INTAKE_HANDLED;
    subscriber->stats.received++;
    if (body.seq > ask->after)
        ask->after = body.seq; // where to go on if it must be asked again
    return talus__order_replayed(subscriber, ask->heal, topic, &body, refusal);
}

static void end_heal(talus_subscriber_t *subscriber, struct talus__heal *heal,
                     const struct talus__ask *ask, const struct talus__end *end)
{
    uint64_t last = talus__heal_position(subscriber, heal)->last;
    bool is_further = last > ask->since;

    heal->ask = NULL;
    if (end->first > last + 1)
        talus__heal_tell(subscriber, heal, end->first, TALUS_GAP_HISTORY);
    else if (last < heal->target && (is_further || heal->is_due))
        talus__heal_ask(subscriber, heal); // there is more than one answer holds
    else if (last < heal->target)
        talus__heal_tell(subscriber, heal, heal->target + 1, TALUS_GAP_HISTORY);
    talus__heal_advanced(subscriber, heal);
}

// There is more than this answer held: asks for what comes after it. Returns whether it could.
static bool ask_on(talus_subscriber_t *subscriber, struct talus__origin *origin,
                   const struct talus__ask *ask)
{
    struct talus__ask *next = talus__ask_new(TALUS__ASK_RECOVER, ask->session, ask->after);

    if (!next)
        return false;
    next->request = ask->request;
    next->gap_first = ask->gap_first;
    next->gap_after = ask->gap_after;
    next->stream = ask->stream;
    next->has_stream = ask->has_stream;
    return talus__askers_ask(&subscriber->askers, origin, next) == 0;
}

// Whatever is known to have been sent and did not come is asked for, or told to be missing.
static int end_recovery(talus_subscriber_t *subscriber, struct talus__asker *asker,
                        struct talus__ask *ask, const struct talus__end *end)
{
    uint64_t newest = end->head > ask->after ? end->head : ask->after;

    if (end->first > ask->after + 1) {
        note_missing(ask, end->first);
        ask->after = end->first - 1;
    }
    if (ask->after < end->head) {
        if (ask->after > ask->since && ask_on(subscriber, asker->origin, ask))
            return TALUS__INTAKE_HANDLED;
        note_missing(ask, end->head + 1);
    }
    set_recovered(subscriber, ask->session, asker->origin->name, ask->request, newest);
    if (ask->gap_first > 0)
        set_missing(subscriber, ask->gap_after, ask->gap_first, TALUS_GAP_HISTORY);
    return TALUS__INTAKE_EVENT;
}

static int on_end(talus_subscriber_t *subscriber, struct talus__asker *asker,
                  const struct talus__topic *topic)
{
    struct talus__end end;
    int taken = TALUS__INTAKE_HANDLED;

    if (!asker->first || asker->first->kind == TALUS__ASK_HEADS ||
        !is_of_session(asker->first, topic) ||
        talus__end_decode(zmq_msg_data(&subscriber->body), zmq_msg_size(&subscriber->body), &end) !=
            0 ||
        !is_of_origin(asker, end.origin, end.origin_size))
        return on_nonsense(subscriber, asker);
    struct talus__ask *ask = talus__asker_take(&subscriber->askers, asker);
    if (ask->kind == TALUS__ASK_RECOVER)
        taken = end_recovery(subscriber, asker, ask, &end);
    else if (ask->heal)
        end_heal(subscriber, ask->heal, ask, &end);
    free(ask);
    return taken;
}

static int on_answer_head(talus_subscriber_t *subscriber, struct talus__asker *asker,
                          const struct talus__topic *topic)
{
    struct talus__ask *ask = asker->first;

    if (!ask || ask->kind != TALUS__ASK_HEADS || ask->heads_left == 0)
        return on_nonsense(subscriber, asker);
    if (--ask->heads_left == 0)
        free(talus__asker_take(&subscriber->askers, asker));
    return talus__on_head(subscriber, topic);
}

int talus__take_answer(talus_subscriber_t *subscriber)
{
    struct talus__topic topic;

    if (!subscriber->askers.may_have_answers)
        return TALUS__INTAKE_EMPTY;
    talus__zmq_release(zmq_msg_data(&subscriber->body)); // of the message before
    struct talus__asker *asker = talus__askers_receive(&subscriber->askers, &subscriber->topic,
                                                       &subscriber->body, &subscriber->source);
    if (!asker)
        return TALUS__INTAKE_EMPTY;
    talus__zmq_acquire(zmq_msg_data(&subscriber->body));
    int error = talus__topic_parse(zmq_msg_data(&subscriber->topic),
                                   zmq_msg_size(&subscriber->topic), &topic);
    if (error)
        return talus__on_malformed(subscriber, talus_strerror(error));
    switch (topic.kind) {
    case TALUS__TOPIC_EVENT:
        return on_answer_event(subscriber, asker, &topic);
    case TALUS__TOPIC_END:
        return on_end(subscriber, asker, &topic);
    case TALUS__TOPIC_HEAD:
        return on_answer_head(subscriber, asker, &topic);
    case TALUS__TOPIC_HELLO:
    case TALUS__TOPIC_BYE:
    case TALUS__TOPIC_BEAT:
    case TALUS__TOPIC_UNKNOWN:
        break;
    }
    return TALUS__INTAKE_HANDLED;
}
