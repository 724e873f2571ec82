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

static bool is_waiting(const struct talus__session *session)
{
    return session->last_at != 0 && session->stage < TALUS__REPEAT_STAGES;
}

static void take_off(struct talus__repeats *repeats, struct talus__session *session)
{
    struct talus__repeat_list *list = &repeats->stages[session->stage];

    if (session->repeat_before)
        session->repeat_before->repeat_next = session->repeat_next;
    else
        list->first = session->repeat_next;
    if (session->repeat_next)
        session->repeat_next->repeat_before = session->repeat_before;
    else
        list->last = session->repeat_before;
}

static void append(struct talus__repeats *repeats, struct talus__session *session, unsigned stage)
{
    struct talus__repeat_list *list = &repeats->stages[stage];

    session->stage = stage;
    session->repeat_next = NULL;
    session->repeat_before = list->last;
    if (list->last)
        list->last->repeat_next = session;
    else
        list->first = session;
    list->last = session;
    if (stage >= repeats->used)
        repeats->used = stage + 1;
}

static long long delay_of(const struct talus__repeats *repeats, unsigned stage)
{
    return repeats->first_ms << stage;
}

void talus__repeats_note(struct talus__repeats *repeats, struct talus__session *session,
                         long long now)
{
    if (is_waiting(session)) {
        if (session->stage == 0 && repeats->stages[0].last == session) {
            session->last_at = now;
            return;
        }
        take_off(repeats, session);
    }
    session->last_at = now;
    append(repeats, session, 0);
}

void talus__repeats_drop(struct talus__repeats *repeats, struct talus__session *session)
{
    if (is_waiting(session))
        take_off(repeats, session);
    session->stage = TALUS__REPEAT_STAGES;
}

struct talus__session *talus__repeats_take(struct talus__repeats *repeats, long long now)
{
    for (unsigned stage = 0; stage < repeats->used; stage++) {
        struct talus__session *session = repeats->stages[stage].first;
        if (!session || now - session->last_at < delay_of(repeats, stage))
            continue;
        take_off(repeats, session);
        unsigned next = stage + 1;
        if (next < TALUS__REPEAT_STAGES && delay_of(repeats, next) <= repeats->age_ms)
            append(repeats, session, next);
        else
            session->stage = TALUS__REPEAT_STAGES;
        return session;
    }
    return NULL;
}

struct talus__session *talus__repeats_drain(struct talus__repeats *repeats)
{
    for (unsigned stage = 0; stage < repeats->used; stage++) {
        struct talus__session *session = repeats->stages[stage].first;
        if (!session)
            continue;
        talus__repeats_drop(repeats, session);
        return session;
    }
    return NULL;
}

long long talus__repeats_due(const struct talus__repeats *repeats)
{
    long long due = 0;

    for (unsigned stage = 0; stage < repeats->used; stage++) {
        const struct talus__session *session = repeats->stages[stage].first;
        if (!session)
            continue;
        long long at = session->last_at + delay_of(repeats, stage);
        if (due == 0 || at < due)
            due = at;
    }
    return due;
}
