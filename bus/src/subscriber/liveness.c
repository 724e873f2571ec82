// SPDX-License-Identifier: MIT
// Publisher liveness.
#include "bus/src/subscriber/liveness.h"

#include <stdint.h>
#include <string.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/ledger.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/context.h"

#define BEATS_MISSED 3    // of a broadcaster that beats more seldom than our time-out
#define DEAD_MS      500  // for what a dead one had sent to arrive
#define LOOK_MS      250  // between looks at those that are departing
#define RETURN_MS    1000 // for those that return to be heard, once their reader is awake again
#define STOOD_MOST   16 // times that a reader is let off: one that always stands hears of losses, too

static bool is_sure(const struct talus__origin *origin)
{
    return !talus__origin_may_return(origin);
}

static long long due_of(const struct talus__liveness *liveness, const struct talus__origin *origin)
{
    return origin->departed_at +
           (is_sure(origin) ? DEAD_MS : liveness->core->options.origin_timeout_ms);
}

// Whether something was emitted to the session that has not come, and up to which seq. The ledger
// knows; without one, whatever was sent since the last head may be missing.
static bool is_owed(const struct talus__ledger *ledger, const struct talus__joined *joined,
                    const struct talus__cursor *cursor, uint64_t *upto)
{
    uint64_t last = cursor ? cursor->stream.last : 0;

    *upto = 0;
    if (!ledger)
        return !cursor || last > 0;
    *upto = strcmp(joined->name, TALUS__EVERYTHING) == 0
                ? ledger->newest
                : talus__ledger_last(ledger, joined->name, joined->node.name_size);
    return *upto > last;
}

static void lose_cursor(struct talus__liveness *liveness, struct talus__joined *joined,
                        struct talus__origin *origin, const struct talus__ledger *ledger)
{
    struct talus__origins *origins = &liveness->core->origins;
    struct talus__origin_ref ref = talus__origin_refer(origins, origin);
    struct talus__cursor *cursor = talus__cursor_find(joined, ref);
    uint64_t upto;

    if (origin->has_bye || (cursor && cursor->stream.state == TALUS__STREAM_ENDED) ||
        !is_owed(ledger, joined, cursor, &upto)) {
        if (cursor) // it cannot be asked any more
            talus__gap_fail(liveness->repairs, &cursor->stream);
        return;
    }
    // One that was never heard came when the session was live: what it emitted was owed. Where it
    // was gone before the session was live, nothing was.
    if (!cursor && joined->is_live && origin->was_listed && joined->live_turn < origin->left_turn)
        cursor = talus__cursor_get(joined, origins, ref);
    else if (cursor && !cursor->stream.has_baseline && cursor->stream.last == 0 && !joined->is_live)
        return;
    if (cursor)
        talus__gap_lose(liveness->repairs, joined, origin, &cursor->stream, upto);
}

static void lose_cursors(struct talus__liveness *liveness, struct talus__origin *origin,
                         const struct talus__ledger *ledger)
{
    struct talus__joined_set *set = &liveness->core->joined;
    struct talus__joined *everything = set->everything;

    if (talus__gap_repair_is_judged_by_all(liveness->repairs, origin)) {
        lose_cursor(liveness, everything, origin, ledger);
        return;
    }
    for (size_t i = 0; i <= set->table.mask; i++) {
        for (struct tl_node *node = set->table.buckets[i]; node; node = node->next) {
            struct talus__joined *joined = (struct talus__joined *)node;
            if (!talus__joined_is_left(joined))
                lose_cursor(liveness, joined, origin, ledger);
        }
    }
}

static void lose(struct talus__liveness *liveness, struct talus__origin *origin)
{
    struct talus__ledger ledger;
    bool has_ledger =
        origin->ledger >= 0 && talus__ledger_open_file(&ledger, origin->ledger, origin->name) == 0;

    talus__log(TALUS_LOG_INFO, "broadcaster %s is gone%s", origin->name,
               origin->has_bye ? ""
               : has_ledger    ? " without a word; its ledger says what it had sent"
                               : " without a word, and without a ledger");
    talus__origin_pin(&liveness->core->origins, origin);
    origin->is_lost = true;
    talus__replay_client_give_up(&liveness->core->replay_client, origin);
    lose_cursors(liveness, origin, has_ledger ? &ledger : NULL);
    if (has_ledger)
        talus__ledger_close(&ledger);
    talus__origin_depart(&liveness->core->origins, origin);
    talus__origin_unpin(&liveness->core->origins, origin);
}

static long long looked_at(const struct talus__origins *origins, const struct talus__origin *origin)
{
    return origin->departed_at > origins->looked_at ? origin->departed_at : origins->looked_at;
}

// Time in which the subscriber stood still counts for nothing: it could not hear who returned.
static void let_off(const struct talus__liveness *liveness, struct talus__origin *origin,
                    long long now)
{
    long long stood = now - looked_at(&liveness->core->origins, origin) - LOOK_MS;

    if (stood < LOOK_MS)
        return;
    origin->departed_at += stood;
    if (is_sure(origin) || ++origin->stood > STOOD_MOST)
        return;
    long long early = now + RETURN_MS - due_of(liveness, origin);
    if (early > 0)
        origin->departed_at += early;
}

void talus__liveness_tend(struct talus__liveness *liveness, long long now, bool is_drained)
{
    struct talus__origins *origins = &liveness->core->origins;

    for (size_t i = 0; origins->departing > 0 && i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !origin->is_departing)
            continue;
        let_off(liveness, origin, now);
        if (is_drained && now >= due_of(liveness, origin))
            lose(liveness, origin);
    }
    origins->looked_at = now;
}

long long talus__liveness_due(const struct talus__liveness *liveness)
{
    const struct talus__origins *origins = &liveness->core->origins;
    long long due = 0;

    for (size_t i = 0; origins->departing > 0 && i < origins->slot_count; i++) {
        const struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !origin->is_departing)
            continue;
        long long at = due_of(liveness, origin);
        if (at > looked_at(origins, origin) + LOOK_MS)
            at = looked_at(origins, origin) + LOOK_MS;
        if (due == 0 || at < due)
            due = at;
    }
    return due;
}

// ---- Beats
//
// A missed beat is counted once for each tick of our own timer, and only when all that came was
// read: a subscriber that was itself stopped, or is behind, does not take those that live for dead.

static void set_beats_at(struct talus__liveness *liveness, long long at)
{
    liveness->beats_at = at;
    liveness->heartbeat.has_beats = at != 0;
}

static bool is_judged(const struct talus__origin *origin)
{
    return origin->beat_ms > 0 && !origin->is_away && (origin->listed > 0 || origin->is_connected);
}

static void miss_beat(struct talus__liveness *liveness, struct talus__origin *origin)
{
    long long silent = (long long)++origin->beats_missed * liveness->core->options.heartbeat_ms;
    long long most = (long long)origin->beat_ms * BEATS_MISSED;

    if (most < liveness->core->options.heartbeat_timeout_ms)
        most = liveness->core->options.heartbeat_timeout_ms;
    if (silent <= most)
        return;
    talus__log(TALUS_LOG_INFO, "broadcaster %s has been silent for %lld ms: it counts as away",
               origin->name, silent);
    talus__origin_go_away(&liveness->core->origins, origin);
}

void talus__liveness_tend_beats(struct talus__liveness *liveness, long long now, bool is_drained)
{
    const struct talus__origins *origins = &liveness->core->origins;
    bool is_any = false;

    if (liveness->beats_at == 0 || now < liveness->beats_at)
        return;
    for (size_t i = 0; i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !is_judged(origin))
            continue;
        is_any = true;
        if (is_drained)
            miss_beat(liveness, origin);
    }
    set_beats_at(liveness, is_any ? now + liveness->core->options.heartbeat_ms : 0);
    talus__heartbeat_tend(&liveness->heartbeat, is_drained);
}

void talus__liveness_hear_beat(struct talus__liveness *liveness, struct talus__origin *origin,
                               uint64_t every_ms)
{
    origin->beat_ms = every_ms < INT32_MAX ? (int)every_ms : INT32_MAX;
    if (liveness->beats_at == 0 && liveness->core->options.heartbeat_ms > 0)
        set_beats_at(liveness, tl_monotonic_ms() + liveness->core->options.heartbeat_ms);
}
