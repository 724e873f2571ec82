// SPDX-License-Identifier: MIT
// Gap repair.
#include "bus/src/subscriber/gap_repair.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/zmq_handover.h"

#define REQUEST_AGAIN_MS 100 // before a request is tried again that could not be made

// An event that is held back.
struct kept {
    struct talus__held held; // first, as the sequencer gives it back
    zmq_msg_t topic;
    zmq_msg_t body;
};

void talus__gap_repair_init(struct talus__gap_repair *repairs, struct talus__core *core)
{
    repairs->core = core;
    repairs->sequencer.max_events = core->options.held_events;
    repairs->sequencer.max_bytes = core->options.held_bytes;
}

static void tend_by(struct talus__gap_repair *repairs, long long at)
{
    if (repairs->tend_at == 0 || at < repairs->tend_at)
        repairs->tend_at = at;
}

static struct talus__gap *gap_of(struct talus__repair *repair)
{
    return (struct talus__gap *)repair;
}

// What the sequencer has to give is taken by the next calls of receive.
static void wake_if_ready(struct talus__gap_repair *repairs)
{
    if (repairs->sequencer.ready)
        talus__wake_set(&repairs->core->wake);
}

// ---- Frames that are held

static void free_kept(struct talus__held *held)
{
    struct kept *kept = (struct kept *)held;

    talus__zmq_release(zmq_msg_data(&kept->body));
    zmq_msg_close(&kept->topic);
    zmq_msg_close(&kept->body);
    free(kept);
}

// Holds back the event in core->topic and body.
static void hold(struct talus__gap_repair *repairs, struct talus__repair *repair, uint64_t seq,
                 uint64_t prev)
{
    struct talus__core *core = repairs->core;
    size_t bytes = zmq_msg_size(&core->topic) + zmq_msg_size(&core->body) + sizeof(struct kept);
    struct kept *kept = NULL;

    if (talus__sequencer_has_room(&repairs->sequencer, bytes))
        kept = malloc(sizeof *kept);
    if (!kept) {
        talus__sequencer_let_go(repair, seq);
        return;
    }
    kept->held = (struct talus__held){.seq = seq, .prev = prev, .bytes = bytes};
    if (!talus__sequencer_hold(&repairs->sequencer, repair, &kept->held)) {
        free(kept);
        return;
    }
    zmq_msg_init(&kept->topic);
    zmq_msg_init(&kept->body);
    talus__frame_keep(&kept->topic, &core->topic);
    talus__frame_keep(&kept->body, &core->body);
}

// ---- Opening and closing

static void log_hole(struct talus__gap_repair *repairs, const struct talus__gap *gap)
{
    unsigned long long held_back;

    repairs->core->stats.holes++;
    if (talus__may_log(&repairs->hole_gate, &held_back))
        talus__log(TALUS_LOG_INFO,
                   "session '%s' misses events of %s after %llu up to %llu (and %llu more holes)",
                   gap->joined->name, gap->origin->name,
                   (unsigned long long)gap->repair.stream->last,
                   (unsigned long long)gap->repair.target, held_back);
}

static struct talus__gap *add_gap(struct talus__gap_repair *repairs, struct talus__joined *joined,
                                  struct talus__origin *origin)
{
    struct talus__gap *gap = calloc(1, sizeof *gap);

    if (!gap) {
        talus__log(TALUS_LOG_ERROR, "out of memory: session '%s' misses events of %s for now",
                   joined->name, origin->name);
        return NULL;
    }
    gap->joined = joined;
    gap->origin = origin;
    gap->next = repairs->first;
    if (repairs->first)
        repairs->first->before = gap;
    repairs->first = gap;
    talus__origin_pin(&repairs->core->origins, origin);
    return gap;
}

// Opens a gap, or extends the one that there is: events up to `target` have been sent. NULL: out of
// memory. The stream stays as it is, so that the next event or mark tries again.
static struct talus__repair *open_gap(struct talus__gap_repair *repairs,
                                      struct talus__joined *joined, struct talus__origin *origin,
                                      struct talus__stream *stream, uint64_t target)
{
    if (stream->repair) {
        talus__sequencer_extend(&repairs->sequencer, stream->repair, target);
        return stream->repair;
    }
    struct talus__gap *gap = add_gap(repairs, joined, origin);
    if (!gap)
        return NULL;
    talus__sequencer_open(&repairs->sequencer, stream, &gap->repair, target);
    if (target > stream->last && (origin->speaks_heads || stream->last > 0))
        log_hole(repairs, gap);
    wake_if_ready(repairs);
    return &gap->repair;
}

// The gap's repair is closed.
static void free_gap(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    struct talus__origin *origin = gap->origin;

    if (gap->before)
        gap->before->next = gap->next;
    else
        repairs->first = gap->next;
    if (gap->next)
        gap->next->before = gap->before;
    if (gap->request)
        gap->request->waiter = NULL;
    free(gap);
    talus__origin_unpin(&repairs->core->origins, origin);
}

static void close_gap(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    struct talus__held *held;

    while ((held = talus__sequencer_pop(&repairs->sequencer, &gap->repair)))
        free_kept(held);
    talus__sequencer_close(&repairs->sequencer, &gap->repair);
    free_gap(repairs, gap);
}

void talus__gap_repair_leave(struct talus__gap_repair *repairs, struct talus__joined *joined)
{
    for (uint32_t i = 0; i < joined->position_count; i++) {
        if (joined->positions[i].stream.repair)
            close_gap(repairs, gap_of(joined->positions[i].stream.repair));
    }
}

void talus__gap_repair_fini(struct talus__gap_repair *repairs)
{
    struct talus__held *held;

    while (repairs->first) {
        struct talus__gap *gap = repairs->first;
        repairs->first = gap->next;
        while ((held = talus__sequencer_pop(&repairs->sequencer, &gap->repair)))
            free_kept(held);
        free(gap);
    }
}

// ---- Events

// What belongs to one event.
struct context {
    struct talus__event_place place;
    struct talus__origin *origin;
    struct talus__joined *session;    // joined, or left a moment ago; NULL: neither
    struct talus__joined *everything; // likewise
    struct talus__joined *judge;      // of place.judge
    const struct talus__topic *topic;
    const struct talus__body *body;
    int refusal;
};

static bool is_wanted(const struct talus__joined *joined)
{
    return joined && !talus__joined_is_left(joined);
}

static struct talus__stream *stream_of(struct talus__core *core, struct talus__joined *joined,
                                       struct talus__origin_ref ref)
{
    struct talus__position *position =
        joined ? talus__position_get(joined, &core->origins, ref) : NULL;

    return position ? &position->stream : NULL;
}

static void find_streams(struct talus__gap_repair *repairs, struct context *context)
{
    struct talus__core *core = repairs->core;
    struct talus__event_place *place = &context->place;
    struct talus__origin_ref ref = talus__origin_refer(&core->origins, context->origin);

    context->session =
        talus__joined_find(&core->joined, context->topic->session, context->topic->session_size);
    context->everything = core->joined.everything;
    *place = (struct talus__event_place){
        .session = stream_of(core, context->session, ref),
        .all = stream_of(core, context->everything, ref),
        .wants_session = is_wanted(context->session),
        .wants_all = is_wanted(context->everything),
        .is_session_live = context->session && context->session->is_live,
        .is_all_live = context->everything && context->everything->is_live,
        .has_marks = context->origin->speaks_heads,
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
        talus__joined_note(context->session, context->origin, context->body->seq);
    if (context->place.all)
        talus__joined_note(context->everything, context->origin, context->body->seq);
}

// Delivers the event, whose judge's stream was at `before`; or a gap if it is refused.
static int deliver(struct talus__gap_repair *repairs, const struct context *context,
                   uint64_t before)
{
    struct talus__core *core = repairs->core;

    note_newest(context);
    if (context->refusal) {
        count_refusal(repairs, context);
        talus__delivery_gap(&core->delivery, context->judge->name, context->origin->name, before,
                            context->body->seq + 1, TALUS_GAP_REFUSED);
        return TALUS__TAKEN_EVENT;
    }
    if (!context->origin->speaks_heads)
        core->stats.unproven++;
    talus__delivery_event(&core->delivery, context->topic, context->body);
    return TALUS__TAKEN_EVENT;
}

static void hold_event(struct talus__gap_repair *repairs, const struct context *context)
{
    const struct talus__event_place *place = &context->place;
    struct talus__repair *repair =
        open_gap(repairs, context->judge, context->origin, place->judge, place->prev);

    if (repair)
        hold(repairs, repair, context->body->seq, place->prev);
}

static int on_ordered_event(struct talus__gap_repair *repairs, struct context *context)
{
    struct talus__event_place *place = &context->place;
    uint64_t before = place->judge->last;

    context->judge = place->judge == place->all ? context->everything : context->session;
    switch (talus__sequencer_event(&repairs->sequencer, place, context->body->seq)) {
    case TALUS__VERDICT_DELIVER:
        wake_if_ready(repairs);
        return deliver(repairs, context, before);
    case TALUS__VERDICT_DUPLICATE:
        repairs->core->stats.duplicates++;
        break;
    case TALUS__VERDICT_HOLD:
        hold_event(repairs, context);
        break;
    }
    return TALUS__TAKEN_HANDLED;
}

int talus__gap_repair_event(struct talus__gap_repair *repairs, const struct talus__topic *topic,
                            const struct talus__body *body, struct talus__origin *origin,
                            int refusal)
{
    struct talus__core *core = repairs->core;
    struct context context;

    context.origin = origin;
    context.topic = topic;
    context.body = body;
    context.refusal = refusal;
    find_streams(repairs, &context);
    talus__sequencer_place(&context.place, body->seq, body->prev);
    if (context.place.judge)
        return on_ordered_event(repairs, &context);
    if (!context.place.wants_session && !context.place.wants_all) {
        talus__sequencer_follow(&context.place, body->seq);
        note_newest(&context);
        core->stats.ignored++;
        return TALUS__TAKEN_HANDLED;
    }
    if (refusal) {
        count_refusal(repairs, &context);
        return TALUS__TAKEN_HANDLED;
    }
    talus__delivery_event(&core->delivery, topic, body); // there is no memory to judge it
    return TALUS__TAKEN_EVENT;
}

static void find_place_in(struct talus__gap_repair *repairs, struct talus__gap *gap,
                          struct context *context)
{
    context->origin = gap->origin;
    find_streams(repairs, context);
    context->judge = gap->joined;
    talus__sequencer_place_in(&context->place, &gap->repair, context->body->seq,
                              context->body->prev);
}

int talus__gap_repair_replayed(struct talus__gap_repair *repairs, struct talus__gap *gap,
                               const struct talus__topic *topic, const struct talus__body *body,
                               int refusal)
{
    struct context context = {.topic = topic, .body = body, .refusal = refusal};

    find_place_in(repairs, gap, &context);
    uint64_t before = context.place.judge->last;
    enum talus__verdict verdict =
        talus__sequencer_replayed(&repairs->sequencer, &context.place, body->seq);
    wake_if_ready(repairs);
    if (body->seq > before)
        repairs->core->stats.healed++;
    if (verdict == TALUS__VERDICT_DELIVER)
        return deliver(repairs, &context, before);
    if (verdict == TALUS__VERDICT_HOLD)
        hold(repairs, &gap->repair, body->seq, context.place.prev);
    else if (body->seq > before)
        repairs->core->stats.duplicates++; // the session alone had it
    return TALUS__TAKEN_HANDLED;
}

// Gives a held event whose turn it is. False: the owner gets nothing by it.
static bool release(struct talus__gap_repair *repairs, struct talus__gap *gap,
                    struct talus__held *held)
{
    struct talus__core *core = repairs->core;
    struct kept *kept = (struct kept *)held;
    struct talus__topic topic;
    struct talus__body body;
    struct context context = {.topic = &topic, .body = &body};

    talus__zmq_release(zmq_msg_data(&core->body));
    zmq_msg_move(&core->topic, &kept->topic);
    zmq_msg_move(&core->body, &kept->body);
    free_kept(held);
    // Both were decoded before, when it was taken up.
    if (talus__topic_parse(zmq_msg_data(&core->topic), zmq_msg_size(&core->topic), &topic) != 0)
        return false;
    context.refusal = talus__body_decode(zmq_msg_data(&core->body), zmq_msg_size(&core->body),
                                         &core->limits, &body);
    find_place_in(repairs, gap, &context);
    uint64_t before = context.place.judge->last;
    if (talus__sequencer_release(&context.place, body.seq) != TALUS__VERDICT_DELIVER) {
        core->stats.duplicates++;
        return false;
    }
    return deliver(repairs, &context, before) == TALUS__TAKEN_EVENT;
}

// ---- High-water marks

bool talus__gap_repair_is_judged_by_all(struct talus__gap_repair *repairs,
                                        const struct talus__origin *origin)
{
    struct talus__core *core = repairs->core;
    struct talus__joined *everything = core->joined.everything;

    if (!is_wanted(everything))
        return false;
    const struct talus__position *all =
        talus__position_find(everything, talus__origin_refer(&core->origins, origin));
    return all && talus__sequencer_can_judge(&all->stream, everything->is_live);
}

// The stream of all takes over what the sessions' streams miss of the publisher.
static void take_over(struct talus__gap_repair *repairs, const struct talus__origin *origin,
                      struct talus__mark *mark)
{
    struct talus__gap *gap = repairs->first;

    while (gap) {
        struct talus__gap *next = gap->next;
        if (gap->origin == origin && gap->joined != repairs->core->joined.everything) {
            talus__sequencer_take_over(gap->repair.stream, mark);
            close_gap(repairs, gap);
        }
        gap = next;
    }
}

static void take_mark(struct talus__gap_repair *repairs, struct talus__joined *joined,
                      struct talus__origin *origin, uint64_t seq)
{
    struct talus__core *core = repairs->core;
    struct talus__position *position =
        talus__position_get(joined, &core->origins, talus__origin_refer(&core->origins, origin));
    if (!position)
        return; // without memory the join becomes live when its time is over
    struct talus__stream *stream = &position->stream;
    bool is_all = joined == core->joined.everything;
    struct talus__mark mark = {
        .seq = seq,
        .is_wanted = is_wanted(joined),
        .is_live = joined->is_live,
        .is_judged = is_all || !talus__gap_repair_is_judged_by_all(repairs, origin),
    };

    joined->answered += !stream->has_baseline;
    if (seq > stream->last)
        talus__joined_note(joined, origin, seq);
    if (is_all && talus__sequencer_is_baseline(stream, joined->is_live))
        take_over(repairs, origin, &mark);
    uint64_t missing = talus__sequencer_mark(&repairs->sequencer, stream, &mark);
    if (missing > 0)
        open_gap(repairs, joined, origin, stream, missing);
    wake_if_ready(repairs);
}

void talus__gap_repair_mark(struct talus__gap_repair *repairs, struct talus__joined *joined,
                            struct talus__origin *origin, uint64_t seq)
{
    talus__origin_pin(&repairs->core->origins, origin); // ending a gap may let go of it
    take_mark(repairs, joined, origin, seq);
    talus__origin_unpin(&repairs->core->origins, origin);
}

// The publisher's stream of all begins to judge without a mark. False: there is no memory, and its
// sessions go on by themselves.
static bool adopt(struct talus__gap_repair *repairs, struct talus__origin *origin)
{
    struct talus__core *core = repairs->core;
    struct talus__joined *everything = core->joined.everything;
    struct talus__stream *all =
        stream_of(core, everything, talus__origin_refer(&core->origins, origin));
    struct talus__mark mark = {0};

    if (!all)
        return false;
    take_over(repairs, origin, &mark);
    uint64_t missing = talus__sequencer_adopt(&repairs->sequencer, all, &mark);
    if (missing > 0)
        open_gap(repairs, everything, origin, all, missing);
    return true;
}

void talus__gap_repair_go_live(struct talus__gap_repair *repairs)
{
    const struct talus__joined *everything = repairs->core->joined.everything;
    struct talus__gap *gap = repairs->first;
    bool is_adopted = true;

    while (gap && is_adopted) {
        struct talus__origin *origin = gap->origin;
        if (gap->joined == everything) {
            gap = gap->next;
            continue;
        }
        talus__origin_pin(&repairs->core->origins, origin);
        is_adopted = adopt(repairs, origin);
        talus__origin_unpin(&repairs->core->origins, origin);
        gap = repairs->first; // the session's gaps of this publisher are gone
    }
    wake_if_ready(repairs);
}

// ---- Requests and time

static void wait_until(struct talus__gap_repair *repairs, struct talus__gap *gap, long long at)
{
    gap->deadline = at;
    talus__sequencer_wait(&gap->repair);
    tend_by(repairs, at);
}

static void send_request(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t after)
{
    struct talus__replay_request *request =
        talus__replay_request_new(TALUS__REPLAY_REPAIR, gap->joined->name, after);

    if (request) {
        request->waiter = gap;
        if (talus__replay_client_request(&repairs->core->replay_client, gap->origin, request) != 0)
            request = NULL;
    }
    gap->request = request;
    if (request)
        talus__sequencer_requested(&gap->repair);
    else // too many, or no memory: later
        wait_until(repairs, gap, talus__monotonic_ms() + REQUEST_AGAIN_MS);
}

// Requests what is missing after a seq, as far as it is known by now how.
static void request(struct talus__gap_repair *repairs, struct talus__gap *gap, uint64_t after)
{
    const struct talus__origin *origin = gap->origin;

    if (origin->is_lost)
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_LOST);
    else if (origin->replay)
        send_request(repairs, gap, after);
    else if (origin->speaks_heads) // it offers none
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_HISTORY);
    else if (origin->is_plain)
        talus__sequencer_fail(&repairs->sequencer, &gap->repair, TALUS__CAUSE_UNPROVEN);
    else
        wait_until(repairs, gap, talus__monotonic_ms() + repairs->core->options.head_wait_ms);
}

static void retry(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    gap->deadline = 0;
    talus__sequencer_retry(&repairs->sequencer, &gap->repair);
}

void talus__gap_repair_hear(struct talus__gap_repair *repairs, const struct talus__origin *origin)
{
    for (struct talus__gap *gap = repairs->first; gap; gap = gap->next) {
        if (gap->origin == origin && gap->deadline != 0)
            retry(repairs, gap);
    }
    wake_if_ready(repairs);
}

void talus__gap_repair_end(struct talus__gap_repair *repairs, struct talus__gap *gap,
                           uint64_t since, uint64_t first)
{
    gap->request = NULL;
    talus__sequencer_end(&repairs->sequencer, &gap->repair, since, first);
    wake_if_ready(repairs);
}

static void fail(struct talus__gap_repair *repairs, struct talus__gap *gap,
                 enum talus__gap_cause cause)
{
    gap->deadline = 0;
    talus__sequencer_fail(&repairs->sequencer, &gap->repair, cause);
    wake_if_ready(repairs);
}

void talus__gap_repair_request_failed(struct talus__gap_repair *repairs, struct talus__gap *gap)
{
    gap->request = NULL;
    fail(repairs, gap, TALUS__CAUSE_LOST);
}

void talus__gap_repair_fail(struct talus__gap_repair *repairs, struct talus__stream *stream)
{
    if (stream->repair)
        fail(repairs, gap_of(stream->repair), TALUS__CAUSE_LOST);
}

void talus__gap_repair_lose(struct talus__gap_repair *repairs, struct talus__joined *joined,
                            struct talus__origin *origin, struct talus__stream *stream,
                            uint64_t upto)
{
    struct talus__repair *repair =
        open_gap(repairs, joined, origin, stream, upto > 0 ? upto : stream->last);

    if (!repair)
        return;
    gap_of(repair)->deadline = 0;
    if (upto > 0)
        talus__sequencer_fail(&repairs->sequencer, repair, TALUS__CAUSE_LOST);
    else
        talus__sequencer_lose(&repairs->sequencer, repair);
    wake_if_ready(repairs);
}

// Whether the inbox has lately dropped something. Noticed late, it counts as late.
static bool has_dropped(struct talus__gap_repair *repairs, long long now)
{
    uint64_t dropped = atomic_load_explicit(&repairs->core->bound.dropped, memory_order_relaxed);

    if (dropped != repairs->dropped) {
        repairs->dropped = dropped;
        repairs->trusted_at = now + repairs->core->options.heal_timeout_ms;
    }
    return now < repairs->trusted_at;
}

// The publisher's marks may be among what was dropped. If none comes, what is missing is told, as
// of a publisher that offers no history.
static void wait_longer(struct talus__gap_repair *repairs, struct talus__gap *gap, long long now)
{
    if (gap->give_up_at == 0)
        gap->give_up_at = now + repairs->core->options.heal_timeout_ms;
    gap->deadline = gap->give_up_at;
    if (now < gap->give_up_at)
        tend_by(repairs, gap->deadline);
    else
        fail(repairs, gap, TALUS__CAUSE_HISTORY);
}

static void tend_gap(struct talus__gap_repair *repairs, struct talus__gap *gap, long long now)
{
    if (gap->deadline == 0)
        return;
    if (now < gap->deadline) {
        tend_by(repairs, gap->deadline);
        return;
    }
    bool is_waiting = gap->give_up_at != 0 || has_dropped(repairs, now);
    if (is_waiting && !gap->origin->speaks_heads) {
        wait_longer(repairs, gap, now);
        return;
    }
    if (!gap->origin->speaks_heads)
        gap->origin->is_plain = true; // no mark came in its time
    retry(repairs, gap);
}

void talus__gap_repair_tend(struct talus__gap_repair *repairs, long long now)
{
    if (repairs->tend_at == 0 || now < repairs->tend_at)
        return;
    repairs->tend_at = 0;
    for (struct talus__gap *gap = repairs->first; gap; gap = gap->next)
        tend_gap(repairs, gap, now);
    wake_if_ready(repairs);
}

// ---- Actions

static talus_gap_reason_t reason_of(enum talus__gap_cause cause)
{
    return cause == TALUS__CAUSE_LOST ? TALUS_GAP_ORIGIN_LOST : TALUS_GAP_HISTORY;
}

// Returns whether it is something for the owner.
static bool take_action(struct talus__gap_repair *repairs, const struct talus__action *action)
{
    struct talus__gap *gap = gap_of(action->repair);

    switch (action->kind) {
    case TALUS__ACTION_DELIVER:
        return release(repairs, gap, action->held);
    case TALUS__ACTION_FORGET:
        free_kept(action->held);
        return false;
    case TALUS__ACTION_GAP:
        talus__delivery_gap(&repairs->core->delivery, gap->joined->name, gap->origin->name,
                            action->after, action->before, reason_of(action->cause));
        return true;
    case TALUS__ACTION_REQUEST:
        request(repairs, gap, action->after);
        return false;
    case TALUS__ACTION_DONE:
        free_gap(repairs, gap);
        return false;
    }
    return false;
}

bool talus__gap_repair_take_due(struct talus__gap_repair *repairs)
{
    struct talus__action action;

    while (talus__sequencer_next(&repairs->sequencer, &action)) {
        if (take_action(repairs, &action))
            return true;
    }
    return false;
}
