// SPDX-License-Identifier: MIT
// Repeated heads. A session whose `last_at` is 0 has never been noted, and is in no stage.
#include "bus/src/zmq/pub/repeats.h"

#include <stdbool.h>
#include <string.h>

void talus__repeats_init(struct talus__repeats *repeats, long long first_ms, long long age_ms)
{
    memset(repeats, 0, sizeof *repeats);
    repeats->first_ms = first_ms;
    repeats->age_ms = age_ms;
}

static bool is_waiting(const struct talus__repeat *repeat)
{
    return repeat->last_at != 0 && repeat->stage < TALUS__REPEAT_STAGES;
}

static void take_off(struct talus__repeats *repeats, struct talus__repeat *repeat)
{
    struct talus__repeat_list *list = &repeats->stages[repeat->stage];

    if (repeat->before)
        repeat->before->next = repeat->next;
    else
        list->first = repeat->next;
    if (repeat->next)
        repeat->next->before = repeat->before;
    else
        list->last = repeat->before;
}

static void append(struct talus__repeats *repeats, struct talus__repeat *repeat, unsigned stage)
{
    struct talus__repeat_list *list = &repeats->stages[stage];

    repeat->stage = stage;
    repeat->next = NULL;
    repeat->before = list->last;
    if (list->last)
        list->last->next = repeat;
    else
        list->first = repeat;
    list->last = repeat;
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
        if (repeat->stage == 0 && repeats->stages[0].last == repeat) {
            repeat->last_at = now;
            return;
        }
        take_off(repeats, repeat);
    }
    repeat->last_at = now;
    append(repeats, repeat, 0);
}

void talus__repeats_drop(struct talus__repeats *repeats, struct talus__repeat *repeat)
{
    if (is_waiting(repeat))
        take_off(repeats, repeat);
    repeat->stage = TALUS__REPEAT_STAGES;
}

struct talus__repeat *talus__repeats_take(struct talus__repeats *repeats, long long now)
{
    for (unsigned stage = 0; stage < repeats->used; stage++) {
        struct talus__repeat *repeat = repeats->stages[stage].first;
        if (!repeat || now - repeat->last_at < delay_of(repeats, stage))
            continue;
        take_off(repeats, repeat);
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
        struct talus__repeat *repeat = repeats->stages[stage].first;
        if (!repeat)
            continue;
        talus__repeats_drop(repeats, repeat);
        return repeat;
    }
    return NULL;
}

long long talus__repeats_due(const struct talus__repeats *repeats)
{
    long long due = 0;

    for (unsigned stage = 0; stage < repeats->used; stage++) {
        const struct talus__repeat *repeat = repeats->stages[stage].first;
        if (!repeat)
            continue;
        long long at = repeat->last_at + delay_of(repeats, stage);
        if (due == 0 || at < due)
            due = at;
    }
    return due;
}
