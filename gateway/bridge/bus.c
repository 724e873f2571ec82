// SPDX-License-Identifier: MIT
// The bus thread: sessions come and go with the workers' requests, deliveries of the subscriber go
// out as room messages.
//
// A message queue has no bound, so room messages and what answers bring have: while one worker is
// BRIDGE_PENDING_MAX bytes behind, nothing is received. What comes meanwhile waits in ZeroMQ, up to
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
#include "gateway/bridge/internal.h"

#define DELIVERIES_A_TURN 1024 // so that requests and deadlines are not kept waiting by a flood

// ---- Sessions

struct bridge_session *bridge__find_session(const struct bridge *bridge, const char *name)
{
    struct bridge_session *session;
    HASH_FIND_STR(bridge->sessions, name, session);
    return session;
}

static void stop_lingering(struct bridge_session *session)
{
    if (!gw_deadline_is_started(&session->linger))
        return;
    gw_deadline_stop(&session->linger);
    session->bridge->lingering_count--;
}

static void free_session(struct bridge_session *session)
{
    struct bridge *bridge = session->bridge;
    stop_lingering(session);
    session_log_fini(&bridge->log, &session->log);
    HASH_DEL(bridge->sessions, session);
    gw_metric_add(&bridge->metrics, GW_BUS_SESSIONS, -1);
    free(session);
}

static void unsubscribe(struct bridge_session *session)
{
    talus_subscriber_leave(session->bridge->subscriber, session->name);
    gw_log(GW_LOG_DEBUG, "bridge", "session %s is unsubscribed", session->name);
    free_session(session);
}

static void on_linger_over(struct gw_deadline *deadline)
{
    struct bridge_session *session = LIST_ENTRY(deadline, struct bridge_session, linger);
    session->bridge->lingering_count--;
    unsubscribe(session);
}

static void unsubscribe_oldest(struct bridge *bridge)
{
    struct list *oldest = bridge->linger.deadlines.next;
    unsubscribe(LIST_ENTRY(oldest, struct bridge_session, linger.link));
}

// Whether somebody is in it, or what comes is kept for somebody.
static bool is_used(const struct bridge_session *session)
{
    return session->clients > 0 || session->held > 0;
}

// A client that walks through sessions leaves them all behind: past the bound, the one that has
// been empty longest goes at once.
void bridge__linger_if_unused(struct bridge_session *session)
{
    struct bridge *bridge = session->bridge;
    if (is_used(session))
        return;
    gw_deadline_start(&bridge->linger, &session->linger);
    if (++bridge->lingering_count > bridge->options.max_lingering)
        unsubscribe_oldest(bridge);
}

void bridge__hold(struct bridge_session *session)
{
    session->held++;
    stop_lingering(session);
}

// Who is here goes before who might come, and that before who was here: clients that join all that
// they may and are cut off, again and again, would keep all others out for the whole window.
static void make_room(struct bridge *bridge)
{
    while (HASH_COUNT(bridge->sessions) >= bridge->options.max_bus_sessions) {
        if (bridge->lingering_count > 0)
            unsubscribe_oldest(bridge);
        else if (!bridge__forget_oldest(bridge))
            return;
    }
}

static struct bridge_session *new_session(struct bridge *bridge, const char *name)
{
    size_t members_size = bridge->worker_count * sizeof(size_t);
    size_t name_size = strlen(name) + 1;
    make_room(bridge);
    struct bridge_session *session = calloc(1, sizeof *session + members_size + name_size);
    if (!session)
        return NULL;
    session->name = memcpy((char *)session->members + members_size, name, name_size);
    session->bridge = bridge;
    list_init(&session->waiting);
    list_init(&session->catch_ups);
    session_log_init(&session->log);
    bridge__origins_init(&session->origins);
    gw_deadline_init(&session->linger, on_linger_over);
    HASH_ADD_KEYPTR(hh, bridge->sessions, session->name, name_size - 1, session);
    if (!session->hh.tbl) {
        free(session);
        return NULL;
    }
    gw_metric_add(&bridge->metrics, GW_BUS_SESSIONS, 1);
    int error = talus_subscriber_join(bridge->subscriber, name);
    if (error) {
        gw_log(GW_LOG_WARNING, "bridge", "session %s cannot be subscribed to: %s", name,
               talus_strerror(error));
        free_session(session);
        return NULL;
    }
    return session;
}

// ---- Requests

static void answer(struct bridge_request *request, enum bridge_status status)
{
    request->status = status;
    request->message.deliver = bridge__on_answer;
    request->pending += bridge_missed_size(&request->missed);
    atomic_fetch_add(&request->worker->pending, request->pending);
    gw_loop_post(request->worker->loop, &request->message);
}

static void count_in(struct bridge_session *session, const struct bridge_worker *worker)
{
    session->clients++;
    session->members[worker->index]++;
    stop_lingering(session);
}

static void count_out(struct bridge_session *session, const struct bridge_worker *worker)
{
    session->clients--;
    session->members[worker->index]--;
}

void bridge__join(struct bridge_session *session, struct bridge_request *request)
{
    if (request->status != BRIDGE_OK) {
        answer(request, request->status);
        bridge__linger_if_unused(session);
        return;
    }
    bridge__count_incomplete(session->bridge, request);
    if (!request->is_member) {
        count_in(session, request->worker);
        bridge__presence(session, talus_type_session_connected, request->client, request);
    }
    request->active_clients = session->clients;
    request->index = session->bridge->log.newest;
    strcpy(request->offset, session->newest);
    answer(request, BRIDGE_OK);
}

static void leave(struct bridge_session *session, struct bridge_request *request)
{
    char client[sizeof request->client];
    strcpy(client, request->client);
    count_out(session, request->worker);
    if (request->command == BRIDGE_LEAVE) {
        struct bridge_log_position newest;
        session_log_newest(&session->log, &newest);
        request->index = newest.index;
        strcpy(request->offset, newest.id);
        answer(request, BRIDGE_OK); // first: it takes the client out of the room
    } else {
        bridge__free_request(request);
    }
    bridge__presence(session, talus_type_session_disconnected, client, NULL);
    bridge__linger_if_unused(session);
}

enum presence { QUIETLY, TELL };

// The sessions are live: the client was in them.
static void suspend(struct bridge *bridge, struct bridge_request *request, enum presence presence)
{
    struct bridge_suspension *suspension = request->suspension;
    request->suspension = NULL;
    for (unsigned i = 1; i < suspension->membership_count; i++) {
        struct bridge_session *session =
            bridge__find_session(bridge, suspension->memberships[i].session);
        count_out(session, request->worker_left);
        if (presence == TELL)
            bridge__presence(session, talus_type_session_disconnected, suspension->client, NULL);
    }
    bridge__suspend(bridge, suspension);
}

// The client is in its sessions again, unless `presence` says that they never heard otherwise.
static void restore(struct bridge *bridge, struct bridge_request *request, enum presence presence)
{
    const struct bridge_suspension *suspension = request->suspension;
    for (unsigned i = 1; i < suspension->membership_count; i++) {
        struct bridge_session *session =
            bridge__find_session(bridge, suspension->memberships[i].session);
        count_in(session, request->worker);
        if (presence == TELL)
            bridge__presence(session, talus_type_session_connected, suspension->client, NULL);
    }
    answer(request, BRIDGE_OK);
}

static void recover_suspended(struct bridge *bridge, struct bridge_request *request)
{
    if (bridge__recover(bridge, request))
        restore(bridge, request, TELL);
    else
        answer(request, BRIDGE_UNKNOWN);
}

// A client took its own place: the sessions hear of it only if it does not get it.
static void take_over(struct bridge *bridge, struct bridge_request *request)
{
    struct bridge_suspension *left = request->suspension;
    const unsigned count = left->membership_count;
    char(*names)[sizeof left->memberships[0].session] = calloc(count, sizeof *names);
    for (unsigned i = 1; names && i < count; i++)
        strcpy(names[i], left->memberships[i].session);
    suspend(bridge, request, names ? QUIETLY : TELL);
    if (bridge__recover(bridge, request)) {
        gw_metric_add(&bridge->metrics, GW_TAKEN_OVER, 1);
        restore(bridge, request, names ? QUIETLY : TELL);
    } else {
        for (unsigned i = 1; names && i < count; i++)
            bridge__tell_gone(bridge, names[i], request->past);
        answer(request, BRIDGE_UNKNOWN);
    }
    free(names);
}

// A client that is not known to be cut off may still have a connection that is dead: the workers
// are asked, one after the other. The one that has it ends it.
static void recover(struct bridge *bridge, struct bridge_request *request)
{
    if (request->suspension) {
        take_over(bridge, request);
    } else if (request->asked > 0 || bridge__is_suspended(bridge, request->past)) {
        recover_suspended(bridge, request);
    } else {
        request->message.deliver = bridge__on_search;
        gw_loop_post(bridge->workers[0].loop, &request->message);
    }
}

static void work_off(struct bridge_session *session, struct bridge_request *request)
{
    bool is_since = request->command == BRIDGE_JOIN && !request->is_member &&
                    (request->since[0] != '\0' || request->is_implied);
    if (is_since && bridge__catch_up(session, request))
        return;
    if (request->command == BRIDGE_JOIN)
        bridge__join(session, request);
    else
        leave(session, request);
}

void bridge__on_request(struct gw_loop_message *message)
{
    struct bridge_request *request = LIST_ENTRY(message, struct bridge_request, message);
    struct bridge *bridge = request->worker->bridge;
    list_init(&request->link);
    if (request->command == BRIDGE_SUSPEND || request->command == BRIDGE_RECOVER) {
        if (request->command == BRIDGE_RECOVER) {
            recover(bridge, request);
            return;
        }
        request->worker_left = request->worker;
        suspend(bridge, request, TELL);
        bridge__free_request(request);
        return;
    }
    struct bridge_session *session = bridge__find_session(bridge, request->session);
    if (!session && request->command == BRIDGE_JOIN)
        session = new_session(bridge, request->session);
    if (!session) { // workers send LEAVE and GONE only for what they have joined: a failed JOIN
        answer(request, BRIDGE_UNAVAILABLE);
        return;
    }
    if (session->is_live)
        work_off(session, request);
    else
        list_append(&session->waiting, &request->link);
    // Joining may have made something ready to be received without the descriptor's telling.
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
}

// ---- Deliveries

static void on_live(struct bridge *bridge, const talus_delivery_t *delivery)
{
    struct bridge_session *session = bridge__find_session(bridge, delivery->session);
    if (!delivery->complete) // libtalus says which session, and who is missing
        gw_metric_add(&bridge->metrics, GW_BUS_JOIN_INCOMPLETE, 1);
    if (!session)
        return;
    if (session->newest[0] == '\0')
        strcpy(session->newest, delivery->newest);
    bridge__origins_begin(&session->origins, delivery);
    session->is_live = true;
    while (!list_is_empty(&session->waiting)) {
        struct bridge_request *request =
            LIST_ENTRY(session->waiting.next, struct bridge_request, link);
        list_remove(&request->link);
        work_off(session, request);
    }
}

static void on_gap(struct bridge *bridge, const talus_delivery_t *gap)
{
    struct bridge_session *session = NULL;
    if (gap->session[0] != '\0') {
        session = bridge__find_session(bridge, gap->session);
        if (!session)
            return;
    }
    if (!session || is_used(session))
        gw_metric_add(&bridge->metrics, GW_BUS_GAPS, 1);
    struct bridge_encoded *encoded = encoder_gap(bridge->encoder, gap);
    // Who comes back is told it where it belongs.
    bridge__log(bridge, session, encoded, NULL);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "bridge", "a gap of session %s was not told: out of memory",
               gap->session);
        return;
    }
    bridge__post(bridge, session, encoded, NULL);
    bridge_encoded_unref(encoded);
    if (session && bridge->catch_up_count > 0)
        bridge__catch_ups_on_gap(session, gap);
}

// An event that cannot be said to clients is a gap of one.
static void tell_refused(struct bridge *bridge, const struct bridge_session *session,
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
    on_gap(bridge, &gap);
}

// What another gateway says of its clients is told as what this one does: without an id, which
// official clients would name as their offset when they come back, and in no log.
static void tell_presence(struct bridge *bridge, const struct bridge_session *session,
                          const talus_event_t *event)
{
    talus_event_t nameless = *event;
    nameless.id = "";
    struct bridge_encoded *encoded = encoder_event(bridge->encoder, &nameless);
    if (!encoded) {
        gw_log(GW_LOG_ERROR, "bridge", "%s in session %s was not told: out of memory", event->type,
               event->session);
        return;
    }
    bridge__post(bridge, session, encoded, NULL);
    bridge_encoded_unref(encoded);
}

static void on_event(struct bridge *bridge, const talus_event_t *event)
{
    struct bridge_session *session = NULL;
    gw_metric_add(&bridge->metrics, GW_BUS_EVENTS, 1);
    if (event->session[0] != '\0') {
        session = bridge__find_session(bridge, event->session);
        if (!session)
            return;
        if (bridge__is_gateway_presence(event)) {
            tell_presence(bridge, session, event);
            return;
        }
        strcpy(session->newest, event->id);
        if (!is_used(session)) {
            bridge__log(bridge, session, NULL, event);
            return;
        }
    }
    struct bridge_encoded *encoded = encoder_event(bridge->encoder, event);
    if (!encoded) {
        gw_metric_add(&bridge->metrics, GW_BUS_REFUSED, 1);
        gw_log(GW_LOG_WARNING, "bridge",
               "event %s cannot be delivered: too large, or memory is out", event->id);
        tell_refused(bridge, session, event);
        return;
    }
    bridge__log(bridge, session, encoded, event);
    bridge__post(bridge, session, encoded, NULL);
    if (session && bridge->catch_up_count > 0)
        bridge__catch_ups_on_event(session, event);
    bridge_encoded_unref(encoded);
}

bool bridge__is_behind(const struct bridge_worker *worker)
{
    return atomic_load(&worker->pending) > BRIDGE_PENDING_MAX;
}

// Whether a worker has to be waited for; then it says so when it has caught up.
static bool must_wait(struct bridge *bridge)
{
    for (unsigned i = 0; i < bridge->worker_count; i++) {
        struct bridge_worker *worker = &bridge->workers[i];
        if (!bridge__is_behind(worker))
            continue;
        int expected = BRIDGE_FREE;
        atomic_compare_exchange_strong(&worker->pace, &expected, BRIDGE_AWAITED);
        // It may have caught up before it could see that.
        expected = BRIDGE_AWAITED;
        if (bridge__is_behind(worker) ||
            !atomic_compare_exchange_strong(&worker->pace, &expected, BRIDGE_FREE))
            return true;
    }
    return false;
}

static void on_readable(uv_poll_t *watcher, int status, int events);

void bridge__on_ready(struct gw_loop_message *message)
{
    struct bridge_worker *worker = LIST_ENTRY(message, struct bridge_worker, ready_message);
    struct bridge *bridge = worker->bridge;
    atomic_store(&worker->pace, BRIDGE_FREE);
    uv_poll_start(bridge->bus_watcher, UV_READABLE, on_readable);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
}

static void show_stats(struct bridge *bridge)
{
    talus_subscriber_stats_t stats;
    talus_subscriber_stats(bridge->subscriber, &stats);
    gw_metric_set(&bridge->metrics, GW_BUS_HOLES, (int64_t)stats.holes);
    gw_metric_set(&bridge->metrics, GW_BUS_HEALED, (int64_t)stats.healed);
    gw_metric_set(&bridge->metrics, GW_BUS_RECEIVE_DROPPED,
                  (int64_t)(stats.receive_dropped + stats.answers_dropped));
    gw_metric_set(&bridge->metrics, GW_BUS_DIRECTORY_OVERFLOWS, (int64_t)stats.directory_overflows);
    gw_metric_set(&bridge->metrics, GW_BUS_MALFORMED, (int64_t)stats.malformed);
    gw_metric_set(&bridge->metrics, GW_BUS_OVER_BOUNDS, (int64_t)stats.refused_bounds);
    gw_metric_set(&bridge->metrics, GW_BUS_DUPLICATES, (int64_t)stats.duplicates);
}

static void take(struct bridge *bridge, const talus_delivery_t *delivery)
{
    switch (delivery->kind) {
    case TALUS_DELIVERY_LIVE:
        on_live(bridge, delivery);
        break;
    case TALUS_DELIVERY_EVENT:
        on_event(bridge, delivery->event);
        break;
    case TALUS_DELIVERY_GAP:
        on_gap(bridge, delivery);
        break;
    case TALUS_DELIVERY_REPLAYED:
        bridge__on_replayed(bridge, delivery);
        break;
    case TALUS_DELIVERY_RECOVERED:
        bridge__on_recovered(bridge, delivery);
        break;
    default: // nothing else was asked for
        break;
    }
}

static void receive(struct bridge *bridge)
{
    if (bridge->are_workers_gone)
        return;
    for (unsigned i = 0; i < DELIVERIES_A_TURN; i++) {
        const talus_delivery_t *delivery;
        if (must_wait(bridge)) {
            if (uv_is_active((uv_handle_t *)bridge->bus_watcher))
                gw_metric_add(&bridge->metrics, GW_BUS_HELD_UP, 1);
            uv_poll_stop(bridge->bus_watcher);
            return;
        }
        bridge__catch_ups_resume(bridge);
        bridge__catch_ups_request(bridge);
        int error = talus_subscriber_receive(bridge->subscriber, 0, &delivery);
        if (error == TALUS_ETIMEOUT) {
            show_stats(bridge);
            return;
        }
        if (error) {
            gw_log(GW_LOG_ERROR, "bridge", "cannot receive from the bus: %s",
                   talus_strerror(error));
            return;
        }
        take(bridge, delivery);
    }
    show_stats(bridge);
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
}

static void on_receive_task(struct gw_task *task)
{
    receive(LIST_ENTRY(task, struct bridge, receive_task));
}

static void on_readable(uv_poll_t *watcher, int status, int events)
{
    (void)status;
    (void)events;
    receive(watcher->data);
}

// ---- Beginning and end

// A client is owed the events for everybody from its CONNECT on, and is told no offset. So there
// are no clients before they are live.
static bool join_everybody(struct bridge *bridge)
{
    const talus_delivery_t *delivery;
    bool is_live = false;
    if (talus_subscriber_join(bridge->subscriber, "") != TALUS_OK)
        return false;
    while (!is_live) { // which it is after live_timeout_ms at the latest
        int error = talus_subscriber_receive(bridge->subscriber, -1, &delivery);
        if (error == TALUS_ETIMEOUT)
            continue; // a signal
        if (error)
            return false;
        is_live = delivery->kind == TALUS_DELIVERY_LIVE && delivery->session[0] == '\0';
        take(bridge, delivery);
    }
    return true;
}

bool bridge__bus_init(struct bridge *bridge)
{
    gw_task_init(&bridge->receive_task, on_receive_task);
    if (!bridge->options.loop)
        gw_loop_expect_messages(bridge->loop, true); // also while nothing is received
    gw_deadline_queue_init(&bridge->linger, bridge->loop, bridge->options.linger_ms);
    bridge__recovery_init(bridge);
    bridge__catch_ups_init(bridge);
    bridge->bus_watcher = malloc(sizeof *bridge->bus_watcher);
    if (!bridge->bus_watcher)
        return false;
    int fd = talus_subscriber_descriptor(bridge->subscriber);
    if (uv_poll_init(gw_loop_uv(bridge->loop), bridge->bus_watcher, fd) != 0) {
        free(bridge->bus_watcher);
        bridge->bus_watcher = NULL;
        return false;
    }
    bridge->bus_watcher->data = bridge;
    if (uv_poll_start(bridge->bus_watcher, UV_READABLE, on_readable) != 0)
        return false;
    if (!join_everybody(bridge))
        return false;
    gw_task_schedule(bridge->loop, GW_PHASE_DISTRIBUTE, &bridge->receive_task);
    return true;
}

static void on_bus_watcher_closed(uv_handle_t *handle)
{
    free(handle);
}

void bridge__bus_fini(struct bridge *bridge)
{
    struct bridge_session *session;
    struct bridge_session *next;
    bridge__catch_ups_fini(bridge);
    bridge__recovery_fini(bridge);
    HASH_ITER(hh, bridge->sessions, session, next)
    {
        while (!list_is_empty(&session->waiting)) {
            struct bridge_request *request =
                LIST_ENTRY(session->waiting.next, struct bridge_request, link);
            list_remove(&request->link);
            bridge__drop_request(&request->message); // its worker has ended: nobody waits for it
        }
        free_session(session);
    }
    gw_deadline_queue_fini(&bridge->linger);
    gw_task_cancel(&bridge->receive_task);
    if (bridge->bus_watcher) {
        uv_close((uv_handle_t *)bridge->bus_watcher, on_bus_watcher_closed);
        bridge->bus_watcher = NULL;
    }
}
