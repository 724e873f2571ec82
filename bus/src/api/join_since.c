// SPDX-License-Identifier: MIT
// talus_subscriber_join_since.
#include <talus/subscriber.h>

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/fork.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/subscriber/since.h"

#define EVENTS_MOST 64 // of publishers of one session

static size_t count_events(const char *text)
{
    size_t count = 1;

    for (; *text; text++)
        count += *text == ',';
    return count;
}

// Adds the event that `text` begins with. Returns its size; 0: it is none, or not the first of its
// publisher.
static size_t add_event(struct talus__since *since, const char *text)
{
    struct talus__since_event *event = &since->events[since->count];
    size_t size = strcspn(text, ",");

    *event = (struct talus__since_event){0};
    if (!talus__parse_id(text, size, event->origin, &event->seq) ||
        talus__since_find(since, event->origin))
        return 0;
    since->count++;
    return size;
}

// Returns 0 with what the caller is to free; TALUS_EINVAL; TALUS_ENOMEM.
static int parse_since(const char *text, struct talus__since **out)
{
    size_t count = count_events(text);

    if (count > EVENTS_MOST)
        return TALUS_EINVAL;
    struct talus__since *since = calloc(1, sizeof *since + count * sizeof since->events[0]);
    if (!since)
        return TALUS_ENOMEM;
    while (since->count < count) {
        size_t size = add_event(since, text);
        if (size == 0) {
            free(since);
            return TALUS_EINVAL;
        }
        text += size + 1;
    }
    *out = since;
    return 0;
}

static bool is_joined(talus_subscriber_t *subscriber, const char *session)
{
    const struct talus__subscription *subscription =
        talus__subscriptions_find(&subscriber->core.subscriptions, session, strlen(session));

    return subscription && !talus__subscription_is_left(subscription);
}

talus_error_t talus_subscriber_join_since(talus_subscriber_t *subscriber, const char *session,
                                          const char *since)
{
    struct talus__since *events;

    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    if (*session && talus_session_check(session, strlen(session)) != 0)
        return TALUS_ESESSION;
    int error = parse_since(since, &events);
    if (error)
        return error;
    talus__enter(subscriber);
    if (is_joined(subscriber, session) || is_joined(subscriber, TALUS__EVERYTHING)) {
        free(events);
        error = TALUS_EEXIST;
    } else {
        error = talus__join_session(subscriber, session, events);
    }
    talus__leave(subscriber);
    return error;
}
