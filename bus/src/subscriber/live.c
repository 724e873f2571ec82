// SPDX-License-Identifier: MIT
// Joining, leaving, and LIVE.
//
// A join is live when each origin that is waited for has answered with the session's head: the head
// travels the same way as the events, so what the origin sends after it will come.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/answers.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/zmq_error.h"

#define HEADS_PER_ASK  TALUS__HEADS_MAX
#define LINGERING_MOST 4096 // sessions; beyond, the one left first is ended at once

// ---- Subscriptions

static int set_subscription(talus_subscriber_t *subscriber, int option, const char *session)
{
    char topic[TALUS_SESSION_MAX + 2];
    size_t size = 0;

    if (strcmp(session, TALUS__EVERYTHING) != 0)
        size = (size_t)snprintf(topic, sizeof topic, "%s/", session);
    return zmq_setsockopt(subscriber->socket, option, topic, size) == 0 ? 0 : talus__zmq_error();
}

static void set_ready(talus_subscriber_t *subscriber, int option,
                      const struct talus__origin *origin)
{
    char topic[sizeof TALUS__READY + TALUS__SUBSCRIBER_ID + 1 + TALUS_ORIGIN_MAX];
    int size =
        snprintf(topic, sizeof topic, TALUS__READY "%s/%s", subscriber->peers.id, origin->name);

    if (zmq_setsockopt(subscriber->socket, option, topic, (size_t)size) != 0)
        talus__log(TALUS_LOG_WARNING, "%s: %s", topic, zmq_strerror(errno));
}

void talus__announce_ready(talus_subscriber_t *subscriber, struct talus__origin *origin)
{
    // After a reconnect ZeroMQ repeats the subscriptions in an order of its own. So that this one
    // comes last again, it is made again.
    if (origin->is_ready_topic)
        set_ready(subscriber, ZMQ_UNSUBSCRIBE, origin);
    set_ready(subscriber, ZMQ_SUBSCRIBE, origin);
    origin->is_ready_topic = true;
}

void talus__on_origin_removed(struct talus__origin *origin, void *arg)
{
    if (origin->is_ready_topic)
        set_ready(arg, ZMQ_UNSUBSCRIBE, origin);
}

// ---- LIVE

static bool has_answered(const talus_subscriber_t *subscriber, struct talus__joined *joined,
                         const struct talus__origin *origin)
{
    const struct talus__position *position =
        talus__position_find(joined, talus__origin_refer(&subscriber->origins, origin));
    return position && position->has_baseline;
}

// Those that have not answered and are away are not waited for. They may come back with events of
// the session, until they are told to be lost.
static size_t count_away(const talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    const struct talus__origins *origins = &subscriber->origins;
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
    joined->live_turn = ++subscriber->origins.turn;
    joined->is_complete = is_complete;
    talus__joined_move(&subscriber->joined, joined, TALUS__LIST_ANNOUNCE);
    talus__raise(subscriber);
    if (is_complete)
        return;
    subscriber->stats.live_incomplete++;
    talus__log(TALUS_LOG_INFO,
               "session '%s' is live without all broadcasters: %u of %zu answered, %zu are away",
               joined->name, joined->answered, subscriber->origins.waited, away);
}

// At the beginning joins wait a moment for those who are being connected to, so that the sessions
// are not live before their first heads come: what these had sent long ago would be owed.
static bool is_greeting(const talus_subscriber_t *subscriber)
{
    return subscriber->peers.greet_until != 0;
}

// Whether nobody is waited for. Who has come by now is met first: what a broadcaster emitted that
// came and died before the session was live is not owed, and what one emits that lives then is.
static bool is_answered(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    if (!talus__joined_is_answered(joined, &subscriber->origins))
        return false;
    if (!talus__peers_meet(&subscriber->peers))
        return true;
    subscriber->inbox.is_emptied = false; // connecting has read the descriptor
    return talus__joined_is_answered(joined, &subscriber->origins);
}

void talus__live_check(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    if (talus__joined_is_pending(joined) && !is_greeting(subscriber) &&
        is_answered(subscriber, joined))
        settle(subscriber, joined, true);
}

// Settles the joins of a list that wait for nobody any more.
static void check_list(talus_subscriber_t *subscriber, enum talus__joined_list list,
                       bool is_complete)
{
    struct talus__joined *joined = subscriber->joined.lists[list].first;

    while (joined) {
        struct talus__joined *next = joined->next;
        if (is_answered(subscriber, joined))
            settle(subscriber, joined, is_complete);
        joined = next;
    }
}

static void check_all(talus_subscriber_t *subscriber, bool is_complete)
{
    subscriber->origins.has_departed = false;
    if (is_greeting(subscriber))
        return;
    check_list(subscriber, TALUS__LIST_ASKED, is_complete);
    check_list(subscriber, TALUS__LIST_PENDING, is_complete);
}

void talus__live_greeted(talus_subscriber_t *subscriber)
{
    struct talus__peers *peers = &subscriber->peers;

    if (peers->ungreeted == 0 || --peers->ungreeted > 0)
        return;
    peers->greet_until = 0;
    check_all(subscriber, true);
}

// Those that did not answer are not waited for by every later join, unless they are known to live.
static void silence_missing(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    struct talus__origins *origins = &subscriber->origins;

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
    if (set_subscription(subscriber, ZMQ_UNSUBSCRIBE, joined->name) != 0)
        talus__log(TALUS_LOG_WARNING, "cannot unsubscribe from '%s': %s", joined->name,
                   zmq_strerror(errno));
    talus__joined_remove(&subscriber->joined, joined);
}

// Half of a join's time: then the heads that did not come are asked for.
static long long ask_at(const talus_subscriber_t *subscriber, const struct talus__joined *joined)
{
    return joined->deadline - subscriber->options.live_timeout_ms / 2;
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
        struct talus__ask *ask = talus__ask_heads_new(names, count);
        if (!ask || talus__askers_ask(&subscriber->askers, origin, ask) != 0)
            return;
        count = 0;
    }
}

static void ask_heads(talus_subscriber_t *subscriber, long long now)
{
    struct talus__joined_queue *pending = &subscriber->joined.lists[TALUS__LIST_PENDING];
    struct talus__joined *first = pending->first;

    if (!first || now < ask_at(subscriber, first))
        return;
    while (pending->first && now >= ask_at(subscriber, pending->first))
        talus__joined_move(&subscriber->joined, pending->first, TALUS__LIST_ASKED);
    for (size_t i = 0; i < subscriber->origins.slot_count; i++) {
        struct talus__origin *origin = subscriber->origins.slots[i].origin;
        if (origin && origin->is_waited && origin->replay)
            ask_origin(subscriber, origin, first);
    }
}

void talus__live_tend(talus_subscriber_t *subscriber, long long now)
{
    struct talus__joined_queue *asked = &subscriber->joined.lists[TALUS__LIST_ASKED];
    struct talus__joined_queue *left = &subscriber->joined.lists[TALUS__LIST_LEFT];

    if (is_greeting(subscriber) && now >= subscriber->peers.greet_until) {
        subscriber->peers.greet_until = 0;
        check_all(subscriber, true);
    }
    if (subscriber->origins.has_departed)
        check_all(subscriber, true);
    ask_heads(subscriber, now);
    while (asked->first && now >= asked->first->deadline) {
        struct talus__joined *joined = asked->first;
        silence_missing(subscriber, joined);
        settle(subscriber, joined, false);
    }
    // Whoever waited for the same silent ones alone need not wait longer, but misses them, too.
    if (subscriber->origins.has_departed)
        check_all(subscriber, false);
    while (left->first && now >= left->first->deadline)
        expire(subscriber, left->first);
}

long long talus__live_due(const talus_subscriber_t *subscriber)
{
    const struct talus__joined *pending = subscriber->joined.lists[TALUS__LIST_PENDING].first;
    const struct talus__joined *asked = subscriber->joined.lists[TALUS__LIST_ASKED].first;
    const struct talus__joined *left = subscriber->joined.lists[TALUS__LIST_LEFT].first;
    long long due = subscriber->peers.greet_until;

    if (subscriber->origins.has_departed)
        return 1; // long ago: at once
    if (pending)
        due = talus__earlier(due, ask_at(subscriber, pending));
    if (asked)
        due = talus__earlier(due, asked->deadline);
    return left ? talus__earlier(due, left->deadline) : due;
}

bool talus__live_take(talus_subscriber_t *subscriber)
{
    struct talus__joined *joined = subscriber->joined.lists[TALUS__LIST_ANNOUNCE].first;

    if (!joined)
        return false;
    talus__joined_move(&subscriber->joined, joined, TALUS__LIST_NONE);
    memcpy(subscriber->session, joined->name, joined->node.name_size + 1);
    subscriber->id[0] = '\0';
    if (joined->newest_seq > 0)
        talus__format_id(subscriber->id, joined->newest_origin, joined->newest_seq);
    talus__clear_delivery(subscriber, TALUS_DELIVERY_LIVE);
    subscriber->delivery.session = subscriber->session;
    subscriber->delivery.newest = subscriber->id;
    subscriber->delivery.complete = joined->is_complete;
    subscriber->delivery.is_only_origin =
        talus__is_only_origin(subscriber, subscriber->session, joined->newest_origin);
    return true;
}

// ---- Joining and leaving

// Takes up a session that is new, or was left.
static int enter(talus_subscriber_t *subscriber, struct talus__joined *joined, const char *session)
{
    if (talus__joined_count(&subscriber->joined) >= subscriber->options.max_sessions)
        return TALUS_ELIMIT;
    if (!joined) {
        joined = talus__joined_add(&subscriber->joined, session, strlen(session));
        if (!joined)
            return TALUS_ENOMEM;
        int error = set_subscription(subscriber, ZMQ_SUBSCRIBE, session);
        if (error) {
            talus__joined_remove(&subscriber->joined, joined);
            return error;
        }
    }
    if (joined->is_live) {
        talus__joined_move(&subscriber->joined, joined, TALUS__LIST_ANNOUNCE);
    } else {
        joined->deadline = talus__monotonic_ms() + subscriber->options.live_timeout_ms;
        talus__joined_move(&subscriber->joined, joined, TALUS__LIST_PENDING);
        talus__live_check(subscriber, joined);
    }
    return 0;
}

int talus_subscriber_join(talus_subscriber_t *subscriber, const char *session)
{
    size_t size = strlen(session);

    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    if (size > 0 && strcmp(session, TALUS__EVERYTHING) != 0 &&
        talus_session_check(session, size) != 0)
        return TALUS_ESESSION;
    talus__enter(subscriber);
    struct talus__joined *joined = talus__joined_find(&subscriber->joined, session, size);
    int error = 0;
    if (!joined || talus__joined_is_left(joined))
        error = enter(subscriber, joined, session);
    else if (joined->list == TALUS__LIST_NONE)
        talus__joined_move(&subscriber->joined, joined, TALUS__LIST_ANNOUNCE);
    if (!error) {
        talus__raise(subscriber);
        talus__arm_timer(subscriber);
    }
    talus__leave(subscriber);
    return error;
}

int talus_subscriber_leave(talus_subscriber_t *subscriber, const char *session)
{
    struct talus__joined_queue *left = &subscriber->joined.lists[TALUS__LIST_LEFT];

    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    struct talus__joined *joined =
        talus__joined_find(&subscriber->joined, session, strlen(session));
    if (!joined || talus__joined_is_left(joined))
        return TALUS_ENOTFOUND;
    talus__enter(subscriber);
    talus__heals_close(subscriber, joined);
    joined->deadline = talus__monotonic_ms() + TALUS__LINGER_MS;
    talus__joined_move(&subscriber->joined, joined, TALUS__LIST_LEFT);
    if (left->count > LINGERING_MOST)
        expire(subscriber, left->first);
    talus__raise(subscriber);
    talus__arm_timer(subscriber);
    talus__leave(subscriber);
    return 0;
}
