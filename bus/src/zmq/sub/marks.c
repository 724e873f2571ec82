// SPDX-License-Identifier: MIT
// What publishers say of themselves.
#include "bus/src/zmq/sub/marks.h"

#include <stdlib.h>
#include <string.h>

#include "bus/src/codec/body.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/acknowledge.h"
#include "bus/src/zmq/sub/replay_endpoint.h"
#include "bus/src/zmq/sub/sub_socket.h"

static int connection_of(struct talus__zmq_receive *receive)
{
    return talus__sub_connection(&receive->frames, &receive->source);
}

void talus__marks_end_greeting(struct talus__zmq_receive *receive)
{
    const struct talus__receive_owner *owner = receive->receive.owner;

    receive->peers.greet_until = 0;
    receive->base.is_connecting = false;
    owner->on_connected(owner->arg);
}

// One of the endpoints that joins wait for at the beginning was heard.
static void greet(struct talus__zmq_receive *receive)
{
    struct talus__peers *peers = &receive->peers;

    if (peers->ungreeted > 0 && --peers->ungreeted == 0)
        talus__marks_end_greeting(receive);
}

// The message came through a connection: if that stands, its publisher is here, even if the hello
// that it began with was dropped from a full inbox, or was read after the end of the connection
// before.
static void meet(struct talus__zmq_receive *receive, struct talus__publisher *publisher)
{
    const struct talus__presence *presence = talus__presence_of(publisher);
    int connection = connection_of(receive);

    // The descriptor may have been another connection's before: first hear of its end.
    talus__peers_read_monitor(&receive->peers);
    if (connection < 0)
        connection = TALUS__NO_CONNECTION;
    else if (!talus__monitor_is_up(&receive->peers.monitor, connection))
        return; // sent long ago, over a connection that is gone by now
    bool is_other = talus__presence_connect(&receive->presences, publisher, connection);
    if (is_other || !presence->is_acknowledged)
        talus__acknowledge(receive, publisher);
    if (is_other && presence->listed == 0)
        greet(receive);
}

void talus__marks_meet_again(struct talus__zmq_receive *receive, struct talus__publisher *publisher)
{
    const struct talus__presence *presence = talus__presence_of(publisher);

    if (!talus__presence_may_return(presence))
        return;
    if (presence->is_away)
        talus__presence_hear(&receive->presences, publisher);
    if (!presence->is_connected)
        meet(receive, publisher);
}

// Takes up where the publisher is to be asked. Returns whether that is news.
static bool learn_replay(struct talus__zmq_receive *receive, struct talus__publisher *publisher,
                         const struct talus__head *head)
{
    struct talus__presence *presence = talus__presence_of(publisher);
    char chosen[TALUS__REPLAY_MAX + 64];

    if (head->replay_size == 0 && !presence->replay_connection)
        talus__presence_set_replay(publisher, NULL); // it has none after all
    if (head->replay_size == 0 || publisher->is_ignored ||
        // The directory's path is the one seen from here.
        (presence->was_listed && presence->replay) ||
        (presence->named && strlen(presence->named) == head->replay_size &&
         memcmp(presence->named, head->replay, head->replay_size) == 0))
        return false;
    if (!talus__replay_choose(
            head->replay, head->replay_size, talus__transport_of(connection_of(receive)),
            talus__sub_host(&receive->frames, &receive->source), chosen, sizeof chosen))
        return false;
    char *named = malloc(head->replay_size + 1);
    char *replay = strdup(chosen);
    if (!named || !replay) {
        free(named);
        free(replay);
        return false;
    }
    memcpy(named, head->replay, head->replay_size);
    named[head->replay_size] = 0;
    free(presence->named);
    presence->named = named;
    talus__presence_set_replay(publisher, replay);
    return true;
}

// Sets `incoming` for what is no mark. NULL: it is malformed, or there is no place for its
// publisher.
static struct talus__publisher *decode(struct talus__zmq_receive *receive,
                                       struct talus__incoming *incoming, struct talus__head *head)
{
    const struct talus__receive_owner *owner = receive->receive.owner;

    incoming->kind = TALUS__INCOMING_OTHER;
    if (talus__head_decode(talus__frames_body(&receive->frames),
                           talus__frames_body_size(&receive->frames), head) != 0) {
        talus__incoming_set_malformed(incoming, "a marker of the bus has a body that is none");
        return NULL;
    }
    struct talus__publisher *publisher =
        talus__publishers_get(receive->receive.publishers, head->origin, head->origin_size);
    if (!publisher)
        return NULL;
    bool is_new = !publisher->sends_marks;
    talus__presence_hear(&receive->presences, publisher);
    if (learn_replay(receive, publisher, head) || is_new)
        owner->on_askable(owner->arg, publisher);
    return publisher;
}

void talus__marks_head(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode(receive, incoming, &head);

    if (!publisher)
        return;
    const struct talus__presence *presence = talus__presence_of(publisher);
    if (presence->is_absent || presence->is_lost)
        talus__marks_meet_again(receive, publisher);
    incoming->kind = TALUS__INCOMING_MARK;
    incoming->publisher = publisher;
    incoming->seq = head.seq;
}

// A heartbeat, or a hello, names the time to the next.
static void hear_heartbeat(struct talus__zmq_receive *receive, struct talus__publisher *publisher,
                           uint64_t every_ms)
{
    int heartbeat_ms = receive->receive.options->heartbeat_ms;

    talus__presence_of(publisher)->heartbeat_ms = every_ms < INT32_MAX ? (int)every_ms : INT32_MAX;
    if (receive->heartbeats_at != 0 || heartbeat_ms == 0)
        return;
    receive->heartbeats_at = tl_monotonic_ms() + heartbeat_ms;
    receive->heartbeat.has_beats = true;
}

void talus__marks_hello(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode(receive, incoming, &head);

    if (!publisher)
        return;
    if (head.every > 0)
        hear_heartbeat(receive, publisher, head.every);
    meet(receive, publisher);
}

void talus__marks_bye(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode(receive, incoming, &head);

    if (publisher)
        talus__presence_leave(&receive->presences, publisher);
}

void talus__marks_heartbeat(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__head head;
    struct talus__publisher *publisher = decode(receive, incoming, &head);

    if (!publisher)
        return;
    hear_heartbeat(receive, publisher, head.every);
    talus__marks_meet_again(receive, publisher);
}
