// SPDX-License-Identifier: MIT
// Catching up.
#include "bus/src/subscriber/catch_up.h"

#include <stdlib.h>
#include <string.h>

static bool is_open(const struct talus__joined *joined)
{
    return joined->since && !joined->since->is_given_up && !joined->is_live;
}

bool talus__catch_up_is_owed(const struct talus__joined *joined, const struct talus__origin *origin)
{
    return is_open(joined) &&
           (!talus__sends_presence_only(origin) || talus__since_find(joined->since, origin->name));
}

bool talus__catch_up_is_unknown(const struct talus__joined *joined,
                                const struct talus__origin *origin,
                                const struct talus__stream *stream)
{
    return is_open(joined) && !stream->has_baseline && stream->last == 0 &&
           !talus__since_find(joined->since, origin->name);
}

bool talus__catch_up_begin(const struct talus__joined *joined, const struct talus__origin *origin,
                           struct talus__stream *stream, uint64_t newest)
{
    const struct talus__since_event *event = talus__since_find(joined->since, origin->name);

    // Whoever has an event had it before the publisher answered, and what it sends to the session
    // goes in the order of seq: so there is none of the session between the two.
    if (!event || stream->has_baseline || stream->last != event->seq || newest > stream->last)
        return false;
    stream->last = newest;
    return true;
}

// ---- What is due before LIVE

// The cursor of a publisher, which may be gone. NULL: there is none.
static struct talus__cursor *cursor_of(struct talus__joined *joined, const char *origin)
{
    for (uint32_t i = 0; i < joined->cursor_count; i++) {
        if (talus__cursor_is_of(&joined->cursors[i], origin))
            return &joined->cursors[i];
    }
    return NULL;
}

static bool is_due(const struct talus__core *core, const struct talus__joined *joined,
                   const struct talus__cursor *cursor)
{
    const struct talus__stream *stream = &cursor->stream;

    if (!stream->repair)
        return false;
    const struct talus__origin *origin = talus__origins_at(&core->origins, cursor->origin);
    const struct talus__since_event *event =
        origin ? talus__since_find(joined->since, origin->name) : NULL;
    return event ? stream->last < event->due : stream->state == TALUS__STREAM_FAILED;
}

static bool is_any_due(const struct talus__core *core, const struct talus__joined *joined)
{
    for (uint32_t i = 0; i < joined->cursor_count; i++) {
        if (is_due(core, joined, &joined->cursors[i]))
            return true;
    }
    return false;
}

bool talus__catch_up_settle(struct talus__core *core, struct talus__joined *joined)
{
    struct talus__since *since = joined->since;

    for (size_t i = 0; since && i < since->count; i++) {
        const struct talus__cursor *cursor = cursor_of(joined, since->events[i].origin);
        if (cursor && cursor->stream.repair)
            since->events[i].due = cursor->stream.repair->target;
    }
    return !since || !is_any_due(core, joined);
}

void talus__catch_up_check_due(struct talus__core *core, struct talus__joined *joined)
{
    if (is_any_due(core, joined))
        return;
    talus__joined_move(&core->joined, joined, TALUS__LIST_ANNOUNCE);
    talus__wake_set(&core->wake);
}

// ---- Publishers that are not here

// Whether the session's stream of a publisher goes on after the owner's event, now or when the
// publisher answers; and if it is lost, that is told.
static bool goes_on(struct talus__core *core, struct talus__joined *joined,
                    const struct talus__since_event *event)
{
    const struct talus__cursor *cursor = cursor_of(joined, event->origin);

    if (cursor && (cursor->stream.has_baseline || cursor->stream.last > event->seq))
        return true;
    const struct talus__origin *origin =
        talus__origins_find(&core->origins, event->origin, strlen(event->origin));
    if (!origin)
        return false;
    if (origin->is_ignored)
        return true;
    // One without an event is not told as lost, as it may have sent nothing.
    return !origin->is_departing && !origin->is_lost && !origin->is_dead && event->seq > 0 &&
           talus__cursor_get(joined, &core->origins, talus__origin_refer(&core->origins, origin));
}

bool talus__catch_up_take_gap(struct talus__core *core, struct talus__joined *joined)
{
    struct talus__since *since = joined->since;

    for (size_t i = 0; since && i < since->count; i++) {
        struct talus__since_event *event = &since->events[i];
        if (event->is_told)
            continue;
        event->is_told = true;
        if (!since->is_given_up && goes_on(core, joined, event))
            continue;
        talus__delivery_gap(&core->delivery, joined->name, event->origin, event->seq, 0,
                            since->is_given_up ? TALUS_GAP_UNKNOWN : TALUS_GAP_ORIGIN_LOST);
        return true;
    }
    return false;
}

uint64_t talus__catch_up_newest(struct talus__joined *joined)
{
    const struct talus__cursor *cursor =
        joined->since ? cursor_of(joined, joined->newest_origin) : NULL;

    if (cursor && cursor->stream.last < joined->newest_seq)
        return cursor->stream.last;
    return joined->newest_seq;
}

// ---- The end

static void give_up_list(struct talus__joined_set *set, enum talus__joined_list list)
{
    for (struct talus__joined *joined = set->lists[list].first; joined; joined = joined->next) {
        if (joined->since)
            joined->since->is_given_up = true;
    }
}

void talus__catch_up_give_up(struct talus__joined_set *set)
{
    give_up_list(set, TALUS__LIST_PENDING);
    give_up_list(set, TALUS__LIST_ASKED);
}

void talus__catch_up_leave(struct talus__joined *joined)
{
    for (uint32_t i = 0; joined->since && i < joined->cursor_count; i++) {
        struct talus__stream *stream = &joined->cursors[i].stream;
        if (!stream->has_baseline && stream->delivered == 0)
            stream->last = 0; // the owner's event, which may be none
    }
    free(joined->since);
    joined->since = NULL;
}
