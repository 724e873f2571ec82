// SPDX-License-Identifier: MIT
// The sequencer.
#include "bus/src/subscriber/sequencer.h"

#include <assert.h>

// ---- States

#define TO(state) (1u << TALUS__STREAM_##state)

// Which states may follow each state. A repair may be closed in any, which leads to IN_STEP.
static inline bool may_become(enum talus__stream_state from, enum talus__stream_state to)
{
    static const unsigned followers[] = {
        [TALUS__STREAM_IN_STEP] = TO(MISSING),
        [TALUS__STREAM_MISSING] = TO(WAITING) | TO(REQUESTED) | TO(FAILED) | TO(LOST) | TO(IN_STEP),
        [TALUS__STREAM_WAITING] = TO(MISSING) | TO(FAILED) | TO(LOST) | TO(IN_STEP),
        [TALUS__STREAM_REQUESTED] = TO(MISSING) | TO(FAILED) | TO(LOST) | TO(IN_STEP),
        [TALUS__STREAM_FAILED] = TO(LOST) | TO(IN_STEP),
        [TALUS__STREAM_LOST] = TO(ENDED) | TO(IN_STEP),
        [TALUS__STREAM_ENDED] = TO(MISSING) | TO(IN_STEP),
    };

    return followers[from] & (1u << to);
}

static void set_state(struct talus__stream *stream, enum talus__stream_state state)
{
    assert(may_become(stream->state, state));
    stream->state = state;
}

// It misses nothing that is known, and its repair, if it has one, is over.
static bool is_settled(const struct talus__stream *stream)
{
    return stream->state == TALUS__STREAM_IN_STEP || stream->state == TALUS__STREAM_ENDED;
}

static bool is_hopeless(const struct talus__stream *stream)
{
    return stream->state == TALUS__STREAM_FAILED || stream->state == TALUS__STREAM_LOST;
}

// ---- What talus__sequencer_next() is to look at

static void set_ready(struct talus__sequencer *sequencer, struct talus__repair *repair)
{
    if (repair->is_ready)
        return;
    repair->is_ready = true;
    repair->ready_next = NULL;
    if (sequencer->ready_last)
        sequencer->ready_last->ready_next = repair;
    else
        sequencer->ready = repair;
    sequencer->ready_last = repair;
}

static void clear_ready(struct talus__sequencer *sequencer, struct talus__repair *repair)
{
    struct talus__repair **link = &sequencer->ready;
    struct talus__repair *before = NULL;

    if (!repair->is_ready)
        return;
    while (*link != repair) {
        before = *link;
        link = &before->ready_next;
    }
    *link = repair->ready_next;
    if (sequencer->ready_last == repair)
        sequencer->ready_last = before;
    repair->is_ready = false;
}

static bool is_whole(const struct talus__repair *repair)
{
    return !repair->first && repair->stream->last >= repair->target;
}

// The stream has moved on: what is held may have its turn, or nothing is missing any more.
static void look_after_advance(struct talus__sequencer *sequencer, struct talus__repair *repair)
{
    uint64_t last = repair->stream->last;

    if (repair->first ? repair->first->prev <= last : last >= repair->target)
        set_ready(sequencer, repair);
}

// ---- Events

static void advance(struct talus__stream *stream, uint64_t seq)
{
    if (seq > stream->last)
        stream->last = seq;
    if (seq > stream->delivered)
        stream->delivered = seq;
    if (stream->state == TALUS__STREAM_ENDED) // the publisher is heard here again
        set_state(stream, TALUS__STREAM_IN_STEP);
}

void talus__sequencer_follow(struct talus__event_place *place, uint64_t seq)
{
    if (place->session)
        advance(place->session, seq);
    if (place->all)
        advance(place->all, seq);
}

// Whether the event, which the stream of all would deliver, shows that its session's stream may
// miss what was sent before that of all began to judge.
static bool is_blocked_by_session(struct talus__event_place *place)
{
    const struct talus__stream *session = place->session;

    if (!place->wants_session || !talus__sequencer_is_behind(place) ||
        (!session->repair && place->session_prev <= session->last))
        return false;
    place->missing =
        place->session_prev < place->all->begins ? place->session_prev : place->all->begins;
    return true;
}

// It is the event's turn.
static enum talus__verdict accept_event(struct talus__event_place *place, uint64_t seq)
{
    if (place->judge == place->all && place->session) {
        // Before the stream of all judged, the session alone may have had it, or was told that it
        // is missing.
        if (seq <= place->session->delivered) {
            place->judge->last = seq;
            return TALUS__VERDICT_DUPLICATE;
        }
        if (is_blocked_by_session(place))
            return TALUS__VERDICT_BLOCK;
    }
    talus__sequencer_follow(place, seq);
    return TALUS__VERDICT_DELIVER;
}

static bool has_turn(const struct talus__event_place *place)
{
    const struct talus__repair *repair = place->judge->repair;

    if (repair && (repair->gap_before > 0 || is_hopeless(place->judge)))
        return false; // its gap comes first
    return place->prev <= place->judge->last;
}

// Whether what lies between the stream's last event and this one is missing. Before the first
// high-water mark it may never have been owed: events that come while a join is pending are
// delivered as they are. A publisher that sends no marks is judged by its own events.
static bool is_owed(const struct talus__event_place *place)
{
    if (place->judge->has_baseline || place->is_live)
        return true;
    return !place->has_marks && place->judge->last > 0;
}

enum talus__verdict talus__sequencer_event(struct talus__sequencer *sequencer,
                                           struct talus__event_place *place, uint64_t seq)
{
    struct talus__repair *repair = place->judge->repair;

    if (seq <= place->judge->last)
        return TALUS__VERDICT_DUPLICATE;
    if (!has_turn(place) && (repair || is_owed(place)))
        return TALUS__VERDICT_HOLD;
    enum talus__verdict verdict = accept_event(place, seq);
    if (repair && verdict != TALUS__VERDICT_BLOCK)
        look_after_advance(sequencer, repair);
    return verdict;
}

static void tell_gap(struct talus__sequencer *sequencer, struct talus__repair *repair,
                     uint64_t before, enum talus__gap_cause cause)
{
    if (before <= repair->gap_before)
        return;
    repair->gap_before = before;
    repair->gap_cause = cause;
    set_ready(sequencer, repair);
}

// Whether the stream of all judges what the publisher sends from this event on.
static bool is_of_all(const struct talus__event_place *place, uint64_t seq)
{
    return place->wants_all && place->all && seq > place->all->begins &&
           talus__sequencer_can_judge(place->all, place->is_all_live);
}

// The replay of a session has reached what the stream of all judges: its event says what came
// before it.
static void end_before(struct talus__sequencer *sequencer, struct talus__repair *repair,
                       const struct talus__event_place *place, uint64_t replayed)
{
    struct talus__stream *stream = repair->stream;
    uint64_t begins = place->all->begins;

    if (place->prev <= stream->last) { // nothing is missing
        stream->last = begins > stream->last ? begins : stream->last;
        look_after_advance(sequencer, repair);
    } else if (place->prev > replayed && replayed < begins && !repair->is_ready) {
        tell_gap(sequencer, repair, (place->prev < begins ? place->prev : begins) + 1,
                 TALUS__CAUSE_HISTORY);
    }
}

enum talus__verdict talus__sequencer_replayed(struct talus__sequencer *sequencer,
                                              struct talus__event_place *place, uint64_t seq)
{
    struct talus__stream *stream = place->judge;
    struct talus__repair *repair = stream->repair;
    uint64_t replayed = repair->replayed > stream->last ? repair->replayed : stream->last;

    if (seq > repair->replayed)
        repair->replayed = seq;
    if (seq <= stream->last)
        return TALUS__VERDICT_DUPLICATE;
    if (stream == place->session && is_of_all(place, seq)) {
        end_before(sequencer, repair, place, replayed);
        return TALUS__VERDICT_DUPLICATE;
    }
    if (place->prev > replayed && !repair->is_ready) // the replay leaves out what is gone
        tell_gap(sequencer, repair, place->prev + 1, TALUS__CAUSE_HISTORY);
    // What there is to give comes first; and what was let go of the replay is requested again.
    if (repair->is_ready || place->prev > stream->last)
        return TALUS__VERDICT_HOLD;
    enum talus__verdict verdict = accept_event(place, seq);
    if (verdict != TALUS__VERDICT_BLOCK)
        look_after_advance(sequencer, repair);
    return verdict;
}

void talus__sequencer_block(struct talus__event_place *place)
{
    struct talus__repair *blocked = place->judge->repair;
    struct talus__repair *blocker = place->session->repair;

    if (blocked->blocker)
        blocked->blocker->blocked = NULL;
    blocked->blocker = blocker;
    blocker->blocked = blocked;
    blocked->was_blocked = true;
}

enum talus__verdict talus__sequencer_release(struct talus__event_place *place, uint64_t seq)
{
    return accept_event(place, seq);
}

// ---- High-water marks

// Returns up to which seq something is missing; 0: nothing is.
static uint64_t set_baseline(struct talus__sequencer *sequencer, struct talus__stream *stream,
                             const struct talus__mark *mark)
{
    uint64_t newest = mark->seq > stream->last ? mark->seq : stream->last;
    bool is_behind = mark->has_taken_over && mark->from < newest;

    stream->last = is_behind ? mark->from : newest;
    talus__sequencer_begin(stream);
    if (stream->repair)
        look_after_advance(sequencer, stream->repair);
    uint64_t missing = is_behind ? newest : 0;
    if (mark->has_taken_over && mark->upto > stream->last && mark->upto > missing)
        missing = mark->upto;
    return missing;
}

uint64_t talus__sequencer_mark(struct talus__sequencer *sequencer, struct talus__stream *stream,
                               const struct talus__mark *mark)
{
    bool is_first = !stream->has_baseline;

    stream->has_baseline = true;
    if (stream->state == TALUS__STREAM_ENDED) // the publisher is heard here again
        set_state(stream, TALUS__STREAM_IN_STEP);
    // When the join was complete already, the publisher is new, or was away: all is owed.
    if (is_first && !mark->is_live)
        return set_baseline(sequencer, stream, mark);
    if (!mark->is_wanted)
        stream->last = mark->seq > stream->last ? mark->seq : stream->last;
    uint64_t upto = mark->seq < mark->judged_upto ? mark->seq : mark->judged_upto;
    return upto > stream->last ? upto : 0;
}

uint64_t talus__sequencer_adopt(struct talus__sequencer *sequencer, struct talus__stream *all,
                                const struct talus__mark *mark)
{
    if (mark->has_taken_over && mark->from > all->last)
        all->last = mark->from; // the sessions miss nothing older, and nothing else is owed
    return set_baseline(sequencer, all, mark);
}

void talus__sequencer_take_over(const struct talus__stream *session, struct talus__mark *mark)
{
    const struct talus__repair *repair = session->repair;

    if (!mark->has_taken_over || session->last < mark->from)
        mark->from = session->last;
    if (repair->target > mark->upto)
        mark->upto = repair->target;
    if (repair->last && repair->last->seq > mark->upto) // it is let go with the repair
        mark->upto = repair->last->seq;
    mark->has_taken_over = true;
}

// ---- Repairs

// A gap ends before the seq after the target, so the highest seq of all cannot be one.
static void raise_target(struct talus__repair *repair, uint64_t seq)
{
    if (seq == UINT64_MAX)
        seq--;
    if (seq > repair->target)
        repair->target = seq;
}

void talus__sequencer_open(struct talus__sequencer *sequencer, struct talus__stream *stream,
                           struct talus__repair *repair, uint64_t target)
{
    assert(!stream->repair);
    *repair = (struct talus__repair){.stream = stream};
    raise_target(repair, target);
    stream->repair = repair;
    set_state(stream, TALUS__STREAM_MISSING);
    set_ready(sequencer, repair);
}

void talus__sequencer_extend(struct talus__sequencer *sequencer, struct talus__repair *repair,
                             uint64_t target)
{
    raise_target(repair, target);
    if (is_settled(repair->stream)) { // it was about to end
        set_state(repair->stream, TALUS__STREAM_MISSING);
        set_ready(sequencer, repair);
    }
}

void talus__sequencer_let_go(struct talus__repair *repair, uint64_t seq)
{
    raise_target(repair, seq);
}

bool talus__sequencer_hold(struct talus__sequencer *sequencer, struct talus__repair *repair,
                           struct talus__held *held)
{
    struct talus__held **link = &repair->first;

    if (repair->last && repair->last->seq < held->seq)
        link = &repair->last->next;
    while (*link && (*link)->seq < held->seq)
        link = &(*link)->next;
    if (*link && (*link)->seq == held->seq)
        return false;
    if (!talus__sequencer_has_room(sequencer, held->bytes)) {
        talus__sequencer_let_go(repair, held->seq);
        return false;
    }
    raise_target(repair, held->prev);
    held->next = *link;
    *link = held;
    if (!held->next)
        repair->last = held;
    sequencer->held_events++;
    sequencer->held_bytes += held->bytes;
    return true;
}

struct talus__held *talus__sequencer_pop(struct talus__sequencer *sequencer,
                                         struct talus__repair *repair)
{
    struct talus__held *held = repair->first;

    if (!held)
        return NULL;
    repair->first = held->next;
    if (!repair->first)
        repair->last = NULL;
    sequencer->held_events--;
    sequencer->held_bytes -= held->bytes;
    return held;
}

void talus__sequencer_requested(struct talus__repair *repair)
{
    repair->replayed = repair->stream->last;
    repair->was_blocked = false;
    set_state(repair->stream, TALUS__STREAM_REQUESTED);
}

void talus__sequencer_wait(struct talus__repair *repair)
{
    set_state(repair->stream, TALUS__STREAM_WAITING);
}

void talus__sequencer_retry(struct talus__sequencer *sequencer, struct talus__repair *repair)
{
    if (repair->stream->state != TALUS__STREAM_WAITING)
        return;
    set_state(repair->stream, TALUS__STREAM_MISSING);
    set_ready(sequencer, repair);
}

void talus__sequencer_end(struct talus__sequencer *sequencer, struct talus__repair *repair,
                          uint64_t since, uint64_t first)
{
    uint64_t last = repair->stream->last;
    bool is_further = last > since || repair->is_ready || repair->was_blocked;

    if (repair->stream->state != TALUS__STREAM_REQUESTED)
        return;
    if (first > last + 1)
        tell_gap(sequencer, repair, first, TALUS__CAUSE_HISTORY);
    else if (last < repair->target && !is_further) // else there is more than one replay holds
        tell_gap(sequencer, repair, repair->target + 1, TALUS__CAUSE_HISTORY);
    set_state(repair->stream, TALUS__STREAM_MISSING);
    set_ready(sequencer, repair);
}

void talus__sequencer_fail(struct talus__sequencer *sequencer, struct talus__repair *repair,
                           enum talus__gap_cause cause)
{
    struct talus__stream *stream = repair->stream;

    if (is_settled(stream) || is_hopeless(stream))
        return;
    repair->fail_cause = cause;
    set_state(stream, TALUS__STREAM_FAILED);
    set_ready(sequencer, repair);
}

void talus__sequencer_lose(struct talus__sequencer *sequencer, struct talus__repair *repair)
{
    talus__sequencer_extend(sequencer, repair, 0);
    if (repair->stream->state == TALUS__STREAM_LOST)
        return;
    talus__sequencer_fail(sequencer, repair, TALUS__CAUSE_LOST);
    set_state(repair->stream, TALUS__STREAM_LOST);
}

static void detach(struct talus__sequencer *sequencer, struct talus__repair *repair)
{
    clear_ready(sequencer, repair);
    repair->stream->repair = NULL;
    if (repair->blocker)
        repair->blocker->blocked = NULL;
    if (repair->blocked) {
        repair->blocked->blocker = NULL;
        set_ready(sequencer, repair->blocked);
    }
}

void talus__sequencer_close(struct talus__sequencer *sequencer, struct talus__repair *repair)
{
    assert(!repair->first);
    if (!is_settled(repair->stream))
        set_state(repair->stream, TALUS__STREAM_IN_STEP);
    detach(sequencer, repair);
}

// ---- Actions

// Gives the gap that is to be told, or the part of it before what is held. False: there is none
// (any more).
static bool give_gap(struct talus__repair *repair, struct talus__action *action)
{
    struct talus__stream *stream = repair->stream;
    uint64_t before = repair->gap_before;

    if (repair->first && repair->first->seq < before)
        before = repair->first->prev + 1;
    if (repair->gap_before <= stream->last + 1)
        repair->gap_before = 0;
    if (before <= stream->last + 1)
        return false;
    action->kind = TALUS__ACTION_GAP;
    action->after = stream->last;
    action->before = before;
    action->cause = repair->gap_cause;
    stream->last = before - 1;
    if (stream->last > stream->delivered)
        stream->delivered = stream->last;
    // The first event heard of a publisher without marks: nobody knows what was before it, nor
    // whether that was owed.
    return !(is_hopeless(stream) && repair->fail_cause == TALUS__CAUSE_UNPROVEN &&
             action->after == 0);
}

// Gives the first held event, if it has its turn.
static bool give_held(struct talus__sequencer *sequencer, struct talus__repair *repair,
                      struct talus__action *action)
{
    const struct talus__held *held = repair->first;
    uint64_t last = repair->stream->last;

    if (!held || (held->seq > last && held->prev > last))
        return false;
    action->kind = held->seq <= last ? TALUS__ACTION_FORGET : TALUS__ACTION_DELIVER;
    action->held = talus__sequencer_pop(sequencer, repair);
    return true;
}

// Nothing is missing any more.
static void give_end(struct talus__sequencer *sequencer, struct talus__repair *repair,
                     struct talus__action *action)
{
    struct talus__stream *stream = repair->stream;

    if (stream->state == TALUS__STREAM_LOST) { // and then comes back for DONE
        action->kind = TALUS__ACTION_GAP;
        action->after = stream->last;
        action->before = 0;
        action->cause = TALUS__CAUSE_LOST;
        set_state(stream, TALUS__STREAM_ENDED);
        return;
    }
    action->kind = TALUS__ACTION_DONE;
    talus__sequencer_close(sequencer, repair);
}

// Something is missing, and nothing can be given. Returns whether there is an action.
static bool give_request(struct talus__sequencer *sequencer, struct talus__repair *repair,
                         struct talus__action *action)
{
    struct talus__stream *stream = repair->stream;

    if (is_hopeless(stream)) { // the gap before what is held, or up to what was sent
        tell_gap(sequencer, repair, (repair->first ? repair->first->prev : repair->target) + 1,
                 repair->fail_cause);
        return false;
    }
    clear_ready(sequencer, repair);
    action->kind = TALUS__ACTION_REQUEST;
    action->after = stream->last;
    return stream->state == TALUS__STREAM_MISSING;
}

// Gives the next action of a repair. False: there is none, or it is to be looked at once more.
static bool give(struct talus__sequencer *sequencer, struct talus__repair *repair,
                 struct talus__action *action)
{
    if (repair->blocker) { // until that is closed
        clear_ready(sequencer, repair);
        return false;
    }
    if (repair->gap_before > 0 && give_gap(repair, action))
        return true;
    if (give_held(sequencer, repair, action))
        return true;
    if (repair->gap_before > 0)
        return false;
    if (!is_whole(repair))
        return give_request(sequencer, repair, action);
    give_end(sequencer, repair, action);
    return true;
}

bool talus__sequencer_next(struct talus__sequencer *sequencer, struct talus__action *action)
{
    while (sequencer->ready) {
        struct talus__repair *repair = sequencer->ready;
        *action = (struct talus__action){.repair = repair, .stream = repair->stream};
        if (give(sequencer, repair, action))
            return true;
    }
    return false;
}
