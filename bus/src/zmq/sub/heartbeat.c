// SPDX-License-Identifier: MIT
// The subscriber's own heartbeats.
//
// Invariant: `$beat/ID/0` is subscribed to only while `$beat/ID/MS` is not, as a connection that is
// made anew is told both in the order of their names.
#include "bus/src/zmq/sub/heartbeat.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/codec/wire.h"

#define EVERY_LEAST_MS 50

void talus__heartbeat_init(struct talus__heartbeat *heartbeat, int every_ms)
{
    // A broadcaster in this process is stopped with it, and has no connection to look at.
    if (every_ms == 0 || strstr(heartbeat->peers->endpoint, "inproc://"))
        return;
    heartbeat->every_ms = every_ms > EVERY_LEAST_MS ? every_ms : EVERY_LEAST_MS;
    heartbeat->post->beat_ms = heartbeat->every_ms;
    snprintf(heartbeat->topic, sizeof heartbeat->topic, TALUS__BEATING "%s/%d",
             heartbeat->peers->id, heartbeat->every_ms);
    snprintf(heartbeat->leave, sizeof heartbeat->leave, TALUS__BEATING "%s/0",
             heartbeat->peers->id);
}

static void change(struct talus__heartbeat *heartbeat, bool *is_made, const char *topic)
{
    *is_made = !*is_made;
    zmq_setsockopt(heartbeat->socket, *is_made ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, topic,
                   strlen(topic));
}

static void withdraw(struct talus__heartbeat *heartbeat)
{
    if (heartbeat->is_made)
        change(heartbeat, &heartbeat->is_made, heartbeat->topic);
    change(heartbeat, &heartbeat->is_withdrawn, heartbeat->leave);
}

bool talus__heartbeat_send(struct talus__heartbeat *heartbeat)
{
    if (heartbeat->is_proven && talus__monitor_is_quiet(&heartbeat->peers->monitor))
        heartbeat->unproven = 0;
    heartbeat->is_proven = false;
    if (!heartbeat->has_beats || heartbeat->unproven >= TALUS__UNPROVEN_MOST) {
        withdraw(heartbeat);
        return false;
    }
    heartbeat->unproven++;
    change(heartbeat, &heartbeat->is_made, heartbeat->topic);
    return true;
}

// Whether everything has its connection, and every connection is one of a broadcaster whose beats
// are heard.
static bool is_all_heard(struct talus__heartbeat *heartbeat)
{
    const struct talus__publishers *publishers = heartbeat->publishers;
    const struct talus__monitor *monitor = &heartbeat->peers->monitor;
    size_t heard = 0, connections;

    talus__peers_read_monitor(heartbeat->peers);
    for (size_t i = 0; i < publishers->slot_count; i++) {
        struct talus__publisher *publisher = publishers->slots[i].publisher;
        const struct talus__presence *presence = publisher ? talus__presence_of(publisher) : NULL;
        if (!presence || presence->heartbeat_ms == 0 || presence->is_away)
            continue;
        for (size_t c = 0; c < presence->connection_count; c++)
            heard += talus__monitor_is_up(monitor, presence->connections[c]);
    }
    return talus__peers_are_linked(heartbeat->peers, &connections) && heard >= connections;
}

void talus__heartbeat_tend(struct talus__heartbeat *heartbeat, bool is_drained)
{
    heartbeat->is_proven = heartbeat->every_ms > 0 && is_drained && is_all_heard(heartbeat);
    if (!heartbeat->is_proven || !heartbeat->has_beats ||
        talus__guard_is_beating(heartbeat->post) ||
        !talus__monitor_is_quiet(&heartbeat->peers->monitor))
        return;
    if (heartbeat->is_withdrawn)
        change(heartbeat, &heartbeat->is_withdrawn, heartbeat->leave);
    heartbeat->unproven = 0;
    talus__guard_beat(heartbeat->post);
}
