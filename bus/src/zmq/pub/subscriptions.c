// SPDX-License-Identifier: MIT
// What subscribers ask for.
#include "bus/src/zmq/pub/subscriptions.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/pub/heads.h"
#include "bus/src/zmq/pub/sockets.h"

#define SUBSCRIPTION_CAPACITY 256 // bytes: longer ones can match no topic

static void note_head(struct talus__zmq_publish *bus, const char *session, size_t size)
{
    bool is_new;

    // The set is for sparing heads: without memory for it each subscription gets its own.
    if (talus__names_add(&bus->heads_due, session, size, &is_new) != 0)
        talus__send_session_head(session, size, bus);
}

static void note_ready(struct talus__zmq_publish *bus,
                       const struct talus__subscription_topic *subscription, bool is_subscribed)
{
    const char *name = subscription->name;
    size_t size = subscription->name_size;

    if (subscription->origin_size != strlen(bus->origin) ||
        memcmp(subscription->origin, bus->origin, subscription->origin_size) != 0)
        return;
    int error = 0;
    talus__names_remove(&bus->awaited, name, size);
    if (is_subscribed && bus->newest > 0)
        bus->late_ready_at = bus->now;
    if (is_subscribed)
        error = talus__ready_add(&bus->ready, name, size);
    else
        talus__ready_remove(&bus->ready, name, size);
    if (error)
        talus__log(TALUS_LOG_WARNING, "subscriber %.*s is not counted as ready: %s", (int)size,
                   name, talus_strerror(error));
    else
        talus__log(TALUS_LOG_DEBUG, "subscriber %.*s %s %s", (int)size, name,
                   is_subscribed ? "is ready for" : "left", bus->origin);
}

// Beats go out as long as somebody is subscribed to them.
static void note_listeners(struct talus__zmq_publish *bus, bool is_subscribed)
{
    if (!is_subscribed || bus->heartbeat_ms == 0)
        bus->beat_at = 0;
    else if (bus->beat_at == 0)
        bus->beat_at = bus->now + bus->heartbeat_ms;
}

// Nothing is kept of a heartbeat of one that is not ready: it is counted, and comes again.
static void note_heartbeat(struct talus__zmq_publish *bus,
                           const struct talus__subscription_topic *subscription)
{
    if (!talus__ready_beat(&bus->ready, subscription->name, subscription->name_size,
                           subscription->every_ms)) {
        talus__count_one(&bus->heartbeats_ignored);
        return;
    }
    talus__count_one(&bus->beats);
    if (bus->tick_at == 0 && bus->heartbeat_ms > 0)
        bus->tick_at = bus->now + bus->heartbeat_ms;
}

static void on_subscription(struct talus__zmq_publish *bus, const uint8_t *frame, size_t size)
{
    struct talus__subscription_topic subscription;
    bool is_subscribed = frame[0] == 1;

    talus__subscription_topic_parse(frame + 1, size - 1, &subscription);
    if (subscription.kind == TALUS__SUBSCRIPTION_BEAT) {
        // Its end is one, too; but what beats no more says so once.
        if (is_subscribed || subscription.every_ms > 0)
            note_heartbeat(bus, &subscription);
        return;
    }
    if (is_subscribed)
        talus__count_one(&bus->subscriptions);
    if (subscription.kind == TALUS__SUBSCRIPTION_READY) {
        note_ready(bus, &subscription, is_subscribed);
        return;
    }
    if (subscription.kind == TALUS__SUBSCRIPTION_BUS)
        note_listeners(bus, is_subscribed);
    if (!is_subscribed)
        return;
    switch (subscription.kind) {
    case TALUS__SUBSCRIPTION_SESSION:
        note_head(bus, subscription.name, subscription.name_size);
        break;
    case TALUS__SUBSCRIPTION_EVERYTHING:
        bus->everything_due = true;
        break;
    case TALUS__SUBSCRIPTION_BUS:
        bus->hello_due = true;
        break;
    case TALUS__SUBSCRIPTION_READY:
    case TALUS__SUBSCRIPTION_BEAT:
    case TALUS__SUBSCRIPTION_OTHER:
        break;
    }
}

// Only when all that came was read: else one that lives could be taken for one that does not.
static void miss_heartbeats(struct talus__zmq_publish *bus)
{
    if (bus->tick_at == 0 || bus->now < bus->tick_at)
        return;
    bool is_any = talus__ready_tick(&bus->ready, bus->heartbeat_ms, bus->heartbeat_timeout_ms);
    bus->tick_at = is_any ? bus->now + bus->heartbeat_ms : 0;
}

bool talus__read_subscriptions(struct talus__zmq_publish *bus)
{
    uint8_t frame[SUBSCRIPTION_CAPACITY];
    bool is_continued = false;
    int read = 0;

    while (read < TALUS__SUBSCRIPTIONS_PER_TURN || is_continued) {
        int size = zmq_recv(bus->socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (size < 0 && errno == EAGAIN)
            miss_heartbeats(bus);
        if (size < 0)
            return read > 0 || errno == EINTR;
        bool is_whole = !is_continued;
        is_continued = talus__socket_has_more(bus->socket);
        read++;
        // A subscription is one frame, 0 or 1 and the topic; a peer may send us anything. A frame
        // that was cut asks for nothing that exists.
        if (is_whole && !is_continued && size >= 1 && frame[0] <= 1)
            on_subscription(bus, frame, (size_t)size < sizeof frame ? (size_t)size : sizeof frame);
    }
    return true;
}
