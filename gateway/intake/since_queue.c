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
#include "gateway/intake/event_id.h"
#include "gateway/intake/since.h"

// ---- Broadcasters

// That of an event id. NULL: out of memory.
static struct intake_source *get_source(struct intake *intake, const char *id)
{
    char origin[TALUS_ORIGIN_MAX + 1] = "";
    struct intake_source *source;
    uint64_t seq;
    memcpy(origin, id, event_id_split(id, &seq));
    HASH_FIND_STR(intake->sources, origin, source);
    if (source)
        return source;
    source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    strcpy(source->origin, origin);
    list_init(&source->link);
    list_init(&source->queue);
    HASH_ADD_STR(intake->sources, origin, source);
    if (source->hh.tbl)
        return source;
    free(source);
    return NULL;
}

// One has left its queue, or is not asked for any more.
static void settle_source(struct intake *intake, struct intake_source *source)
{
    if (!list_is_empty(&source->queue))
        return;
    list_remove(&source->link);
    if (source->asked > 0)
        return;
    HASH_DEL(intake->sources, source);
    free(source);
}

static bool may_ask(const struct intake *intake, const struct intake_source *source)
{
    const size_t most = intake->options.max_histories;
    if (intake->since_count >= most || source->asked >= intake->options.max_histories_of_one)
        return false;
    return intake->since_count < most - most / 4 || source->asked == 0;
}

// The next broadcaster in turn that may be asked. Those before it are being asked already, so they
// are not more than max_histories.
static struct intake_source *next_source(const struct intake *intake)
{
    if (intake->since_count >= intake->options.max_histories)
        return NULL;
    for (struct list *at = intake->since_sources.next; at != &intake->since_sources;
         at = at->next) {
        struct intake_source *source = LIST_ENTRY(at, struct intake_source, link);
        if (may_ask(intake, source))
            return source;
    }
    return NULL;
}

// ---- Joins

void intake__since_free(struct intake_since *since)
{
    struct intake *intake = since->session->intake;
    gw_deadline_stop(&since->deadline);
    list_remove(&since->link);
    list_remove(&since->session_link);
    if (since->is_asked) {
        intake->since_count--;
        since->source->asked--;
    }
    if (since->source)
        settle_source(intake, since->source);
    intake->since_waiting--;
    since->session->held--;
    intake_missed_fini(&since->found);
    free(since);
}

static void cut(struct intake_since *since, enum intake_incomplete why)
{
    since->is_cut = true;
    since->cut_for = why;
    intake__since_finish(since);
}

// In the queue: the history could not be asked for in time. Else the stream is still behind: what
// was found would come again with it, or be told missing.
static void on_patience_over(struct gw_deadline *deadline)
{
    struct intake_since *since = LIST_ENTRY(deadline, struct intake_since, deadline);
    cut(since, since->is_asked ? INTAKE_STREAM_TIMEOUT : INTAKE_QUEUE_TIMEOUT);
}

static bool ask(struct intake_since *since)
{
    struct intake_session *session = since->session;
    struct intake *intake = session->intake;
    const char *id = since->request->since;
    char before[TALUS_ID_MAX + 1];
    since->mark = intake->log.newest;
    if (since->request->is_implied && since->after > 0) {
        // If the event itself comes, it is one of the session.
        event_id_format(before, id, since->after - 1);
        id = before;
    }
    int error = talus_subscriber_recover(intake->subscriber, session->name, id, &since->id);
    if (error) {
        gw_log(GW_LOG_DEBUG, "intake", "what came to session %s since %s cannot be asked for: %s",
               session->name, id, talus_strerror(error));
        return false;
    }
    gw_deadline_stop(&since->deadline);
    list_remove(&since->link);
    list_append(&intake->sinces, &since->link);
    since->is_asked = true;
    since->source->asked++;
    intake->since_count++;
    list_remove(&since->source->link); // now it is the others' turn
    if (!list_is_empty(&since->source->queue))
        list_append(&intake->since_sources, &since->source->link);
    gw_task_schedule(intake->loop, GW_PHASE_DISTRIBUTE, &intake->receive_task);
    return true;
}

static struct intake_since *find_same(const struct intake_session *session,
                                      const struct intake_request *request)
{
    for (struct list *at = session->sinces.next; at != &session->sinces; at = at->next) {
        struct intake_since *since = LIST_ENTRY(at, struct intake_since, session_link);
        if (!since->is_cut && since->request->is_implied == request->is_implied &&
            strcmp(since->request->since, request->since) == 0)
            return since;
    }
    return NULL;
}

// Behind those that are to be asked for, too, of its broadcaster. False: out of memory.
static bool queue_up(struct intake_since *since)
{
    struct intake *intake = since->session->intake;
    struct intake_source *source = get_source(intake, since->request->since);
    if (!source)
        return false;
    since->source = source;
    list_remove(&since->link);
    list_append(&source->queue, &since->link);
    if (list_is_empty(&source->link))
        list_append(&intake->since_sources, &source->link);
    return true;
}

// NULL: out of memory.
static struct intake_since *new_since(struct intake_session *session,
                                      struct intake_request *request)
{
    struct intake *intake = session->intake;
    struct intake_since *since = calloc(1, sizeof *since);
    if (!since)
        return NULL;
    since->session = session;
    since->request = request;
    event_id_split(request->since, &since->after);
    list_init(&since->followers);
    intake_missed_init(&since->found, intake->options.max_missed);
    gw_deadline_init(&since->deadline, on_patience_over);
    gw_deadline_start(&intake->since_queue_deadlines, &since->deadline);
    list_append(&intake->since_paced, &since->link);
    list_append(&session->sinces, &since->session_link);
    intake__hold(session);
    intake->since_waiting++;
    return since;
}

bool intake__since_wait(struct intake_session *session, struct intake_request *request,
                        bool is_logged)
{
    struct intake *intake = session->intake;
    if (intake->since_waiting >= intake->options.max_since_waiting)
        return false;
    struct intake_since *since = find_same(session, request);
    if (since) {
        list_append(&since->followers, &request->link);
        intake->since_waiting++;
        return true;
    }
    since = new_since(session, request);
    if (!since || is_logged)
        return since != NULL;
    if (!queue_up(since)) {
        intake__since_free(since);
        return false;
    }
    intake__sinces_ask(intake); // behind those that wait already
    return true;
}

void intake__sinces_go_on(struct intake *intake)
{
    while (!list_is_empty(&intake->since_paced)) {
        struct intake_since *since =
            LIST_ENTRY(intake->since_paced.next, struct intake_since, link);
        if (intake__is_behind(since->request->worker))
            return;
        // The log may have let it go meanwhile.
        if (!intake__since_find(since) && !queue_up(since))
            cut(since, INTAKE_QUEUE_FULL);
    }
}

void intake__sinces_ask(struct intake *intake)
{
    struct intake_source *source;
    while ((source = next_source(intake))) {
        struct intake_since *since = LIST_ENTRY(source->queue.next, struct intake_since, link);
        if (!ask(since))
            cut(since, INTAKE_NO_ANSWER);
    }
}

// ---- Followers

// What all are told, in a chunk for each worker, as a chunk is one loop's. Gives the chunks with a
// reference for each follower; NULL where there are none, or memory is out.
static void share_missed(const struct intake_since *since, struct chunk *chunks[INTAKE_WORKERS_MAX])
{
    const struct sio_missed missed = intake_missed_view(&since->request->missed);
    uint32_t counts[INTAKE_WORKERS_MAX] = {0};
    for (struct list *at = since->followers.next; at != &since->followers; at = at->next)
        counts[LIST_ENTRY(at, struct intake_request, link)->worker->index]++;
    for (unsigned i = 0; i < INTAKE_WORKERS_MAX; i++) {
        chunks[i] = counts[i] > 0 && missed.count > 0 ? sio_missed_chunk(&missed) : NULL;
        if (chunks[i])
            chunks[i]->refs = counts[i];
    }
}

void intake__since_join_followers(struct intake_since *since)
{
    struct intake_session *session = since->session;
    const struct intake_request *leader = since->request;
    bool is_any = intake_missed_count(&leader->missed) > 0;
    struct chunk *chunks[INTAKE_WORKERS_MAX];
    size_t sizes[INTAKE_WORKERS_MAX];
    share_missed(since, chunks);
    for (unsigned i = 0; i < INTAKE_WORKERS_MAX; i++)
        sizes[i] = chunks[i] ? chunks[i]->capacity : 0;
    while (!list_is_empty(&since->followers)) {
        struct intake_request *request =
            LIST_ENTRY(since->followers.next, struct intake_request, link);
        list_remove(&request->link);
        session->intake->since_waiting--;
        unsigned worker = request->worker->index;
        request->status = leader->status;
        request->incomplete = leader->incomplete;
        request->shared = chunks[worker];
        request->owed = sizes[worker]; // once: it goes when the last of them is worked off
        sizes[worker] = 0;
        if (is_any && !request->shared)
            request->status = INTAKE_UNAVAILABLE;
        intake__join(session, request);
    }
}

// ---- Beginning and end

void intake__sinces_init(struct intake *intake)
{
    list_init(&intake->sinces);
    list_init(&intake->since_paced);
    list_init(&intake->since_sources);
    gw_deadline_queue_init(&intake->since_deadlines, intake->loop, intake->options.since_stream_ms);
    gw_deadline_queue_init(&intake->since_queue_deadlines, intake->loop,
                           intake->options.since_queue_ms);
}

static void drop(struct intake_since *since)
{
    struct intake_request *request = since->request;
    while (!list_is_empty(&since->followers)) {
        struct intake_request *follower =
            LIST_ENTRY(since->followers.next, struct intake_request, link);
        list_remove(&follower->link);
        intake__drop_request(&follower->mail);
    }
    intake__since_free(since);
    intake__drop_request(&request->mail);
}

void intake__sinces_fini(struct intake *intake)
{
    while (!list_is_empty(&intake->sinces))
        drop(LIST_ENTRY(intake->sinces.next, struct intake_since, link));
    while (!list_is_empty(&intake->since_paced))
        drop(LIST_ENTRY(intake->since_paced.next, struct intake_since, link));
    while (!list_is_empty(&intake->since_sources)) {
        struct intake_source *source =
            LIST_ENTRY(intake->since_sources.next, struct intake_source, link);
        drop(LIST_ENTRY(source->queue.next, struct intake_since, link));
    }
    gw_deadline_queue_fini(&intake->since_deadlines);
    gw_deadline_queue_fini(&intake->since_queue_deadlines);
}
