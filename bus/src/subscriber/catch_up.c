// SPDX-License-Identifier: MIT
// Catching up.
#include "bus/src/subscriber/catch_up.h"

#include <stdlib.h>
#include <string.h>

static bool is_open(const struct talus__subscription *subscription)
{
    return subscription->since && !subscription->since->is_given_up && !subscription->is_live;
}

bool talus__catch_up_is_owed(const struct talus__subscription *subscription,
                             const struct talus__publisher *publisher)
{
    return is_open(subscription) && (!talus__sends_presence_only(publisher) ||
                                     talus__since_find(subscription->since, publisher->name));
}

bool talus__catch_up_is_unknown(const struct talus__subscription *subscription,
                                const struct talus__publisher *publisher,
                                const struct talus__stream *stream)
{
    return is_open(subscription) && !stream->has_baseline && stream->last == 0 &&
           !talus__since_find(subscription->since, publisher->name);
}

bool talus__catch_up_begin(const struct talus__subscription *subscription,
                           const struct talus__publisher *publisher, struct talus__stream *stream,
                           uint64_t newest)
{
    const struct talus__since_event *event =
        talus__since_find(subscription->since, publisher->name);

    // Whoever has an event had it before the publisher answered, and what it sends to the session
    // goes in the order of seq: so there is none of the session between the two.
    if (!event || stream->has_baseline || stream->last != event->seq || newest > stream->last)
        return false;
    stream->last = newest;
    return true;
}

// ---- What is due before LIVE

// The cursor of a publisher, which may be gone. NULL: there is none.
static struct talus__stream_cursor *cursor_of(const struct talus__core *core,
                                              struct talus__subscription *subscription,
                                              const char *origin)
{
    for (uint32_t i = 0; i < subscription->cursor_count; i++) {
        if (talus__stream_cursor_is_of(&subscription->cursors[i], &core->publishers, origin))
            return &subscription->cursors[i];
    }
    return NULL;
}

static bool is_due(const struct talus__core *core, const struct talus__subscription *subscription,
                   const struct talus__stream_cursor *cursor)
{
    const struct talus__stream *stream = &cursor->stream;

    if (!stream->repair)
        return false;
    const struct talus__publisher *publisher =
        talus__publishers_at(&core->publishers, cursor->publisher);
    const struct talus__since_event *event =
        publisher ? talus__since_find(subscription->since, publisher->name) : NULL;
    return event ? stream->last < event->due : stream->state == TALUS__STREAM_FAILED;
}

static bool is_any_due(const struct talus__core *core,
                       const struct talus__subscription *subscription)
{
    for (uint32_t i = 0; i < subscription->cursor_count; i++) {
        if (is_due(core, subscription, &subscription->cursors[i]))
            return true;
    }
    return false;
}

bool talus__catch_up_decide_live(struct talus__core *core, struct talus__subscription *subscription)
{
    struct talus__since *since = subscription->since;

    for (size_t i = 0; since && i < since->count; i++) {
        const struct talus__stream_cursor *cursor =
            cursor_of(core, subscription, since->events[i].origin);
        if (cursor && cursor->stream.repair)
            since->events[i].due = cursor->stream.repair->target;
    }
    return !since || !is_any_due(core, subscription);
}

void talus__catch_up_check_due(struct talus__core *core, struct talus__subscription *subscription)
{
    if (is_any_due(core, subscription))
        return;
    talus__subscriptions_move(&core->subscriptions, subscription, TALUS__LIST_ANNOUNCE);
    talus__wake_set(&core->wake);
}

// ---- Publishers that are not here

// Whether the session's stream of a publisher goes on after the owner's event, now or when the
// publisher answers; and if it is lost, that is told.
static bool goes_on(struct talus__core *core, struct talus__subscription *subscription,
                    const struct talus__since_event *event)
{
    const struct talus__stream_cursor *cursor = cursor_of(core, subscription, event->origin);

    if (cursor && (cursor->stream.has_baseline || cursor->stream.last > event->seq))
        return true;
    const struct talus__publisher *publisher =
        talus__publishers_find(&core->publishers, event->origin, strlen(event->origin));
    if (!publisher)
        return false;
    if (publisher->is_ignored)
        return true;
    // One without an event is not told as lost, as it may have sent nothing.
    return !publisher->standing.is_missed && !publisher->is_dead && event->seq > 0 &&
           talus__stream_cursor_get(subscription, &core->publishers,
                                    talus__publisher_weak_ref_of(&core->publishers, publisher));
}

bool talus__catch_up_take_gap(struct talus__core *core, struct talus__subscription *subscription)
{
    struct talus__since *since = subscription->since;

    for (size_t i = 0; since && i < since->count; i++) {
        struct talus__since_event *event = &since->events[i];
        if (event->is_told)
            continue;
        event->is_told = true;
        if (!since->is_given_up && goes_on(core, subscription, event))
            continue;
        talus__delivery_gap(&core->delivery, subscription->name, event->origin, event->seq, 0,
                            since->is_given_up ? TALUS_GAP_UNKNOWN : TALUS_GAP_ORIGIN_LOST);
        return true;
    }
    return false;
}

uint64_t talus__catch_up_newest(const struct talus__core *core,
                                struct talus__subscription *subscription)
{
    const struct talus__stream_cursor *cursor =
        subscription->since ? cursor_of(core, subscription, subscription->newest_origin) : NULL;

    if (cursor && cursor->stream.last < subscription->newest_seq)
        return cursor->stream.last;
    return subscription->newest_seq;
}

// ---- The end

static void give_up_list(struct talus__subscriptions *set, enum talus__subscription_list list)
{
    for (struct talus__subscription *subscription = set->lists[list].first; subscription;
         subscription = subscription->next) {
        if (subscription->since)
            subscription->since->is_given_up = true;
    }
}

void talus__catch_up_give_up(struct talus__core *core)
{
    struct talus__subscriptions *set = &core->subscriptions;
    const struct talus__subscription_queue *catching_up = &set->lists[TALUS__LIST_CATCHING_UP];

    give_up_list(set, TALUS__LIST_PENDING);
    give_up_list(set, TALUS__LIST_REQUESTED);
    give_up_list(set, TALUS__LIST_CATCHING_UP);
    while (catching_up->first)
        talus__subscriptions_move(set, catching_up->first, TALUS__LIST_ANNOUNCE);
    talus__wake_set(&core->wake);
}

void talus__catch_up_leave(struct talus__subscription *subscription)
{
    for (uint32_t i = 0; subscription->since && i < subscription->cursor_count; i++) {
        struct talus__stream *stream = &subscription->cursors[i].stream;
        if (!stream->has_baseline && stream->delivered == 0)
            stream->last = 0; // the owner's event, which may be none
    }
    free(subscription->since);
    subscription->since = NULL;
}
