// SPDX-License-Identifier: MIT
// The joins with `since` that wait: for their history to be requested, and for the response.
//
// A broadcaster that stands still answers nothing for seconds, and any client that knows one of its
// events can cause a request to it. So each broadcaster has a queue and they take turns; one has a
// bounded number of requests at a time, and the last quarter of all requests is for broadcasters
// without any.
//
// Joins whose events the log has are answered at once, unless their worker is behind: an answer may
// take as much memory as a client may miss, until its worker has taken it.
#include <stdlib.h>
#include <string.h>

#include "common/event_id.h"
#include "gateway/base/log.h"
#include "gateway/bridge/catch_up.h"

// ---- Broadcasters

// That of an event id. NULL: out of memory.
static struct bridge_source *get_source(struct bridge *bridge, const char *id)
{
    uint64_t seq;
    size_t size = tl_event_id_split(id, &seq);
    struct tl_node *node = tl_table_find(&bridge->sources, id, size);
    if (node)
        return TL_TABLE_ENTRY(node, struct bridge_source, node);
    struct bridge_source *source = calloc(1, sizeof *source);
    if (!source)
        return NULL;
    memcpy(source->origin, id, size);
    tl_list_init(&source->link);
    tl_list_init(&source->queue);
    source->node.name = source->origin;
    source->node.name_size = size;
    tl_table_insert(&bridge->sources, &source->node);
    return source;
}

// One has left its queue, or is not asked for any more.
static void release_source(struct bridge *bridge, struct bridge_source *source)
{
    if (!tl_list_is_empty(&source->queue))
        return;
    tl_list_remove(&source->link);
    if (source->asked > 0)
        return;
    tl_table_remove(&bridge->sources, &source->node);
    free(source);
}

static bool may_ask(const struct bridge *bridge, const struct bridge_source *source)
{
    const size_t most = bridge->options.max_histories;
    if (bridge->catch_up_count >= most || source->asked >= bridge->options.max_histories_of_one)
        return false;
    return bridge->catch_up_count < most - most / 4 || source->asked == 0;
}

// The next broadcaster in turn that may be asked. Those before it are being asked already, so they
// are not more than max_histories.
static struct bridge_source *next_source(const struct bridge *bridge)
{
    if (bridge->catch_up_count >= bridge->options.max_histories)
        return NULL;
    for (struct tl_list *at = bridge->catch_up_sources.next; at != &bridge->catch_up_sources;
         at = at->next) {
        struct bridge_source *source = TL_LIST_ENTRY(at, struct bridge_source, link);
        if (may_ask(bridge, source))
            return source;
    }
    return NULL;
}

// ---- Joins

void bridge__catch_up_free(struct bridge_catch_up *catch_up)
{
    struct bridge *bridge = catch_up->session->bridge;
    gw_deadline_stop(&catch_up->deadline);
    tl_list_remove(&catch_up->link);
    tl_list_remove(&catch_up->session_link);
    if (catch_up->is_asked) {
        bridge->catch_up_count--;
        catch_up->source->asked--;
    }
    if (catch_up->source)
        release_source(bridge, catch_up->source);
    bridge->catch_up_waiting--;
    catch_up->session->held--;
    bridge_missed_fini(&catch_up->found);
    free(catch_up);
}

static void cut(struct bridge_catch_up *catch_up, enum bridge_incomplete why)
{
    catch_up->is_cut = true;
    catch_up->cut_for = why;
    catch_up->handler->finish(catch_up);
}

// In the queue: the history could not be asked for in time. Else the stream is still behind: what
// was found would come again with it, or be told missing.
static void on_patience_over(struct gw_deadline *deadline)
{
    struct bridge_catch_up *catch_up = TL_LIST_ENTRY(deadline, struct bridge_catch_up, deadline);
    cut(catch_up, catch_up->is_asked ? BRIDGE_STREAM_TIMEOUT : BRIDGE_QUEUE_TIMEOUT);
}

static bool ask(struct bridge_catch_up *catch_up)
{
    struct bridge_session *session = catch_up->session;
    struct bridge *bridge = session->bridge;
    const char *id = catch_up->request->since;
    char before[TALUS_ID_MAX + 1];
    catch_up->asked_at = bridge->log.newest;
    if (catch_up->request->is_implied && catch_up->after > 0) {
        // If the event itself comes, it is one of the session.
        tl_event_id_format(before, id, catch_up->after - 1);
        id = before;
    }
    talus_error_t error =
        talus_subscriber_recover(bridge->subscriber, session->name, id, &catch_up->id);
    if (error) {
        gw_log(GW_LOG_DEBUG, "bridge", "the history of session %s since %s cannot be requested: %s",
               session->name, id, talus_strerror(error));
        return false;
    }
    gw_deadline_stop(&catch_up->deadline);
    tl_list_remove(&catch_up->link);
    tl_list_append(&bridge->catch_ups, &catch_up->link);
    catch_up->is_asked = true;
    catch_up->source->asked++;
    bridge->catch_up_count++;
    tl_list_remove(&catch_up->source->link); // now it is the others' turn
    if (!tl_list_is_empty(&catch_up->source->queue))
        tl_list_append(&bridge->catch_up_sources, &catch_up->source->link);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
    return true;
}

static struct bridge_catch_up *find_same(const struct bridge_session *session,
                                         const struct bridge_request *request)
{
    for (struct tl_list *at = session->catch_ups.next; at != &session->catch_ups; at = at->next) {
        struct bridge_catch_up *catch_up = TL_LIST_ENTRY(at, struct bridge_catch_up, session_link);
        if (!catch_up->is_cut && catch_up->request->is_implied == request->is_implied &&
            strcmp(catch_up->request->since, request->since) == 0)
            return catch_up;
    }
    return NULL;
}

// Behind those that are to be asked for, too, of its broadcaster. False: out of memory.
static bool queue_up(struct bridge_catch_up *catch_up)
{
    struct bridge *bridge = catch_up->session->bridge;
    struct bridge_source *source = get_source(bridge, catch_up->request->since);
    if (!source)
        return false;
    catch_up->source = source;
    tl_list_remove(&catch_up->link);
    tl_list_append(&source->queue, &catch_up->link);
    if (tl_list_is_empty(&source->link))
        tl_list_append(&bridge->catch_up_sources, &source->link);
    return true;
}

// NULL: out of memory.
static struct bridge_catch_up *new_catch_up(struct bridge_session *session,
                                            struct bridge_request *request,
                                            const struct bridge_catch_up_handler *handler)
{
    struct bridge *bridge = session->bridge;
    struct bridge_catch_up *catch_up = calloc(1, sizeof *catch_up);
    if (!catch_up)
        return NULL;
    catch_up->handler = handler;
    catch_up->session = session;
    catch_up->request = request;
    tl_event_id_split(request->since, &catch_up->after);
    tl_list_init(&catch_up->followers);
    bridge_missed_init(&catch_up->found, bridge->options.max_missed);
    gw_deadline_init(&catch_up->deadline, on_patience_over);
    gw_deadline_start(&bridge->catch_up_queue_deadlines, &catch_up->deadline);
    tl_list_append(&bridge->catch_up_paced, &catch_up->link);
    tl_list_append(&session->catch_ups, &catch_up->session_link);
    bridge__hold(session);
    bridge->catch_up_waiting++;
    return catch_up;
}

bool bridge__catch_up_wait(struct bridge_session *session, struct bridge_request *request,
                           bool is_logged, const struct bridge_catch_up_handler *handler)
{
    struct bridge *bridge = session->bridge;
    if (bridge->catch_up_waiting >= bridge->options.max_catch_ups_waiting)
        return false;
    struct bridge_catch_up *catch_up = find_same(session, request);
    if (catch_up) {
        tl_list_append(&catch_up->followers, &request->link);
        bridge->catch_up_waiting++;
        return true;
    }
    catch_up = new_catch_up(session, request, handler);
    if (!catch_up || is_logged)
        return catch_up != NULL;
    if (!queue_up(catch_up)) {
        bridge__catch_up_free(catch_up);
        return false;
    }
    bridge__catch_ups_request(bridge); // behind those that wait already
    return true;
}

void bridge__catch_ups_resume(struct bridge *bridge)
{
    while (!tl_list_is_empty(&bridge->catch_up_paced)) {
        struct bridge_catch_up *catch_up =
            TL_LIST_ENTRY(bridge->catch_up_paced.next, struct bridge_catch_up, link);
        if (bridge__is_behind(catch_up->request->worker))
            return;
        // The log may have let it go meanwhile.
        if (!catch_up->handler->find_in_log(catch_up) && !queue_up(catch_up))
            cut(catch_up, BRIDGE_QUEUE_FULL);
    }
}

void bridge__catch_ups_request(struct bridge *bridge)
{
    struct bridge_source *source;
    while ((source = next_source(bridge))) {
        struct bridge_catch_up *catch_up =
            TL_LIST_ENTRY(source->queue.next, struct bridge_catch_up, link);
        if (!ask(catch_up))
            cut(catch_up, BRIDGE_NO_ANSWER);
    }
}

// ---- Followers

// What all are told, in a chunk for each worker, as a chunk is one loop's. Gives the chunks with a
// reference for each follower; NULL where there are none, or memory is out.
static void share_missed(const struct bridge_catch_up *catch_up,
                         struct chunk *chunks[BRIDGE_WORKERS_MAX])
{
    const struct sio_missed missed = bridge_missed_view(&catch_up->request->missed);
    uint32_t counts[BRIDGE_WORKERS_MAX] = {0};
    for (struct tl_list *at = catch_up->followers.next; at != &catch_up->followers; at = at->next)
        counts[TL_LIST_ENTRY(at, struct bridge_request, link)->worker->index]++;
    for (unsigned i = 0; i < BRIDGE_WORKERS_MAX; i++) {
        chunks[i] = counts[i] > 0 && missed.count > 0 ? sio_missed_chunk(&missed) : NULL;
        if (chunks[i])
            chunks[i]->refs = counts[i];
    }
}

void bridge__catch_up_join_followers(struct bridge_catch_up *catch_up)
{
    struct bridge_session *session = catch_up->session;
    const struct bridge_request *leader = catch_up->request;
    bool is_any = bridge_missed_count(&leader->missed) > 0;
    struct chunk *chunks[BRIDGE_WORKERS_MAX];
    size_t sizes[BRIDGE_WORKERS_MAX];
    share_missed(catch_up, chunks);
    for (unsigned i = 0; i < BRIDGE_WORKERS_MAX; i++)
        sizes[i] = chunks[i] ? chunks[i]->capacity : 0;
    while (!tl_list_is_empty(&catch_up->followers)) {
        struct bridge_request *request =
            TL_LIST_ENTRY(catch_up->followers.next, struct bridge_request, link);
        tl_list_remove(&request->link);
        session->bridge->catch_up_waiting--;
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

void bridge__catch_ups_init(struct bridge *bridge)
{
    tl_list_init(&bridge->catch_ups);
    tl_list_init(&bridge->catch_up_paced);
    tl_list_init(&bridge->catch_up_sources);
    tl_table_init(&bridge->sources);
    gw_deadline_queue_init(&bridge->catch_up_deadlines, bridge->loop,
                           bridge->options.catch_up_stream_ms);
    gw_deadline_queue_init(&bridge->catch_up_queue_deadlines, bridge->loop,
                           bridge->options.catch_up_queue_ms);
}

static void drop(struct bridge_catch_up *catch_up)
{
    struct bridge_request *request = catch_up->request;
    while (!tl_list_is_empty(&catch_up->followers)) {
        struct bridge_request *follower =
            TL_LIST_ENTRY(catch_up->followers.next, struct bridge_request, link);
        tl_list_remove(&follower->link);
        bridge__drop_request(&follower->message);
    }
    bridge__catch_up_free(catch_up);
    bridge__drop_request(&request->message);
}

void bridge__catch_ups_fini(struct bridge *bridge)
{
    while (!tl_list_is_empty(&bridge->catch_ups))
        drop(TL_LIST_ENTRY(bridge->catch_ups.next, struct bridge_catch_up, link));
    while (!tl_list_is_empty(&bridge->catch_up_paced))
        drop(TL_LIST_ENTRY(bridge->catch_up_paced.next, struct bridge_catch_up, link));
    while (!tl_list_is_empty(&bridge->catch_up_sources)) {
        struct bridge_source *source =
            TL_LIST_ENTRY(bridge->catch_up_sources.next, struct bridge_source, link);
        drop(TL_LIST_ENTRY(source->queue.next, struct bridge_catch_up, link));
    }
    gw_deadline_queue_fini(&bridge->catch_up_deadlines);
    gw_deadline_queue_fini(&bridge->catch_up_queue_deadlines);
    tl_table_fini(&bridge->sources);
}
