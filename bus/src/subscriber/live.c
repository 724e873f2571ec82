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

#include "context.h"
#include "instance.h"
#include "log.h"
#include "wire.h"
#include "zmq_error.h"

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

static void settle(talus_subscriber_t *subscriber, struct talus__joined *joined, bool is_complete)
{
    joined->is_live = true;
    joined->is_complete = is_complete;
    talus__joined_move(&subscriber->joined, joined, TALUS__LIST_ANNOUNCE);
    talus__raise(subscriber);
    if (is_complete)
        return;
    subscriber->stats.live_incomplete++;
    talus__log(TALUS_LOG_INFO, "session '%s' is live without all broadcasters: %u of %zu answered",
               joined->name, joined->answered, subscriber->origins.waited);
}

void talus__live_check(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    if (joined->list == TALUS__LIST_PENDING &&
        talus__joined_is_answered(joined, &subscriber->origins))
        settle(subscriber, joined, true);
}

// Settles the joins that wait for nobody any more.
static void check_all(talus_subscriber_t *subscriber, bool is_complete)
{
    struct talus__joined *joined = subscriber->joined.lists[TALUS__LIST_PENDING].first;

    subscriber->origins.has_departed = false;
    while (joined) {
        struct talus__joined *next = joined->next;
        if (talus__joined_is_answered(joined, &subscriber->origins))
            settle(subscriber, joined, is_complete);
        joined = next;
    }
}

// Those that did not answer are not waited for by every later join, unless they are known to live.
static void silence_missing(talus_subscriber_t *subscriber, struct talus__joined *joined)
{
    struct talus__origins *origins = &subscriber->origins;

    for (size_t i = 0; i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (!origin || !origin->is_waited)
            continue;
        const struct talus__position *position =
            talus__position_find(joined, talus__origin_refer(origins, origin));
        if (!position || !position->has_baseline)
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

void talus__live_tend(talus_subscriber_t *subscriber, long long now)
{
    struct talus__joined_queue *pending = &subscriber->joined.lists[TALUS__LIST_PENDING];
    struct talus__joined_queue *left = &subscriber->joined.lists[TALUS__LIST_LEFT];

    if (subscriber->origins.has_departed)
        check_all(subscriber, true);
    while (pending->first && now >= pending->first->deadline) {
        struct talus__joined *joined = pending->first;
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
    const struct talus__joined *left = subscriber->joined.lists[TALUS__LIST_LEFT].first;

    if (subscriber->origins.has_departed)
        return 1; // long ago: at once
    if (!pending || !left)
        return pending ? pending->deadline : left ? left->deadline : 0;
    return pending->deadline < left->deadline ? pending->deadline : left->deadline;
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
    subscriber->delivery = (talus_delivery_t){
        .kind = TALUS_DELIVERY_LIVE,
        .session = subscriber->session,
        .event = NULL,
        .newest = subscriber->id,
        .complete = joined->is_complete,
    };
    return true;
}

// ---- Joining and leaving

// Takes up a session that is new, or was left.
static int enter(talus_subscriber_t *subscriber, struct talus__joined *joined, const char *session)
{
    if (talus__joined_count(&subscriber->joined) >= subscriber->max_sessions)
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
        joined->deadline = talus__monotonic_ms() + subscriber->live_timeout_ms;
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
    joined->deadline = talus__monotonic_ms() + TALUS__LINGER_MS;
    talus__joined_move(&subscriber->joined, joined, TALUS__LIST_LEFT);
    if (left->count > LINGERING_MOST)
        expire(subscriber, left->first);
    talus__raise(subscriber);
    talus__arm_timer(subscriber);
    return 0;
}
