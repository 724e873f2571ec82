// SPDX-License-Identifier: MIT
// The subscriber's own heartbeats.
//
// Invariant: `$beat/ID/0` is subscribed to only while `$beat/ID/MS` is not, as a connection that is
// made anew is told both in the order of their names.
#include "bus/src/zmq/sub/heartbeat.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/subscriber/instance.h"

#define EVERY_LEAST_MS 50

void talus__heartbeat_init(talus_subscriber_t *subscriber)
{
    struct talus__heartbeat *heartbeat = &subscriber->heartbeat;
    int every_ms = subscriber->options.heartbeat_ms;

    // A broadcaster in this process is stopped with it, and has no connection to look at.
    if (every_ms == 0 || strstr(subscriber->peers.endpoint, "inproc://"))
        return;
    heartbeat->every_ms = every_ms > EVERY_LEAST_MS ? every_ms : EVERY_LEAST_MS;
    subscriber->post.beat_ms = heartbeat->every_ms;
    snprintf(heartbeat->topic, sizeof heartbeat->topic, TALUS__BEATING "%s/%d",
             subscriber->peers.id, heartbeat->every_ms);
    snprintf(heartbeat->farewell, sizeof heartbeat->farewell, TALUS__BEATING "%s/0",
             subscriber->peers.id);
}

static void change(talus_subscriber_t *subscriber, bool *is_made, const char *topic)
{
    *is_made = !*is_made;
    zmq_setsockopt(subscriber->socket, *is_made ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, topic,
                   strlen(topic));
}

static void withdraw(talus_subscriber_t *subscriber)
{
    struct talus__heartbeat *heartbeat = &subscriber->heartbeat;

    if (heartbeat->is_made)
        change(subscriber, &heartbeat->is_made, heartbeat->topic);
    change(subscriber, &heartbeat->is_withdrawn, heartbeat->farewell);
}

bool talus__heartbeat_send(void *arg)
{
    talus_subscriber_t *subscriber = arg;
    struct talus__heartbeat *heartbeat = &subscriber->heartbeat;

    if (heartbeat->is_proven && talus__monitor_is_quiet(&subscriber->peers.monitor))
        heartbeat->unproven = 0;
    heartbeat->is_proven = false;
    if (subscriber->beats_at == 0 || heartbeat->unproven >= TALUS__UNPROVEN_MOST) {
        withdraw(subscriber);
        return false;
    }
    heartbeat->unproven++;
    change(subscriber, &heartbeat->is_made, heartbeat->topic);
    return true;
}

// Whether everything has its connection, and every connection is one of a broadcaster whose beats
// are heard.
static bool is_all_heard(talus_subscriber_t *subscriber)
{
    const struct talus__origins *origins = &subscriber->origins;
    const struct talus__monitor *monitor = &subscriber->peers.monitor;
    size_t heard = 0, connections;

    talus__peers_read_monitor(&subscriber->peers);
    for (size_t i = 0; i < origins->slot_count; i++) {
        const struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || origin->beat_ms == 0 || origin->is_away)
            continue;
        for (size_t c = 0; c < origin->connection_count; c++)
            heard += talus__monitor_is_up(monitor, origin->connections[c]);
    }
    return talus__peers_are_linked(&subscriber->peers, &connections) && heard >= connections;
}

void talus__heartbeat_tend(talus_subscriber_t *subscriber, bool is_drained)
{
    struct talus__heartbeat *heartbeat = &subscriber->heartbeat;

    heartbeat->is_proven = heartbeat->every_ms > 0 && is_drained && is_all_heard(subscriber);
    if (!heartbeat->is_proven || subscriber->beats_at == 0 ||
        talus__guard_is_beating(&subscriber->post) ||
        !talus__monitor_is_quiet(&subscriber->peers.monitor))
        return;
    if (heartbeat->is_withdrawn)
        change(subscriber, &heartbeat->is_withdrawn, heartbeat->farewell);
    heartbeat->unproven = 0;
    talus__guard_beat(&subscriber->post);
}
