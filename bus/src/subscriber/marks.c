// SPDX-License-Identifier: MIT
// What publishers say of themselves: high-water marks, hellos, farewells and beats.
#include "bus/src/subscriber/marks.h"

#include <stdlib.h>
#include <string.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/zmq/sub/replay_endpoint.h"
#include "bus/src/zmq/sub/sub_socket.h"

static int connection_of(talus_subscriber_t *subscriber)
{
    return talus__sub_connection(&subscriber->core.frames, &subscriber->core.source);
}

// The message came through a connection: if that stands, its publisher is here, even if the hello
// that it began with was dropped from a full inbox, or was read after the end of the connection
// before.
static void meet(talus_subscriber_t *subscriber, struct talus__publisher *publisher)
{
    int connection = connection_of(subscriber);

    // The descriptor may have been another connection's before: first hear of its end.
    talus__peers_read_monitor(&subscriber->core.peers);
    if (connection < 0)
        connection = TALUS__NO_CONNECTION;
    else if (!talus__monitor_is_up(&subscriber->core.peers.monitor, connection))
        return; // sent long ago, over a connection that is gone by now
    bool is_other = talus__publisher_connect(&subscriber->core.publishers, publisher, connection);
    if (is_other || !publisher->is_ready_topic)
        talus__join_announce_ready(subscriber, publisher);
    if (is_other && publisher->listed == 0)
        talus__join_greeted(subscriber);
}

// An event, a head or a beat of a publisher that had been missed, unless it has ended for good.
void talus__marks_meet_again(talus_subscriber_t *subscriber, struct talus__publisher *publisher)
{
    if (!talus__publisher_may_return(publisher))
        return;
    if (publisher->is_away)
        talus__publisher_hear(&subscriber->core.publishers, publisher);
    if (!publisher->is_connected)
        meet(subscriber, publisher);
}

// Takes up where the publisher is to be asked. Returns whether that is news.
static bool learn_replay(talus_subscriber_t *subscriber, struct talus__publisher *publisher,
                         const struct talus__head *head)
{
    char chosen[TALUS__REPLAY_MAX + 64];

    if (head->replay_size == 0 && publisher->replay &&
        !publisher->replay_connection) { // it has none after all
        free(publisher->replay);
        publisher->replay = NULL;
    }
    if (head->replay_size == 0 || publisher->is_ignored ||
        (publisher->was_listed &&
         publisher->replay) || // the directory's path is the one seen from here
        (publisher->named && strlen(publisher->named) == head->replay_size &&
         memcmp(publisher->named, head->replay, head->replay_size) == 0))
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
    free(publisher->named);
    free(publisher->replay);
    publisher->named = named;
    publisher->replay = replay;
    return true;
}

static struct talus__publisher *decode_marker(talus_subscriber_t *subscriber,
                                              struct talus__head *head)
{
    if (talus__head_decode(talus__frames_body(&subscriber->core.frames),
                           talus__frames_body_size(&subscriber->core.frames), head) != 0) {
        talus__core_malformed(&subscriber->core, "a marker of the bus has a body that is none");
        return NULL;
    }
    struct talus__publisher *publisher =
        talus__publishers_get(&subscriber->core.publishers, head->origin, head->origin_size);
    if (!publisher)
        return NULL;
    bool is_new = !publisher->sends_marks;
    talus__publisher_hear(&subscriber->core.publishers, publisher);
    if (learn_replay(subscriber, publisher, head) || is_new)
        talus__gap_hear_all(&subscriber->repairs, publisher);
    return publisher;
}

int talus__marks_head(talus_subscriber_t *subscriber, const struct talus__topic *topic)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode_marker(subscriber, &head);

    if (!publisher)
        return TALUS__TAKEN_HANDLED;
    if (publisher->is_departing || publisher->is_lost)
        talus__marks_meet_again(subscriber, publisher);
    subscriber->core.stats.heads++;
    struct talus__subscription *subscription = talus__subscriptions_find(
        &subscriber->core.subscriptions, topic->session, topic->session_size);
    if (subscription && !publisher->is_ignored) {
        talus__gap_repair_mark(&subscriber->repairs, subscription, publisher, head.seq);
        talus__join_check(subscriber, subscription);
    }
    return TALUS__TAKEN_HANDLED;
}

int talus__marks_hello(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode_marker(subscriber, &head);

    if (!publisher)
        return TALUS__TAKEN_HANDLED;
    if (head.every > 0)
        talus__liveness_hear_beat(&subscriber->liveness, publisher, head.every);
    meet(subscriber, publisher);
    return TALUS__TAKEN_HANDLED;
}

int talus__marks_bye(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode_marker(subscriber, &head);

    if (publisher)
        talus__publisher_bid_farewell(&subscriber->core.publishers, publisher);
    return TALUS__TAKEN_HANDLED;
}

int talus__marks_beat(talus_subscriber_t *subscriber)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode_marker(subscriber, &head);

    if (publisher) {
        talus__liveness_hear_beat(&subscriber->liveness, publisher, head.every);
        talus__marks_meet_again(subscriber, publisher);
    }
    return TALUS__TAKEN_HANDLED;
}
