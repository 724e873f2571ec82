// SPDX-License-Identifier: MIT
// The joins with `since` that wait for a history: those that are still to be asked for, and those
// that have been.
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/intake/event_id.h"
#include "gateway/intake/since.h"

#define ASKED_MAX          256   // histories asked for at a time; each as much as a client may miss
#define WAITING_MAX        16384 // joins that wait for one, about 10 MiB
#define QUEUE_PATIENCE_MS  10000 // for a history to be asked for
#define STREAM_PATIENCE_MS 1000  // for the live stream to reach the history's end

void intake__since_free(struct intake_since *since)
{
    struct intake *intake = since->session->intake;
    gw_deadline_stop(&since->deadline);
    list_remove(&since->link);
    list_remove(&since->session_link);
    if (since->is_asked)
        intake->since_count--;
    intake->since_waiting--;
    since->session->held--;
    intake_missed_fini(&since->found);
    free(since);
}

// In the queue: the history could not be asked for in time. Else the stream is still behind: what
// was found would come again with it, or be told missing.
static void on_patience_over(struct gw_deadline *deadline)
{
    struct intake_since *since = LIST_ENTRY(deadline, struct intake_since, deadline);
    since->is_cut = true;
    intake__since_finish(since);
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
    intake->since_count++;
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

// NULL: out of memory.
static struct intake_since *enqueue(struct intake_session *session, struct intake_request *request)
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
    list_append(&intake->since_queue, &since->link);
    list_append(&session->sinces, &since->session_link);
    intake__hold(session);
    intake->since_waiting++;
    return since;
}

// Lets the join wait for a history. False: it cannot.
bool intake__since_wait(struct intake_session *session, struct intake_request *request)
{
    struct intake *intake = session->intake;
    struct intake_since *since = find_same(session, request);
    if (intake->since_waiting >= WAITING_MAX)
        return false;
    if (since) {
        list_append(&since->followers, &request->link);
        intake->since_waiting++;
        return true;
    }
    since = enqueue(session, request);
    if (!since)
        return false;
    if (intake->since_count >= ASKED_MAX || ask(since))
        return true;
    intake__since_free(since);
    return false;
}

// Those that cannot be asked for are told so.
void intake__sinces_ask(struct intake *intake)
{
    while (intake->since_count < ASKED_MAX && !list_is_empty(&intake->since_queue)) {
        struct intake_since *since =
            LIST_ENTRY(intake->since_queue.next, struct intake_since, link);
        if (ask(since))
            continue;
        since->is_cut = true;
        intake__since_finish(since);
    }
}

void intake__sinces_init(struct intake *intake)
{
    list_init(&intake->sinces);
    list_init(&intake->since_queue);
    gw_deadline_queue_init(&intake->since_deadlines, intake->loop, STREAM_PATIENCE_MS);
    gw_deadline_queue_init(&intake->since_queue_deadlines, intake->loop, QUEUE_PATIENCE_MS);
}

static void drop_all(struct list *sinces)
{
    while (!list_is_empty(sinces)) {
        struct intake_since *since = LIST_ENTRY(sinces->next, struct intake_since, link);
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
}

void intake__sinces_fini(struct intake *intake)
{
    drop_all(&intake->sinces);
    drop_all(&intake->since_queue);
    gw_deadline_queue_fini(&intake->since_deadlines);
    gw_deadline_queue_fini(&intake->since_queue_deadlines);
}
