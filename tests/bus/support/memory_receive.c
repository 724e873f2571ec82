// SPDX-License-Identifier: MIT
// A transport that receives from memory.
#include "tests/bus/support/memory_state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/api/subscriber.h"

struct feed_script feed;
struct memory *feed_memory;
struct feed_publisher feed_publishers[PUBLISHERS_MOST];
size_t feed_publisher_count;
struct feed_counts feed_count;

static const char *broken; // the first breach of the contract

void feed__expect(bool is_kept, const char *what)
{
    if (!is_kept && !broken)
        broken = what;
}

struct memory *feed__held(struct talus__receive_transport *transport)
{
    feed__expect(((struct memory *)transport)->is_locked, "a call without the lock");
    return (struct memory *)transport;
}

// ---- Publishers

static void set_standing(struct feed_publisher *publisher, struct talus__standing standing)
{
    talus__publisher_set_standing(feed_memory->options.publishers, publisher->known, &standing);
}

static void arrive(struct feed_publisher *publisher)
{
    const struct talus__receive_owner *owner = feed_memory->options.owner;

    if (!publisher->known)
        publisher->known = talus__publishers_get(feed_memory->options.publishers, publisher->origin,
                                                 strlen(publisher->origin));
    if (!publisher->known)
        return; // too many
    *(struct feed_publisher **)talus__publisher_state(publisher->known) = publisher;
    publisher->known->sends_marks = true;
    publisher->known->is_plain = false;
    publisher->known->can_replay = publisher->can_replay;
    set_standing(publisher, (struct talus__standing){.is_held = true,
                                                     .is_waited = !publisher->known->is_ignored});
    owner->on_askable(owner->arg, publisher->known);
}

static void go_away(struct feed_publisher *publisher)
{
    set_standing(publisher,
                 (struct talus__standing){.is_held = true, .is_away = true, .is_missed = true});
}

static void on_remove(struct talus__publisher *known, void *arg)
{
    struct feed_publisher *publisher = *(struct feed_publisher **)talus__publisher_state(known);

    (void)arg;
    if (publisher)
        publisher->known = NULL;
}

static void heard(struct talus__receive_transport *transport, struct talus__publisher *known)
{
    feed__held(transport);
    feed__expect(known->standing.is_missed, "nobody missed it");
    feed_count.heard++;
    arrive(*(struct feed_publisher **)talus__publisher_state(known));
}

static void silence(struct talus__receive_transport *transport, struct talus__publisher *known)
{
    feed__held(transport);
    feed__expect(known->standing.is_waited, "nobody waits for it");
    feed_count.silenced++;
    set_standing(*(struct feed_publisher **)talus__publisher_state(known),
                 (struct talus__standing){.is_held = true});
}

static bool meet(struct talus__receive_transport *transport)
{
    feed__held(transport);
    return false;
}

static uint64_t newest(const struct talus__loss *loss, const char *session, size_t session_size)
{
    feed__expect(strlen(session) == session_size, "the session's size is another");
    return feed__last_of(((const struct loss *)loss)->publisher, session);
}

static void tell(struct loss *loss)
{
    const struct talus__receive_owner *owner = feed_memory->options.owner;
    struct talus__publishers *known_ones = feed_memory->options.publishers;
    struct talus__publisher *known = loss->publisher->known;

    if (!known)
        return;
    loss->base = (struct talus__loss){.publisher = known,
                                      .has_left = loss->end == FEED_LEFT,
                                      .was_known = true,
                                      .newest = loss->end == FEED_UNKNOWN ? NULL : newest};
    talus__publisher_ref(known_ones, known);
    known->can_replay = false;
    known->is_dead = true;
    known->left_at = ++known_ones->turn;
    set_standing(loss->publisher, (struct talus__standing){.is_missed = true, .is_lost = true});
    feed__fail_requests_of(loss->publisher);
    owner->on_lost(owner->arg, &loss->base);
    talus__publisher_unref(known_ones, known);
}

// ---- The transport

static const struct talus__receive_ops memory_ops;

static int open_memory(struct talus__receive_transport **transport,
                       const struct talus__receive_options *options)
{
    assert_null(feed_memory);
    if (feed.open_error) {
        errno = ENOANO;
        return feed.open_error;
    }
    feed_memory = calloc(1, sizeof *feed_memory);
    assert_non_null(feed_memory);
    feed_memory->base.ops = &memory_ops;
    feed_memory->base.endpoint = "memory://";
    feed_memory->base.is_connecting = feed.is_connecting;
    feed_memory->options = *options;
    options->publishers->on_remove = on_remove;
    *transport = &feed_memory->base;
    return 0;
}

static void close_memory(struct talus__receive_transport *transport, bool is_forked)
{
    (void)transport, (void)is_forked;
    while (feed_memory->requests)
        free(feed__take_request(feed_memory->requests->request));
    while (feed_memory->first) {
        struct item *item = feed_memory->first;
        feed_memory->first = item->next;
        feed__free_item(item);
    }
    feed__free_item(feed_memory->taken);
    free(feed_memory->ended);
    feed_memory->options.publishers->on_remove = NULL;
    free(feed_memory);
    feed_memory = NULL;
}

static void lock(struct talus__receive_transport *transport)
{
    (void)transport;
    feed__expect(!feed_memory->is_locked, "it is locked twice");
    feed_memory->is_locked = true;
}

static void unlock(struct talus__receive_transport *transport)
{
    feed__held(transport);
    feed_memory->is_locked = false;
}

static int subscribe(struct talus__receive_transport *transport, const char *session)
{
    size_t at = 0;

    feed__held(transport);
    feed__expect(!feed__wants(session), "it subscribes twice");
    if (feed.subscribe_error)
        return feed.subscribe_error;
    while (at < SESSIONS_MOST && feed_memory->is_subscribed[at])
        at++;
    assert_true(at < SESSIONS_MOST && strlen(session) < FEED_SESSION_MAX);
    strcpy(feed_memory->sessions[at], session);
    feed_memory->is_subscribed[at] = true;
    if (at >= feed_memory->session_top)
        feed_memory->session_top = at + 1;
    feed_count.subscriptions++;
    for (size_t i = 0; i < feed_publisher_count && !feed.is_mute; i++) {
        if (feed_publishers[i].known && !feed_publishers[i].known->standing.is_away)
            feed__push_mark(&feed_publishers[i], session);
    }
    return 0;
}

static int unsubscribe(struct talus__receive_transport *transport, const char *session)
{
    feed__held(transport);
    feed__expect(feed__wants(session), "it was not subscribed");
    for (size_t i = 0; i < feed_memory->session_top; i++) {
        if (strcmp(feed_memory->sessions[i], session) == 0)
            feed_memory->is_subscribed[i] = false;
    }
    feed_count.subscriptions--;
    return feed.unsubscribe_error;
}

// Gives a message. False: its publisher is gone by now.
static bool give(struct item *item, struct talus__incoming *incoming)
{
    *incoming = item->incoming;
    if (incoming->kind == TALUS__INCOMING_EVENT && !incoming->is_sequenced)
        return true;
    if (item->publisher)
        incoming->publisher = item->publisher->known;
    if (incoming->kind == TALUS__INCOMING_END)
        feed_memory->ended = feed__take_request(incoming->request);
    return incoming->publisher || incoming->kind == TALUS__INCOMING_MALFORMED;
}

static void act(const struct item *item)
{
    const struct talus__receive_owner *owner = feed_memory->options.owner;

    switch (item->kind) {
    case ITEM_ARRIVE:
        arrive(item->publisher);
        break;
    case ITEM_AWAY:
        go_away(item->publisher);
        break;
    case ITEM_CONNECTED:
        feed_memory->base.is_connecting = false;
        owner->on_connected(owner->arg);
        break;
    case ITEM_MALFORMED:
        owner->on_malformed(owner->arg, "the test says so", item->count);
        break;
    case ITEM_MESSAGE:
        break;
    }
}

static int take(struct talus__receive_transport *transport, struct talus__incoming *incoming)
{
    struct item *item = feed__held(transport)->first;

    feed__free_item(feed_memory->taken);
    free(feed_memory->ended);
    feed_memory->taken = NULL;
    feed_memory->ended = NULL;
    incoming->kind = item ? TALUS__INCOMING_OTHER : TALUS__INCOMING_NONE;
    if (feed.take_error)
        return feed.take_error;
    if (!item)
        return 0;
    feed_memory->first = item->next;
    if (!feed_memory->first)
        feed_memory->last = NULL;
    feed_memory->taken = item;
    if (item->kind != ITEM_MESSAGE)
        act(item);
    else if (!give(item, incoming))
        incoming->kind = TALUS__INCOMING_OTHER;
    return 0;
}

static void prepare(struct talus__receive_transport *transport)
{
    feed__held(transport);
}

static bool was_woken(struct talus__receive_transport *transport)
{
    bool is_knocked = feed__held(transport)->is_knocked;

    feed_memory->is_knocked = false;
    return is_knocked;
}

static void on_ready(struct talus__receive_transport *transport, unsigned source)
{
    (void)transport, (void)source;
    feed__expect(false, "it has no descriptor");
}

static void tend(struct talus__receive_transport *transport, long long now, bool is_drained)
{
    (void)now, (void)is_drained;
    if (feed__held(transport)->is_failing)
        feed__fail_requests_of(NULL);
    feed_memory->is_failing = false;
}

static void tend_losses(struct talus__receive_transport *transport, long long now, bool is_drained)
{
    (void)now;
    feed__held(transport);
    while (is_drained && feed_memory->loss_count > 0)
        tell(&feed_memory->losses[--feed_memory->loss_count]);
}

static long long due(const struct talus__receive_transport *transport)
{
    (void)transport;
    return feed_memory->loss_count > 0 || feed_memory->is_failing ? 1 : 0; // long ago
}

static uint64_t dropped(const struct talus__receive_transport *transport)
{
    (void)transport;
    return feed.dropped;
}

static void stats(const struct talus__receive_transport *transport, talus_subscriber_stats_t *stats)
{
    (void)transport;
    stats->replay_requests = feed_count.requests;
    stats->receive_dropped = feed.dropped;
}

static const struct talus__receive_ops memory_ops = {
    .publisher_size = sizeof(struct feed_publisher *),
    .open = open_memory,
    .close = close_memory,
    .lock = lock,
    .unlock = unlock,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .take = take,
    .refuse = feed__refuse,
    .request = feed__request,
    .request_marks = feed__request_marks,
    .heard = heard,
    .silence = silence,
    .meet = meet,
    .prepare = prepare,
    .was_woken = was_woken,
    .on_ready = on_ready,
    .tend = tend,
    .tend_losses = tend_losses,
    .due = due,
    .dropped = dropped,
    .stats = stats,
};

// ---- For the test

void feed_begin(void)
{
    for (size_t i = 0; i < feed_publisher_count; i++)
        free(feed_publishers[i].events);
    feed_publisher_count = 0;
    feed = (struct feed_script){0};
    feed_count = (struct feed_counts){0};
    broken = NULL;
}

int feed_open(talus_subscriber_t **subscriber, const talus_subscriber_options_t *options)
{
    return talus__subscriber_new_on(subscriber, &memory_ops, NULL, options);
}

void feed_check(void)
{
    if (broken)
        fail_msg("the contract is broken: %s", broken);
}
