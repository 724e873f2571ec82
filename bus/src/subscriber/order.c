// SPDX-License-Identifier: MIT
// Judging the order of events.
#include "bus/src/subscriber/order.h"

#include <talus/error.h>

#include "bus/src/base/log.h"

// What one event is judged by.
struct place {
    struct talus__joined *judge;
    struct talus__joined *session;    // joined, or left a moment ago; NULL: neither
    struct talus__joined *everything; // likewise
    struct talus__origin *origin;
    struct talus__position *position; // the judge's
    struct talus__position *in_session;
    struct talus__position *in_all;
    uint64_t prev; // in the judge's order
};

static bool is_wanted(const struct talus__joined *joined)
{
    return joined && !talus__joined_is_left(joined);
}

// Finds who judges. False: nobody wants the event, or there is no memory to judge it by.
static bool find_place(talus_subscriber_t *subscriber, const struct talus__topic *topic,
                       const struct talus__body *body, struct talus__origin *origin,
                       struct place *place)
{
    struct talus__origin_ref ref = talus__origin_refer(&subscriber->origins, origin);

    *place = (struct place){.origin = origin, .everything = subscriber->joined.everything};
    place->session = talus__joined_find(&subscriber->joined, topic->session, topic->session_size);
    if (place->session)
        place->in_session = talus__position_get(place->session, &subscriber->origins, ref);
    if (place->everything)
        place->in_all = talus__position_get(place->everything, &subscriber->origins, ref);
    bool is_session = is_wanted(place->session) && place->in_session;
    if (is_wanted(place->everything) && place->in_all &&
        (place->in_all->has_baseline || !is_session)) {
        place->judge = place->everything;
        place->position = place->in_all;
        place->prev = body->seq - 1;
    } else if (is_session) {
        place->judge = place->session;
        place->position = place->in_session;
        place->prev = body->prev;
    }
    return place->judge != NULL;
}

static void follow(struct talus__joined *joined, struct talus__position *position,
                   const struct talus__origin *origin, uint64_t seq)
{
    if (!position)
        return;
    if (seq > position->last)
        position->last = seq;
    if (seq > position->delivered)
        position->delivered = seq;
    position->is_over = false;
    talus__joined_note(joined, origin, seq);
}

static void count_refusal(talus_subscriber_t *subscriber, const struct talus__topic *topic,
                          const struct talus__body *body, int refusal)
{
    unsigned long long held_back;

    subscriber->stats.refused_bounds++;
    if (talus__may_log(&subscriber->refused_gate, &held_back))
        talus__log(TALUS_LOG_WARNING,
                   "event %.*s.%llu of session '%.*s' was dropped: %s (and %llu more)",
                   (int)body->origin_size, body->origin, (unsigned long long)body->seq,
                   (int)topic->session_size, topic->session, talus_strerror(refusal), held_back);
}

// It is the event's turn.
static int accept_event(talus_subscriber_t *subscriber, const struct place *place,
                        const struct talus__topic *topic, const struct talus__body *body,
                        int refusal)
{
    // Before everything was joined, the session alone may have got it.
    bool is_had = place->judge == place->everything && place->in_session &&
                  body->seq <= place->in_session->delivered;
    uint64_t before = place->position->last;

    if (is_had) {
        place->position->last = body->seq;
        subscriber->stats.duplicates++;
        return TALUS__INTAKE_HANDLED;
    }
    follow(place->session, place->in_session, place->origin, body->seq);
    follow(place->everything, place->in_all, place->origin, body->seq);
    if (refusal) {
        count_refusal(subscriber, topic, body, refusal);
        talus__set_gap(subscriber, place->judge->name, place->origin->name, before, body->seq + 1,
                       TALUS_GAP_REFUSED);
        return TALUS__INTAKE_EVENT;
    }
    if (!place->origin->speaks_heads)
        subscriber->stats.unproven++;
    talus__set_event(subscriber, topic, body);
    return TALUS__INTAKE_EVENT;
}

static bool is_in_turn(const struct place *place)
{
    const struct talus__heal *heal = place->position->heal;

    if (heal && (heal->has_gap || heal->is_failed))
        return false; // what it has to tell comes first
    return place->prev <= place->position->last;
}

// Whether what lies between the position and the event is missing. Before the first head it may
// never have been ours to get: while a join is pending, events are legal and count. A plain
// publisher sends no head, so its own events must do.
static bool is_owed(const struct place *place)
{
    if (place->position->has_baseline || place->judge->is_live)
        return true;
    return !place->origin->speaks_heads && place->position->last > 0;
}

static int judge_event(talus_subscriber_t *subscriber, const struct place *place,
                       const struct talus__topic *topic, const struct talus__body *body,
                       int refusal)
{
    struct talus__heal *heal = place->position->heal;

    if (body->seq <= place->position->last) {
        subscriber->stats.duplicates++;
        return TALUS__INTAKE_HANDLED;
    }
    if (!is_in_turn(place) && (heal || is_owed(place))) {
        heal = talus__heal_open(subscriber, place->judge, place->origin, place->prev);
        if (heal)
            talus__heal_hold(subscriber, heal, body->seq, place->prev);
        return TALUS__INTAKE_HANDLED; // without memory: the next event or head tells of it again
    }
    int taken = accept_event(subscriber, place, topic, body, refusal);
    if (place->position->heal)
        talus__heal_advanced(subscriber, place->position->heal);
    return taken;
}

int talus__order_event(talus_subscriber_t *subscriber, const struct talus__topic *topic,
                       const struct talus__body *body, struct talus__origin *origin, int refusal)
{
    struct place place;

    if (find_place(subscriber, topic, body, origin, &place))
        return judge_event(subscriber, &place, topic, body, refusal);
    if (!is_wanted(place.session) && !is_wanted(place.everything)) {
        follow(place.session, place.in_session, origin, body->seq);
        follow(place.everything, place.in_all, origin, body->seq);
        subscriber->stats.ignored++;
        return TALUS__INTAKE_HANDLED;
    }
    if (refusal) {
        count_refusal(subscriber, topic, body, refusal);
        return TALUS__INTAKE_HANDLED;
    }
    talus__set_event(subscriber, topic, body); // there is no memory to judge it
    return TALUS__INTAKE_EVENT;
}

// The place of an event that belongs to a heal, whose joined judges it.
static void find_place_of_heal(talus_subscriber_t *subscriber, const struct talus__heal *heal,
                               const struct talus__topic *topic, const struct talus__body *body,
                               struct place *place)
{
    find_place(subscriber, topic, body, heal->origin, place);
    place->judge = heal->joined;
    place->position = talus__heal_position(subscriber, heal);
    place->prev = heal->joined == place->everything ? body->seq - 1 : body->prev;
}

int talus__order_replayed(talus_subscriber_t *subscriber, struct talus__heal *heal,
                          const struct talus__topic *topic, const struct talus__body *body,
                          int refusal)
{
    struct place place;

    find_place_of_heal(subscriber, heal, topic, body, &place);
    if (body->seq <= place.position->last)
        return TALUS__INTAKE_HANDLED; // came by itself meanwhile
    subscriber->stats.healed++;
    if (place.prev > place.position->last && !heal->is_due)
        talus__heal_tell(subscriber, heal, place.prev + 1, TALUS_GAP_HISTORY);
    if (heal->is_due) {
        talus__heal_hold(subscriber, heal, body->seq, place.prev);
        return TALUS__INTAKE_HANDLED;
    }
    int taken = accept_event(subscriber, &place, topic, body, refusal);
    talus__heal_advanced(subscriber, heal);
    return taken;
}

int talus__order_release(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    struct talus__topic topic;
    struct talus__body body;
    struct place place;

    // Both were decoded before, when it was taken up.
    if (talus__topic_parse(zmq_msg_data(&subscriber->topic), zmq_msg_size(&subscriber->topic),
                           &topic) != 0)
        return TALUS__INTAKE_HANDLED;
    int refusal = talus__body_decode(zmq_msg_data(&subscriber->body),
                                     zmq_msg_size(&subscriber->body), &subscriber->limits, &body);
    find_place_of_heal(subscriber, heal, &topic, &body, &place);
    return accept_event(subscriber, &place, &topic, &body, refusal);
}

// ---- Heads

// The first head of everything takes over the order from the sessions: what they still miss of the
// origin is asked for anew, as part of everything.
static void take_over(talus_subscriber_t *subscriber, struct talus__origin *origin, uint64_t *seq)
{
    struct talus__heal *heal = subscriber->heals.first;

    while (heal) {
        struct talus__heal *next = heal->next;
        if (heal->origin == origin && heal->joined != subscriber->joined.everything) {
            uint64_t last = talus__heal_position(subscriber, heal)->last;
            if (last < *seq)
                *seq = last;
            talus__heal_close(subscriber, heal);
        }
        heal = next;
    }
}

// The head that answers a new subscription is its baseline: nothing older is owed.
static void set_baseline(talus_subscriber_t *subscriber, struct talus__joined *joined,
                         struct talus__origin *origin, struct talus__position *position,
                         uint64_t seq)
{
    uint64_t from = seq;

    if (joined == subscriber->joined.everything)
        take_over(subscriber, origin, &from);
    if (from > position->last || from < seq)
        position->last = from;
    if (position->last < seq)
        talus__heal_open(subscriber, joined, origin, seq);
    else if (position->heal)
        talus__heal_advanced(subscriber, position->heal);
}

static bool is_judged_by_all(talus_subscriber_t *subscriber, const struct talus__joined *joined,
                             const struct talus__origin *origin)
{
    struct talus__joined *everything = subscriber->joined.everything;

    if (joined == everything || !is_wanted(everything))
        return false;
    const struct talus__position *position =
        talus__position_find(everything, talus__origin_refer(&subscriber->origins, origin));
    return position && position->has_baseline;
}

static void take_head(talus_subscriber_t *subscriber, struct talus__joined *joined,
                      struct talus__origin *origin, uint64_t seq)
{
    struct talus__position *position = talus__position_get(
        joined, &subscriber->origins, talus__origin_refer(&subscriber->origins, origin));
    if (!position)
        return; // without memory the join becomes live when its time is over
    bool is_first = !position->has_baseline;
    position->is_over = false;

    if (is_first) {
        position->has_baseline = true;
        joined->answered++;
    }
    if (seq > position->last)
        talus__joined_note(joined, origin, seq);
    // But when the session was live already, the origin is new, or was away: all is owed.
    if (is_first && !joined->is_live)
        set_baseline(subscriber, joined, origin, position, seq);
    else if (talus__joined_is_left(joined))
        position->last = seq > position->last ? seq : position->last;
    else if (seq > position->last && !is_judged_by_all(subscriber, joined, origin))
        talus__heal_open(subscriber, joined, origin, seq);
}

void talus__order_head(talus_subscriber_t *subscriber, struct talus__joined *joined,
                       struct talus__origin *origin, uint64_t seq)
{
    talus__origin_pin(&subscriber->origins, origin); // ending a heal may let go of it
    take_head(subscriber, joined, origin, seq);
    talus__origin_unpin(&subscriber->origins, origin);
}
