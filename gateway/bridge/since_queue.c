// SPDX-License-Identifier: MIT
// The joins with `since` that wait for a history: those that are still to be asked for, and those
// that have been.
//
// A broadcaster that stands still answers nothing for seconds, and whoever knows one of its events
// can have it asked. So each has a queue of its own, they are asked in turn, one is asked for so
// many at a time, and the last quarter is kept for those that are asked for nothing.
//
// Joins whose events the log has are answered at once, unless their worker is behind: each answer
// takes as much memory as a client may miss, until its worker has taken it.
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/bridge/event_id.h"
#include "gateway/bridge/since.h"

// ---- Broadcasters

// That of an event id. NULL: out of memory.
static struct bridge_source *get_source(struct bridge *bridge, const char *id)
{
    char origin[TALUS_ORIGIN_MAX + 1] = "";
    struct bridge_source *source;
    uint64_t seq;
    memcpy(origin, id, event_id_split(id, &seq));
    HASH_FIND_STR(bridge->sources, origin, source);
    if (source)
        return source;
    source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    strcpy(source->origin, origin);
    list_init(&source->link);
    list_init(&source->queue);
    HASH_ADD_STR(bridge->sources, origin, source);
    if (source->hh.tbl)
        return source;
    free(source);
    return NULL;
}

// One has left its queue, or is not asked for any more.
static void release_source(struct bridge *bridge, struct bridge_source *source)
{
    if (!list_is_empty(&source->queue))
        return;
    list_remove(&source->link);
    if (source->asked > 0)
        return;
    HASH_DEL(bridge->sources, source);
    free(source);
}

static bool may_ask(const struct bridge *bridge, const struct bridge_source *source)
{
    const size_t most = bridge->options.max_histories;
    if (bridge->since_count >= most || source->asked >= bridge->options.max_histories_of_one)
        return false;
    return bridge->since_count < most - most / 4 || source->asked == 0;
}

// The next broadcaster in turn that may be asked. Those before it are being asked already, so they
// are not more than max_histories.
static struct bridge_source *next_source(const struct bridge *bridge)
{
    if (bridge->since_count >= bridge->options.max_histories)
        return NULL;
    for (struct list *at = bridge->since_sources.next; at != &bridge->since_sources;
         at = at->next) {
        struct bridge_source *source = LIST_ENTRY(at, struct bridge_source, link);
        if (may_ask(bridge, source))
            return source;
    }
    return NULL;
}

// ---- Joins

void bridge__since_free(struct bridge_since *since)
{
    struct bridge *bridge = since->session->bridge;
    gw_deadline_stop(&since->deadline);
    list_remove(&since->link);
    list_remove(&since->session_link);
    if (since->is_asked) {
        bridge->since_count--;
        since->source->asked--;
    }
    if (since->source)
        release_source(bridge, since->source);
    bridge->since_waiting--;
    since->session->held--;
    bridge_missed_fini(&since->found);
    free(since);
}

static void cut(struct bridge_since *since, enum bridge_incomplete why)
{
    since->is_cut = true;
    since->cut_for = why;
    bridge__since_finish(since);
}

// In the queue: the history could not be asked for in time. Else the stream is still behind: what
// was found would come again with it, or be told missing.
static void on_patience_over(struct gw_deadline *deadline)
{
    struct bridge_since *since = LIST_ENTRY(deadline, struct bridge_since, deadline);
    cut(since, since->is_asked ? BRIDGE_STREAM_TIMEOUT : BRIDGE_QUEUE_TIMEOUT);
}

static bool ask(struct bridge_since *since)
{
    struct bridge_session *session = since->session;
    struct bridge *bridge = session->bridge;
    const char *id = since->request->since;
    char before[TALUS_ID_MAX + 1];
    since->asked_at = bridge->log.newest;
    if (since->request->is_implied && since->after > 0) {
        // If the event itself comes, it is one of the session.
        event_id_format(before, id, since->after - 1);
        id = before;
    }
    int error = talus_subscriber_recover(bridge->subscriber, session->name, id, &since->id);
    if (error) {
        gw_log(GW_LOG_DEBUG, "bridge", "what came to session %s since %s cannot be asked for: %s",
               session->name, id, talus_strerror(error));
        return false;
    }
    gw_deadline_stop(&since->deadline);
    list_remove(&since->link);
    list_append(&bridge->sinces, &since->link);
    since->is_asked = true;
    since->source->asked++;
    bridge->since_count++;
    list_remove(&since->source->link); // now it is the others' turn
    if (!list_is_empty(&since->source->queue))
        list_append(&bridge->since_sources, &since->source->link);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
    return true;
}

static struct bridge_since *find_same(const struct bridge_session *session,
                                      const struct bridge_request *request)
{
    for (struct list *at = session->sinces.next; at != &session->sinces; at = at->next) {
        struct bridge_since *since = LIST_ENTRY(at, struct bridge_since, session_link);
        if (!since->is_cut && since->request->is_implied == request->is_implied &&
            strcmp(since->request->since, request->since) == 0)
            return since;
    }
    return NULL;
}

// Behind those that are to be asked for, too, of its broadcaster. False: out of memory.
static bool queue_up(struct bridge_since *since)
{
    struct bridge *bridge = since->session->bridge;
    struct bridge_source *source = get_source(bridge, since->request->since);
    if (!source)
        return false;
    since->source = source;
    list_remove(&since->link);
    list_append(&source->queue, &since->link);
    if (list_is_empty(&source->link))
        list_append(&bridge->since_sources, &source->link);
    return true;
}

// NULL: out of memory.
static struct bridge_since *new_since(struct bridge_session *session,
                                      struct bridge_request *request)
{
    struct bridge *bridge = session->bridge;
    struct bridge_since *since = calloc(1, sizeof *since);
    if (!since)
        return NULL;
    since->session = session;
    since->request = request;
    event_id_split(request->since, &since->after);
    list_init(&since->followers);
    bridge_missed_init(&since->found, bridge->options.max_missed);
    gw_deadline_init(&since->deadline, on_patience_over);
    gw_deadline_start(&bridge->since_queue_deadlines, &since->deadline);
    list_append(&bridge->since_paced, &since->link);
    list_append(&session->sinces, &since->session_link);
    bridge__hold(session);
    bridge->since_waiting++;
    return since;
}

bool bridge__since_wait(struct bridge_session *session, struct bridge_request *request,
                        bool is_logged)
{
    struct bridge *bridge = session->bridge;
    if (bridge->since_waiting >= bridge->options.max_since_waiting)
        return false;
    struct bridge_since *since = find_same(session, request);
    if (since) {
        list_append(&since->followers, &request->link);
        bridge->since_waiting++;
        return true;
    }
    since = new_since(session, request);
    if (!since || is_logged)
        return since != NULL;
    if (!queue_up(since)) {
        bridge__since_free(since);
        return false;
    }
    bridge__sinces_ask(bridge); // behind those that wait already
    return true;
}

void bridge__sinces_go_on(struct bridge *bridge)
{
    while (!list_is_empty(&bridge->since_paced)) {
        struct bridge_since *since =
            LIST_ENTRY(bridge->since_paced.next, struct bridge_since, link);
        if (bridge__is_behind(since->request->worker))
            return;
        // The log may have let it go meanwhile.
        if (!bridge__since_find(since) && !queue_up(since))
            cut(since, BRIDGE_QUEUE_FULL);
    }
}

void bridge__sinces_ask(struct bridge *bridge)
{
    struct bridge_source *source;
    while ((source = next_source(bridge))) {
        struct bridge_since *since = LIST_ENTRY(source->queue.next, struct bridge_since, link);
        if (!ask(since))
            cut(since, BRIDGE_NO_ANSWER);
    }
}

// ---- Followers

// What all are told, in a chunk for each worker, as a chunk is one loop's. Gives the chunks with a
// reference for each follower; NULL where there are none, or memory is out.
static void share_missed(const struct bridge_since *since, struct chunk *chunks[BRIDGE_WORKERS_MAX])
{
    const struct sio_missed missed = bridge_missed_view(&since->request->missed);
    uint32_t counts[BRIDGE_WORKERS_MAX] = {0};
    for (struct list *at = since->followers.next; at != &since->followers; at = at->next)
        counts[LIST_ENTRY(at, struct bridge_request, link)->worker->index]++;
    for (unsigned i = 0; i < BRIDGE_WORKERS_MAX; i++) {
        chunks[i] = counts[i] > 0 && missed.count > 0 ? sio_missed_chunk(&missed) : NULL;
        if (chunks[i])
            chunks[i]->refs = counts[i];
    }
}

void bridge__since_join_followers(struct bridge_since *since)
{
    struct bridge_session *session = since->session;
    const struct bridge_request *leader = since->request;
    bool is_any = bridge_missed_count(&leader->missed) > 0;
    struct chunk *chunks[BRIDGE_WORKERS_MAX];
    size_t sizes[BRIDGE_WORKERS_MAX];
    share_missed(since, chunks);
    for (unsigned i = 0; i < BRIDGE_WORKERS_MAX; i++)
        sizes[i] = chunks[i] ? chunks[i]->capacity : 0;
    while (!list_is_empty(&since->followers)) {
        struct bridge_request *request =
            LIST_ENTRY(since->followers.next, struct bridge_request, link);
        list_remove(&request->link);
        session->bridge->since_waiting--;
        unsigned worker = request->worker->index;
        request->status = leader->status;
        request->incomplete = leader->incomplete;
        request->shared = chunks[worker];
        request->pending = sizes[worker]; // once: it goes when the last of them is worked off
        sizes[worker] = 0;
        if (is_any && !request->shared)
            request->status = BRIDGE_UNAVAILABLE;
        bridge__join(session, request);
    }
}

// ---- Beginning and end

void bridge__sinces_init(struct bridge *bridge)
{
    list_init(&bridge->sinces);
    list_init(&bridge->since_paced);
    list_init(&bridge->since_sources);
    gw_deadline_queue_init(&bridge->since_deadlines, bridge->loop, bridge->options.since_stream_ms);
    gw_deadline_queue_init(&bridge->since_queue_deadlines, bridge->loop,
                           bridge->options.since_queue_ms);
}

static void drop(struct bridge_since *since)
{
    struct bridge_request *request = since->request;
    while (!list_is_empty(&since->followers)) {
        struct bridge_request *follower =
            LIST_ENTRY(since->followers.next, struct bridge_request, link);
        list_remove(&follower->link);
        bridge__drop_request(&follower->message);
    }
    bridge__since_free(since);
    bridge__drop_request(&request->message);
}

void bridge__sinces_fini(struct bridge *bridge)
{
    while (!list_is_empty(&bridge->sinces))
        drop(LIST_ENTRY(bridge->sinces.next, struct bridge_since, link));
    while (!list_is_empty(&bridge->since_paced))
        drop(LIST_ENTRY(bridge->since_paced.next, struct bridge_since, link));
    while (!list_is_empty(&bridge->since_sources)) {
        struct bridge_source *source =
            LIST_ENTRY(bridge->since_sources.next, struct bridge_source, link);
        drop(LIST_ENTRY(source->queue.next, struct bridge_since, link));
    }
    gw_deadline_queue_fini(&bridge->since_deadlines);
    gw_deadline_queue_fini(&bridge->since_queue_deadlines);
}
