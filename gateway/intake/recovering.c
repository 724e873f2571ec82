// SPDX-License-Identifier: MIT
// The workers' part of recovery: saying what is known of a client that was cut off, and putting one
// that comes back where it was.

#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/intake/event_id.h"
#include "gateway/intake/seats.h"

// ---- Departure

// A client that was told to go, or went of its own accord, does not come back.
static bool is_cut_off(const char *reason)
{
    return strcmp(reason, "client namespace disconnect") != 0 &&
           strcmp(reason, "server namespace disconnect") != 0 && strcmp(reason, "parse error") != 0;
}

// What the client asked for and was not answered would be in doubt: it starts anew then, and asks
// again.
static bool is_settled(const struct client *client)
{
    for (struct list *at = client->seats.next; at != &client->seats; at = at->next) {
        const struct seat *seat = LIST_ENTRY(at, struct seat, link);
        if (seat->is_under_way || !list_is_empty(&seat->waiting))
            return false;
    }
    return true;
}

// Whether what the client had got at its CONNECT is still the `since` of its joins, or was when it
// was cut off: that may have been noticed late.
static bool has_stale_since(const struct client *client)
{
    const struct intake_worker *worker = client->worker;
    int64_t until = client->past->since_until;
    return until > 0 && gw_loop_before(worker->loop) < until + worker->intake->options.silence_ms;
}

static struct intake_departure *describe(const struct client *client)
{
    unsigned count = client->seat_count + 1;
    struct intake_departure *departure =
        calloc(1, sizeof *departure + count * sizeof departure->seats[0]);
    if (!departure)
        return NULL;
    strcpy(departure->client, sio_socket_id(client->socket));
    departure->seats[0].joined = client->connected;
    departure->reached = client->worker->newest;
    if (client->past) {
        if (client->past->recovered > departure->reached)
            departure->reached = client->past->recovered;
        departure->left = client->past->left;
        departure->is_stale_since = has_stale_since(client);
        departure->is_unsure = client->past->is_unsure;
        departure->seats[0].skip = client->past->skip;
        strcpy(departure->stale, client->past->stale);
    }
    struct intake_departed_seat *to = &departure->seats[1];
    for (struct list *at = client->seats.next; at != &client->seats; at = at->next, to++) {
        const struct seat *seat = LIST_ENTRY(at, struct seat, link);
        to->joined = seat->joined;
        to->is_since = seat->is_since;
        if (seat->skip)
            to->skip = *seat->skip;
        strcpy(to->session, seat->session);
    }
    departure->seat_count = count;
    return departure;
}

static void take_unsent(const struct client *client, struct intake_departure *departure)
{
    struct unsent unsent;
    sio_socket_take_unsent(client->socket, &unsent);
    departure->owed = unsent.events;
    departure->owed_from = unsent.events > 0 ? unsent.first : departure->reached + 1;
}

// Consumes the departure. False: out of memory.
static bool post_departure(struct intake_worker *worker, struct intake_departure *departure)
{
    struct intake_request *request =
        intake__new_request(worker, INTAKE_DEPART, "", departure->client);
    if (!request) {
        gw_metrics_drop(worker->metrics, GW_DROPPED_MEMORY, departure->client, departure->owed);
        free(departure);
        return false;
    }
    request->departure = departure;
    intake__post_request(request);
    return true;
}

static struct intake_request *taker_of(struct list *link)
{
    return LIST_ENTRY(link, struct intake_request, link);
}

bool intake__say_departed(struct client *client, const char *reason)
{
    struct intake_worker *worker = client->worker;
    if (worker->intake->options.recovery_window_ms == 0 || !is_cut_off(reason) ||
        !is_settled(client))
        return false;
    struct intake_departure *departure = describe(client);
    if (!departure)
        return false;
    take_unsent(client, departure);
    if (!client->past || list_is_empty(&client->past->takers))
        return post_departure(worker, departure);
    struct intake_request *taker = taker_of(client->past->takers.prev); // the newest connection
    taker->departure = departure;
    taker->worker_left = worker;
    return true;
}

// ---- A connection that another one of the same client takes the place of

static void pass_on(struct intake_request *request)
{
    struct intake *intake = request->worker->intake;
    if (++request->asked < intake->worker_count) {
        gw_loop_post(intake->workers[request->asked].loop, &request->mail);
        return;
    }
    request->mail.deliver = intake__on_request;
    gw_loop_post(intake->loop, &request->mail);
}

void intake__on_search(struct gw_mail *mail)
{
    struct intake_request *request = LIST_ENTRY(mail, struct intake_request, mail);
    struct intake *intake = request->worker->intake;
    if (intake->are_workers_gone) {
        mail->drop(mail);
        return;
    }
    struct sio_socket *socket =
        sio_namespace_find(intake->workers[request->asked].nsp, request->past);
    bool is_here = socket && sio_socket_is_connected(socket);
    struct client *client = is_here ? sio_socket_data(socket) : NULL;
    struct client_past *past = client ? intake__past_of(client) : NULL;
    if (past) {
        gw_log(GW_LOG_DEBUG, "recovery", "client %s takes its own place", request->past);
        list_append(&past->takers, &request->link);
    }
    if (is_here)
        sio_socket_abort(socket);
    if (!past)
        pass_on(request);
}

void intake__hand_over(struct client *client)
{
    struct list *takers = client->past ? &client->past->takers : NULL;
    while (takers && !list_is_empty(takers)) {
        struct intake_request *taker = taker_of(takers->prev);
        struct intake *intake = taker->worker->intake;
        list_remove(&taker->link);
        taker->asked = intake->worker_count;
        taker->mail.deliver = intake__on_request;
        gw_loop_post(intake->loop, &taker->mail);
    }
}

// ---- Coming back

// What the client says that it got last; "" if it says nothing. An offset that cannot be an event
// id stays unknown: "?" is none.
static void copy_offset(char to[TALUS_ID_MAX + 1], const json_t *auth)
{
    const json_t *offset = json_object_get(auth, "offset");
    if (json_is_string(offset))
        strcpy(to, json_string_length(offset) <= TALUS_ID_MAX ? json_string_value(offset) : "?");
}

bool intake__ask_recovery(struct intake_worker *worker, struct sio_socket *socket,
                          const json_t *auth)
{
    const char *pid = json_string_value(json_object_get(auth, "pid")); // NULL: there is none
    char past[GW_ID_SIZE + 1];
    if (worker->intake->options.recovery_window_ms == 0 || !pid)
        return false;
    if (!sio_pid_id(pid, past)) {
        gw_metric_add(worker->metrics, GW_NOT_RECOVERED, 1);
        return false; // of another gateway, or of this one in an earlier life
    }
    struct intake_request *request =
        intake__new_request(worker, INTAKE_RECOVER, "", sio_socket_id(socket));
    if (!request)
        return false;
    strcpy(request->past, past);
    copy_offset(request->offset, auth);
    intake__post_request(request);
    return true;
}

// From now on, for a while, what the client has got is the `since` of its joins.
static void let_stale_serve(struct client *client)
{
    const struct intake_worker *worker = client->worker;
    client->past->since_until =
        gw_loop_now(worker->loop) + worker->intake->options.recovery_window_ms;
}

// Of a client that was here, or at another gateway, before.
static void note_offset(struct sio_socket *socket, const char *offset)
{
    struct client *client = sio_socket_data(socket);
    if (!client)
        return;
    struct client_past *past = intake__past_of(client);
    if (!past) {
        sio_socket_drop(socket); // it would name that offset again, and nobody would know why
        return;
    }
    strcpy(past->stale, offset);
    past->is_unsure = !event_id_check(offset, strlen(offset));
    let_stale_serve(client);
}

void intake__begin_anew(struct sio_socket *socket, const json_t *auth)
{
    char offset[TALUS_ID_MAX + 1] = "";
    if (!json_is_string(json_object_get(auth, "pid")))
        return;
    copy_offset(offset, auth);
    note_offset(socket, offset);
}

// Nothing is known of it, or not enough.
static void accept_anew(struct sio_socket *socket, const struct intake_request *request)
{
    if (sio_socket_accept(socket))
        note_offset(socket, request->offset);
}

static bool take_seat(struct client *client, const struct intake_departed_seat *from)
{
    struct seat *seat = intake__new_seat(client, from->session);
    if (!seat)
        return false;
    seat->is_joined = true;
    seat->joined = from->joined;
    seat->is_since = from->is_since;
    if (from->skip.skipped) {
        seat->skip = malloc(sizeof *seat->skip);
        if (!seat->skip)
            return false;
        *seat->skip = from->skip;
    }
    return sio_join(client->socket, seat->session);
}

static bool restore(struct client *client, const struct intake_departure *departure)
{
    const struct intake_skip *everybody = &departure->seats[0].skip;
    client->connected = departure->seats[0].joined;
    bool is_ahead = departure->reached > client->worker->newest;
    if (everybody->skipped || departure->left.index || departure->is_stale_since ||
        departure->stale[0] != '\0' || is_ahead) {
        struct client_past *past = intake__past_of(client);
        if (!past)
            return false;
        past->left = departure->left;
        past->skip = *everybody;
        past->recovered = departure->reached;
        strcpy(past->stale, departure->stale);
        if (departure->is_stale_since) // a join may have been lost with the connection
            let_stale_serve(client);
        past->is_unsure = departure->is_unsure;
    }
    for (unsigned i = 1; i < departure->seat_count; i++)
        if (!take_seat(client, &departure->seats[i]))
            return false;
    return true;
}

// Gives the client its id, what it missed, and its sessions. False: memory is out, and it is on its
// way out again.
static bool recover(struct sio_socket *socket, struct intake_request *request)
{
    struct intake_departure *departure = request->departure;
    const struct sio_missed missed = intake_missed_view(&request->missed);
    if (!sio_socket_resume(socket, departure->client)) {
        sio_socket_drop(socket);
        return false;
    }
    if (missed.count > 0 && !sio_emit_missed(socket, &missed)) {
        sio_socket_drop(socket);
        return false;
    }
    // Whatever follows, it has been given to this connection, which accounts for it.
    departure->owed = 0;
    departure->owed_from = departure->reached + 1;
    if (!sio_socket_accept(socket))
        return false;
    struct client *client = sio_socket_data(socket);
    if (client && restore(client, departure))
        return true;
    intake__free_client(client); // its departure says it all
    sio_socket_drop(socket);
    return false;
}

void intake__on_recovery_answer(struct intake_request *request)
{
    struct intake_worker *worker = request->worker;
    struct sio_socket *socket = sio_namespace_find(worker->nsp, request->client);
    struct intake_departure *departure = request->departure;
    if (!departure) {
        if (socket)
            accept_anew(socket, request);
        return;
    }
    if (socket && recover(socket, request))
        return;
    // Gone again, before it could be told: it may come back as before.
    request->departure = NULL;
    if (!post_departure(worker, departure))
        gw_log(GW_LOG_ERROR, "recovery", "a client left its sessions unsaid: out of memory");
}
