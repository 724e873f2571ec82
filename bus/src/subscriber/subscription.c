// SPDX-License-Identifier: MIT
// Subscriptions and stream cursors.
//
// Invariants: `answered` counts the cursors with a baseline whose origin may be gone meanwhile,
// so it is never less than the number of known origins that answered. Cursors of origins that are
// gone are dropped whenever the array would have to grow, so it never holds more than twice the
// origins that can be known at once.
#include "bus/src/subscriber/subscription.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/ledger.h"
#include "bus/src/codec/wire.h"

#define FIRST_CURSORS 2

void talus__joined_init(struct talus__joined_set *set)
{
    memset(set, 0, sizeof *set);
    tl_table_init(&set->table);
}

static void free_joined(struct talus__joined *joined)
{
    free(joined->cursors);
    free(joined);
}

void talus__joined_fini(struct talus__joined_set *set)
{
    struct tl_node *node = tl_table_take_all(&set->table);

    while (node) {
        struct tl_node *next = node->next;
        free_joined((struct talus__joined *)node);
        node = next;
    }
    tl_table_fini(&set->table);
}

struct talus__joined *talus__joined_find(struct talus__joined_set *set, const char *name,
                                         size_t size)
{
    struct talus__joined *joined = set->recent;

    if (joined && joined->node.name_size == size && memcmp(joined->name, name, size) == 0)
        return joined;
    joined = (struct talus__joined *)tl_table_find(&set->table, name, size);
    if (joined)
        set->recent = joined;
    return joined;
}

struct talus__joined *talus__joined_add(struct talus__joined_set *set, const char *name,
                                        size_t size)
{
    struct talus__joined *joined = calloc(1, sizeof *joined + size + 1);

    if (!joined)
        return NULL;
    memcpy(joined->name, name, size);
    joined->node.name = joined->name;
    joined->node.name_size = size;
    tl_table_insert(&set->table, &joined->node);
    if (strcmp(joined->name, TALUS__EVERYTHING) == 0)
        set->everything = joined;
    return joined;
}

void talus__joined_remove(struct talus__joined_set *set, struct talus__joined *joined)
{
    talus__joined_move(set, joined, TALUS__LIST_NONE);
    tl_table_remove(&set->table, &joined->node);
    if (set->recent == joined)
        set->recent = NULL;
    if (set->everything == joined)
        set->everything = NULL;
    free_joined(joined);
}

static void take_off_list(struct talus__joined_set *set, struct talus__joined *joined)
{
    struct talus__joined_queue *queue = &set->lists[joined->list];

    if (joined->before)
        joined->before->next = joined->next;
    else
        queue->first = joined->next;
    if (joined->next)
        joined->next->before = joined->before;
    else
        queue->last = joined->before;
    queue->count--;
    joined->next = NULL;
    joined->before = NULL;
}

void talus__joined_move(struct talus__joined_set *set, struct talus__joined *joined,
                        enum talus__joined_list list)
{
    if (joined->list != TALUS__LIST_NONE)
        take_off_list(set, joined);
    joined->list = list;
    if (list == TALUS__LIST_NONE)
        return;
    struct talus__joined_queue *queue = &set->lists[list];
    joined->before = queue->last;
    if (queue->last)
        queue->last->next = joined;
    else
        queue->first = joined;
    queue->last = joined;
    queue->count++;
}

// ---- Stream cursors

static uint32_t hash_name(const char *origin)
{
    return (uint32_t)talus__ledger_hash(0, origin, strlen(origin));
}

bool talus__cursor_is_of(const struct talus__cursor *cursor, const char *origin)
{
    return cursor->name_hash == hash_name(origin);
}

static bool is_same(struct talus__origin_ref one, struct talus__origin_ref other)
{
    return one.slot == other.slot && one.generation == other.generation;
}

struct talus__cursor *talus__cursor_find(struct talus__joined *joined,
                                         struct talus__origin_ref origin)
{
    if (joined->recent < joined->cursor_count &&
        is_same(joined->cursors[joined->recent].origin, origin))
        return &joined->cursors[joined->recent];
    for (uint32_t i = 0; i < joined->cursor_count; i++) {
        if (is_same(joined->cursors[i].origin, origin)) {
            joined->recent = i;
            return &joined->cursors[i];
        }
    }
    return NULL;
}

static void drop_gone(struct talus__joined *joined, const struct talus__origins *origins)
{
    uint32_t kept = 0;

    joined->answered = 0;
    for (uint32_t i = 0; i < joined->cursor_count; i++) {
        if (!talus__origins_at(origins, joined->cursors[i].origin))
            continue; // it has no gap, which would keep the publisher
        joined->answered += joined->cursors[i].stream.has_baseline;
        joined->cursors[kept++] = joined->cursors[i];
    }
    joined->cursor_count = kept;
}

// The cursors lie elsewhere now.
static void note_moved(struct talus__joined *joined)
{
    for (uint32_t i = 0; i < joined->cursor_count; i++)
        talus__sequencer_moved(&joined->cursors[i].stream);
}

static bool make_room(struct talus__joined *joined, const struct talus__origins *origins)
{
    drop_gone(joined, origins);
    note_moved(joined);
    // Half of it free: enough until the next time.
    if (joined->cursor_count < joined->cursor_capacity / 2)
        return true;
    uint32_t capacity = joined->cursor_capacity ? joined->cursor_capacity * 2 : FIRST_CURSORS;
    struct talus__cursor *cursors = realloc(joined->cursors, capacity * sizeof *cursors);
    if (!cursors)
        return joined->cursor_count < joined->cursor_capacity;
    joined->cursors = cursors;
    joined->cursor_capacity = capacity;
    note_moved(joined);
    return true;
}

struct talus__cursor *talus__cursor_get(struct talus__joined *joined,
                                        const struct talus__origins *origins,
                                        struct talus__origin_ref origin)
{
    struct talus__cursor *cursor = talus__cursor_find(joined, origin);

    if (cursor)
        return cursor;
    if (joined->cursor_count == joined->cursor_capacity && !make_room(joined, origins))
        return NULL;
    joined->recent = joined->cursor_count++;
    cursor = &joined->cursors[joined->recent];
    const struct talus__origin *named = talus__origins_at(origins, origin);
    *cursor = (struct talus__cursor){.origin = origin,
                                     .is_presence = named && talus__sends_presence_only(named),
                                     .name_hash = named ? hash_name(named->name) : 0};
    return cursor;
}

bool talus__joined_is_answered(struct talus__joined *joined, const struct talus__origins *origins)
{
    if (joined->answered < origins->waited) // spares the walk for all but the last head
        return false;
    for (size_t i = 0; i < origins->slot_count; i++) {
        const struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !origin->is_waited)
            continue;
        const struct talus__cursor *cursor =
            talus__cursor_find(joined, talus__origin_refer(origins, origin));
        if (!cursor || !cursor->stream.has_baseline)
            return false;
    }
    return true;
}

bool talus__joined_is_only_origin(struct talus__joined_set *set, const char *session,
                                  const char *origin)
{
    struct talus__joined *joined = talus__joined_find(set, session, strlen(session));

    if (!joined || talus__joined_is_left(joined))
        return false;
    for (uint32_t i = 0; i < joined->cursor_count; i++) {
        const struct talus__cursor *cursor = &joined->cursors[i];
        if (cursor->stream.last > 0 && !cursor->is_presence && !talus__cursor_is_of(cursor, origin))
            return false;
    }
    return true;
}

void talus__joined_note(struct talus__joined *joined, const struct talus__origin *origin,
                        uint64_t seq)
{
    if (talus__sends_presence_only(origin))
        return;
    memcpy(joined->newest_origin, origin->name, sizeof joined->newest_origin);
    joined->newest_seq = seq;
}
