// SPDX-License-Identifier: MIT
// Requests and responses of the transport in memory.
#include "tests/bus/support/memory_state.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

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
    struct item *item = feed__push_event(open->publisher, &event);
    item->incoming.kind = TALUS__INCOMING_REPLAYED;
    item->incoming.request = open->request;
    if (lie == FEED_NO_BODY)
        item->incoming.body_size = 1;
}

static void push_end(const struct open_request *open, enum feed_lie lie)
{
    uint64_t newest = feed__last_of(open->publisher, open->request->session);
    struct item *item = feed__push(ITEM_MESSAGE, open->publisher);

    item->incoming.kind = TALUS__INCOMING_END;
    item->incoming.request = open->request;
    item->incoming.first = lie == FEED_BEYOND ? newest + 5 : open->publisher->first;
    item->incoming.seq = newest;
}

void feed__respond_to(struct open_request *open)
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

int feed__request(struct talus__receive_transport *transport, struct talus__publisher *known,
                  struct talus__replay_request *request)
{
    struct feed_publisher *publisher = *(struct feed_publisher **)talus__publisher_state(known);
    struct open_request **link = &feed__held(transport)->requests;

    feed__expect(known->can_replay && publisher, "it asks one that cannot be asked");
    feed_count.requests++;
    feed_count.after = request->after;
    if (feed.request_error) {
        free(request);
        return feed.request_error;
    }
    while (*link)
        link = &(*link)->next;
    *link = calloc(1, sizeof **link);
    **link = (struct open_request){.request = request, .publisher = publisher};
    if (feed.replays == FEED_ANSWERS)
        feed__respond_to(*link);
    return 0;
}

// Takes a request off the list. Its messages that were not taken do not come any more.
struct talus__replay_request *feed__take_request(const struct talus__replay_request *request)
{
    struct open_request **link = &feed_memory->requests;

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
    struct item **link = &feed_memory->first;

    feed_memory->last = NULL;
    while (*link) {
        struct item *item = *link;
        if (item->incoming.request == request) {
            *link = item->next;
            feed__free_item(item);
        } else {
            feed_memory->last = item;
            link = &item->next;
        }
    }
}

void feed__fail_requests_of(const struct feed_publisher *publisher)
{
    const struct talus__receive_owner *owner = feed_memory->options.owner;
    struct open_request *open = feed_memory->requests;

    while (open) {
        struct open_request *next = open->next;
        if (!publisher || open->publisher == publisher) {
            struct talus__publisher *known = open->publisher->known;
            struct talus__replay_request *failed = feed__take_request(open->request);
            drop_messages_of(failed);
            owner->on_failed(owner->arg, failed, known);
            free(failed);
        }
        open = next;
    }
}

void feed__refuse(struct talus__receive_transport *transport)
{
    const struct item *taken = feed__held(transport)->taken;

    feed__expect(taken && taken->incoming.kind == TALUS__INCOMING_REPLAYED,
                 "it refuses something else");
    feed_count.refused++;
    drop_messages_of(taken->incoming.request);
    for (struct open_request *open = feed_memory->requests; open; open = open->next) {
        if (open->request != taken->incoming.request)
            continue;
        open->is_answered = false;
        if (feed.replays == FEED_ANSWERS)
            feed__respond_to(open);
    }
}

int feed__request_marks(struct talus__receive_transport *transport, struct talus__publisher *known,
                        const char *const *sessions, size_t count)
{
    struct feed_publisher *publisher = *(struct feed_publisher **)talus__publisher_state(known);

    feed__held(transport);
    feed__expect(count > 0 && count <= TALUS__MARKS_MOST, "none, or too many marks");
    feed_count.mark_requests += count;
    if (feed.request_marks_error)
        return feed.request_marks_error;
    for (size_t i = 0; i < count && !feed.is_deaf; i++)
        feed__push_mark(publisher, sessions[i]);
    return 0;
}
