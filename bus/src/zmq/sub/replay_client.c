// SPDX-License-Identifier: MIT
// The replay client.
//
// Invariants: a connection is on the list and its publisher's `replay_connection`, which it refers
// to, until it is closed. Of its requests the first `sent` were sent over the present socket, in
// their order.
#include "bus/src/zmq/sub/replay_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/request.h"
#include "bus/src/zmq/connection_times.h"
#include "bus/src/zmq/context.h"

#define REPEAT_MS          1000  // without a response, before requesting again
#define IDLE_MS            10000 // before a connection is closed that is not needed
#define SENT_MOST          16    // requests of one broadcaster on their way
#define EVENTS_PER_REQUEST 1000  // so that many clients have their turns
#define CONNECTIONS_MOST   256   // sockets; ZeroMQ has about a thousand for the process
#define LEAST_BYTES        ((size_t)32 << 10) // that a connection's responses may take in any case
#define REQUESTS_MOST      1000000

// ---- Requests

static int send_request(struct talus__replay_connection *connection,
                        struct talus__replay_request *request)
{
    const struct talus__mark_request *marks = talus__mark_request_of(request);
    uint8_t bytes[TALUS__REPLAY_REQUEST];

    if (marks)
        return zmq_send(connection->socket, marks->bytes, marks->size, ZMQ_DONTWAIT);
    size_t size =
        talus__request_encode_replay(bytes, request->session, request->after, EVENTS_PER_REQUEST);
    return zmq_send(connection->socket, bytes, size, ZMQ_DONTWAIT);
}

// ---- Sockets

static bool watch(struct talus__replay_client *client, struct talus__replay_connection *connection,
                  void *socket)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = TALUS__REPLAY_SOURCE};
    size_t size = sizeof connection->fd;

    return zmq_getsockopt(socket, ZMQ_FD, &connection->fd, &size) == 0 &&
           epoll_ctl(client->receive->epoll, EPOLL_CTL_ADD, connection->fd, &event) == 0 &&
           talus__guard_watch(client->post, connection->fd) == 0;
}

static void *open_socket(struct talus__replay_client *client,
                         struct talus__replay_connection *connection)
{
    const char *endpoint = talus__presence_of(connection->publisher)->replay;
    const talus_subscriber_options_t *options = client->receive->options;
    const int64_t message_max = (int64_t)client->max_message;
    const struct {
        int option;
        int value;
    } values[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_RCVHWM, 0}, // a stopped input can abort the process; the inbox has a bound
        {ZMQ_SNDHWM, SENT_MOST},
        {ZMQ_IPV6, strchr(endpoint, '[') != NULL},
        TALUS__TCP_OPTIONS(options->heartbeat_ms),
        {ZMQ_RECONNECT_IVL, options->reconnect_ms},
        {ZMQ_RECONNECT_IVL_MAX, options->reconnect_max_ms},
    };
    void *socket = zmq_socket(client->context, ZMQ_DEALER);

    if (!socket)
        return NULL;
    int failed = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max);
    for (size_t i = 0; !failed && i < sizeof values / sizeof values[0]; i++)
        failed = zmq_setsockopt(socket, values[i].option, &values[i].value, sizeof values[i].value);
    if (!failed && zmq_connect(socket, endpoint) == 0 && watch(client, connection, socket))
        return socket;
    talus__log(TALUS_LOG_WARNING, "%s cannot be asked for events: %s", endpoint,
               zmq_strerror(errno));
    zmq_close(socket);
    return NULL;
}

static void close_socket(struct talus__replay_client *client,
                         struct talus__replay_connection *connection)
{
    if (!connection->socket)
        return;
    epoll_ctl(client->receive->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    talus__guard_unwatch(client->post, connection->fd);
    talus__inbox_fini(&connection->inbox);
    connection->inbox.is_cut = false;
    zmq_close(connection->socket);
    connection->socket = NULL;
}

// ---- Connections

static struct talus__replay_connection *connection_at(struct tl_list *link)
{
    return TL_LIST_ENTRY(link, struct talus__replay_connection, link);
}

static void tend_by(struct talus__replay_client *client, long long at)
{
    if (client->tend_at == 0 || at < client->tend_at)
        client->tend_at = at;
}

// When a connection that is being asked is to be looked at.
static void tend_connection_by(struct talus__replay_client *client,
                               const struct talus__replay_connection *connection)
{
    tend_by(client, connection->asked_at + REPEAT_MS);
    tend_by(client, connection->progress_at + client->receive->options->repair_timeout_ms);
}

static struct talus__replay_connection *add_connection(struct talus__replay_client *client,
                                                       struct talus__publisher *publisher)
{
    struct talus__replay_connection *connection = calloc(1, sizeof *connection);

    if (!connection)
        return NULL;
    connection->publisher = publisher;
    connection->inbox.bound = &client->waiting;
    connection->inbox.least_bytes = LEAST_BYTES;
    connection->inbox.is_stream = true;
    tl_list_append(&client->connections, &connection->link);
    client->count++;
    talus__presence_of(publisher)->replay_connection = connection;
    talus__publisher_ref(client->receive->publishers, publisher);
    return connection;
}

static void free_requests(struct talus__replay_connection *connection)
{
    while (connection->first) {
        struct talus__replay_request *request = connection->first;
        connection->first = request->next;
        free(request);
    }
}

static void close_connection(struct talus__replay_client *client,
                             struct talus__replay_connection *connection)
{
    struct talus__publisher *publisher = connection->publisher;

    close_socket(client, connection);
    tl_list_remove(&connection->link);
    client->count--;
    free(connection);
    talus__presence_of(publisher)->replay_connection = NULL;
    talus__publisher_unref(client->receive->publishers, publisher);
}

void talus__replay_client_fini(struct talus__replay_client *client, bool is_forked)
{
    while (!tl_list_is_empty(&client->connections)) {
        struct talus__replay_connection *connection = connection_at(client->connections.next);
        free_requests(connection);
        talus__inbox_fini(&connection->inbox);
        if (connection->socket && !is_forked)
            zmq_close(connection->socket);
        tl_list_remove(&connection->link);
        client->count--;
        free(connection);
    }
}

static struct talus__replay_connection *find_idle(struct talus__replay_client *client)
{
    for (struct tl_list *link = client->connections.next; link != &client->connections;
         link = link->next) {
        if (!connection_at(link)->first)
            return connection_at(link);
    }
    return NULL;
}

static struct talus__replay_connection *get_connection(struct talus__replay_client *client,
                                                       struct talus__publisher *publisher)
{
    if (talus__presence_of(publisher)->replay_connection)
        return talus__presence_of(publisher)->replay_connection;
    struct talus__replay_connection *idle =
        client->count >= CONNECTIONS_MOST ? find_idle(client) : NULL;
    if (client->count >= CONNECTIONS_MOST && !idle)
        return NULL;
    if (idle)
        close_connection(client, idle);
    return add_connection(client, publisher);
}

// Sends what may be sent.
static void send_requests(struct talus__replay_client *client,
                          struct talus__replay_connection *connection)
{
    if (!connection->socket && connection->unsent)
        connection->socket = open_socket(client, connection);
    connection->inbox.socket = connection->socket;
    while (connection->socket && connection->unsent && connection->sent < SENT_MOST) {
        if (send_request(connection, connection->unsent) < 0)
            break;
        connection->unsent = connection->unsent->next;
        connection->sent++;
        client->requests++;
    }
    client->is_emptied = false;
    client->may_have_responses = true; // sending may have read what the descriptor told
}

int talus__replay_client_request(struct talus__replay_client *client,
                                 struct talus__publisher *publisher,
                                 struct talus__replay_request *request)
{
    struct talus__replay_connection *connection =
        client->open_requests < REQUESTS_MOST ? get_connection(client, publisher) : NULL;

    if (!connection) {
        free(request);
        return client->open_requests < REQUESTS_MOST && client->count < CONNECTIONS_MOST
                   ? TALUS_ENOMEM
                   : TALUS_ELIMIT;
    }
    request->next = NULL;
    if (!connection->first) {
        connection->progress_at = connection->asked_at = tl_monotonic_ms();
        connection->first = request;
    } else {
        connection->last->next = request;
    }
    connection->last = request;
    if (!connection->unsent)
        connection->unsent = request;
    client->open_requests++;
    send_requests(client, connection);
    tend_connection_by(client, connection);
    return 0;
}

int talus__replay_client_request_marks(struct talus__replay_client *client,
                                       struct talus__publisher *publisher,
                                       const char *const *sessions, size_t count)
{
    _Static_assert(TALUS__MARKS_MOST <= TALUS__HEADS_MAX, "one request of the protocol");
    size_t capacity = 64;
    for (size_t i = 0; i < count; i++)
        capacity += strlen(sessions[i]) + 3;
    struct talus__mark_request *request = calloc(1, sizeof *request + capacity);

    if (!request)
        return TALUS_ENOMEM;
    request->count = request->left = count;
    request->size = talus__request_encode_heads(request->bytes, capacity, sessions, count);
    return talus__replay_client_request(client, publisher, &request->base);
}

struct talus__replay_request *
talus__replay_connection_take(struct talus__replay_client *client,
                              struct talus__replay_connection *connection)
{
    struct talus__replay_request *request = connection->first;

    connection->first = request->next;
    if (!connection->first)
        connection->last = NULL;
    if (connection->unsent == request)
        connection->unsent = request->next;
    else
        connection->sent--;
    client->open_requests--;
    send_requests(client, connection);
    return request;
}

void talus__replay_connection_reset(struct talus__replay_client *client,
                                    struct talus__replay_connection *connection)
{
    close_socket(client, connection);
    connection->unsent = connection->first;
    connection->sent = 0;
    struct talus__mark_request *marks = talus__mark_request_of(connection->first);
    if (marks)
        marks->left = marks->count; // only the first is answered in part
    connection->asked_at = tl_monotonic_ms();
    send_requests(client, connection);
    tend_connection_by(client, connection);
}

// ---- Receiving

static bool receive_from(struct talus__replay_client *client,
                         struct talus__replay_connection *connection, zmq_msg_t *topic,
                         zmq_msg_t *body, struct talus__source *source)
{
    if (connection->inbox.count > 0) {
        talus__inbox_take(&connection->inbox, topic, body, source);
        connection->progress_at = connection->asked_at = tl_monotonic_ms();
        return true;
    }
    source->is_kept = false;
    while (zmq_msg_recv(topic, connection->socket, ZMQ_DONTWAIT) >= 0) {
        client->is_emptied = false;
        bool is_pair =
            zmq_msg_more(topic) && zmq_msg_recv(body, connection->socket, ZMQ_DONTWAIT) >= 0;
        if (is_pair && !zmq_msg_more(body)) {
            connection->progress_at = connection->asked_at = tl_monotonic_ms();
            return true;
        }
        atomic_fetch_add_explicit(&client->waiting.malformed, 1, memory_order_relaxed);
        while (is_pair && zmq_msg_more(body)) {
            if (zmq_msg_recv(body, connection->socket, ZMQ_DONTWAIT) < 0)
                break;
        }
    }
    return false;
}

// The owner was so slow that a part of a response was let go.
static void request_again(struct talus__replay_client *client,
                          struct talus__replay_connection *connection)
{
    if (connection->first)
        talus__replay_connection_reset(client, connection);
    else
        close_socket(client, connection);
}

struct talus__replay_connection *talus__replay_client_receive(struct talus__replay_client *client,
                                                              struct talus__frames *frames,
                                                              struct talus__source *source)
{
    bool is_requested_again = false;

    if (!client->may_have_responses)
        return NULL;
    talus__zmq_release(zmq_msg_data(&frames->body)); // of the message before
    for (struct tl_list *link = client->connections.next; link != &client->connections;
         link = link->next) {
        struct talus__replay_connection *connection = connection_at(link);
        if (connection->inbox.count == 0 && connection->inbox.is_cut) {
            is_requested_again |= connection->first != NULL;
            request_again(client, connection);
            continue;
        }
        if (!connection->socket ||
            !receive_from(client, connection, &frames->topic, &frames->body, source))
            continue;
        // To the end of the list, so that the others have their turn.
        tl_list_remove(&connection->link);
        tl_list_append(&client->connections, &connection->link);
        talus__zmq_acquire(zmq_msg_data(&frames->body));
        return connection;
    }
    client->may_have_responses = is_requested_again;
    client->is_emptied = !is_requested_again;
    return NULL;
}

void talus__replay_client_keep(struct talus__replay_client *client)
{
    for (struct tl_list *link = client->connections.next; link != &client->connections;
         link = link->next)
        talus__inbox_keep(&connection_at(link)->inbox);
}

bool talus__replay_client_pull(struct talus__replay_client *client, size_t most)
{
    bool is_emptied = true;

    for (struct tl_list *link = client->connections.next; link != &client->connections;
         link = link->next) {
        struct talus__replay_connection *connection = connection_at(link);
        if (!connection->socket)
            continue;
        talus__inbox_pull(&connection->inbox, most / client->count + 1);
        is_emptied &= connection->inbox.is_emptied;
        client->may_have_responses |= connection->inbox.count > 0 || connection->inbox.is_cut;
    }
    client->is_emptied = is_emptied;
    return client->may_have_responses;
}

// ---- Time

static void fail_all(struct talus__replay_client *client,
                     struct talus__replay_connection *connection)
{
    const struct talus__receive_owner *owner = client->receive->owner;
    struct talus__replay_request *request = connection->first;

    close_socket(client, connection);
    connection->first = connection->last = connection->unsent = NULL;
    connection->sent = 0;
    while (request) {
        struct talus__replay_request *next = request->next;
        client->open_requests--;
        if (request->session)
            owner->on_failed(owner->arg, request, connection->publisher);
        free(request);
        request = next;
    }
}

void talus__replay_client_tend(struct talus__replay_client *client, long long now)
{
    struct tl_list *link = client->connections.next;

    if (client->tend_at == 0 || now < client->tend_at)
        return;
    client->tend_at = 0;
    while (link != &client->connections) {
        struct talus__replay_connection *connection = connection_at(link);
        link = link->next; // as the connection may be closed
        if (connection->inbox.count > 0 || connection->inbox.is_cut)
            connection->progress_at = connection->asked_at =
                now; // it has answered: its owner was away
        if (!connection->first && now >= connection->progress_at + IDLE_MS) {
            close_connection(client, connection);
        } else if (!connection->first) {
            tend_by(client, connection->progress_at + IDLE_MS);
        } else if (now >= connection->progress_at + client->receive->options->repair_timeout_ms) {
            client->timeouts++;
            fail_all(client, connection);
            close_connection(client, connection);
        } else if (now >= connection->asked_at + REPEAT_MS) {
            client->timeouts++;
            talus__replay_connection_reset(client, connection);
        } else {
            tend_connection_by(client, connection);
        }
    }
}

void talus__replay_client_give_up(struct talus__replay_client *client,
                                  struct talus__publisher *publisher)
{
    if (!talus__presence_of(publisher)->replay_connection)
        return;
    fail_all(client, talus__presence_of(publisher)->replay_connection);
    close_connection(client, talus__presence_of(publisher)->replay_connection);
}
