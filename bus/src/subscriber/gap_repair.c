// SPDX-License-Identifier: MIT
// Gap repair.
#include "bus/src/subscriber/gap_repair.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/subscriber/catch_up.h"

void talus__gap_repair_leave(struct talus__gap_repair *repairs,
                             struct talus__subscription *subscription)
{
    for (uint32_t i = 0; i < subscription->cursor_count; i++) {
        if (subscription->cursors[i].stream.repair)
            talus__gaps_close(repairs, talus__gap_of(subscription->cursors[i].stream.repair));
    }
}

// ---- Events

// What belongs to one event.
struct context {
    struct talus__event_place place;
    struct talus__publisher *publisher;
    struct talus__subscription *session;    // joined, or left a moment ago; NULL: neither
    struct talus__subscription *everything; // likewise
    struct talus__subscription *judge;      // of place.judge
    const struct talus__topic *topic;
    const struct talus__body *body;
    uint64_t seq; // in the order that counts: the publisher's, or the transport's
    uint64_t prev;
    int refusal;
};

static void set_event(struct context *context, const struct talus__ordered_event *event)
{
    context->session = event->session;
    context->topic = event->topic;
    context->body = event->body;
    context->seq = event->seq;
    context->prev = event->prev;
    context->refusal = event->refusal;
}

static bool is_wanted(const struct talus__subscription *subscription)
{
    return subscription && !talus__subscription_is_left(subscription);
}

static struct talus__stream *stream_of(struct talus__core *core,
                                       struct talus__subscription *subscription,
                                       struct talus__publisher_weak_ref ref)
{
    struct talus__stream_cursor *cursor =
        subscription ? talus__stream_cursor_get(subscription, &core->publishers, ref) : NULL;

    return cursor ? &cursor->stream : NULL;
}

// Whether everything is owed that the publisher sent after what has come of it.
static bool is_owed(const struct talus__subscription *subscription,
                    const struct talus__publisher *publisher)
{
    return subscription->is_live ||
           (subscription->since && talus__catch_up_is_owed(subscription, publisher));
}

static void find_streams(struct talus__gap_repair *repairs, struct context *context)
{
    struct talus__core *core = repairs->core;
    struct talus__event_place *place = &context->place;
    struct talus__publisher_weak_ref ref =
        talus__publisher_weak_ref_of(&core->publishers, context->publisher);

    context->everything = core->subscriptions.everything;
    *place = (struct talus__event_place){
        .session = stream_of(core, context->session, ref),
        .all = stream_of(core, context->everything, ref),
        .wants_session = is_wanted(context->session),
        .wants_all = is_wanted(context->everything),
        .is_session_live = context->session && is_owed(context->session, context->publisher),
        .is_all_live = context->everything && context->everything->is_live,
        .has_marks = context->publisher->sends_marks,
    };
}

static void count_refusal(struct talus__gap_repair *repairs, const struct context *context)
{
    const struct talus__topic *topic = context->topic;
    const struct talus__body *body = context->body;
    unsigned long long held_back;

    repairs->core->stats.refused_bounds++;
    if (talus__may_log(&repairs->refused_gate, &held_back))
        talus__log(
            TALUS_LOG_WARNING, "event %.*s.%llu of session '%.*s' was dropped: %s (and %llu more)",
            (int)body->origin_size, body->origin, (unsigned long long)body->seq,
            (int)topic->session_size, topic->session, talus_strerror(context->refusal), held_back);
}

static void note_newest(const struct context *context)
{
    if (context->place.session)
        talus__subscription_note(context->session, context->publisher, context->seq);
    if (context->place.all)
        talus__subscription_note(context->everything, context->publisher, context->seq);
}

// Delivers the event, whose judge's stream was at `before`; or a gap if it is refused.
static int deliver(struct talus__gap_repair *repairs, const struct context *context,
                   uint64_t before)
{
    struct talus__core *core = repairs->core;

    note_newest(context);
    if (context->refusal) {
        count_refusal(repairs, context);
        talus__delivery_gap(&core->delivery, context->judge->name, context->publisher->name, before,
                            context->seq + 1, TALUS_GAP_REFUSED);
        return TALUS__TAKEN_EVENT;
    }
    if (!context->publisher->sends_marks)
        core->stats.unproven++;
    talus__delivery_event(&core->delivery, context->topic, context->body);
    return TALUS__TAKEN_EVENT;
}

// Opens the gap, or extends it. What the owner may have had before the join is not asked for.
static struct talus__repair *open_gap(struct talus__gap_repair *repairs,
                                      struct talus__subscription *subscription,
                                      struct talus__publisher *publisher,
                                      struct talus__stream *stream, uint64_t target,
                                      bool is_unknown)
{
    struct talus__repair *repair =
        talus__gaps_open(repairs, subscription, publisher, stream, target);

    if (repair && is_unknown)
        talus__sequencer_fail(&repairs->sequencer, repair, TALUS__CAUSE_UNKNOWN);
    return repair;
}

static void hold_event(struct talus__gap_repair *repairs, const struct context *context)
{
    const struct talus__event_place *place = &context->place;
    bool is_unknown = talus__catch_up_is_unknown(context->judge, context->publisher, place->judge);
    struct talus__repair *repair = open_gap(repairs, context->judge, context->publisher,
                                            place->judge, place->prev, is_unknown);

    if (repair)
        talus__gaps_hold(repairs, repair, context->seq, place->prev);
}

// The event waits for older ones of its session. False: there is no memory, and it is not held.
static bool block(struct talus__gap_repair *repairs, struct context *context)
{
    struct talus__event_place *place = &context->place;

    if (!talus__gaps_open(repairs, context->session, context->publisher, place->session,
                          place->missing) ||
        !talus__gaps_open(repairs, context->everything, context->publisher, place->all,
                          place->prev))
        return false;
    talus__sequencer_block(place);
    return true;
}

static int on_ordered_event(struct talus__gap_repair *repairs, struct context *context)
{
    struct talus__event_place *place = &context->place;
    uint64_t before = place->judge->last;

    context->judge = place->judge == place->all ? context->everything : context->session;
    switch (talus__sequencer_event(&repairs->sequencer, place, context->seq)) {
    case TALUS__VERDICT_DELIVER:
        talus__gaps_wake(repairs);
        return deliver(repairs, context, before);
    case TALUS__VERDICT_DUPLICATE:
        repairs->core->stats.duplicates++;
        break;
    case TALUS__VERDICT_HOLD:
        hold_event(repairs, context);
        break;
    case TALUS__VERDICT_BLOCK:
        if (block(repairs, context))
            talus__gaps_hold(repairs, place->all->repair, context->seq, place->prev);
        break;
    }
    return TALUS__TAKEN_HANDLED;
}

int talus__gap_repair_event(struct talus__gap_repair *repairs,
                            const struct talus__ordered_event *event)
{
    struct talus__core *core = repairs->core;
    struct context context;

    set_event(&context, event);
    context.publisher = event->publisher;
    find_streams(repairs, &context);
    talus__sequencer_place(&context.place, event->seq, event->prev);
    if (context.place.judge)
        return on_ordered_event(repairs, &context);
    if (!context.place.wants_session && !context.place.wants_all) {
        talus__sequencer_follow(&context.place, event->seq);
        note_newest(&context);
        core->stats.ignored++;
        return TALUS__TAKEN_HANDLED;
    }
    if (event->refusal) {
        count_refusal(repairs, &context);
        return TALUS__TAKEN_HANDLED;
    }
    talus__delivery_event(&core->delivery, event->topic, event->body); // no memory to judge it
    return TALUS__TAKEN_EVENT;
}

static void find_place_in(struct talus__gap_repair *repairs, struct talus__gap *gap,
                          struct context *context)
{
    context->publisher = gap->publisher;
    find_streams(repairs, context);
    context->judge = gap->subscription;
    talus__sequencer_place_in(&context->place, &gap->repair, context->seq, context->prev);
}

int talus__gap_repair_replayed(struct talus__gap_repair *repairs, struct talus__gap *gap,
                               const struct talus__ordered_event *event)
{
    struct context context;

    set_event(&context, event);
    find_place_in(repairs, gap, &context);
    uint64_t before = context.place.judge->last;
    enum talus__verdict verdict =
        talus__sequencer_replayed(&repairs->sequencer, &context.place, event->seq);
    talus__gaps_wake(repairs);
    if (event->seq > before)
        repairs->core->stats.repaired++;
    talus__catch_up_check(repairs->core, gap->subscription);
    if (verdict == TALUS__VERDICT_DELIVER)
        return deliver(repairs, &context, before);
    if (verdict == TALUS__VERDICT_HOLD ||
        (verdict == TALUS__VERDICT_BLOCK && block(repairs, &context)))
        talus__gaps_hold(repairs, &gap->repair, event->seq, context.place.prev);
    else if (verdict == TALUS__VERDICT_DUPLICATE && event->seq > before)
        repairs->core->stats.duplicates++; // the session alone had it
    return TALUS__TAKEN_HANDLED;
}

// Gives a held event whose turn it is. False: the owner gets nothing by it.
static bool release(struct talus__gap_repair *repairs, struct talus__gap *gap,
                    struct talus__held *held)
{
    struct talus__core *core = repairs->core;
    const struct talus__held_event *event = (struct talus__held_event *)held;
    struct talus__topic topic;
    struct talus__body body;
    struct context context = {.topic = &topic, .body = &body, .seq = held->seq, .prev = held->prev};

    free(core->released);
    core->released = (struct talus__held_event *)held; // what is delivered borrows from it
    // Both were decoded before, when it was held.
    if (talus__topic_parse(event->bytes, event->topic_size, &topic) != 0)
        return false;
    context.session =
        talus__subscriptions_find(&core->subscriptions, topic.session, topic.session_size);
    context.refusal = talus__body_decode(event->bytes + event->topic_size, event->body_size,
                                         &core->limits, &body);
    find_place_in(repairs, gap, &context);
    uint64_t before = context.place.judge->last;
    enum talus__verdict verdict = talus__sequencer_release(&context.place, held->seq);
    if (verdict == TALUS__VERDICT_BLOCK) {
        if (!block(repairs, &context))
            talus__sequencer_let_go(&gap->repair, held->seq);
        else if (talus__sequencer_hold(&repairs->sequencer, &gap->repair, held))
            core->released = NULL;
        return false;
    }
    if (verdict != TALUS__VERDICT_DELIVER) {
        core->stats.duplicates++;
        return false;
    }
    return deliver(repairs, &context, before) == TALUS__TAKEN_EVENT;
}

// ---- High-water marks

const struct talus__stream *talus__gap_repair_judge_of_all(struct talus__gap_repair *repairs,
                                                           const struct talus__publisher *publisher)
{
    struct talus__core *core = repairs->core;
    struct talus__subscription *everything = core->subscriptions.everything;

    if (!is_wanted(everything))
        return NULL;
    const struct talus__stream_cursor *all = talus__stream_cursor_find(
        everything, talus__publisher_weak_ref_of(&core->publishers, publisher));
    return all && talus__sequencer_can_judge(&all->stream, everything->is_live) ? &all->stream
                                                                                : NULL;
}

uint64_t talus__gap_repair_judged_upto(struct talus__gap_repair *repairs,
                                       const struct talus__subscription *subscription,
                                       const struct talus__publisher *publisher)
{
    const struct talus__subscription *everything = repairs->core->subscriptions.everything;
    const struct talus__stream *all = talus__gap_repair_judge_of_all(repairs, publisher);

    if (subscription == everything)
        return UINT64_MAX;
    if (all)
        return all->begins;
    // Of a publisher that is new, the stream of all begins with its first event or mark.
    return is_wanted(everything) && everything->is_live ? 0 : UINT64_MAX;
}

// The stream of all takes over what the sessions' streams miss of the publisher.
static void take_over(struct talus__gap_repair *repairs, const struct talus__publisher *publisher,
                      struct talus__mark *mark)
{
    struct talus__gap *gap = repairs->first;

    while (gap) {
        struct talus__gap *next = gap->next;
        if (gap->publisher == publisher &&
            gap->subscription != repairs->core->subscriptions.everything) {
            talus__sequencer_take_over(gap->repair.stream, mark);
            talus__gaps_close(repairs, gap);
        }
        gap = next;
    }
}

static void take_mark(struct talus__gap_repair *repairs, struct talus__subscription *subscription,
                      struct talus__publisher *publisher, uint64_t seq)
{
    struct talus__core *core = repairs->core;
    struct talus__stream_cursor *cursor =
        talus__stream_cursor_get(subscription, &core->publishers,
                                 talus__publisher_weak_ref_of(&core->publishers, publisher));
    if (!cursor)
        return; // without memory the join becomes live when its time is over
    struct talus__stream *stream = &cursor->stream;
    bool is_all = subscription == core->subscriptions.everything;
    struct talus__mark mark = {
        .seq = seq,
        .is_wanted = is_wanted(subscription),
        .is_live = is_owed(subscription, publisher),
        .judged_upto = talus__gap_repair_judged_upto(repairs, subscription, publisher),
    };

    bool is_unknown = talus__catch_up_is_unknown(subscription, publisher, stream);

    subscription->answered += !stream->has_baseline;
    if (talus__catch_up_begin(subscription, publisher, stream, seq) ? seq > 0 : seq > stream->last)
        talus__subscription_note(subscription, publisher, seq);
    if (is_all && mark.is_wanted && talus__sequencer_is_baseline(stream, subscription->is_live))
        take_over(repairs, publisher, &mark);
    uint64_t missing = talus__sequencer_mark(&repairs->sequencer, stream, &mark);
    if (missing > 0)
        open_gap(repairs, subscription, publisher, stream, missing, is_unknown);
    talus__gaps_wake(repairs);
}

void talus__gap_repair_mark(struct talus__gap_repair *repairs,
                            struct talus__subscription *subscription,
                            struct talus__publisher *publisher, uint64_t seq)
{
    talus__publisher_ref(&repairs->core->publishers, publisher); // ending a gap may let go of it
    take_mark(repairs, subscription, publisher, seq);
    talus__publisher_unref(&repairs->core->publishers, publisher);
}

// The publisher's stream of all begins to judge without a mark. False: there is no memory, and its
// sessions go on by themselves.
static bool adopt(struct talus__gap_repair *repairs, struct talus__publisher *publisher)
{
    struct talus__core *core = repairs->core;
    struct talus__subscription *everything = core->subscriptions.everything;
    struct talus__stream *all =
        stream_of(core, everything, talus__publisher_weak_ref_of(&core->publishers, publisher));
    struct talus__mark mark = {0};

    if (!all)
        return false;
    take_over(repairs, publisher, &mark);
    uint64_t missing = talus__sequencer_adopt(&repairs->sequencer, all, &mark);
    if (missing > 0)
        talus__gaps_open(repairs, everything, publisher, all, missing);
    return true;
}

// Whether the publisher's stream of all judges already, as its mark came while the join was
// pending.
static bool has_begun(struct talus__gap_repair *repairs, const struct talus__publisher *publisher,
                      bool is_again)
{
    struct talus__core *core = repairs->core;
    const struct talus__stream_cursor *all = talus__stream_cursor_find(
        core->subscriptions.everything, talus__publisher_weak_ref_of(&core->publishers, publisher));

    return all && all->stream.has_baseline && !is_again;
}

void talus__gap_repair_go_live(struct talus__gap_repair *repairs, bool is_again)
{
    struct talus__subscription *everything = repairs->core->subscriptions.everything;
    struct talus__gap *gap = repairs->first;
    bool is_adopted = true;

    for (uint32_t i = 0; i < everything->cursor_count; i++) {
        if (is_again || !everything->cursors[i].stream.has_baseline)
            talus__sequencer_begin(&everything->cursors[i].stream);
    }
    while (gap && is_adopted) {
        struct talus__publisher *publisher = gap->publisher;
        if (gap->subscription == everything || has_begun(repairs, publisher, is_again)) {
            gap = gap->next;
            continue;
        }
        talus__publisher_ref(&repairs->core->publishers, publisher);
        is_adopted = adopt(repairs, publisher);
        talus__publisher_unref(&repairs->core->publishers, publisher);
        gap = repairs->first; // the session's gaps of this publisher are gone
    }
    talus__gaps_wake(repairs);
}

// ---- Actions

static talus_gap_reason_t reason_of(enum talus__gap_cause cause)
{
    switch (cause) {
    case TALUS__CAUSE_LOST:
        return TALUS_GAP_ORIGIN_LOST;
    case TALUS__CAUSE_UNKNOWN:
        return TALUS_GAP_UNKNOWN;
    case TALUS__CAUSE_HISTORY:
    case TALUS__CAUSE_UNPROVEN:
        break;
    }
    return TALUS_GAP_HISTORY;
}

// Returns whether it is something for the owner.
static bool take_action(struct talus__gap_repair *repairs, const struct talus__action *action)
{
    struct talus__gap *gap = talus__gap_of(action->repair);

    switch (action->kind) {
    case TALUS__ACTION_DELIVER:
        return release(repairs, gap, action->held);
    case TALUS__ACTION_FORGET:
        talus__gaps_forget(action->held);
        return false;
    case TALUS__ACTION_GAP:
        gap->has_failed = true;
        talus__delivery_gap(&repairs->core->delivery, gap->subscription->name, gap->publisher->name,
                            action->after, action->before, reason_of(action->cause));
        return true;
    case TALUS__ACTION_REQUEST:
        talus__gap_request(repairs, gap, action->after);
        return false;
    case TALUS__ACTION_DONE:
        talus__gaps_free(repairs, gap);
        return false;
    }
    return false;
}

bool talus__gap_repair_take_due(struct talus__gap_repair *repairs)
{
    struct talus__action action;

    while (talus__sequencer_next(&repairs->sequencer, &action)) {
        struct talus__subscription *subscription = talus__gap_of(action.repair)->subscription;
        bool is_something = take_action(repairs, &action);
        talus__catch_up_check(repairs->core, subscription);
        if (is_something)
            return true;
    }
    return false;
}
