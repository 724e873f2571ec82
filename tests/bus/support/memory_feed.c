// SPDX-License-Identifier: MIT
// What tests have the transport in memory bring.
#include "tests/bus/support/memory_state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static struct feed_publisher *add_publisher(const char *origin)
{
    assert_true(feed_publisher_count < PUBLISHERS_MOST);
    struct feed_publisher *publisher = &feed_publishers[feed_publisher_count++];
    *publisher = (struct feed_publisher){.first = 1, .can_replay = true};
    strcpy(publisher->origin, origin);
    return publisher;
}

// What was said of sessions that are subscribed to comes with it.
static void push_arrival(struct feed_publisher *publisher)
{
    feed__push(ITEM_ARRIVE, publisher);
    for (size_t i = 0; i < feed_memory->session_top && !feed.is_mute; i++) {
        if (feed_memory->is_subscribed[i])
            feed__push_mark(publisher, feed_memory->sessions[i]);
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
    return add_publisher(origin);
}

void feed_set_replay(struct feed_publisher *publisher, bool can_replay)
{
    publisher->can_replay = can_replay;
    feed__push(ITEM_ARRIVE, publisher);
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
    event.prev = feed__last_of(publisher, session);
    strcpy(event.session, session);
    strcpy(event.origin, origin);
    publisher->events[publisher->count] = event;
    return &publisher->events[publisher->count++];
}

static void send_event(struct feed_publisher *publisher, const struct event *event)
{
    if (feed__wants(event->session) || feed__wants("*"))
        feed__push_event(publisher, event);
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
    if (feed__wants(session))
        feed__push_mark(publisher, session);
}

void feed_truncate(struct feed_publisher *publisher, uint64_t first)
{
    publisher->first = first;
}

void feed_go_away(struct feed_publisher *publisher)
{
    feed__push(ITEM_AWAY, publisher);
}

void feed_return(struct feed_publisher *publisher)
{
    push_arrival(publisher);
}

void feed_end(struct feed_publisher *publisher, enum feed_end end)
{
    assert_true(feed_memory->loss_count < PUBLISHERS_MOST);
    feed_memory->losses[feed_memory->loss_count++] =
        (struct loss){.publisher = publisher, .end = end};
    feed__knock();
}

void feed_frames(const char *topic, const void *body, size_t body_size)
{
    feed__push_frames(topic, body, body_size);
}

void feed_malformed(void)
{
    struct item *item = feed__push(ITEM_MESSAGE, NULL);

    item->incoming.kind = TALUS__INCOMING_MALFORMED;
    item->incoming.what = "the test says so";
}

void feed_tell_malformed(uint64_t count)
{
    feed__push(ITEM_MALFORMED, NULL)->count = count;
}

void feed_connect(void)
{
    feed__push(ITEM_CONNECTED, NULL);
}

void feed_respond(void)
{
    for (struct open_request *open = feed_memory->requests; open; open = open->next) {
        if (!open->is_answered)
            feed__respond_to(open);
    }
}

void feed_fail_requests(void)
{
    feed_memory->is_failing = true;
    feed__knock();
}

struct feed_counts feed_counts(void)
{
    struct feed_counts now = feed_count;

    for (const struct open_request *open = feed_memory->requests; open; open = open->next)
        now.open_requests++;
    return now;
}
