// SPDX-License-Identifier: MIT
// What the transport in memory has to give.
#include "tests/bus/support/memory_state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/src/codec/body.h"

#define BODY_EXTRA (TALUS__BODY_HEADER_MAX + 8)
#define OTHER_SEQS 1000 // what an origin's own seq is ahead of its place in a stream

void feed__free_item(struct item *item)
{
    if (!item)
        return;
    free(item->topic);
    free(item->body);
    free(item);
}

void feed__knock(void)
{
    const uint64_t one = 1;

    feed__expect(write(feed_memory->options.wake, &one, sizeof one) == sizeof one,
                 "the wake-up fails");
    feed_memory->is_knocked = true;
}

struct item *feed__push(enum item_kind kind, struct feed_publisher *publisher)
{
    struct item *item = calloc(1, sizeof *item);

    assert_non_null(feed_memory);
    assert_non_null(item);
    item->kind = kind;
    item->publisher = publisher;
    if (feed_memory->last)
        feed_memory->last->next = item;
    else
        feed_memory->first = item;
    feed_memory->last = item;
    feed__knock();
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

struct item *feed__push_frames(const char *topic, const void *body, size_t body_size)
{
    struct item *item = feed__push(ITEM_MESSAGE, NULL);

    item->incoming.kind = TALUS__INCOMING_EVENT;
    item->topic = strdup(topic);
    item->body = malloc(body_size + 1);
    memcpy(item->body, body, body_size);
    item->incoming.topic_bytes = item->topic;
    item->incoming.topic_size = strlen(topic);
    item->incoming.body = item->body;
    item->incoming.body_size = body_size;
    feed__expect(talus__topic_parse(item->topic, strlen(topic), &item->incoming.topic) == 0,
                 "the test's topic is none");
    return item;
}

struct item *feed__push_event(struct feed_publisher *publisher, const struct event *event)
{
    uint8_t *body = malloc(event->size + BODY_EXTRA);
    char topic[FEED_SESSION_MAX + 8];

    stpcpy(stpcpy(topic, event->session), "/t");
    struct item *item = feed__push_frames(topic, body, encode(body, publisher, event));
    free(body);
    item->publisher = publisher;
    item->incoming.is_sequenced = publisher->is_stream;
    item->incoming.seq = event->seq;
    item->incoming.prev = event->prev;
    return item;
}

bool feed__wants(const char *session)
{
    for (size_t i = 0; feed_memory && i < feed_memory->session_top; i++) {
        if (feed_memory->is_subscribed[i] && strcmp(feed_memory->sessions[i], session) == 0)
            return true;
    }
    return false;
}

uint64_t feed__last_of(const struct feed_publisher *publisher, const char *session)
{
    for (size_t i = publisher->count; i-- > 0;) {
        if (strcmp(session, "*") == 0 || strcmp(publisher->events[i].session, session) == 0)
            return publisher->events[i].seq;
    }
    return 0;
}

void feed__push_mark(struct feed_publisher *publisher, const char *session)
{
    struct item *item = feed__push(ITEM_MESSAGE, publisher);

    item->topic = strdup(session);
    item->incoming.kind = TALUS__INCOMING_MARK;
    item->incoming.topic.session = item->topic;
    item->incoming.topic.session_size = strlen(session);
    item->incoming.seq = feed__last_of(publisher, session);
}
