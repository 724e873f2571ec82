// SPDX-License-Identifier: MIT
// Repeated heads. A session whose `last_at` is 0 has never been noted, and is in no stage.
#include "bus/src/zmq/pub/repeats.h"

#include <stdbool.h>
#include <stddef.h>

void talus__repeats_init(struct talus__repeats *repeats, long long first_ms, long long age_ms)
{
    *repeats = (struct talus__repeats){.first_ms = first_ms, .age_ms = age_ms};
    for (unsigned stage = 0; stage < TALUS__REPEAT_STAGES; stage++)
        tl_list_init(&repeats->stages[stage]);
}

static bool is_waiting(const struct talus__repeat *repeat)
{
    return repeat->last_at != 0 && repeat->stage < TALUS__REPEAT_STAGES;
}

// The session of a stage that waits longest; NULL: there is none.
static struct talus__repeat *first_of(const struct talus__repeats *repeats, unsigned stage)
{
    const struct tl_list *list = &repeats->stages[stage];

    return tl_list_is_empty(list) ? NULL : TL_LIST_ENTRY(list->next, struct talus__repeat, link);
}

static void append(struct talus__repeats *repeats, struct talus__repeat *repeat, unsigned stage)
{
    repeat->stage = stage;
    tl_list_append(&repeats->stages[stage], &repeat->link);
    if (stage >= repeats->used)
        repeats->used = stage + 1;
}

static long long delay_of(const struct talus__repeats *repeats, unsigned stage)
{
    return repeats->first_ms << stage;
}

void talus__repeats_note(struct talus__repeats *repeats, struct talus__repeat *repeat,
                         long long now)
{
    if (is_waiting(repeat)) {
        if (repeat->stage == 0 && repeats->stages[0].prev == &repeat->link) {
            repeat->last_at = now;
            return;
        }
        tl_list_remove(&repeat->link);
    }
    repeat->last_at = now;
    append(repeats, repeat, 0);
}

void talus__repeats_drop(struct talus__repeat *repeat)
{
    if (is_waiting(repeat))
        tl_list_remove(&repeat->link);
    repeat->stage = TALUS__REPEAT_STAGES;
}

struct talus__repeat *talus__repeats_take(struct talus__repeats *repeats, long long now)
{
    for (unsigned stage = 0; stage < repeats->used; stage++) {
        struct talus__repeat *repeat = first_of(repeats, stage);
        if (!repeat || now - repeat->last_at < delay_of(repeats, stage))
            continue;
        tl_list_remove(&repeat->link);
        unsigned next = stage + 1;
        if (next < TALUS__REPEAT_STAGES && delay_of(repeats, next) <= repeats->age_ms)
            append(repeats, repeat, next);
        else
            repeat->stage = TALUS__REPEAT_STAGES;
        return repeat;
    }
    return NULL;
}

struct talus__repeat *talus__repeats_drain(struct talus__repeats *repeats)
{
    for (unsigned stage = 0; stage < repeats->used; stage++) {
        struct talus__repeat *repeat = first_of(repeats, stage);
        if (!repeat)
            continue;
        talus__repeats_drop(repeat);
        return repeat;
    }
    return NULL;
}

long long talus__repeats_due(const struct talus__repeats *repeats)
{
    long long due = 0;

    for (unsigned stage = 0; stage < repeats->used; stage++) {
        const struct talus__repeat *repeat = first_of(repeats, stage);
        if (!repeat)
            continue;
        long long at = repeat->last_at + delay_of(repeats, stage);
        if (due == 0 || at < due)
            due = at;
    }
    return due;
}
