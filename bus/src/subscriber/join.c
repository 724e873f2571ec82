// SPDX-License-Identifier: MIT
// Joining, leaving, and LIVE.
//
// A join is live when each publisher that is waited for has answered with the session's mark: the
// mark travels the same way as the events, so what the publisher sends after it will come.
#include "bus/src/subscriber/join.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/catch_up.h"
#include "common/clock.h"
#include "common/event_id.h"

#define LINGERING_MOST 4096 // sessions; beyond, the one left first is ended at once

// ---- LIVE

static bool has_answered(const talus_subscriber_t *subscriber,
                         struct talus__subscription *subscription,
                         const struct talus__publisher *publisher)
{
    const struct talus__stream_cursor *cursor = talus__stream_cursor_find(
        subscription, talus__publisher_weak_ref_of(&subscriber->core.publishers, publisher));
    return cursor && cursor->stream.has_baseline;
}

// Those that have not answered and are away are not waited for. They may come back with events of
// the session, until they are told to be lost.
static size_t count_away(const talus_subscriber_t *subscriber,
                         struct talus__subscription *subscription)
{
    const struct talus__publishers *publishers = &subscriber->core.publishers;
    size_t count = 0;

    for (size_t i = 0; publishers->away > 0 && i < publishers->slot_count; i++) {
        const struct talus__publisher *publisher = publishers->slots[i].publisher;
        count += publisher && publisher->standing.is_away &&
                 !has_answered(subscriber, subscription, publisher);
    }
    return count;
}

static void decide_live(talus_subscriber_t *subscriber, struct talus__subscription *subscription,
                        bool is_complete)
{
    size_t away = count_away(subscriber, subscription);

    is_complete &= away == 0;
    subscription->is_live = true;
    if (subscription == subscriber->core.subscriptions.everything)
        talus__gap_repair_go_live(&subscriber->repairs, false);
    subscription->live_turn = ++subscriber->core.publishers.turn;
    subscription->is_complete = is_complete;
    bool is_caught_up = talus__catch_up_decide_live(&subscriber->core, subscription);
    talus__subscriptions_move(&subscriber->core.subscriptions, subscription,
                              is_caught_up ? TALUS__LIST_ANNOUNCE : TALUS__LIST_CATCHING_UP);
    talus__wake_set(&subscriber->core.wake);
    if (is_complete)
        return;
    subscriber->core.stats.live_incomplete++;
    talus__log(TALUS_LOG_INFO,
               "session '%s' is live without all broadcasters: %u of %zu answered, %zu are away",
               subscription->name, subscription->answered, subscriber->core.publishers.waited,
               away);
}

// At the beginning joins wait a moment for those who are being connected to, so that the sessions
// are not live before their first marks come: what these had sent long ago would be owed.
static bool is_connecting(const talus_subscriber_t *subscriber)
{
    return subscriber->core.transport->is_connecting;
}

// Whether nobody is waited for. Who has come by now is met first: what a broadcaster emitted that
// came and died before the session was live is not owed, and what one emits that lives then is.
static bool is_answered(talus_subscriber_t *subscriber, struct talus__subscription *subscription)
{
    if (!talus__subscription_is_answered(subscription, &subscriber->core.publishers))
        return false;
    struct talus__receive_transport *transport = subscriber->core.transport;
    if (!transport->ops->meet(transport))
        return true;
    return talus__subscription_is_answered(subscription, &subscriber->core.publishers);
}

void talus__join_check(talus_subscriber_t *subscriber, struct talus__subscription *subscription)
{
    if (talus__subscription_is_pending(subscription) && !is_connecting(subscriber) &&
        is_answered(subscriber, subscription))
        decide_live(subscriber, subscription, true);
}

// Settles the joins of a list that wait for nobody any more.
static void check_list(talus_subscriber_t *subscriber, enum talus__subscription_list list,
                       bool is_complete)
{
    struct talus__subscription *subscription = subscriber->core.subscriptions.lists[list].first;

    while (subscription) {
        struct talus__subscription *next = subscription->next;
        if (is_answered(subscriber, subscription))
            decide_live(subscriber, subscription, is_complete);
        subscription = next;
    }
}

static void check_all(talus_subscriber_t *subscriber, bool is_complete)
{
    subscriber->core.publishers.has_fewer_awaited = false;
    if (is_connecting(subscriber))
        return;
    check_list(subscriber, TALUS__LIST_REQUESTED, is_complete);
    check_list(subscriber, TALUS__LIST_PENDING, is_complete);
}

void talus__join_on_connected(void *arg)
{
    check_all(arg, true);
}

// Those that did not answer are not waited for by every later join, unless they are known to live.
static void silence_missing(talus_subscriber_t *subscriber,
                            struct talus__subscription *subscription)
{
    const struct talus__publishers *publishers = &subscriber->core.publishers;
    struct talus__receive_transport *transport = subscriber->core.transport;

    for (size_t i = 0; i < publishers->slot_count; i++) {
        struct talus__publisher *publisher = publishers->slots[i].publisher;
        if (!publisher || !publisher->standing.is_waited)
            continue;
        if (!has_answered(subscriber, subscription, publisher))
            transport->ops->silence(transport, publisher);
    }
}

static void expire(talus_subscriber_t *subscriber, struct talus__subscription *subscription)
{
    struct talus__receive_transport *transport = subscriber->core.transport;
    int error = transport->ops->unsubscribe(transport, subscription->name);

    if (error)
        talus__log(TALUS_LOG_WARNING, "cannot unsubscribe from '%s': %s", subscription->name,
                   talus_strerror(error));
    talus__subscriptions_remove(&subscriber->core.subscriptions, subscription);
}

// Half of a join's time: then the marks that did not come are requested.
static long long request_at(const talus_subscriber_t *subscriber,
                            const struct talus__subscription *subscription)
{
    return subscription->deadline - subscriber->core.options.live_timeout_ms / 2;
}

// Requests one publisher's marks of the joins from `first` on that it has not answered. What
// cannot be requested is told by the join's deadline.
static void request_marks_of(talus_subscriber_t *subscriber, struct talus__publisher *publisher,
                             struct talus__subscription *first)
{
    struct talus__receive_transport *transport = subscriber->core.transport;
    const char *names[TALUS__MARKS_MOST];
    size_t count = 0;

    for (struct talus__subscription *subscription = first; subscription;
         subscription = subscription->next) {
        if (!has_answered(subscriber, subscription, publisher))
            names[count++] = subscription->name;
        if (count == 0 || (count < TALUS__MARKS_MOST && subscription->next))
            continue;
        if (transport->ops->request_marks(transport, publisher, names, count) != 0)
            return;
        count = 0;
    }
}

static void request_marks(talus_subscriber_t *subscriber, long long now)
{
    struct talus__subscription_queue *pending =
        &subscriber->core.subscriptions.lists[TALUS__LIST_PENDING];
    struct talus__subscription *first = pending->first;

    if (!first || now < request_at(subscriber, first))
        return;
    while (pending->first && now >= request_at(subscriber, pending->first))
        talus__subscriptions_move(&subscriber->core.subscriptions, pending->first,
                                  TALUS__LIST_REQUESTED);
    for (size_t i = 0; i < subscriber->core.publishers.slot_count; i++) {
        struct talus__publisher *publisher = subscriber->core.publishers.slots[i].publisher;
        if (publisher && publisher->standing.is_waited && publisher->can_replay)
            request_marks_of(subscriber, publisher, first);
    }
}

void talus__join_tend(talus_subscriber_t *subscriber, long long now)
{
    struct talus__subscription_queue *requested =
        &subscriber->core.subscriptions.lists[TALUS__LIST_REQUESTED];
    struct talus__subscription_queue *left =
        &subscriber->core.subscriptions.lists[TALUS__LIST_LEFT];

    if (subscriber->core.publishers.has_fewer_awaited)
        check_all(subscriber, true);
    request_marks(subscriber, now);
    while (requested->first && now >= requested->first->deadline) {
        struct talus__subscription *subscription = requested->first;
        silence_missing(subscriber, subscription);
        decide_live(subscriber, subscription, false);
    }
    // Whoever waited for the same silent ones alone need not wait longer, but misses them, too.
    if (subscriber->core.publishers.has_fewer_awaited)
        check_all(subscriber, false);
    while (left->first && now >= left->first->deadline)
        expire(subscriber, left->first);
}

long long talus__join_due(const talus_subscriber_t *subscriber)
{
    const struct talus__subscription *pending =
        subscriber->core.subscriptions.lists[TALUS__LIST_PENDING].first;
    const struct talus__subscription *requested =
        subscriber->core.subscriptions.lists[TALUS__LIST_REQUESTED].first;
    const struct talus__subscription *left =
        subscriber->core.subscriptions.lists[TALUS__LIST_LEFT].first;
    long long due = 0;

    if (subscriber->core.publishers.has_fewer_awaited)
        return 1; // long ago: at once
    if (pending)
        due = tl_earlier(due, request_at(subscriber, pending));
    if (requested)
        due = tl_earlier(due, requested->deadline);
    return left ? tl_earlier(due, left->deadline) : due;
}

bool talus__join_take_live(talus_subscriber_t *subscriber)
{
    struct talus__subscription *subscription =
        subscriber->core.subscriptions.lists[TALUS__LIST_ANNOUNCE].first;

    if (talus__catch_up_take_gap(&subscriber->core, subscription))
        return true;
    talus__subscriptions_move(&subscriber->core.subscriptions, subscription, TALUS__LIST_NONE);
    talus__delivery_live(
        &subscriber->core.delivery, subscription->name, subscription->newest_origin,
        talus__catch_up_newest(&subscriber->core, subscription), subscription->is_complete);
    subscriber->core.delivery.given.live.is_only_origin = talus__subscriptions_is_only_origin(
        &subscriber->core.subscriptions, &subscriber->core.publishers,
        subscriber->core.delivery.session, subscription->newest_origin);
    return true;
}

// ---- Joining and leaving

// Takes up a session that is new, or was left.
static int enter(talus_subscriber_t *subscriber, struct talus__subscription *subscription,
                 const char *session, struct talus__since *since)
{
    struct talus__receive_transport *transport = subscriber->core.transport;

    if (talus__subscriptions_count(&subscriber->core.subscriptions) >=
        subscriber->core.options.max_sessions) {
        free(since);
        return TALUS_ELIMIT;
    }
    if (subscription && since) { // to go on after another event, it begins anew
        expire(subscriber, subscription);
        subscription = NULL;
    }
    if (!subscription) {
        subscription =
            talus__subscriptions_add(&subscriber->core.subscriptions, session, strlen(session));
        if (!subscription) {
            free(since);
            return TALUS_ENOMEM;
        }
        subscription->since = since;
        int error = transport->ops->subscribe(transport, session);
        if (error) {
            talus__subscriptions_remove(&subscriber->core.subscriptions, subscription);
            return error;
        }
    }
    if (subscription == subscriber->core.subscriptions.everything)
        talus__catch_up_give_up(&subscriber->core);
    if (subscription->is_live) {
        talus__subscriptions_move(&subscriber->core.subscriptions, subscription,
                                  TALUS__LIST_ANNOUNCE);
        if (subscription == subscriber->core.subscriptions.everything)
            talus__gap_repair_go_live(&subscriber->repairs, true);
    } else {
        subscription->deadline = tl_monotonic_ms() + subscriber->core.options.live_timeout_ms;
        talus__subscriptions_move(&subscriber->core.subscriptions, subscription,
                                  TALUS__LIST_PENDING);
        talus__join_check(subscriber, subscription);
    }
    return 0;
}

int talus__join_session(talus_subscriber_t *subscriber, const char *session,
                        struct talus__since *since)
{
    size_t size = strlen(session);

    if (size > 0 && strcmp(session, TALUS__EVERYTHING) != 0 &&
        talus_session_check(session, size) != 0)
        return TALUS_ESESSION;
    struct talus__subscription *subscription =
        talus__subscriptions_find(&subscriber->core.subscriptions, session, size);
    int error = 0;
    if (!subscription || talus__subscription_is_left(subscription))
        error = enter(subscriber, subscription, session, since);
    else if (subscription->list == TALUS__LIST_NONE)
        talus__subscriptions_move(&subscriber->core.subscriptions, subscription,
                                  TALUS__LIST_ANNOUNCE);
    if (error)
        return error;
    talus__wake_set(&subscriber->core.wake);
    talus__wake_by(&subscriber->core.wake, talus__join_due(subscriber));
    return 0;
}

int talus__leave_session(talus_subscriber_t *subscriber, const char *session)
{
    struct talus__subscription_queue *left =
        &subscriber->core.subscriptions.lists[TALUS__LIST_LEFT];
    struct talus__subscription *subscription =
        talus__subscriptions_find(&subscriber->core.subscriptions, session, strlen(session));

    if (!subscription || talus__subscription_is_left(subscription))
        return TALUS_ENOTFOUND;
    talus__gap_repair_leave(&subscriber->repairs, subscription);
    talus__catch_up_leave(subscription);
    subscription->deadline = tl_monotonic_ms() + TALUS__LINGER_MS;
    talus__subscriptions_move(&subscriber->core.subscriptions, subscription, TALUS__LIST_LEFT);
    if (left->count > LINGERING_MOST)
        expire(subscriber, left->first);
    talus__wake_set(&subscriber->core.wake);
    talus__wake_by(&subscriber->core.wake, talus__join_due(subscriber));
    return 0;
}
