// SPDX-License-Identifier: MIT
// The last sent seq of each session. Since seqs only rise, the list from oldest to newest is also
// in order of last seqs, so the watermark is the last seq of the session forgotten last.
#include "bus/src/broadcaster/sessions.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct talus__session) ==
                   offsetof(struct talus__session, publish) + sizeof(struct talus__publish_session),
               "what stands behind the session stands behind its last member");

static struct talus__session *session_at(struct tl_list *used)
{
    return TL_LIST_ENTRY(used, struct talus__session, used);
}

void talus__sessions_init(struct talus__sessions *sessions, size_t max)
{
    tl_list_init(&sessions->used);
    sessions->max = max;
    sessions->state_size = 0;
    sessions->watermark = 0;
    sessions->on_forget = NULL;
    sessions->arg = NULL;
    tl_table_init(&sessions->table);
}

void talus__sessions_fini(struct talus__sessions *sessions)
{
    for (struct tl_list *at = sessions->used.next, *next; at != &sessions->used; at = next) {
        next = at->next;
        free(session_at(at));
    }
    tl_table_fini(&sessions->table);
}

static void forget_oldest(struct talus__sessions *sessions)
{
    struct talus__session *session = session_at(sessions->used.next);

    sessions->watermark = session->last;
    if (sessions->on_forget)
        sessions->on_forget(session, sessions->arg);
    tl_list_remove(&session->used);
    tl_table_remove(&sessions->table, &session->node);
    free(session);
}

static struct talus__session *add(struct talus__sessions *sessions, const char *name, size_t size,
                                  uint64_t seq)
{
    uint64_t prev = sessions->watermark;

    if (sessions->table.count >= sessions->max)
        forget_oldest(sessions);
    struct talus__session *session = calloc(1, sizeof *session + sessions->state_size + size);
    if (!session) {
        sessions->watermark = seq;
        return NULL;
    }
    char *own = (char *)(session + 1) + sessions->state_size;
    memcpy(own, name, size);
    session->node.name = own;
    session->node.name_size = size;
    session->publish = (struct talus__publish_session){.name = own, .name_size = size};
    session->last = seq;
    session->low = prev;
    tl_table_insert(&sessions->table, &session->node);
    tl_list_append(&sessions->used, &session->used);
    return session;
}

struct talus__session *talus__sessions_find(const struct talus__sessions *sessions,
                                            const char *name, size_t size)
{
    return (struct talus__session *)tl_table_find(&sessions->table, name, size);
}

struct talus__session *talus__sessions_advance(struct talus__sessions *sessions, const char *name,
                                               size_t size, uint64_t seq, uint64_t *prev)
{
    struct talus__session *session = talus__sessions_find(sessions, name, size);

    if (!session) {
        *prev = sessions->watermark;
        return add(sessions, name, size, seq);
    }
    *prev = session->last;
    session->last = seq;
    if (sessions->used.prev != &session->used) {
        tl_list_remove(&session->used);
        tl_list_append(&sessions->used, &session->used);
    }
    return session;
}

uint64_t talus__sessions_last(const struct talus__sessions *sessions, const char *name, size_t size)
{
    const struct talus__session *session = talus__sessions_find(sessions, name, size);

    return session ? session->last : sessions->watermark;
}
