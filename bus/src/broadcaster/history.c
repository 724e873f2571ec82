// SPDX-License-Identifier: MIT
// The history: one list over all messages, and one in each session, both in the order of seq. What
// goes is always the oldest of its session; among all it may stand anywhere.
#include "bus/src/broadcaster/history.h"

#include <assert.h>
#include <string.h>

#define EXPIRE_MOST 1024

void talus__history_init(struct talus__history *history, const struct talus__history_bounds *bounds)
{
    memset(history, 0, sizeof *history);
    history->bounds = *bounds;
}

static void unlink_message(struct talus__history *history, struct talus__message *message)
{
    struct talus__session *session = message->kept.session;

    if (message->kept.newer)
        message->kept.newer->kept.older = message->kept.older;
    else
        history->newest = message->kept.older;
    if (message->kept.older)
        message->kept.older->kept.newer = message->kept.newer;
    else
        history->oldest = message->kept.newer;
    session->oldest_kept = message->kept.next;
    if (!session->oldest_kept)
        session->newest_kept = NULL;
}

// Lets go of a session's oldest message.
static void evict(struct talus__history *history, struct talus__message *message)
{
    struct talus__session *session = message->kept.session;

    assert(session->oldest_kept == message);
    if (message->cursors > 0)
        history->on_evict(message, history->arg);
    unlink_message(history, message);
    history->events--;
    history->bytes -= message->capacity;
    session->kept_events--;
    session->kept_bytes -= message->capacity;
    session->low = message->seq;
    if (message->seq > history->low)
        history->low = message->seq;
    message->kept.session = NULL;
    talus__message_unref(message);
}

void talus__history_drop(struct talus__history *history, struct talus__session *session)
{
    while (session->oldest_kept)
        evict(history, session->oldest_kept);
}

void talus__history_fini(struct talus__history *history)
{
    while (history->oldest)
        evict(history, history->oldest);
}

static void link_newest(struct talus__history *history, struct talus__session *session,
                        struct talus__message *message, long long now)
{
    message->kept = (struct talus__kept){.session = session, .older = history->newest, .at = now};
    if (history->newest)
        history->newest->kept.newer = message;
    else
        history->oldest = message;
    history->newest = message;
    if (session->newest_kept)
        session->newest_kept->kept.next = message;
    else
        session->oldest_kept = message;
    session->newest_kept = message;
}

void talus__history_add(struct talus__history *history, struct talus__session *session,
                        struct talus__message *message, long long now)
{
    const struct talus__history_bounds *bounds = &history->bounds;

    if (!session || bounds->session_events == 0 || message->capacity > bounds->session_bytes ||
        message->capacity > bounds->total_bytes) {
        history->low = message->seq;
        if (session) {
            talus__history_drop(history, session);
            session->low = message->seq;
        }
        return;
    }
    while (session->kept_events >= bounds->session_events ||
           (session->kept_events > 0 &&
            session->kept_bytes + message->capacity > bounds->session_bytes))
        evict(history, session->oldest_kept);
    while (history->oldest && history->bytes + message->capacity > bounds->total_bytes)
        evict(history, history->oldest);
    talus__message_ref(message);
    link_newest(history, session, message, now);
    history->events++;
    history->bytes += message->capacity;
    session->kept_events++;
    session->kept_bytes += message->capacity;
}

void talus__history_expire(struct talus__history *history, long long now)
{
    for (int i = 0; i < EXPIRE_MOST && history->oldest &&
                    now - history->oldest->kept.at >= history->bounds.age_ms;
         i++)
        evict(history, history->oldest);
}

long long talus__history_due(const struct talus__history *history)
{
    return history->oldest ? history->oldest->kept.at + history->bounds.age_ms : 0;
}
