// SPDX-License-Identifier: MIT
// Healing.
#include "bus/src/subscriber/heal.h"

#include <stdlib.h>
#include <string.h>

#include "bus/src/base/log.h"
#include "bus/src/base/probes.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/order.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/zmq_handover.h"

#define LOST_ASK_MS 100 // before a request is tried again that could not be made

struct talus__position *talus__heal_position(talus_subscriber_t *subscriber,
                                             const struct talus__heal *heal)
{
    return talus__position_find(heal->joined,
                                talus__origin_refer(&subscriber->origins, heal->origin));
}

static void tend_by(talus_subscriber_t *subscriber, long long at)
{
    struct talus__heals *heals = &subscriber->heals;

    if (heals->tend_at == 0 || at < heals->tend_at)
        heals->tend_at = at;
}

static void set_due(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    struct talus__heals *heals = &subscriber->heals;

    if (heal->is_due)
        return;
    heal->is_due = true;
    heal->due_next = NULL;
    if (heals->due_last)
        heals->due_last->due_next = heal;
    else
        heals->due = heal;
    heals->due_last = heal;
    talus__raise(subscriber);
}

// ---- Beginning

static void log_hole(talus_subscriber_t *subscriber, const struct talus__heal *heal, uint64_t after)
{
    unsigned long long held_back;

    subscriber->stats.holes++;
    if (talus__may_log(&subscriber->hole_gate, &held_back))
        talus__log(TALUS_LOG_INFO,
                   "session '%s' misses events of %s after %llu up to %llu (and %llu more holes)",
                   heal->joined->name, heal->origin->name, (unsigned long long)after,
                   (unsigned long long)heal->target, held_back);
}

static struct talus__heal *add_heal(talus_subscriber_t *subscriber, struct talus__joined *joined,
                                    struct talus__origin *origin, uint64_t target)
{
    struct talus__heals *heals = &subscriber->heals;
    struct talus__heal *heal = calloc(1, sizeof *heal);

    if (!heal)
        return NULL;
    heal->joined = joined;
    heal->origin = origin;
    heal->target = target;
    heal->next = heals->first;
    if (heals->first)
        heals->first->before = heal;
    heals->first = heal;
    talus__origin_pin(&subscriber->origins, origin);
    return heal;
}

// Decides what is to be done, as far as it is known by now.
static void proceed(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    const struct talus__origin *origin = heal->origin;

    heal->deadline = 0;
    if (origin->is_lost) {
        talus__heal_fail(subscriber, heal, TALUS_GAP_ORIGIN_LOST);
    } else if (origin->replay) {
        talus__heal_ask(subscriber, heal);
    } else if (origin->speaks_heads) {
        talus__heal_fail(subscriber, heal, TALUS_GAP_HISTORY); // it offers none
    } else if (origin->is_plain) {
        heal->is_plain = true;
        talus__heal_fail(subscriber, heal, TALUS_GAP_HISTORY);
    } else {
        heal->deadline = talus__monotonic_ms() + subscriber->heals.head_wait_ms;
        tend_by(subscriber, heal->deadline);
    }
}

struct talus__heal *talus__heal_open(talus_subscriber_t *subscriber, struct talus__joined *joined,
                                     struct talus__origin *origin, uint64_t target)
{
    struct talus__position *position =
        talus__position_find(joined, talus__origin_refer(&subscriber->origins, origin));

    if (position->heal) {
        if (target > position->heal->target)
            position->heal->target = target;
        return position->heal;
    }
    struct talus__heal *heal = add_heal(subscriber, joined, origin, target);
    if (!heal) {
        talus__log(TALUS_LOG_ERROR, "out of memory: session '%s' misses events of %s for now",
                   joined->name, origin->name);
        return NULL;
    }
    position->heal = heal;
    TALUS__PROBE4(gap_opened, joined->name, origin->name, position->last, target);
    if (target > position->last && (origin->speaks_heads || position->last > 0))
        log_hole(subscriber, heal, position->last);
    proceed(subscriber, heal);
    return heal;
}

void talus__heal_ask(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    const struct talus__position *position = talus__heal_position(subscriber, heal);

    if (heal->ask || heal->is_failed || !heal->origin->replay)
        return;
    if (heal->origin->is_lost) {
        talus__heal_fail(subscriber, heal, TALUS_GAP_ORIGIN_LOST);
        return;
    }
    struct talus__ask *ask = talus__ask_new(TALUS__ASK_HEAL, heal->joined->name, position->last);
    if (ask) {
        ask->heal = heal;
        if (talus__askers_ask(&subscriber->askers, heal->origin, ask) != 0)
            ask = NULL;
    }
    heal->ask = ask;
    heal->deadline = 0;
    if (ask)
        return;
    heal->deadline = talus__monotonic_ms() + LOST_ASK_MS; // too many, or no memory: later
    tend_by(subscriber, heal->deadline);
}

// ---- Holding

static void drop_held(talus_subscriber_t *subscriber, struct talus__held *held)
{
    subscriber->heals.held_events--;
    subscriber->heals.held_bytes -= held->bytes;
    talus__zmq_release(zmq_msg_data(&held->body));
    zmq_msg_close(&held->topic);
    zmq_msg_close(&held->body);
    free(held);
}

static struct talus__held *make_held(talus_subscriber_t *subscriber, uint64_t seq, uint64_t prev)
{
    struct talus__heals *heals = &subscriber->heals;
    size_t bytes = zmq_msg_size(&subscriber->topic) + zmq_msg_size(&subscriber->body) +
                   sizeof(struct talus__held);

    if (heals->held_events >= heals->max_events || heals->held_bytes + bytes > heals->max_bytes)
        return NULL;
    struct talus__held *held = malloc(sizeof *held);
    if (!held)
        return NULL;
    *held = (struct talus__held){.seq = seq, .prev = prev, .bytes = bytes};
    zmq_msg_init(&held->topic);
    zmq_msg_init(&held->body);
    talus__frame_keep(&held->topic, &subscriber->topic);
    talus__frame_keep(&held->body, &subscriber->body);
    heals->held_events++;
    heals->held_bytes += bytes;
    return held;
}

void talus__heal_hold(talus_subscriber_t *subscriber, struct talus__heal *heal, uint64_t seq,
                      uint64_t prev)
{
    struct talus__held **link = &heal->first;

    if (heal->last && heal->last->seq < seq)
        link = &heal->last->next;
    while (*link && (*link)->seq < seq)
        link = &(*link)->next;
    if (*link && (*link)->seq == seq)
        return;
    struct talus__held *held = make_held(subscriber, seq, prev);
    if (!held) {
        // Whoever comes now is after a hole again, so that this one is asked for in its turn.
        if (seq > heal->target)
            heal->target = seq;
        return;
    }
    held->next = *link;
    *link = held;
    if (!held->next)
        heal->last = held;
}

static struct talus__held *pop_held(struct talus__heal *heal)
{
    struct talus__held *held = heal->first;

    heal->first = held->next;
    if (!heal->first)
        heal->last = NULL;
    return held;
}

// ---- Ending

static void take_off_due(struct talus__heals *heals, struct talus__heal *heal)
{
    struct talus__heal **link = &heals->due;
    struct talus__heal *before = NULL;

    if (!heal->is_due)
        return;
    while (*link != heal) {
        before = *link;
        link = &before->due_next;
    }
    *link = heal->due_next;
    if (heals->due_last == heal)
        heals->due_last = before;
    heal->is_due = false;
}

void talus__heal_close(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    struct talus__heals *heals = &subscriber->heals;
    struct talus__origin *origin = heal->origin;
    struct talus__position *position = talus__heal_position(subscriber, heal);

    TALUS__PROBE4(gap_closed, heal->joined->name, origin->name, heal->target, heal->is_failed);
    take_off_due(heals, heal);
    if (heal->before)
        heal->before->next = heal->next;
    else
        heals->first = heal->next;
    if (heal->next)
        heal->next->before = heal->before;
    if (heal->ask)
        heal->ask->heal = NULL;
    while (heal->first)
        drop_held(subscriber, pop_held(heal));
    if (position)
        position->heal = NULL;
    free(heal);
    talus__origin_unpin(&subscriber->origins, origin);
}

void talus__heals_close(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    for (uint32_t i = 0; i < joined->position_count; i++) {
        if (joined->positions[i].heal)
            talus__heal_close(subscriber, joined->positions[i].heal);
    }
}

void talus__heals_fini(struct talus__heals *heals)
{
    while (heals->first) {
        struct talus__heal *heal = heals->first;
        heals->first = heal->next;
        while (heal->first) {
            struct talus__held *held = pop_held(heal);
            talus__zmq_release(zmq_msg_data(&held->body));
            zmq_msg_close(&held->topic);
            zmq_msg_close(&held->body);
            free(held);
        }
        free(heal);
    }
}

// ---- What becomes known

void talus__heal_tell(talus_subscriber_t *subscriber, struct talus__heal *heal, uint64_t first,
                      talus_gap_reason_t reason)
{
    if (heal->has_gap && first <= heal->gap_first)
        return;
    heal->has_gap = true;
    heal->gap_first = first;
    heal->gap_reason = reason;
    set_due(subscriber, heal);
}

void talus__heal_fail(talus_subscriber_t *subscriber, struct talus__heal *heal,
                      talus_gap_reason_t reason)
{
    if (!heal->is_failed)
        heal->reason = reason;
    heal->is_failed = true;
    heal->deadline = 0;
    set_due(subscriber, heal);
}

void talus__heal_lose(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    heal->is_lost = true;
    talus__heal_fail(subscriber, heal, TALUS_GAP_ORIGIN_LOST);
}

void talus__heal_advanced(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    const struct talus__position *position = talus__heal_position(subscriber, heal);

    if (heal->is_due)
        return;
    if (heal->first ? heal->first->prev <= position->last : position->last >= heal->target)
        set_due(subscriber, heal);
}

void talus__heals_hear(talus_subscriber_t *subscriber, const struct talus__origin *origin)
{
    for (struct talus__heal *heal = subscriber->heals.first; heal; heal = heal->next) {
        if (heal->origin == origin && heal->deadline != 0)
            proceed(subscriber, heal);
    }
}

// Whether the inbox has lately dropped something. Noticed late, it counts as late.
static bool has_dropped(talus_subscriber_t *subscriber, long long now)
{
    struct talus__heals *heals = &subscriber->heals;
    uint64_t dropped = atomic_load_explicit(&subscriber->bound.dropped, memory_order_relaxed);

    if (dropped != heals->dropped) {
        heals->dropped = dropped;
        heals->trusted_at = now + subscriber->options.heal_timeout_ms;
    }
    return now < heals->trusted_at;
}

// The markers of the origin may be among what was dropped. If none comes, what is missing is told,
// as of a broadcaster that offers no history.
static void wait_longer(talus_subscriber_t *subscriber, struct talus__heal *heal, long long now)
{
    if (heal->give_up_at == 0)
        heal->give_up_at = now + subscriber->options.heal_timeout_ms;
    heal->deadline = heal->give_up_at;
    if (now < heal->give_up_at)
        tend_by(subscriber, heal->deadline);
    else
        talus__heal_fail(subscriber, heal, TALUS_GAP_HISTORY);
}

void talus__heals_tend(talus_subscriber_t *subscriber, long long now)
{
    struct talus__heals *heals = &subscriber->heals;

    if (heals->tend_at == 0 || now < heals->tend_at)
        return;
    heals->tend_at = 0;
    for (struct talus__heal *heal = heals->first; heal; heal = heal->next) {
        if (heal->deadline == 0)
            continue;
        if (now < heal->deadline) {
            tend_by(subscriber, heal->deadline);
            continue;
        }
        bool is_waiting = heal->give_up_at != 0 || has_dropped(subscriber, now);
        if (is_waiting && !heal->origin->speaks_heads) {
            wait_longer(subscriber, heal, now);
            continue;
        }
        if (!heal->origin->speaks_heads)
            heal->origin->is_plain = true; // none came in its time
        proceed(subscriber, heal);
    }
}

// ---- Giving

// The gap before what is held, or up to what is known to have been sent, for which it is no use to
// ask. False: nothing is missing any more.
static bool conclude(struct talus__heal *heal, const struct talus__position *position)
{
    uint64_t first = heal->first ? heal->first->prev + 1 : heal->target + 1;

    if (first <= position->last + 1)
        return false;
    heal->has_gap = true;
    heal->gap_first = first;
    heal->gap_reason = heal->reason;
    return true;
}

// Gives the gap that is to be told. False: it was closed meanwhile, or is none.
static bool give_gap(talus_subscriber_t *subscriber, struct talus__heal *heal,
                     struct talus__position *position)
{
    uint64_t after = position->last;

    heal->has_gap = false;
    if (heal->gap_first <= after + 1)
        return false;
    position->last = heal->gap_first - 1;
    // A plain publisher's first event that was heard: nobody can say what was before it, nor
    // whether it was owed.
    if (heal->is_plain && after == 0)
        return false;
    talus__set_gap(subscriber, heal->joined->name, heal->origin->name, after, heal->gap_first,
                   heal->gap_reason);
    return true;
}

// Gives the first of what is held, if it is its turn. False: the caller gets nothing by it.
static bool give_held(talus_subscriber_t *subscriber, struct talus__heal *heal)
{
    struct talus__held *held = pop_held(heal);

    talus__zmq_release(zmq_msg_data(&subscriber->body));
    zmq_msg_move(&subscriber->topic, &held->topic);
    zmq_msg_move(&subscriber->body, &held->body);
    drop_held(subscriber, held);
    return talus__order_release(subscriber, heal) == TALUS__INTAKE_EVENT;
}

// Nothing more can be given now. Returns whether something can after all.
static bool settle(talus_subscriber_t *subscriber, struct talus__heal *heal,
                   struct talus__position *position)
{
    bool is_whole = !heal->first && position->last >= heal->target;

    if (!is_whole && heal->is_failed)
        return conclude(heal, position);
    if (!is_whole) {
        take_off_due(&subscriber->heals, heal);
        if (!heal->ask && heal->deadline == 0)
            proceed(subscriber, heal);
        return heal->is_due;
    }
    if (heal->is_lost && !heal->origin->has_bye) {
        heal->is_lost = false;
        position->is_over = true;
        talus__set_gap(subscriber, heal->joined->name, heal->origin->name, position->last, 0,
                       TALUS_GAP_ORIGIN_LOST);
        return true;
    }
    talus__heal_close(subscriber, heal);
    return false;
}

bool talus__heal_take(talus_subscriber_t *subscriber)
{
    struct talus__heals *heals = &subscriber->heals;

    while (heals->due) {
        struct talus__heal *heal = heals->due;
        struct talus__position *position = talus__heal_position(subscriber, heal);
        if (heal->has_gap) {
            if (give_gap(subscriber, heal, position))
                return true;
            continue;
        }
        while (heal->first && heal->first->seq <= position->last)
            drop_held(subscriber, pop_held(heal));
        if (heal->first && heal->first->prev <= position->last) {
            if (give_held(subscriber, heal))
                return true;
            continue;
        }
        bool was_lost = heal->is_lost;
        if (settle(subscriber, heal, position) && was_lost && !heal->is_lost)
            return true; // the last gap was set
    }
    return false;
}
