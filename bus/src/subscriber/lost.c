// SPDX-License-Identifier: MIT
// Broadcasters that are gone.
#include "bus/src/subscriber/lost.h"

#include <string.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/ledger.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/heal.h"

#define DEAD_MS    500  // for what a dead one had sent to arrive
#define LOOK_MS    250  // between looks at those that are departing
#define RETURN_MS  1000 // for those that return to be heard, once their reader is awake again
#define STOOD_MOST 16 // times that a reader is let off: one that always stands hears of losses, too

static bool is_sure(const struct talus__origin *origin)
{
    return !talus__origin_may_return(origin);
}

static long long due_of(const talus_subscriber_t *subscriber, const struct talus__origin *origin)
{
    return origin->departed_at +
           (is_sure(origin) ? DEAD_MS : subscriber->options.origin_timeout_ms);
}

// Whether something was emitted to the session that has not come, and up to which seq. The ledger
// knows; without one, whatever was sent since the last head may be missing.
static bool is_owed(const struct talus__ledger *ledger, const struct talus__joined *joined,
                    const struct talus__position *position, uint64_t *upto)
{
    uint64_t last = position ? position->last : 0;

    *upto = 0;
    if (!ledger)
        return !position || last > 0;
    *upto = strcmp(joined->name, TALUS__EVERYTHING) == 0
                ? ledger->newest
                : talus__ledger_last(ledger, joined->name, joined->node.name_size);
    return *upto > last;
}

// It cannot be asked any more for what is missing.
static void fail_heal(talus_subscriber_t *subscriber, const struct talus__position *position)
{
    if (position && position->heal)
        talus__heal_fail(subscriber, position->heal, TALUS_GAP_ORIGIN_LOST);
}

static void lose_position(talus_subscriber_t *subscriber, struct talus__joined *joined,
                          struct talus__origin *origin, const struct talus__ledger *ledger)
{
    struct talus__origin_ref ref = talus__origin_refer(&subscriber->origins, origin);
    struct talus__position *position = talus__position_find(joined, ref);
    uint64_t upto;

    if (origin->has_bye || (position && position->is_over) ||
        !is_owed(ledger, joined, position, &upto)) {
        fail_heal(subscriber, position);
        return;
    }
    // One that was never heard came when the session was live: what it emitted was owed. Where it
    // was gone before the session was live, nothing was.
    if (!position && joined->is_live && origin->was_listed && joined->live_turn < origin->left_turn)
        position = talus__position_get(joined, &subscriber->origins, ref);
    else if (position && !position->has_baseline && position->last == 0 && !joined->is_live)
        return;
    if (!position)
        return;
    struct talus__heal *heal =
        talus__heal_open(subscriber, joined, origin, upto > 0 ? upto : position->last);
    if (!heal)
        return;
    if (ledger)
        talus__heal_fail(subscriber, heal, TALUS_GAP_ORIGIN_LOST);
    else
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

static void lose_positions(talus_subscriber_t *subscriber, struct talus__origin *origin,
                           const struct talus__ledger *ledger)
{
    struct talus__joined_set *set = &subscriber->joined;
    struct talus__joined *everything = set->everything;

    if (is_judge(subscriber, origin, everything)) {
        lose_position(subscriber, everything, origin, ledger);
        return;
    }
    for (size_t i = 0; i <= set->table.mask; i++) {
        for (struct talus__node *node = set->table.buckets[i]; node; node = node->next) {
            struct talus__joined *joined = (struct talus__joined *)node;
            if (!talus__joined_is_left(joined))
                lose_position(subscriber, joined, origin, ledger);
        }
    }
}

static void lose(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    struct talus__ledger ledger;
    bool has_ledger =
        origin->ledger >= 0 && talus__ledger_open_file(&ledger, origin->ledger, origin->name) == 0;

    talus__log(TALUS_LOG_INFO, "broadcaster %s is gone%s", origin->name,
               origin->has_bye ? ""
               : has_ledger    ? " without a word; its ledger says what it had sent"
                               : " without a word, and without a ledger");
    talus__origin_pin(&subscriber->origins, origin);
    origin->is_lost = true;
    talus__askers_give_up(&subscriber->askers, origin);
    lose_positions(subscriber, origin, has_ledger ? &ledger : NULL);
    if (has_ledger)
        talus__ledger_close(&ledger);
    talus__origin_depart(&subscriber->origins, origin);
    talus__origin_unpin(&subscriber->origins, origin);
}

static long long looked_at(const struct talus__origins *origins, const struct talus__origin *origin)
{
    return origin->departed_at > origins->looked_at ? origin->departed_at : origins->looked_at;
}

// Time in which the subscriber stood still counts for nothing: it could not hear who returned.
static void let_off(const talus_subscriber_t *subscriber, struct talus__origin *origin,
                    long long now)
{
    long long stood = now - looked_at(&subscriber->origins, origin) - LOOK_MS;

    if (stood < LOOK_MS)
        return;
    origin->departed_at += stood;
    if (is_sure(origin) || ++origin->stood > STOOD_MOST)
        return;
    long long early = now + RETURN_MS - due_of(subscriber, origin);
    if (early > 0)
        origin->departed_at += early;
}

void talus__lost_tend(talus_subscriber_t *subscriber, long long now, bool is_drained)
{
    struct talus__origins *origins = &subscriber->origins;

    for (size_t i = 0; origins->departing > 0 && i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !origin->is_departing)
            continue;
        let_off(subscriber, origin, now);
        if (is_drained && now >= due_of(subscriber, origin))
            lose(subscriber, origin);
    }
    origins->looked_at = now;
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
        if (at > looked_at(origins, origin) + LOOK_MS)
            at = looked_at(origins, origin) + LOOK_MS;
        if (due == 0 || at < due)
            due = at;
    }
    return due;
}
