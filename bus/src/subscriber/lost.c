// SPDX-License-Identifier: MIT
// Broadcasters that are gone.
#include "lost.h"

#include "heal.h"
#include "log.h"

#define DEAD_MS 500 // for what a dead one had sent to arrive

static long long due_of(const talus_subscriber_t *subscriber, const struct talus__origin *origin)
{
    bool is_sure = (origin->was_listed && origin->listed == 0) || origin->has_bye;
    return origin->departed_at + (is_sure ? DEAD_MS : subscriber->options.origin_timeout_ms);
}

static void lose_position(talus_subscriber_t *subscriber, struct talus__joined *joined,
                          struct talus__origin *origin)
{
    struct talus__origin_ref ref = talus__origin_refer(&subscriber->origins, origin);
    struct talus__position *position = talus__position_find(joined, ref);

    // One that was never heard came when the session was live: what it emitted was owed.
    if (!position && joined->is_live && origin->was_listed && !origin->has_bye)
        position = talus__position_get(joined, &subscriber->origins, ref);
    else if (position && !position->has_baseline && position->last == 0 && !joined->is_live)
        return;
    if (!position)
        return;
    if (origin->has_bye) {
        if (position->heal)
            talus__heal_fail(subscriber, position->heal, TALUS_GAP_ORIGIN_LOST);
        return;
    }
    struct talus__heal *heal = talus__heal_open(subscriber, joined, origin, position->last);
    if (heal)
        talus__heal_lose(subscriber, heal);
}

static bool is_judge(const talus_subscriber_t *subscriber, struct talus__origin *origin,
                     struct talus__joined *joined)
{
    if (!joined || talus__joined_is_left(joined))
        return false;
    const struct talus__position *position =
        talus__position_find(joined, talus__origin_refer(&subscriber->origins, origin));
    return position && position->has_baseline;
}

static void lose(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    struct talus__joined_set *set = &subscriber->joined;
    struct talus__joined *everything = set->everything;

    talus__log(TALUS_LOG_INFO, "broadcaster %s is gone%s", origin->name,
               origin->has_bye ? "" : " without a word");
    talus__origin_pin(&subscriber->origins, origin);
    talus__askers_give_up(&subscriber->askers, origin);
    if (is_judge(subscriber, origin, everything)) {
        lose_position(subscriber, everything, origin);
    } else {
        for (size_t i = 0; i <= set->table.mask; i++) {
            for (struct talus__node *node = set->table.buckets[i]; node; node = node->next) {
                struct talus__joined *joined = (struct talus__joined *)node;
                if (!talus__joined_is_left(joined))
                    lose_position(subscriber, joined, origin);
            }
        }
    }
    talus__origin_depart(&subscriber->origins, origin);
    talus__origin_unpin(&subscriber->origins, origin);
}

void talus__lost_tend(talus_subscriber_t *subscriber, long long now, bool is_drained)
{
    const struct talus__origins *origins = &subscriber->origins;

    if (!is_drained)
        return;
    for (size_t i = 0; origins->departing > 0 && i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (origin && origin->is_departing && now >= due_of(subscriber, origin))
            lose(subscriber, origin);
    }
}

long long talus__lost_due(const talus_subscriber_t *subscriber)
{
    const struct talus__origins *origins = &subscriber->origins;
    long long due = 0;

    for (size_t i = 0; origins->departing > 0 && i < origins->slot_count; i++) {
        const struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !origin->is_departing)
            continue;
        long long at = due_of(subscriber, origin);
        if (due == 0 || at < due)
            due = at;
    }
    return due;
}
