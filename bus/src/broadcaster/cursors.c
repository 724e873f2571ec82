// SPDX-License-Identifier: MIT
// Places in the history.
#include "bus/src/broadcaster/cursors.h"

#define SEEK_MOST 4096 // messages that are passed over at once

static void set_message(struct talus__cursor *cursor, struct talus__message *message)
{
    if (cursor->message)
        cursor->message->cursors--;
    cursor->message = message;
    if (message)
        message->cursors++;
}

static struct talus__message *message_after(const struct talus__cursor *cursor)
{
    return cursor->is_everything ? cursor->message->kept.newer : cursor->message->kept.next;
}

static void on_evict(struct talus__message *message, void *arg)
{
    const struct talus__cursors *cursors = arg;

    for (struct tl_list *link = cursors->open.next; link != &cursors->open; link = link->next) {
        struct talus__cursor *cursor = TL_LIST_ENTRY(link, struct talus__cursor, link);
        if (cursor->message != message)
            continue;
        if (message->seq > cursor->after && !cursor->is_everything)
            cursor->low = message->seq;
        set_message(cursor, message_after(cursor));
    }
}

// Where to begin in the list of all messages: what is asked for is mostly recent.
static struct talus__message *first_after(const struct talus__history *history, uint64_t after)
{
    struct talus__message *message = history->newest;

    for (int i = 0; message && i < SEEK_MOST; i++) {
        if (message->seq <= after)
            return message->kept.newer;
        message = message->kept.older;
    }
    return history->oldest;
}

static uint64_t last(void *arg, const char *session, size_t session_size)
{
    const struct talus__cursors *cursors = arg;

    return talus__sessions_last(cursors->sessions, session, session_size);
}

static const struct talus__session *session_of(const struct talus__cursors *cursors,
                                               const struct talus__cursor *cursor)
{
    return talus__sessions_find(cursors->sessions, cursor->session, cursor->session_size);
}

static void open_cursor(void *arg, struct talus__cursor *cursor, const char *name, size_t size,
                        uint64_t after)
{
    struct talus__cursors *cursors = arg;

    *cursor = (struct talus__cursor){.after = after,
                                     .session = name,
                                     .session_size = size,
                                     .is_everything = size == 1 && *name == '*'};
    tl_list_append(&cursors->open, &cursor->link);

    const struct talus__session *session =
        cursor->is_everything ? NULL : session_of(cursors, cursor);
    if (cursor->is_everything) {
        cursor->low = after; // holes in seq raise it
        set_message(cursor, first_after(cursors->history, after));
    } else if (session) {
        cursor->low = session->low;
        set_message(cursor, session->oldest_kept);
    } else {
        cursor->low = cursors->sessions->watermark;
    }
}

static void advance_cursor(void *arg, struct talus__cursor *cursor)
{
    (void)arg;
    uint64_t seq = cursor->message->seq;

    if (seq > cursor->after) {
        if (cursor->is_everything && seq > cursor->after + 1)
            cursor->low = seq - 1;
        cursor->after = seq;
    }
    set_message(cursor, message_after(cursor));
}

// When the last message has gone by: what the session has lost since then, without having been at
// the cursor, is that which was never kept.
static uint64_t missing_to(void *arg, const struct talus__cursor *cursor)
{
    const struct talus__cursors *cursors = arg;
    uint64_t late = *cursors->newest;

    if (cursor->message)
        return cursor->low;
    if (!cursor->is_everything) {
        const struct talus__session *session = session_of(cursors, cursor);
        late = session ? session->low : cursors->sessions->watermark;
    }
    return late > cursor->low && late > cursor->after ? late : cursor->low;
}

static void close_cursor(void *arg, struct talus__cursor *cursor)
{
    (void)arg;
    set_message(cursor, NULL);
    tl_list_remove(&cursor->link);
}

void talus__cursors_init(struct talus__cursors *cursors, struct talus__history *history,
                         const struct talus__sessions *sessions, const uint64_t *newest)
{
    *cursors = (struct talus__cursors){.source = {.arg = cursors,
                                                  .last = last,
                                                  .open_cursor = open_cursor,
                                                  .advance_cursor = advance_cursor,
                                                  .missing_to = missing_to,
                                                  .close_cursor = close_cursor},
                                       .history = history,
                                       .sessions = sessions,
                                       .newest = newest};
    tl_list_init(&cursors->open);
    history->on_evict = on_evict;
    history->arg = cursors;
}
