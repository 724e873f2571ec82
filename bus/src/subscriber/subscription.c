// SPDX-License-Identifier: MIT
// Subscriptions and stream cursors.
//
// Invariants: `answered` counts the cursors with a baseline whose publisher may be gone meanwhile,
// so it is never less than the number of known publishers that answered. Cursors of publishers that
// are gone are dropped whenever the array would have to grow, so it never holds more than twice the
// publishers that can be known at once.
#include "bus/src/subscriber/subscription.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/codec/wire.h"

#define FIRST_CURSORS 2

void talus__subscriptions_init(struct talus__subscriptions *set)
{
    memset(set, 0, sizeof *set);
    tl_table_init(&set->table);
}

static void free_subscription(struct talus__subscription *subscription)
{
    free(subscription->cursors);
    free(subscription->since);
    free(subscription);
}

void talus__subscriptions_fini(struct talus__subscriptions *set)
{
    struct tl_node *node = tl_table_take_all(&set->table);

    while (node) {
        struct tl_node *next = node->next;
        free_subscription((struct talus__subscription *)node);
        node = next;
    }
    tl_table_fini(&set->table);
}

struct talus__subscription *talus__subscriptions_find(struct talus__subscriptions *set,
                                                      const char *name, size_t size)
{
    struct talus__subscription *subscription = set->recent;

    if (subscription && subscription->node.name_size == size &&
        memcmp(subscription->name, name, size) == 0)
        return subscription;
    subscription = (struct talus__subscription *)tl_table_find(&set->table, name, size);
    if (subscription)
        set->recent = subscription;
    return subscription;
}

struct talus__subscription *talus__subscriptions_add(struct talus__subscriptions *set,
                                                     const char *name, size_t size)
{
    struct talus__subscription *subscription = calloc(1, sizeof *subscription + size + 1);

    if (!subscription)
        return NULL;
    memcpy(subscription->name, name, size);
    subscription->node.name = subscription->name;
    subscription->node.name_size = size;
    tl_table_insert(&set->table, &subscription->node);
    if (strcmp(subscription->name, TALUS__EVERYTHING) == 0)
        set->everything = subscription;
    return subscription;
}

void talus__subscriptions_remove(struct talus__subscriptions *set,
                                 struct talus__subscription *subscription)
{
    talus__subscriptions_move(set, subscription, TALUS__LIST_NONE);
    tl_table_remove(&set->table, &subscription->node);
    if (set->recent == subscription)
        set->recent = NULL;
    if (set->everything == subscription)
        set->everything = NULL;
    free_subscription(subscription);
}

static void take_off_list(struct talus__subscriptions *set,
                          struct talus__subscription *subscription)
{
    struct talus__subscription_queue *queue = &set->lists[subscription->list];

    if (subscription->before)
        subscription->before->next = subscription->next;
    else
        queue->first = subscription->next;
    if (subscription->next)
        subscription->next->before = subscription->before;
    else
        queue->last = subscription->before;
    queue->count--;
    subscription->next = NULL;
    subscription->before = NULL;
}

void talus__subscriptions_move(struct talus__subscriptions *set,
                               struct talus__subscription *subscription,
                               enum talus__subscription_list list)
{
    if (subscription->list != TALUS__LIST_NONE)
        take_off_list(set, subscription);
    subscription->list = list;
    if (list == TALUS__LIST_NONE)
        return;
    struct talus__subscription_queue *queue = &set->lists[list];
    subscription->before = queue->last;
    if (queue->last)
        queue->last->next = subscription;
    else
        queue->first = subscription;
    queue->last = subscription;
    queue->count++;
}

// ---- Stream cursors

bool talus__stream_cursor_is_of(const struct talus__stream_cursor *cursor,
                                const struct talus__publishers *publishers, const char *origin)
{
    const struct talus__publisher *publisher = talus__publishers_at(publishers, cursor->publisher);

    if (publisher)
        return strcmp(publisher->name, origin) == 0;
    return cursor->name_hash == (uint32_t)tl_table_hash(origin, strlen(origin));
}

static bool is_same(struct talus__publisher_weak_ref one, struct talus__publisher_weak_ref other)
{
    return one.slot == other.slot && one.generation == other.generation;
}

struct talus__stream_cursor *talus__stream_cursor_find(struct talus__subscription *subscription,
                                                       struct talus__publisher_weak_ref publisher)
{
    if (subscription->recent < subscription->cursor_count &&
        is_same(subscription->cursors[subscription->recent].publisher, publisher))
        return &subscription->cursors[subscription->recent];
    for (uint32_t i = 0; i < subscription->cursor_count; i++) {
        if (is_same(subscription->cursors[i].publisher, publisher)) {
            subscription->recent = i;
            return &subscription->cursors[i];
        }
    }
    return NULL;
}

static void drop_gone(struct talus__subscription *subscription,
                      const struct talus__publishers *publishers)
{
    uint32_t kept = 0;

    subscription->answered = 0;
    for (uint32_t i = 0; i < subscription->cursor_count; i++) {
        if (!talus__publishers_at(publishers, subscription->cursors[i].publisher))
            continue; // it has no gap, which would keep the publisher
        subscription->answered += subscription->cursors[i].stream.has_baseline;
        subscription->cursors[kept++] = subscription->cursors[i];
    }
    subscription->cursor_count = kept;
}

// The cursors lie elsewhere now.
static void note_moved(struct talus__subscription *subscription)
{
    for (uint32_t i = 0; i < subscription->cursor_count; i++)
        talus__sequencer_moved(&subscription->cursors[i].stream);
}

static bool make_room(struct talus__subscription *subscription,
                      const struct talus__publishers *publishers)
{
    drop_gone(subscription, publishers);
    note_moved(subscription);
    // Half of it free: enough until the next time.
    if (subscription->cursor_count < subscription->cursor_capacity / 2)
        return true;
    uint32_t capacity =
        subscription->cursor_capacity ? subscription->cursor_capacity * 2 : FIRST_CURSORS;
    struct talus__stream_cursor *cursors =
        realloc(subscription->cursors, capacity * sizeof *cursors);
    if (!cursors)
        return subscription->cursor_count < subscription->cursor_capacity;
    subscription->cursors = cursors;
    subscription->cursor_capacity = capacity;
    note_moved(subscription);
    return true;
}

struct talus__stream_cursor *talus__stream_cursor_get(struct talus__subscription *subscription,
                                                      const struct talus__publishers *publishers,
                                                      struct talus__publisher_weak_ref publisher)
{
    struct talus__stream_cursor *cursor = talus__stream_cursor_find(subscription, publisher);

    if (cursor)
        return cursor;
    if (subscription->cursor_count == subscription->cursor_capacity &&
        !make_room(subscription, publishers))
        return NULL;
    subscription->recent = subscription->cursor_count++;
    cursor = &subscription->cursors[subscription->recent];
    const struct talus__publisher *named = talus__publishers_at(publishers, publisher);
    const struct talus__since_event *event =
        named ? talus__since_find(subscription->since, named->name) : NULL;
    *cursor =
        (struct talus__stream_cursor){.publisher = publisher,
                                      .stream.last = event ? event->seq : 0,
                                      .is_presence = named && talus__sends_presence_only(named),
                                      .name_hash = named ? (uint32_t)named->node.hash : 0};
    return cursor;
}

bool talus__subscription_is_answered(struct talus__subscription *subscription,
                                     const struct talus__publishers *publishers)
{
    if (subscription->answered < publishers->waited) // spares the walk for all but the last mark
        return false;
    for (size_t i = 0; i < publishers->slot_count; i++) {
        const struct talus__publisher *publisher = publishers->slots[i].publisher;
        if (!publisher || !publisher->standing.is_waited)
            continue;
        const struct talus__stream_cursor *cursor = talus__stream_cursor_find(
            subscription, talus__publisher_weak_ref_of(publishers, publisher));
        if (!cursor || !cursor->stream.has_baseline)
            return false;
    }
    return true;
}

bool talus__subscriptions_is_only_origin(struct talus__subscriptions *set,
                                         const struct talus__publishers *publishers,
                                         const char *session, const char *origin)
{
    struct talus__subscription *subscription =
        talus__subscriptions_find(set, session, strlen(session));

    if (!subscription || talus__subscription_is_left(subscription))
        return false;
    for (uint32_t i = 0; i < subscription->cursor_count; i++) {
        const struct talus__stream_cursor *cursor = &subscription->cursors[i];
        if (cursor->stream.last > 0 && !cursor->is_presence &&
            !talus__stream_cursor_is_of(cursor, publishers, origin))
            return false;
    }
    return true;
}

void talus__subscription_note(struct talus__subscription *subscription,
                              const struct talus__publisher *publisher, uint64_t seq)
{
    if (talus__sends_presence_only(publisher))
        return;
    memcpy(subscription->newest_origin, publisher->name, sizeof subscription->newest_origin);
    subscription->newest_seq = seq;
}
