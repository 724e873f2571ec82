// SPDX-License-Identifier: MIT
// The recovery log. Entries are in two lists, both in order of index: all of them, and those of
// their session; so the oldest of all is the oldest of its session, too. A session's newest event
// is its last entry, or `gone`, which never steps back.

#include "gateway/bridge/events/event_log.h"

#include <stdlib.h>
#include <string.h>

#define FIND_MAX 10000 // entries that are looked through for an id that anybody may name

static size_t size_of(const struct event_log_entry *entry)
{
    return sizeof *entry + strlen(entry->id) + 1 + sizeof *entry->encoded + entry->encoded->size;
}

void event_log_init(struct event_log *log, size_t max_bytes, int64_t max_age_ms)
{
    *log = (struct event_log){.max_bytes = max_bytes, .max_age_ms = max_age_ms};
    tl_list_init(&log->entries);
}

void session_log_init(struct session_log *session)
{
    *session = (struct session_log){0};
    tl_list_init(&session->entries);
}

static struct event_log_entry *oldest(const struct tl_list *entries)
{
    return TL_LIST_ENTRY(entries->next, struct event_log_entry, link);
}

static void note_gone(struct session_log *session, uint64_t index, const char *id)
{
    session->gone = index;
    strcpy(session->gone_id, id);
}

static void let_go(struct event_log *log, struct event_log_entry *entry)
{
    // A newer event may never have been kept.
    if (entry->index > entry->session->gone)
        note_gone(entry->session, entry->index, entry->id);
    log->bytes -= size_of(entry);
    tl_list_remove(&entry->link);
    tl_list_remove(&entry->session_link);
    bridge_encoded_unref(entry->encoded);
    free(entry);
}

void session_log_fini(struct event_log *log, struct session_log *session)
{
    while (!tl_list_is_empty(&session->entries))
        let_go(log, TL_LIST_ENTRY(session->entries.next, struct event_log_entry, session_link));
}

void event_log_expire(struct event_log *log, int64_t now)
{
    while (!tl_list_is_empty(&log->entries) &&
           (log->bytes > log->max_bytes || now - oldest(&log->entries)->added > log->max_age_ms))
        let_go(log, oldest(&log->entries));
}

static struct event_log_entry *
new_entry(struct session_log *session, struct bridge_encoded *encoded, const char *id, int64_t now)
{
    struct event_log_entry *entry = malloc(sizeof *entry + strlen(id) + 1);
    if (!entry)
        return NULL;
    entry->session = session;
    entry->encoded = encoded;
    entry->added = now;
    strcpy(entry->id, id);
    bridge_encoded_ref(encoded);
    return entry;
}

uint64_t event_log_append(struct event_log *log, struct session_log *session,
                          struct bridge_encoded *encoded, const char *id, int64_t now)
{
    struct event_log_entry *entry = encoded ? new_entry(session, encoded, id, now) : NULL;
    session->newest = ++log->newest;
    if (entry) {
        entry->index = session->newest;
        tl_list_append(&log->entries, &entry->link);
        tl_list_append(&session->entries, &entry->session_link);
        log->bytes += size_of(entry);
    } else {
        note_gone(session, session->newest, id);
    }
    event_log_expire(log, now);
    return session->newest;
}

void session_log_newest(const struct session_log *session, struct bridge_log_position *newest)
{
    const char *id = session->gone_id;
    if (session->gone != session->newest)
        id = TL_LIST_ENTRY(session->entries.prev, struct event_log_entry, session_link)->id;
    newest->index = session->newest;
    strcpy(newest->id, id);
}

static uint64_t find(const struct session_log *session, const char *id, uint64_t after,
                     size_t entries_max)
{
    // From the newest on: most clients come back soon.
    for (struct tl_list *at = session->entries.prev; at != &session->entries; at = at->prev) {
        const struct event_log_entry *entry =
            TL_LIST_ENTRY(at, struct event_log_entry, session_link);
        if (entry->index <= after || entries_max-- == 0)
            return 0;
        if (strcmp(entry->id, id) == 0)
            return entry->index;
    }
    return session->gone > after && strcmp(session->gone_id, id) == 0 ? session->gone : 0;
}

uint64_t session_log_find_after(const struct session_log *session, const char *id, uint64_t after)
{
    return find(session, id, after, SIZE_MAX);
}

uint64_t session_log_find(const struct session_log *session, const char *id)
{
    return find(session, id, 0, FIND_MAX);
}

bool event_log_reaches(const struct event_log_cursor *cursors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cursors[i].session->gone > cursors[i].after)
            return false;
    return true;
}

// Where the cursor's first owed entry is: mostly near the end.
static struct tl_list *find_first(const struct event_log_cursor *cursor)
{
    struct tl_list *end = &cursor->session->entries;
    struct tl_list *first = end;
    while (first->prev != end &&
           TL_LIST_ENTRY(first->prev, struct event_log_entry, session_link)->index > cursor->after)
        first = first->prev;
    return first;
}

const struct event_log_entry *event_log_next(struct event_log_cursor *cursors, size_t count)
{
    struct event_log_cursor *next = NULL;
    const struct event_log_entry *first = NULL;
    for (size_t i = 0; i < count; i++) {
        struct event_log_cursor *cursor = &cursors[i];
        if (!cursor->at)
            cursor->at = find_first(cursor);
        if (cursor->at == &cursor->session->entries)
            continue;
        const struct event_log_entry *entry =
            TL_LIST_ENTRY(cursor->at, struct event_log_entry, session_link);
        if (!first || entry->index < first->index) {
            first = entry;
            next = cursor;
        }
    }
    if (next)
        next->at = next->at->next;
    return first;
}
