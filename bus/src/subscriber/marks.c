// SPDX-License-Identifier: MIT
// What publishers say of themselves: high-water marks, hellos, farewells and beats.
#include "bus/src/subscriber/marks.h"

#include <stdlib.h>
#include <string.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/zmq/sub/sub_socket.h"

static int connection_of(talus_subscriber_t *subscriber)
{
    return talus__sub_connection(&subscriber->core.frames, &subscriber->core.source);
}

// The message came through a connection: if that stands, its origin is here, even if the hello that
// it began with was dropped from a full inbox, or was read after the end of the connection before.
static void meet(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    int connection = connection_of(subscriber);

    // The descriptor may have been another connection's before: first hear of its end.
    talus__peers_read_monitor(&subscriber->core.peers);
    if (connection < 0)
        connection = TALUS__NO_CONNECTION;
    else if (!talus__monitor_is_up(&subscriber->core.peers.monitor, connection))
        return; // sent long ago, over a connection that is gone by now
    bool is_other = talus__origin_connect(&subscriber->core.origins, origin, connection);
    if (is_other || !origin->is_ready_topic)
        talus__join_announce_ready(subscriber, origin);
    if (is_other && origin->listed == 0)
        talus__join_greeted(subscriber);
}

// An event, a head or a beat of an origin that had been missed, unless it has ended for good.
void talus__marks_meet_again(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    if (!talus__origin_may_return(origin))
        return;
    if (origin->is_away)
        talus__origin_hear(&subscriber->core.origins, origin);
    if (!origin->is_connected)
        meet(subscriber, origin);
}

// Takes up where the origin is to be asked. Returns whether that is news.
static bool learn_replay(talus_subscriber_t *subscriber, struct talus__origin *origin,
                         const struct talus__head *head)
{
    char chosen[TALUS__REPLAY_MAX + 64];

    if (head->replay_size == 0 && origin->replay &&
        !origin->replay_connection) { // it has none after all
        free(origin->replay);
        origin->replay = NULL;
    }
    if (head->replay_size == 0 || origin->is_ignored ||
        (origin->was_listed && origin->replay) || // the directory's path is the one seen from here
        (origin->named && strlen(origin->named) == head->replay_size &&
         memcmp(origin->named, head->replay, head->replay_size) == 0))
        return false;
    if (!talus__replay_choose(head->replay, head->replay_size,
                              talus__transport_of(connection_of(subscriber)),
                              talus__sub_host(&subscriber->core.frames, &subscriber->core.source),
                              chosen, sizeof chosen))
        return false;
    char *named = malloc(head->replay_size + 1);
    char *replay = strdup(chosen);
    if (!named || !replay) {
        free(named);
        free(replay);
        return false;
    }
    memcpy(named, head->replay, head->replay_size);
    named[head->replay_size] = '\0';
    free(origin->named);
    free(origin->replay);
    origin->named = named;
    origin->replay = replay;
    return true;
}

static struct talus__origin *decode_marker(talus_subscriber_t *subscriber, struct talus__head *head)
{
    if (talus__head_decode(talus__frames_body(&subscriber->core.frames),
                           talus__frames_body_size(&subscriber->core.frames), head) != 0) {
        talus__core_malformed(&subscriber->core, "a marker of the bus has a body that is none");
        return NULL;
    }
    struct talus__origin *origin =
        talus__origins_get(&subscriber->core.origins, head->origin, head->origin_size);
    if (!origin)
        return NULL;
    bool is_new = !origin->speaks_heads;
    talus__origin_hear(&subscriber->core.origins, origin);
    if (learn_replay(subscriber, origin, head) || is_new)
        talus__gap_hear_all(&subscriber->repairs, origin);
    return origin;
}

int talus__marks_head(talus_subscriber_t *subscriber, const struct talus__topic *topic)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (!origin)
        return TALUS__TAKEN_HANDLED;
    if (origin->is_departing || origin->is_lost)
        talus__marks_meet_again(subscriber, origin);
    subscriber->core.stats.heads++;
    struct talus__joined *joined =
        talus__joined_find(&subscriber->core.joined, topic->session, topic->session_size);
    if (joined && !origin->is_ignored) {
        talus__gap_repair_mark(&subscriber->repairs, joined, origin, head.seq);
        talus__join_check(subscriber, joined);
    }
    return TALUS__TAKEN_HANDLED;
}

int talus__marks_hello(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (!origin)
        return TALUS__TAKEN_HANDLED;
    if (head.every > 0)
        talus__liveness_hear_beat(&subscriber->liveness, origin, head.every);
    meet(subscriber, origin);
    return TALUS__TAKEN_HANDLED;
}

int talus__marks_bye(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (origin)
        talus__origin_bid_farewell(&subscriber->core.origins, origin);
    return TALUS__TAKEN_HANDLED;
}

int talus__marks_beat(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__origin *origin = decode_marker(subscriber, &head);

    if (origin) {
        talus__liveness_hear_beat(&subscriber->liveness, origin, head.every);
        talus__marks_meet_again(subscriber, origin);
    }
    return TALUS__TAKEN_HANDLED;
}
