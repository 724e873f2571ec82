// SPDX-License-Identifier: MIT
// A transport that receives from memory.
#include "memory_receive.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/api/subscriber.h"
#include "bus/src/codec/body.h"

#define PUBLISHERS_MOST 8
#define SESSIONS_MOST   4200
#define BODY_EXTRA      (TALUS__BODY_HEADER_MAX + 8)
#define OTHER_SEQS      1000 // what an origin's own seq is ahead of its place in a stream

struct event {
    char session[FEED_SESSION_MAX];
    char origin[TALUS_ORIGIN_MAX + 1];
    uint64_t seq; // of the publisher, or of the stream
    uint64_t prev;
    size_t size;
};

struct feed_publisher {
    char origin[TALUS_ORIGIN_MAX + 1];
    struct talus__publisher *known; // NULL: it is not, or no more
    bool is_plain;
    bool is_stream;
    bool can_replay;
    uint64_t first; // what it keeps
    struct event *events;
    size_t count;
    size_t capacity;
};

enum item_kind {
    ITEM_MESSAGE, // `incoming` is set but for the bytes
    ITEM_ARRIVE,
    ITEM_AWAY,
    ITEM_CONNECTED,
    ITEM_MALFORMED,
};

struct item {
    struct item *next;
    enum item_kind kind;
    struct feed_publisher *publisher;
    struct talus__incoming incoming;
    char *topic; // owned
    void *body;  // owned
    uint64_t count;
};

struct open_request {
    struct open_request *next;
    struct talus__replay_request *request; // owned
    struct feed_publisher *publisher;
    bool is_answered;
};

struct loss {
    struct talus__loss base; // first
    struct feed_publisher *publisher;
    enum feed_end end;
};

struct memory {
    struct talus__receive_transport base; // first
    struct talus__receive_options options;
    struct item *first; // what is to be taken
    struct item *last;
    struct item *taken;            // what was taken last
    struct open_request *requests; // in their order
    struct talus__replay_request *ended;
    char sessions[SESSIONS_MOST][FEED_SESSION_MAX]; // that are subscribed to
    bool is_subscribed[SESSIONS_MOST];
    size_t session_top;                  // of these, so many were ever used
    struct loss losses[PUBLISHERS_MOST]; // to be told
    size_t loss_count;
    bool is_failing; // requests are to fail
    bool is_locked;
    bool is_knocked;
};

struct feed_script feed;
static struct memory *memory; // NULL: none is open
static struct feed_publisher publishers[PUBLISHERS_MOST];
static size_t publisher_count;
static struct feed_counts counts;
static const char *broken; // the first breach of the contract

static void expect(bool is_kept, const char *what)
{
    if (!is_kept && !broken)
        broken = what;
}

static struct memory *held(struct talus__receive_transport *transport)
{
    expect(((struct memory *)transport)->is_locked, "a call without the lock");
    return (struct memory *)transport;
}

// ---- The queue

static void free_item(struct item *item)
{
    if (!item)
        return;
    free(item->topic);
    free(item->body);
    free(item);
}

static void knock(void)
{
    const uint64_t one = 1;

    expect(write(memory->options.wake, &one, sizeof one) == sizeof one, "the wake-up fails");
    memory->is_knocked = true;
}

static struct item *push(enum item_kind kind, struct feed_publisher *publisher)
{
    struct item *item = calloc(1, sizeof *item);

    assert_non_null(memory);
    assert_non_null(item);
    item->kind = kind;
    item->publisher = publisher;
    if (memory->last)
        memory->last->next = item;
    else
        memory->first = item;
    memory->last = item;
    knock();
    return item;
}

static size_t encode(uint8_t *out, const struct feed_publisher *publisher,
                     const struct event *event)
{
    const uint64_t ahead = publisher->is_stream ? OTHER_SEQS : 0;
    size_t seq_at, prev_at;
    size_t size = talus__body_encode_header(out, event->origin, 1, NULL, 0, &seq_at, &prev_at);

    talus__body_patch(out + seq_at, event->seq + ahead);
    talus__body_patch(out + prev_at, event->prev ? event->prev + ahead : 0);
    if (event->size == 0) {
        out[size] = 0x80;
        return size + 1;
    }
    out[size++] = 0xc5; // bin 16
    out[size++] = (uint8_t)(event->size >> 8);
    out[size++] = (uint8_t)event->size;
    memset(out + size, 'x', event->size);
    return size + event->size;
}

static struct item *push_frames(const char *topic, const void *body, size_t body_size)
{
    struct item *item = push(ITEM_MESSAGE, NULL);

    item->incoming.kind = TALUS__INCOMING_EVENT;
    item->topic = strdup(topic);
    item->body = malloc(body_size + 1);
    memcpy(item->body, body, body_size);
    item->incoming.topic_bytes = item->topic;
    item->incoming.topic_size = strlen(topic);
    item->incoming.body = item->body;
    item->incoming.body_size = body_size;
    expect(talus__topic_parse(item->topic, strlen(topic), &item->incoming.topic) == 0,
           "the test's topic is none");
    return item;
}

static struct item *push_event(struct feed_publisher *publisher, const struct event *event)
{
    uint8_t *body = malloc(event->size + BODY_EXTRA);
    char topic[FEED_SESSION_MAX + 8];

    stpcpy(stpcpy(topic, event->session), "/t");
    struct item *item = push_frames(topic, body, encode(body, publisher, event));
    free(body);
    item->publisher = publisher;
    item->incoming.is_sequenced = publisher->is_stream;
    item->incoming.seq = event->seq;
    item->incoming.prev = event->prev;
    return item;
}

static bool wants(const char *session)
{
    for (size_t i = 0; memory && i < memory->session_top; i++) {
        if (memory->is_subscribed[i] && strcmp(memory->sessions[i], session) == 0)
            return true;
    }
    return false;
}

static uint64_t last_of(const struct feed_publisher *publisher, const char *session)
{
    for (size_t i = publisher->count; i-- > 0;) {
        if (strcmp(session, "*") == 0 || strcmp(publisher->events[i].session, session) == 0)
            return publisher->events[i].seq;
    }
    return 0;
}

static void push_mark(struct feed_publisher *publisher, const char *session)
{
    struct item *item = push(ITEM_MESSAGE, publisher);

    item->topic = strdup(session);
    item->incoming.kind = TALUS__INCOMING_MARK;
    item->incoming.topic.session = item->topic;
    item->incoming.topic.session_size = strlen(session);
    item->incoming.seq = last_of(publisher, session);
}

// ---- Replays

static bool is_asked_for(const struct open_request *open, const struct event *event)
{
    const char *session = open->request->session;

    return event->seq > open->request->after && event->seq >= open->publisher->first &&
           (strcmp(session, "*") == 0 || strcmp(session, event->session) == 0);
}

static void push_replayed(const struct open_request *open, struct event event, enum feed_lie lie)
{
    if (lie == FEED_OTHER_PUBLISHER)
        strcpy(event.origin, "liar0000");
    if (lie == FEED_OTHER_SESSION)
        strcpy(event.session, "elsewhere");
    struct item *item = push_event(open->publisher, &event);
    item->incoming.kind = TALUS__INCOMING_REPLAYED;
    item->incoming.request = open->request;
    if (lie == FEED_NO_BODY)
        item->incoming.body_size = 1;
}

static void push_end(const struct open_request *open, enum feed_lie lie)
{
    uint64_t newest = last_of(open->publisher, open->request->session);
    struct item *item = push(ITEM_MESSAGE, open->publisher);

    item->incoming.kind = TALUS__INCOMING_END;
    item->incoming.request = open->request;
    item->incoming.first = lie == FEED_BEYOND ? newest + 5 : open->publisher->first;
    item->incoming.seq = newest;
}

static void respond_to(struct open_request *open)
{
    const struct feed_publisher *publisher = open->publisher;
    enum feed_lie lie = feed.lies > 0 ? feed.lie : FEED_HONEST;
    size_t most = feed.replay_most ? feed.replay_most : SIZE_MAX;

    if (lie == FEED_OTHER_SESSION && strcmp(open->request->session, "*") == 0)
        lie = FEED_HONEST; // there is no other
    open->is_answered = true;
    if (feed.lies > 0)
        feed.lies--;
    for (size_t i = 0; lie != FEED_NOTHING && i < publisher->count && most > 0; i++) {
        if (!is_asked_for(open, &publisher->events[i]))
            continue;
        push_replayed(open, publisher->events[i], lie);
        if (lie == FEED_TWICE)
            push_replayed(open, publisher->events[i], lie);
        most--;
    }
    push_end(open, lie);
}

static int request(struct talus__receive_transport *transport, struct talus__publisher *known,
                   struct talus__replay_request *request)
{
    struct feed_publisher *publisher = *(struct feed_publisher **)talus__publisher_state(known);
    struct open_request **link = &held(transport)->requests;

    expect(known->can_replay && publisher, "it asks one that cannot be asked");
    counts.requests++;
    counts.after = request->after;
    if (feed.request_error) {
        free(request);
        return feed.request_error;
    }
    while (*link)
        link = &(*link)->next;
    *link = calloc(1, sizeof **link);
    **link = (struct open_request){.request = request, .publisher = publisher};
    if (feed.replays == FEED_ANSWERS)
        respond_to(*link);
    return 0;
}

// Takes a request off the list. Its messages that were not taken do not come any more.
static struct talus__replay_request *take_request(const struct talus__replay_request *request)
{
    struct open_request **link = &memory->requests;

    while (*link && (*link)->request != request)
        link = &(*link)->next;
    assert_non_null(*link);
    struct open_request *open = *link;
    struct talus__replay_request *taken = open->request;
    *link = open->next;
    free(open);
    return taken;
}

static void drop_messages_of(const struct talus__replay_request *request)
{
    struct item **link = &memory->first;

    memory->last = NULL;
    while (*link) {
        struct item *item = *link;
        if (item->incoming.request == request) {
            *link = item->next;
            free_item(item);
        } else {
            memory->last = item;
            link = &item->next;
        }
    }
}

static void fail_requests_of(const struct feed_publisher *publisher)
{
    const struct talus__receive_owner *owner = memory->options.owner;
    struct open_request *open = memory->requests;

    while (open) {
        struct open_request *next = open->next;
        if (!publisher || open->publisher == publisher) {
            struct talus__publisher *known = open->publisher->known;
            struct talus__replay_request *failed = take_request(open->request);
            drop_messages_of(failed);
            owner->on_failed(owner->arg, failed, known);
            free(failed);
        }
        open = next;
    }
}

static void refuse(struct talus__receive_transport *transport)
{
    const struct item *taken = held(transport)->taken;

    expect(taken && taken->incoming.kind == TALUS__INCOMING_REPLAYED, "it refuses something else");
    counts.refused++;
    drop_messages_of(taken->incoming.request);
    for (struct open_request *open = memory->requests; open; open = open->next) {
        if (open->request != taken->incoming.request)
            continue;
        open->is_answered = false;
        if (feed.replays == FEED_ANSWERS)
            respond_to(open);
    }
}

static int request_marks(struct talus__receive_transport *transport, struct talus__publisher *known,
                         const char *const *sessions, size_t count)
{
    struct feed_publisher *publisher = *(struct feed_publisher **)talus__publisher_state(known);

    held(transport);
    expect(count > 0 && count <= TALUS__MARKS_MOST, "none, or too many marks");
    counts.mark_requests += count;
    if (feed.request_marks_error)
        return feed.request_marks_error;
    for (size_t i = 0; i < count && !feed.is_deaf; i++)
        push_mark(publisher, sessions[i]);
    return 0;
}

// ---- Publishers

static void set_standing(struct feed_publisher *publisher, struct talus__standing standing)
{
    talus__publisher_set_standing(memory->options.publishers, publisher->known, &standing);
}

static void arrive(struct feed_publisher *publisher)
{
    const struct talus__receive_owner *owner = memory->options.owner;

    if (!publisher->known)
        publisher->known = talus__publishers_get(memory->options.publishers, publisher->origin,
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
    held(transport);
    expect(known->standing.is_missed, "nobody missed it");
    counts.heard++;
    arrive(*(struct feed_publisher **)talus__publisher_state(known));
}

static void silence(struct talus__receive_transport *transport, struct talus__publisher *known)
{
    held(transport);
    expect(known->standing.is_waited, "nobody waits for it");
    counts.silenced++;
    set_standing(*(struct feed_publisher **)talus__publisher_state(known),
                 (struct talus__standing){.is_held = true});
}

static bool meet(struct talus__receive_transport *transport)
{
    held(transport);
    return false;
}

static uint64_t newest(const struct talus__loss *loss, const char *session, size_t session_size)
{
    expect(strlen(session) == session_size, "the session's size is another");
    return last_of(((const struct loss *)loss)->publisher, session);
}

static void tell(struct loss *loss)
{
    const struct talus__receive_owner *owner = memory->options.owner;
    struct talus__publishers *known_ones = memory->options.publishers;
    struct talus__publisher *known = loss->publisher->known;

    if (!known)
        return;
    loss->base = (struct talus__loss){.publisher = known,
                                      .has_left = loss->end == FEED_LEFT,
                                      .was_known = true,
                                      .newest = loss->end == FEED_UNKNOWN ? NULL : newest};
    talus__publisher_pin(known_ones, known);
    known->can_replay = false;
    known->is_dead = true;
    known->left_at = ++known_ones->turn;
    set_standing(loss->publisher, (struct talus__standing){.is_missed = true, .is_lost = true});
    fail_requests_of(loss->publisher);
    owner->on_lost(owner->arg, &loss->base);
    talus__publisher_unpin(known_ones, known);
}

// ---- The transport

static const struct talus__receive_ops memory_ops;

static int open_memory(struct talus__receive_transport **transport,
                       const struct talus__receive_options *options)
{
    assert_null(memory);
    if (feed.open_error) {
        errno = ENOANO;
        return feed.open_error;
    }
    memory = calloc(1, sizeof *memory);
    assert_non_null(memory);
    memory->base.ops = &memory_ops;
    memory->base.endpoint = "memory://";
    memory->base.is_connecting = feed.is_connecting;
    memory->options = *options;
    options->publishers->on_remove = on_remove;
    *transport = &memory->base;
    return 0;
}

static void close_memory(struct talus__receive_transport *transport, bool is_forked)
{
    (void)transport, (void)is_forked;
    while (memory->requests)
        free(take_request(memory->requests->request));
    while (memory->first) {
        struct item *item = memory->first;
        memory->first = item->next;
        free_item(item);
    }
    free_item(memory->taken);
    free(memory->ended);
    memory->options.publishers->on_remove = NULL;
    free(memory);
    memory = NULL;
}

static void lock(struct talus__receive_transport *transport)
{
    (void)transport;
    expect(!memory->is_locked, "it is locked twice");
    memory->is_locked = true;
}

static void unlock(struct talus__receive_transport *transport)
{
    held(transport);
    memory->is_locked = false;
}

static int subscribe(struct talus__receive_transport *transport, const char *session)
{
    size_t at = 0;

    held(transport);
    expect(!wants(session), "it subscribes twice");
    if (feed.subscribe_error)
        return feed.subscribe_error;
    while (at < SESSIONS_MOST && memory->is_subscribed[at])
        at++;
    assert_true(at < SESSIONS_MOST && strlen(session) < FEED_SESSION_MAX);
    strcpy(memory->sessions[at], session);
    memory->is_subscribed[at] = true;
    if (at >= memory->session_top)
        memory->session_top = at + 1;
    counts.subscriptions++;
    for (size_t i = 0; i < publisher_count && !feed.is_mute; i++) {
        if (publishers[i].known && !publishers[i].known->standing.is_away)
            push_mark(&publishers[i], session);
    }
    return 0;
}

static int unsubscribe(struct talus__receive_transport *transport, const char *session)
{
    held(transport);
    expect(wants(session), "it was not subscribed");
    for (size_t i = 0; i < memory->session_top; i++) {
        if (strcmp(memory->sessions[i], session) == 0)
            memory->is_subscribed[i] = false;
    }
    counts.subscriptions--;
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
        memory->ended = take_request(incoming->request);
    return incoming->publisher || incoming->kind == TALUS__INCOMING_MALFORMED;
}

static void act(const struct item *item)
{
    const struct talus__receive_owner *owner = memory->options.owner;

    switch (item->kind) {
    case ITEM_ARRIVE:
        arrive(item->publisher);
        break;
    case ITEM_AWAY:
        go_away(item->publisher);
        break;
    case ITEM_CONNECTED:
        memory->base.is_connecting = false;
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
    struct item *item = held(transport)->first;

    free_item(memory->taken);
    free(memory->ended);
    memory->taken = NULL;
    memory->ended = NULL;
    incoming->kind = item ? TALUS__INCOMING_OTHER : TALUS__INCOMING_NONE;
    if (feed.take_error)
        return feed.take_error;
    if (!item)
        return 0;
    memory->first = item->next;
    if (!memory->first)
        memory->last = NULL;
    memory->taken = item;
    if (item->kind != ITEM_MESSAGE)
        act(item);
    else if (!give(item, incoming))
        incoming->kind = TALUS__INCOMING_OTHER;
    return 0;
}

static void prepare(struct talus__receive_transport *transport)
{
    held(transport);
}

static bool was_woken(struct talus__receive_transport *transport)
{
    bool is_knocked = held(transport)->is_knocked;

    memory->is_knocked = false;
    return is_knocked;
}

static void on_ready(struct talus__receive_transport *transport, unsigned source)
{
    (void)transport, (void)source;
    expect(false, "it has no descriptor");
}

static void tend(struct talus__receive_transport *transport, long long now, bool is_drained)
{
    (void)now, (void)is_drained;
    if (held(transport)->is_failing)
        fail_requests_of(NULL);
    memory->is_failing = false;
}

static void tend_losses(struct talus__receive_transport *transport, long long now, bool is_drained)
{
    (void)now;
    held(transport);
    while (is_drained && memory->loss_count > 0)
        tell(&memory->losses[--memory->loss_count]);
}

static long long due(const struct talus__receive_transport *transport)
{
    (void)transport;
    return memory->loss_count > 0 || memory->is_failing ? 1 : 0; // long ago
}

static uint64_t dropped(const struct talus__receive_transport *transport)
{
    (void)transport;
    return feed.dropped;
}

static void stats(const struct talus__receive_transport *transport, talus_subscriber_stats_t *stats)
{
    (void)transport;
    stats->asked = counts.requests;
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
    .refuse = refuse,
    .request = request,
    .request_marks = request_marks,
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
    for (size_t i = 0; i < publisher_count; i++)
        free(publishers[i].events);
    publisher_count = 0;
    feed = (struct feed_script){0};
    counts = (struct feed_counts){0};
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

static struct feed_publisher *add_publisher(const char *origin)
{
    assert_true(publisher_count < PUBLISHERS_MOST);
    struct feed_publisher *publisher = &publishers[publisher_count++];
    *publisher = (struct feed_publisher){.first = 1, .can_replay = true};
    strcpy(publisher->origin, origin);
    return publisher;
}

// What was said of sessions that are subscribed to comes with it.
static void push_arrival(struct feed_publisher *publisher)
{
    push(ITEM_ARRIVE, publisher);
    for (size_t i = 0; i < memory->session_top && !feed.is_mute; i++) {
        if (memory->is_subscribed[i])
            push_mark(publisher, memory->sessions[i]);
    }
}

struct feed_publisher *feed_publisher(const char *origin)
{
    struct feed_publisher *publisher = add_publisher(origin);

    push_arrival(publisher);
    return publisher;
}

struct feed_publisher *feed_plain_publisher(const char *origin)
{
    struct feed_publisher *publisher = add_publisher(origin);

    publisher->is_plain = true;
    return publisher;
}

void feed_set_replay(struct feed_publisher *publisher, bool can_replay)
{
    publisher->can_replay = can_replay;
    push(ITEM_ARRIVE, publisher);
}

static const struct event *add_event(struct feed_publisher *publisher, const char *origin,
                                     const char *session, size_t size)
{
    if (publisher->count == publisher->capacity) {
        publisher->capacity = publisher->capacity ? publisher->capacity * 2 : 64;
        publisher->events =
            realloc(publisher->events, publisher->capacity * sizeof *publisher->events);
        assert_non_null(publisher->events);
    }
    struct event event = {.seq = publisher->count + 1, .size = size};
    event.prev = last_of(publisher, session);
    strcpy(event.session, session);
    strcpy(event.origin, origin);
    publisher->events[publisher->count] = event;
    return &publisher->events[publisher->count++];
}

static void send_event(struct feed_publisher *publisher, const struct event *event)
{
    if (wants(event->session) || wants("*"))
        push_event(publisher, event);
}

uint64_t feed_publish_sized(struct feed_publisher *publisher, const char *session, size_t size)
{
    send_event(publisher, add_event(publisher, publisher->origin, session, size));
    return publisher->count;
}

uint64_t feed_publish(struct feed_publisher *publisher, const char *session)
{
    return feed_publish_sized(publisher, session, 0);
}

uint64_t feed_lose(struct feed_publisher *publisher, const char *session)
{
    add_event(publisher, publisher->origin, session, 0);
    return publisher->count;
}

uint64_t feed_publish_sequenced(struct feed_publisher *stream, const char *origin,
                                const char *session, bool is_lost)
{
    stream->is_stream = true;
    const struct event *event = add_event(stream, origin, session, 0);
    if (!is_lost)
        send_event(stream, event);
    return stream->count;
}

void feed_send(struct feed_publisher *publisher, uint64_t seq)
{
    send_event(publisher, &publisher->events[seq - 1]);
}

void feed_mark(struct feed_publisher *publisher, const char *session)
{
    if (wants(session))
        push_mark(publisher, session);
}

void feed_truncate(struct feed_publisher *publisher, uint64_t first)
{
    publisher->first = first;
}

void feed_go_away(struct feed_publisher *publisher)
{
    push(ITEM_AWAY, publisher);
}

void feed_return(struct feed_publisher *publisher)
{
    push_arrival(publisher);
}

void feed_end(struct feed_publisher *publisher, enum feed_end end)
{
    assert_true(memory->loss_count < PUBLISHERS_MOST);
    memory->losses[memory->loss_count++] = (struct loss){.publisher = publisher, .end = end};
    knock();
}

void feed_frames(const char *topic, const void *body, size_t body_size)
{
    push_frames(topic, body, body_size);
}

void feed_malformed(void)
{
    struct item *item = push(ITEM_MESSAGE, NULL);

    item->incoming.kind = TALUS__INCOMING_MALFORMED;
    item->incoming.what = "the test says so";
}

void feed_tell_malformed(uint64_t count)
{
    push(ITEM_MALFORMED, NULL)->count = count;
}

void feed_connect(void)
{
    push(ITEM_CONNECTED, NULL);
}

void feed_respond(void)
{
    for (struct open_request *open = memory->requests; open; open = open->next) {
        if (!open->is_answered)
            respond_to(open);
    }
}

void feed_fail_requests(void)
{
    memory->is_failing = true;
    knock();
}

struct feed_counts feed_counts(void)
{
    struct feed_counts now = counts;

    for (const struct open_request *open = memory->requests; open; open = open->next)
        now.open_requests++;
    return now;
}
