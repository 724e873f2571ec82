// SPDX-License-Identifier: MIT
// The bus thread: sessions come and go with the workers' requests, deliveries of the subscriber go
// out as letters.
//
// A mailbox has no bound, so letters and what answers bring have: while one worker is
// INTAKE_OWED_MAX bytes behind, nothing is received. What comes meanwhile waits in ZeroMQ, up to
// its high-water mark; what is lost there is noticed.
//
// A session that nobody has asked for yet is subscribed to, and its requests wait until the
// subscription is live; from then on requests are worked off at once. When the last client has
// left, the session lingers, still subscribed, for those who come back.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/intake/internal.h"

#define DELIVERIES_A_TURN 1024 // so that requests and deadlines are not kept waiting by a flood

// ---- Sessions

struct intake_session *intake__find_session(const struct intake *intake, const char *name)
{
    struct intake_session *session;
    HASH_FIND_STR(intake->sessions, name, session);
    return session;
}

static void stop_lingering(struct intake_session *session)
{
    if (!gw_deadline_is_started(&session->linger))
        return;
    gw_deadline_stop(&session->linger);
    session->intake->lingering_count--;
}

static void free_session(struct intake_session *session)
{
    struct intake *intake = session->intake;
    stop_lingering(session);
    session_log_fini(&intake->log, &session->log);
    HASH_DEL(intake->sessions, session);
    gw_metric_add(&intake->metrics, GW_BUS_SESSIONS, -1);
    free(session);
}

static void unsubscribe(struct intake_session *session)
{
    talus_subscriber_leave(session->intake->subscriber, session->name);
    gw_log(GW_LOG_DEBUG, "intake", "session %s is unsubscribed", session->name);
    free_session(session);
}

static void on_linger_over(struct gw_deadline *deadline)
{
    struct intake_session *session = LIST_ENTRY(deadline, struct intake_session, linger);
    session->intake->lingering_count--;
    unsubscribe(session);
}

static void unsubscribe_oldest(struct intake *intake)
{
    struct list *oldest = intake->linger.deadlines.next;
    unsubscribe(LIST_ENTRY(oldest, struct intake_session, linger.link));
}

// Whether somebody is in it, or what comes is kept for somebody.
static bool is_used(const struct intake_session *session)
{
    return session->clients > 0 || session->held > 0;
}

// A client that walks through sessions leaves them all behind: past the bound, the one that has
// been empty longest goes at once.
void intake__linger_if_unused(struct intake_session *session)
{
    struct intake *intake = session->intake;
    if (is_used(session))
        return;
    gw_deadline_start(&intake->linger, &session->linger);
    if (++intake->lingering_count > intake->options.max_lingering)
        unsubscribe_oldest(intake);
}

void intake__hold(struct intake_session *session)
{
    session->held++;
    stop_lingering(session);
}

// Who is here goes before who might come, and that before who was here: clients that join all that
// they may and are cut off, again and again, would keep all others out for the whole window.
static void make_room(struct intake *intake)
{
    while (HASH_COUNT(intake->sessions) >= intake->options.max_bus_sessions) {
        if (intake->lingering_count > 0)
            unsubscribe_oldest(intake);
        else if (!intake__forget_oldest(intake))
            return;
    }
}

static struct intake_session *new_session(struct intake *intake, const char *name)
{
    size_t members_size = intake->worker_count * sizeof(size_t);
    size_t name_size = strlen(name) + 1;
    make_room(intake);
    struct intake_session *session = calloc(1, sizeof *session + members_size + name_size);
    if (!session)
        return NULL;
    session->name = memcpy((char *)session->members + members_size, name, name_size);
    session->intake = intake;
    list_init(&session->waiting);
    list_init(&session->sinces);
    session_log_init(&session->log);
    intake__origins_init(&session->origins);
    gw_deadline_init(&session->linger, on_linger_over);
    HASH_ADD_KEYPTR(hh, intake->sessions, session->name, name_size - 1, session);
    if (!session->hh.tbl) {
        free(session);
        return NULL;
    }
    gw_metric_add(&intake->metrics, GW_BUS_SESSIONS, 1);
    int error = talus_subscriber_join(intake->subscriber, name);
    if (error) {
        gw_log(GW_LOG_WARNING, "intake", "session %s cannot be subscribed to: %s", name,
               talus_strerror(error));
        free_session(session);
        return NULL;
    }
    return session;
}

// ---- Requests

static void answer(struct intake_request *request, enum intake_status status)
{
    request->status = status;
    request->mail.deliver = intake__on_answer;
    request->owed += intake_missed_size(&request->missed);
    atomic_fetch_add(&request->worker->owed, request->owed);
    gw_loop_post(request->worker->loop, &request->mail);
}

static void count_in(struct intake_session *session, const struct intake_worker *worker)
{
    session->clients++;
    session->members[worker->index]++;
    stop_lingering(session);
}

static void count_out(struct intake_session *session, const struct intake_worker *worker)
{
    session->clients--;
    session->members[worker->index]--;
}

void intake__join(struct intake_session *session, struct intake_request *request)
{
    if (request->status != INTAKE_OK) {
        answer(request, request->status);
        intake__linger_if_unused(session);
        return;
    }
    intake__count_incomplete(session->intake, request);
    if (!request->is_member) {
        count_in(session, request->worker);
        intake__presence(session, talus_type_session_connected, request->client, request);
    }
    request->active_clients = session->clients;
    request->index = session->intake->log.newest;
    strcpy(request->offset, session->newest);
    answer(request, INTAKE_OK);
}

static void leave(struct intake_session *session, struct intake_request *request)
{
    char client[sizeof request->client];
    strcpy(client, request->client);
    count_out(session, request->worker);
    if (request->command == INTAKE_LEAVE) {
        struct intake_mark newest;
        session_log_newest(&session->log, &newest);
        request->index = newest.index;
        strcpy(request->offset, newest.id);
        answer(request, INTAKE_OK); // first: it takes the client out of the room
    } else {
        intake__free_request(request);
    }
    intake__presence(session, talus_type_session_disconnected, client, NULL);
    intake__linger_if_unused(session);
}

enum presence { QUIETLY, TELL };

// The sessions are live: the client was in them.
static void depart(struct intake *intake, struct intake_request *request, enum presence presence)
{
    struct intake_departure *departure = request->departure;
    request->departure = NULL;
    for (unsigned i = 1; i < departure->seat_count; i++) {
        struct intake_session *session = intake__find_session(intake, departure->seats[i].session);
        count_out(session, request->worker_left);
        if (presence == TELL)
            intake__presence(session, talus_type_session_disconnected, departure->client, NULL);
    }
    intake__depart(intake, departure);
}

// The client is in its sessions again, unless `presence` says that they never heard otherwise.
static void restore(struct intake *intake, struct intake_request *request, enum presence presence)
{
    const struct intake_departure *departure = request->departure;
    for (unsigned i = 1; i < departure->seat_count; i++) {
        struct intake_session *session = intake__find_session(intake, departure->seats[i].session);
        count_in(session, request->worker);
        if (presence == TELL)
            intake__presence(session, talus_type_session_connected, departure->client, NULL);
    }
    answer(request, INTAKE_OK);
}

static void recover_departed(struct intake *intake, struct intake_request *request)
{
    if (intake__recover(intake, request))
        restore(intake, request, TELL);
    else
        answer(request, INTAKE_UNKNOWN);
}

// A client took its own place: the sessions hear of it only if it does not get it.
static void take_over(struct intake *intake, struct intake_request *request)
{
    struct intake_departure *left = request->departure;
    const unsigned count = left->seat_count;
    char(*names)[sizeof left->seats[0].session] = calloc(count, sizeof *names);
    for (unsigned i = 1; names && i < count; i++)
        strcpy(names[i], left->seats[i].session);
    depart(intake, request, names ? QUIETLY : TELL);
    if (intake__recover(intake, request)) {
        gw_metric_add(&intake->metrics, GW_TAKEN_OVER, 1);
        restore(intake, request, names ? QUIETLY : TELL);
    } else {
        for (unsigned i = 1; names && i < count; i++)
            intake__tell_gone(intake, names[i], request->past);
        answer(request, INTAKE_UNKNOWN);
    }
    free(names);
}

// A client that is not known to be cut off may still have a connection that is dead: the workers
// are asked, one after the other. The one that has it ends it.
static void recover(struct intake *intake, struct intake_request *request)
{
    if (request->departure) {
        take_over(intake, request);
    } else if (request->asked > 0 || intake__has_departed(intake, request->past)) {
        recover_departed(intake, request);
    } else {
        request->mail.deliver = intake__on_search;
        gw_loop_post(intake->workers[0].loop, &request->mail);
    }
}

static void work_off(struct intake_session *session, struct intake_request *request)
{
    bool is_since = request->command == INTAKE_JOIN && !request->is_member &&
                    (request->since[0] != '\0' || request->is_implied);
    if (is_since && intake__join_since(session, request))
        return;
    if (request->command == INTAKE_JOIN)
        intake__join(session, request);
    else
        leave(session, request);
}

void intake__on_request(struct gw_mail *mail)
{
    struct intake_request *request = LIST_ENTRY(mail, struct intake_request, mail);
    struct intake *intake = request->worker->intake;
    list_init(&request->link);
    if (request->command == INTAKE_DEPART || request->command == INTAKE_RECOVER) {
        if (request->command == INTAKE_RECOVER) {
            recover(intake, request);
            return;
        }
        request->worker_left = request->worker;
        depart(intake, request, TELL);
        intake__free_request(request);
        return;
    }
    struct intake_session *session = intake__find_session(intake, request->session);
    if (!session && request->command == INTAKE_JOIN)
        session = new_session(intake, request->session);
    if (!session) { // workers send LEAVE and GONE only for what they have joined: a failed JOIN
        answer(request, INTAKE_UNAVAILABLE);
        return;
    }
    if (session->is_live)
        work_off(session, request);
    else
        list_append(&session->waiting, &request->link);
    // Joining may have made something ready to be received without the descriptor's telling.
    gw_task_schedule(intake->loop, GW_PHASE_DISTRIBUTE, &intake->receive_task);
}

// ---- Deliveries

static void on_live(struct intake *intake, const talus_delivery_t *delivery)
{
    struct intake_session *session = intake__find_session(intake, delivery->session);
    if (!delivery->complete) // libtalus says which session, and who is missing
        gw_metric_add(&intake->metrics, GW_BUS_JOIN_INCOMPLETE, 1);
    if (!session)
        return;
    if (session->newest[0] == '\0')
        strcpy(session->newest, delivery->newest);
    intake__origins_begin(&session->origins, delivery);
    session->is_live = true;
    while (!list_is_empty(&session->waiting)) {
        struct intake_request *request =
            LIST_ENTRY(session->waiting.next, struct intake_request, link);
        list_remove(&request->link);
        work_off(session, request);
    }
}

static void on_gap(struct intake *intake, const talus_delivery_t *gap)
{
    struct intake_session *session = NULL;
    if (gap->session[0] != '\0') {
        session = intake__find_session(intake, gap->session);
        if (!session)
            return;
    }
    if (!session || is_used(session))
        gw_metric_add(&intake->metrics, GW_BUS_GAPS, 1);
    struct intake_encoded *encoded = encoder_gap(intake->encoder, gap);
    // Who comes back is told it where it belongs.
    intake__log(intake, session, encoded, NULL);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "intake", "a gap of session %s was not told: out of memory",
               gap->session);
        return;
    }
    intake__post(intake, session, encoded, NULL);
    intake_encoded_unref(encoded);
    if (session && intake->since_count > 0)
        intake__sinces_hear_gap(session, gap);
}

// An event that cannot be said to clients is a gap of one.
static void tell_refused(struct intake *intake, const struct intake_session *session,
                         const talus_event_t *event)
{
    char after[TALUS_ID_MAX + 1];
    char first[TALUS_ID_MAX + 1];
    const uint64_t before = event->prev ? event->prev : event->seq - 1;
    snprintf(after, sizeof after, "%s.%" PRIu64, event->origin, before);
    snprintf(first, sizeof first, "%s.%" PRIu64, event->origin, event->seq + 1);
    const talus_delivery_t gap = {
        .kind = TALUS_DELIVERY_GAP,
        .session = session ? session->name : "",
        .origin = event->origin,
        .after = after,
        .first = first,
        .reason = TALUS_GAP_REFUSED,
    };
    on_gap(intake, &gap);
}

// What another gateway says of its clients is told as what this one does: without an id, which
// official clients would name as their offset when they come back, and in no log.
static void tell_presence(struct intake *intake, const struct intake_session *session,
                          const talus_event_t *event)
{
    talus_event_t nameless = *event;
    nameless.id = "";
    struct intake_encoded *encoded = encoder_event(intake->encoder, &nameless);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "intake", "%s in session %s was not told: out of memory", event->type,
               event->session);
        return;
    }
    intake__post(intake, session, encoded, NULL);
    intake_encoded_unref(encoded);
}

static void on_event(struct intake *intake, const talus_event_t *event)
{
    struct intake_session *session = NULL;
    gw_metric_add(&intake->metrics, GW_BUS_EVENTS, 1);
    if (event->session[0] != '\0') {
        session = intake__find_session(intake, event->session);
        if (!session)
            return;
        if (intake__is_gateway_presence(event)) {
            tell_presence(intake, session, event);
            return;
        }
        strcpy(session->newest, event->id);
        if (!is_used(session)) {
            intake__log(intake, session, NULL, event);
            return;
        }
    }
    struct intake_encoded *encoded = encoder_event(intake->encoder, event);
    if (!encoded) {
        gw_metric_add(&intake->metrics, GW_BUS_REFUSED, 1);
        gw_log(GW_LOG_WARNING, "intake",
               "event %s cannot be delivered: too large, or memory is out", event->id);
        tell_refused(intake, session, event);
        return;
    }
    intake__log(intake, session, encoded, event);
    intake__post(intake, session, encoded, NULL);
    if (session && intake->since_count > 0)
        intake__sinces_hear(session, event);
    intake_encoded_unref(encoded);
}

bool intake__is_behind(const struct intake_worker *worker)
{
    return atomic_load(&worker->owed) > INTAKE_OWED_MAX;
}

// Whether a worker has to be waited for; then it says so when it has caught up.
static bool must_wait(struct intake *intake)
{
    for (unsigned i = 0; i < intake->worker_count; i++) {
        struct intake_worker *worker = &intake->workers[i];
        if (!intake__is_behind(worker))
            continue;
        int expected = INTAKE_FREE;
        atomic_compare_exchange_strong(&worker->pace, &expected, INTAKE_AWAITED);
        // It may have caught up before it could see that.
        expected = INTAKE_AWAITED;
        if (intake__is_behind(worker) ||
            !atomic_compare_exchange_strong(&worker->pace, &expected, INTAKE_FREE))
            return true;
    }
    return false;
}

static void on_readable(uv_poll_t *watch, int status, int events);

void intake__on_ready(struct gw_mail *mail)
{
    struct intake_worker *worker = LIST_ENTRY(mail, struct intake_worker, ready_mail);
    struct intake *intake = worker->intake;
    atomic_store(&worker->pace, INTAKE_FREE);
    uv_poll_start(intake->watch, UV_READABLE, on_readable);
    gw_task_schedule(intake->loop, GW_PHASE_DISTRIBUTE, &intake->receive_task);
}

static void show_stats(struct intake *intake)
{
    talus_subscriber_stats_t stats;
    talus_subscriber_stats(intake->subscriber, &stats);
    gw_metric_set(&intake->metrics, GW_BUS_HOLES, (int64_t)stats.holes);
    gw_metric_set(&intake->metrics, GW_BUS_HEALED, (int64_t)stats.healed);
    gw_metric_set(&intake->metrics, GW_BUS_RECEIVE_DROPPED,
                  (int64_t)(stats.receive_dropped + stats.answers_dropped));
    gw_metric_set(&intake->metrics, GW_BUS_DIRECTORY_OVERFLOWS, (int64_t)stats.directory_overflows);
    gw_metric_set(&intake->metrics, GW_BUS_MALFORMED, (int64_t)stats.malformed);
    gw_metric_set(&intake->metrics, GW_BUS_OVER_BOUNDS, (int64_t)stats.refused_bounds);
    gw_metric_set(&intake->metrics, GW_BUS_DUPLICATES, (int64_t)stats.duplicates);
}

static void take(struct intake *intake, const talus_delivery_t *delivery)
{
    switch (delivery->kind) {
    case TALUS_DELIVERY_LIVE:
        on_live(intake, delivery);
        break;
    case TALUS_DELIVERY_EVENT:
        on_event(intake, delivery->event);
        break;
    case TALUS_DELIVERY_GAP:
        on_gap(intake, delivery);
        break;
    case TALUS_DELIVERY_REPLAYED:
        intake__on_replayed(intake, delivery);
        break;
    case TALUS_DELIVERY_RECOVERED:
        intake__on_recovered(intake, delivery);
        break;
    default: // nothing else was asked for
        break;
    }
}

static void receive(struct intake *intake)
{
    if (intake->are_workers_gone)
        return;
    for (unsigned i = 0; i < DELIVERIES_A_TURN; i++) {
        const talus_delivery_t *delivery;
        if (must_wait(intake)) {
            if (uv_is_active((uv_handle_t *)intake->watch))
                gw_metric_add(&intake->metrics, GW_BUS_HELD_UP, 1);
            uv_poll_stop(intake->watch);
            return;
        }
        intake__sinces_go_on(intake);
        intake__sinces_ask(intake);
        int error = talus_subscriber_receive(intake->subscriber, 0, &delivery);
        if (error == TALUS_ETIMEOUT) {
            show_stats(intake);
            return;
        }
        if (error) {
            gw_log(GW_LOG_ERROR, "intake", "cannot receive from the bus: %s",
                   talus_strerror(error));
            return;
        }
        take(intake, delivery);
    }
    show_stats(intake);
    gw_task_schedule(intake->loop, GW_PHASE_DISTRIBUTE, &intake->receive_task);
}

static void on_receive_task(struct gw_task *task)
{
    receive(LIST_ENTRY(task, struct intake, receive_task));
}

static void on_readable(uv_poll_t *watch, int status, int events)
{
    (void)status;
    (void)events;
    receive(watch->data);
}

// ---- Beginning and end

// A client is owed the events for everybody from its CONNECT on, and is told no offset. So there
// are no clients before they are live.
static bool join_everybody(struct intake *intake)
{
    const talus_delivery_t *delivery;
    bool is_live = false;
    if (talus_subscriber_join(intake->subscriber, "") != TALUS_OK)
        return false;
    while (!is_live) { // which it is after live_timeout_ms at the latest
        int error = talus_subscriber_receive(intake->subscriber, -1, &delivery);
        if (error == TALUS_ETIMEOUT)
            continue; // a signal
        if (error)
            return false;
        is_live = delivery->kind == TALUS_DELIVERY_LIVE && delivery->session[0] == '\0';
        take(intake, delivery);
    }
    return true;
}

bool intake__bus_init(struct intake *intake)
{
    gw_task_init(&intake->receive_task, on_receive_task);
    if (!intake->options.loop)
        gw_loop_expect_mail(intake->loop, true); // also while nothing is received
    gw_deadline_queue_init(&intake->linger, intake->loop, intake->options.linger_ms);
    intake__recovery_init(intake);
    intake__sinces_init(intake);
    intake->watch = malloc(sizeof *intake->watch);
    if (!intake->watch)
        return false;
    int fd = talus_subscriber_descriptor(intake->subscriber);
    if (uv_poll_init(gw_loop_uv(intake->loop), intake->watch, fd) != 0) {
        free(intake->watch);
        intake->watch = NULL;
        return false;
    }
    intake->watch->data = intake;
    if (uv_poll_start(intake->watch, UV_READABLE, on_readable) != 0)
        return false;
    if (!join_everybody(intake))
        return false;
    gw_task_schedule(intake->loop, GW_PHASE_DISTRIBUTE, &intake->receive_task);
    return true;
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle);
}

void intake__bus_fini(struct intake *intake)
{
    struct intake_session *session;
    struct intake_session *next;
    intake__sinces_fini(intake);
    intake__recovery_fini(intake);
    HASH_ITER(hh, intake->sessions, session, next)
    {
        while (!list_is_empty(&session->waiting)) {
            struct intake_request *request =
                LIST_ENTRY(session->waiting.next, struct intake_request, link);
            list_remove(&request->link);
            intake__drop_request(&request->mail); // its worker has ended: nobody waits for it
        }
        free_session(session);
    }
    gw_deadline_queue_fini(&intake->linger);
    gw_task_cancel(&intake->receive_task);
    if (intake->watch) {
        uv_close((uv_handle_t *)intake->watch, on_watch_closed);
        intake->watch = NULL;
    }
}
