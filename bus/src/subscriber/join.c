// SPDX-License-Identifier: MIT
// Joining, leaving, and LIVE.
//
// A join is live when each origin that is waited for has answered with the session's head: the head
// travels the same way as the events, so what the origin sends after it will come.
#include <stdio.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/sub_socket.h"
#include "common/event_id.h"

#define HEADS_PER_ASK  TALUS__HEADS_MAX
#define LINGERING_MOST 4096 // sessions; beyond, the one left first is ended at once

// ---- Subscriptions

// The topic of a session's events. Returns its size.
static size_t topic_of(char topic[TALUS_SESSION_MAX + 2], const char *session)
{
    if (strcmp(session, TALUS__EVERYTHING) == 0)
        return 0;
    return (size_t)snprintf(topic, TALUS_SESSION_MAX + 2, "%s/", session);
}

static int subscribe(talus_subscriber_t *subscriber, const char *session)
{
    char topic[TALUS_SESSION_MAX + 2];

    return talus__sub_subscribe(subscriber->core.socket, topic, topic_of(topic, session));
}

static void unsubscribe(talus_subscriber_t *subscriber, const char *session)
{
    char topic[TALUS_SESSION_MAX + 2];
    int error = talus__sub_unsubscribe(subscriber->core.socket, topic, topic_of(topic, session));

    if (error)
        talus__log(TALUS_LOG_WARNING, "cannot unsubscribe from '%s': %s", session,
                   talus_strerror(error));
}

static void set_ready(talus_subscriber_t *subscriber, const struct talus__origin *origin,
                      int (*set)(void *socket, const char *topic, size_t size))
{
    char topic[sizeof TALUS__READY + TALUS__SUBSCRIBER_ID + 1 + TALUS_ORIGIN_MAX];
    int size = snprintf(topic, sizeof topic, TALUS__READY "%s/%s", subscriber->core.peers.id,
                        origin->name);
    int error = set(subscriber->core.socket, topic, (size_t)size);

    if (error)
        talus__log(TALUS_LOG_WARNING, "%s: %s", topic, talus_strerror(error));
}

void talus__join_announce_ready(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    // After a reconnect ZeroMQ repeats the subscriptions in an order of its own. So that this one
    // comes last again, it is made again.
    if (origin->is_ready_topic)
        set_ready(subscriber, origin, talus__sub_unsubscribe);
    set_ready(subscriber, origin, talus__sub_subscribe);
    origin->is_ready_topic = true;
}

void talus__join_on_removed(struct talus__origin *origin, void *arg)
{
    if (origin->is_ready_topic)
        set_ready(arg, origin, talus__sub_unsubscribe);
}

// ---- LIVE

static bool has_answered(const talus_subscriber_t *subscriber, struct talus__joined *joined,
                         const struct talus__origin *origin)
{
    const struct talus__cursor *cursor =
        talus__cursor_find(joined, talus__origin_refer(&subscriber->core.origins, origin));
    return cursor && cursor->stream.has_baseline;
}

// Those that have not answered and are away are not waited for. They may come back with events of
// the session, until they are told to be lost.
static size_t count_away(const talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    const struct talus__origins *origins = &subscriber->core.origins;
    size_t count = 0;

    for (size_t i = 0; origins->departing > 0 && i < origins->slot_count; i++) {
        const struct talus__origin *origin = origins->slots[i].origin;
        count += origin && origin->is_departing && origin->is_away &&
                 talus__origin_may_return(origin) && !has_answered(subscriber, joined, origin);
    }
    return count;
}

static void settle(talus_subscriber_t *subscriber, struct talus__joined *joined, bool is_complete)
{
    size_t away = count_away(subscriber, joined);

    is_complete &= away == 0;
    joined->is_live = true;
    if (joined == subscriber->core.joined.everything)
        talus__gap_repair_go_live(&subscriber->repairs);
    joined->live_turn = ++subscriber->core.origins.turn;
    joined->is_complete = is_complete;
    talus__joined_move(&subscriber->core.joined, joined, TALUS__LIST_ANNOUNCE);
    talus__wake_set(&subscriber->core.wake);
    if (is_complete)
        return;
    subscriber->core.stats.live_incomplete++;
    talus__log(TALUS_LOG_INFO,
               "session '%s' is live without all broadcasters: %u of %zu answered, %zu are away",
               joined->name, joined->answered, subscriber->core.origins.waited, away);
}

// At the beginning joins wait a moment for those who are being connected to, so that the sessions
// are not live before their first heads come: what these had sent long ago would be owed.
static bool is_greeting(const talus_subscriber_t *subscriber)
{
    return subscriber->core.peers.greet_until != 0;
}

// Whether nobody is waited for. Who has come by now is met first: what a broadcaster emitted that
// came and died before the session was live is not owed, and what one emits that lives then is.
static bool is_answered(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    if (!talus__joined_is_answered(joined, &subscriber->core.origins))
        return false;
    if (!talus__peers_meet(&subscriber->core.peers))
        return true;
    subscriber->core.inbox.is_emptied = false; // connecting has read the descriptor
    return talus__joined_is_answered(joined, &subscriber->core.origins);
}

void talus__join_check(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    if (talus__joined_is_pending(joined) && !is_greeting(subscriber) &&
        is_answered(subscriber, joined))
        settle(subscriber, joined, true);
}

// Settles the joins of a list that wait for nobody any more.
static void check_list(talus_subscriber_t *subscriber, enum talus__joined_list list,
                       bool is_complete)
{
    struct talus__joined *joined = subscriber->core.joined.lists[list].first;

    while (joined) {
        struct talus__joined *next = joined->next;
        if (is_answered(subscriber, joined))
            settle(subscriber, joined, is_complete);
        joined = next;
    }
}

static void check_all(talus_subscriber_t *subscriber, bool is_complete)
{
    subscriber->core.origins.has_departed = false;
    if (is_greeting(subscriber))
        return;
    check_list(subscriber, TALUS__LIST_ASKED, is_complete);
    check_list(subscriber, TALUS__LIST_PENDING, is_complete);
}

void talus__join_greeted(talus_subscriber_t *subscriber)
{
    struct talus__peers *peers = &subscriber->core.peers;

    if (peers->ungreeted == 0 || --peers->ungreeted > 0)
        return;
    peers->greet_until = 0;
    check_all(subscriber, true);
}

// Those that did not answer are not waited for by every later join, unless they are known to live.
static void silence_missing(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    struct talus__origins *origins = &subscriber->core.origins;

    for (size_t i = 0; i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !origin->is_waited)
            continue;
        if (!has_answered(subscriber, joined, origin))
            talus__origin_silence(origins, origin);
    }
}

static void expire(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    unsubscribe(subscriber, joined->name);
    talus__joined_remove(&subscriber->core.joined, joined);
}

// Half of a join's time: then the heads that did not come are asked for.
static long long ask_at(const talus_subscriber_t *subscriber, const struct talus__joined *joined)
{
    return joined->deadline - subscriber->core.options.live_timeout_ms / 2;
}

// Asks one origin for the heads of the joins from `first` on that it has not answered. What cannot
// be asked is told by the join's deadline.
static void ask_origin(talus_subscriber_t *subscriber, struct talus__origin *origin,
                       struct talus__joined *first)
{
    const char *names[HEADS_PER_ASK];
    size_t count = 0;

    for (struct talus__joined *joined = first; joined; joined = joined->next) {
        if (!has_answered(subscriber, joined, origin))
            names[count++] = joined->name;
        if (count == 0 || (count < HEADS_PER_ASK && joined->next))
            continue;
        struct talus__replay_request *request = talus__replay_request_heads(names, count);
        if (!request ||
            talus__replay_client_request(&subscriber->core.replay_client, origin, request) != 0)
            return;
        count = 0;
    }
}

static void ask_heads(talus_subscriber_t *subscriber, long long now)
{
    struct talus__joined_queue *pending = &subscriber->core.joined.lists[TALUS__LIST_PENDING];
    struct talus__joined *first = pending->first;

    if (!first || now < ask_at(subscriber, first))
        return;
    while (pending->first && now >= ask_at(subscriber, pending->first))
        talus__joined_move(&subscriber->core.joined, pending->first, TALUS__LIST_ASKED);
    for (size_t i = 0; i < subscriber->core.origins.slot_count; i++) {
        struct talus__origin *origin = subscriber->core.origins.slots[i].origin;
        if (origin && origin->is_waited && origin->replay)
            ask_origin(subscriber, origin, first);
    }
}

void talus__join_tend(talus_subscriber_t *subscriber, long long now)
{
    struct talus__joined_queue *asked = &subscriber->core.joined.lists[TALUS__LIST_ASKED];
    struct talus__joined_queue *left = &subscriber->core.joined.lists[TALUS__LIST_LEFT];

    if (is_greeting(subscriber) && now >= subscriber->core.peers.greet_until) {
        subscriber->core.peers.greet_until = 0;
        check_all(subscriber, true);
    }
    if (subscriber->core.origins.has_departed)
        check_all(subscriber, true);
    ask_heads(subscriber, now);
    while (asked->first && now >= asked->first->deadline) {
        struct talus__joined *joined = asked->first;
        silence_missing(subscriber, joined);
        settle(subscriber, joined, false);
    }
    // Whoever waited for the same silent ones alone need not wait longer, but misses them, too.
    if (subscriber->core.origins.has_departed)
        check_all(subscriber, false);
    while (left->first && now >= left->first->deadline)
        expire(subscriber, left->first);
}

long long talus__join_due(const talus_subscriber_t *subscriber)
{
    const struct talus__joined *pending = subscriber->core.joined.lists[TALUS__LIST_PENDING].first;
    const struct talus__joined *asked = subscriber->core.joined.lists[TALUS__LIST_ASKED].first;
    const struct talus__joined *left = subscriber->core.joined.lists[TALUS__LIST_LEFT].first;
    long long due = subscriber->core.peers.greet_until;

    if (subscriber->core.origins.has_departed)
        return 1; // long ago: at once
    if (pending)
        due = tl_earlier(due, ask_at(subscriber, pending));
    if (asked)
        due = tl_earlier(due, asked->deadline);
    return left ? tl_earlier(due, left->deadline) : due;
}

bool talus__join_take_live(talus_subscriber_t *subscriber)
{
    struct talus__joined *joined = subscriber->core.joined.lists[TALUS__LIST_ANNOUNCE].first;

    talus__joined_move(&subscriber->core.joined, joined, TALUS__LIST_NONE);
    memcpy(subscriber->core.delivery.session, joined->name, joined->node.name_size + 1);
    subscriber->core.delivery.id[0] = '\0';
    if (joined->newest_seq > 0)
        tl_event_id_format(subscriber->core.delivery.id, joined->newest_origin, joined->newest_seq);
    talus__delivery_clear(&subscriber->core.delivery, TALUS_DELIVERY_LIVE);
    subscriber->core.delivery.given.session = subscriber->core.delivery.session;
    subscriber->core.delivery.given.newest = subscriber->core.delivery.id;
    subscriber->core.delivery.given.complete = joined->is_complete;
    subscriber->core.delivery.given.is_only_origin = talus__joined_is_only_origin(
        &subscriber->core.joined, subscriber->core.delivery.session, joined->newest_origin);
    return true;
}

// ---- Joining and leaving

// Takes up a session that is new, or was left.
static int enter(talus_subscriber_t *subscriber, struct talus__joined *joined, const char *session)
{
    if (talus__joined_count(&subscriber->core.joined) >= subscriber->core.options.max_sessions)
        return TALUS_ELIMIT;
    if (!joined) {
        joined = talus__joined_add(&subscriber->core.joined, session, strlen(session));
        if (!joined)
            return TALUS_ENOMEM;
        int error = subscribe(subscriber, session);
        if (error) {
            talus__joined_remove(&subscriber->core.joined, joined);
            return error;
        }
    }
    if (joined->is_live) {
        talus__joined_move(&subscriber->core.joined, joined, TALUS__LIST_ANNOUNCE);
        if (joined == subscriber->core.joined.everything)
            talus__gap_repair_go_live(&subscriber->repairs);
    } else {
        joined->deadline = tl_monotonic_ms() + subscriber->core.options.live_timeout_ms;
        talus__joined_move(&subscriber->core.joined, joined, TALUS__LIST_PENDING);
        talus__join_check(subscriber, joined);
    }
    return 0;
}

int talus__join_session(talus_subscriber_t *subscriber, const char *session)
{
    size_t size = strlen(session);

    if (size > 0 && strcmp(session, TALUS__EVERYTHING) != 0 &&
        talus_session_check(session, size) != 0)
        return TALUS_ESESSION;
    struct talus__joined *joined = talus__joined_find(&subscriber->core.joined, session, size);
    int error = 0;
    if (!joined || talus__joined_is_left(joined))
        error = enter(subscriber, joined, session);
    else if (joined->list == TALUS__LIST_NONE)
        talus__joined_move(&subscriber->core.joined, joined, TALUS__LIST_ANNOUNCE);
    if (error)
        return error;
    talus__wake_set(&subscriber->core.wake);
    talus__wake_by(&subscriber->core.wake, talus__join_due(subscriber));
    return 0;
}

int talus__leave_session(talus_subscriber_t *subscriber, const char *session)
{
    struct talus__joined_queue *left = &subscriber->core.joined.lists[TALUS__LIST_LEFT];
    struct talus__joined *joined =
        talus__joined_find(&subscriber->core.joined, session, strlen(session));

    if (!joined || talus__joined_is_left(joined))
        return TALUS_ENOTFOUND;
    talus__gap_repair_leave(&subscriber->repairs, joined);
    joined->deadline = tl_monotonic_ms() + TALUS__LINGER_MS;
    talus__joined_move(&subscriber->core.joined, joined, TALUS__LIST_LEFT);
    if (left->count > LINGERING_MOST)
        expire(subscriber, left->first);
    talus__wake_set(&subscriber->core.wake);
    talus__wake_by(&subscriber->core.wake, talus__join_due(subscriber));
    return 0;
}
