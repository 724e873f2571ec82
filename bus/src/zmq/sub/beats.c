// SPDX-License-Identifier: MIT
// Broadcasters that stand still: their beats stop.
//
// A missed beat is counted once for each tick of our own timer, and only when all that came was
// read: a subscriber that was itself stopped, or is behind, does not take those that live for dead.
#include "bus/src/zmq/sub/beats.h"

#include "bus/src/base/log.h"
#include "bus/src/zmq/context.h"

#define BEATS_MISSED 3 // of a broadcaster that beats more seldom than our time-out

static bool is_judged(const struct talus__origin *origin)
{
    return origin->beat_ms > 0 && !origin->is_away && (origin->listed > 0 || origin->is_connected);
}

static void miss(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    long long silent = (long long)++origin->beats_missed * subscriber->options.heartbeat_ms;
    long long most = (long long)origin->beat_ms * BEATS_MISSED;

    if (most < subscriber->options.heartbeat_timeout_ms)
        most = subscriber->options.heartbeat_timeout_ms;
    if (silent <= most)
        return;
    talus__log(TALUS_LOG_INFO, "broadcaster %s has been silent for %lld ms: it counts as away",
               origin->name, silent);
    talus__origin_go_away(&subscriber->origins, origin);
}

void talus__beats_tend(talus_subscriber_t *subscriber, long long now, bool is_drained)
{
    const struct talus__origins *origins = &subscriber->origins;
    bool is_any = false;

    if (subscriber->beats_at == 0 || now < subscriber->beats_at)
        return;
    for (size_t i = 0; i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !is_judged(origin))
            continue;
        is_any = true;
        if (is_drained)
            miss(subscriber, origin);
    }
    subscriber->beats_at = is_any ? now + subscriber->options.heartbeat_ms : 0;
    talus__heartbeat_tend(subscriber, is_drained);
}

void talus__beats_hear(talus_subscriber_t *subscriber, struct talus__origin *origin,
                       uint64_t every_ms)
{
    origin->beat_ms = every_ms < INT32_MAX ? (int)every_ms : INT32_MAX;
    if (subscriber->beats_at == 0 && subscriber->options.heartbeat_ms > 0)
        subscriber->beats_at = talus__monotonic_ms() + subscriber->options.heartbeat_ms;
}
