// SPDX-License-Identifier: MIT
// The replay client.
//
// Invariants: an connection is on the list and its origin's `connection`, which it pins, until it
// is closed. Of its requests the first `sent` were sent over the present socket, in their order.
#include "bus/src/zmq/sub/replay_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/request.h"
#include "bus/src/zmq/connection_times.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/endpoint.h"

#define REPEAT_MS          1000  // without an answer, before asking again
#define IDLE_MS            10000 // before a connection is closed that is not needed
#define SENT_MOST          16    // requests of one broadcaster on their way
#define EVENTS_PER_REQUEST 1000  // so that many client have their turns
#define CONNECTIONS_MOST   256   // sockets; ZeroMQ has about a thousand for the process
#define LEAST_BYTES        ((size_t)32 << 10) // that an connection's answers may take in any case
#define REQUESTS_MOST      1000000
#define ENDPOINT_CAPACITY  1024

// ---- Asks

struct talus__replay_request *talus__replay_request_new(enum talus__replay_request_kind kind,
                                                        const char *session, uint64_t after)
{
    size_t size = strlen(session) + 1;
    struct talus__replay_request *request = calloc(1, sizeof *request + size);

    if (!request)
        return NULL;
    request->kind = kind;
    request->since = request->after = after;
    request->session = (const char *)request->bytes;
    memcpy(request->bytes, session, size);
    return request;
}

struct talus__replay_request *talus__replay_request_heads(const char *const *sessions, size_t count)
{
    size_t capacity = 64;
    for (size_t i = 0; i < count; i++)
        capacity += strlen(sessions[i]) + 3;
    struct talus__replay_request *request = calloc(1, sizeof *request + capacity);

    if (!request)
        return NULL;
    request->kind = TALUS__REPLAY_HEADS;
    request->heads = request->heads_left = count;
    request->size = talus__request_encode_heads(request->bytes, capacity, sessions, count);
    return request;
}

static int send_request(struct talus__replay_connection *connection,
                        const struct talus__replay_request *request)
{
    uint8_t bytes[TALUS__REPLAY_REQUEST];

    if (request->kind == TALUS__REPLAY_HEADS)
        return zmq_send(connection->socket, request->bytes, request->size, ZMQ_DONTWAIT);
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
           epoll_ctl(client->epoll, EPOLL_CTL_ADD, connection->fd, &event) == 0 &&
           talus__guard_watch(client->post, connection->fd) == 0;
}

static void *open_socket(struct talus__replay_client *client,
                         struct talus__replay_connection *connection)
{
    const char *endpoint = connection->origin->replay;
    const talus_subscriber_options_t *options = client->options;
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
    epoll_ctl(client->epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    talus__guard_unwatch(client->post, connection->fd);
    talus__inbox_fini(&connection->inbox);
    connection->inbox.is_cut = false;
    zmq_close(connection->socket);
    connection->socket = NULL;
}

// ---- Askers

static void tend_by(struct talus__replay_client *client, long long at)
{
    if (client->tend_at == 0 || at < client->tend_at)
        client->tend_at = at;
}

// When an connection that is being asked is to be looked at.
static void tend_connection_by(struct talus__replay_client *client,
                               const struct talus__replay_connection *connection)
{
    tend_by(client, connection->asked_at + REPEAT_MS);
    tend_by(client, connection->progress_at + client->options->heal_timeout_ms);
}

static struct talus__replay_connection *add_connection(struct talus__replay_client *client,
                                                       struct talus__origin *origin)
{
    struct talus__replay_connection *connection = calloc(1, sizeof *connection);

    if (!connection)
        return NULL;
    connection->origin = origin;
    connection->inbox.bound = &client->waiting;
    connection->inbox.least_bytes = LEAST_BYTES;
    connection->inbox.is_stream = true;
    connection->before = client->last;
    if (client->last)
        client->last->next = connection;
    else
        client->first = connection;
    client->last = connection;
    client->count++;
    origin->replay_connection = connection;
    talus__origin_pin(client->origins, origin);
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

static void unlink_connection(struct talus__replay_client *client,
                              struct talus__replay_connection *connection)
{
    if (connection->before)
        connection->before->next = connection->next;
    else
        client->first = connection->next;
    if (connection->next)
        connection->next->before = connection->before;
    else
        client->last = connection->before;
    client->count--;
}

static void close_connection(struct talus__replay_client *client,
                             struct talus__replay_connection *connection)
{
    struct talus__origin *origin = connection->origin;

    close_socket(client, connection);
    unlink_connection(client, connection);
    free(connection);
    origin->replay_connection = NULL;
    talus__origin_unpin(client->origins, origin);
}

void talus__replay_client_fini(struct talus__replay_client *client, bool is_forked)
{
    while (client->first) {
        struct talus__replay_connection *connection = client->first;
        free_requests(connection);
        talus__inbox_fini(&connection->inbox);
        if (connection->socket && !is_forked)
            zmq_close(connection->socket);
        unlink_connection(client, connection);
        free(connection);
    }
}

static struct talus__replay_connection *find_idle(struct talus__replay_client *client)
{
    for (struct talus__replay_connection *connection = client->first; connection;
         connection = connection->next) {
        if (!connection->first)
            return connection;
    }
    return NULL;
}

static struct talus__replay_connection *get_connection(struct talus__replay_client *client,
                                                       struct talus__origin *origin)
{
    if (origin->replay_connection)
        return origin->replay_connection;
    struct talus__replay_connection *idle =
        client->count >= CONNECTIONS_MOST ? find_idle(client) : NULL;
    if (client->count >= CONNECTIONS_MOST && !idle)
        return NULL;
    if (idle)
        close_connection(client, idle);
    return add_connection(client, origin);
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
        client->stats->asked++;
    }
    client->is_emptied = false;
    client->may_have_answers = true; // sending may have read what the descriptor told
}

int talus__replay_client_request(struct talus__replay_client *client, struct talus__origin *origin,
                                 struct talus__replay_request *request)
{
    struct talus__replay_connection *connection =
        client->open_requests < REQUESTS_MOST ? get_connection(client, origin) : NULL;

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
    connection->first->heads_left = connection->first->heads; // only the first is answered in part
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

// The owner was so slow that a part of an answer was let go.
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

    if (!client->may_have_answers)
        return NULL;
    talus__zmq_release(zmq_msg_data(&frames->body)); // of the message before
    for (struct talus__replay_connection *connection = client->first; connection;
         connection = connection->next) {
        if (connection->inbox.count == 0 && connection->inbox.is_cut) {
            is_requested_again |= connection->first != NULL;
            request_again(client, connection);
            continue;
        }
        if (!connection->socket ||
            !receive_from(client, connection, &frames->topic, &frames->body, source))
            continue;
        // To the end of the list, so that the others have their turn.
        if (connection != client->last) {
            unlink_connection(client, connection);
            client->count++;
            connection->next = NULL;
            connection->before = client->last;
            client->last->next = connection;
            client->last = connection;
        }
        talus__zmq_acquire(zmq_msg_data(&frames->body));
        return connection;
    }
    client->may_have_answers = is_requested_again;
    client->is_emptied = !is_requested_again;
    return NULL;
}

bool talus__replay_client_pull(struct talus__replay_client *client, size_t most)
{
    bool is_emptied = true;

    for (struct talus__replay_connection *connection = client->first; connection;
         connection = connection->next) {
        if (!connection->socket)
            continue;
        talus__inbox_pull(&connection->inbox, most / client->count + 1);
        is_emptied &= connection->inbox.is_emptied;
        client->may_have_answers |= connection->inbox.count > 0 || connection->inbox.is_cut;
    }
    client->is_emptied = is_emptied;
    return client->may_have_answers;
}

// ---- Time

static void fail_all(struct talus__replay_client *client,
                     struct talus__replay_connection *connection)
{
    struct talus__replay_request *request = connection->first;

    close_socket(client, connection);
    connection->first = connection->last = connection->unsent = NULL;
    connection->sent = 0;
    while (request) {
        struct talus__replay_request *next = request->next;
        client->open_requests--;
        client->on_failed(request, connection->origin, client->arg);
        free(request);
        request = next;
    }
}

void talus__replay_client_tend(struct talus__replay_client *client, long long now)
{
    struct talus__replay_connection *connection = client->first;

    if (client->tend_at == 0 || now < client->tend_at)
        return;
    client->tend_at = 0;
    while (connection) {
        struct talus__replay_connection *next = connection->next;
        if (connection->inbox.count > 0 || connection->inbox.is_cut)
            connection->progress_at = connection->asked_at =
                now; // it has answered: its owner was away
        if (!connection->first && now >= connection->progress_at + IDLE_MS) {
            close_connection(client, connection);
        } else if (!connection->first) {
            tend_by(client, connection->progress_at + IDLE_MS);
        } else if (now >= connection->progress_at + client->options->heal_timeout_ms) {
            client->stats->ask_timeouts++;
            fail_all(client, connection);
            close_connection(client, connection);
        } else if (now >= connection->asked_at + REPEAT_MS) {
            client->stats->ask_timeouts++;
            talus__replay_connection_reset(client, connection);
        } else {
            tend_connection_by(client, connection);
        }
        connection = next;
    }
}

void talus__replay_client_give_up(struct talus__replay_client *client, struct talus__origin *origin)
{
    if (!origin->replay_connection)
        return;
    fail_all(client, origin->replay_connection);
    close_connection(client, origin->replay_connection);
}

// ---- Replay endpoints

static bool is_wildcard(const char *host, size_t size)
{
    return (size == 1 && *host == '*') || (size == 7 && memcmp(host, "0.0.0.0", 7) == 0) ||
           (size == 4 && memcmp(host, "[::]", 4) == 0);
}

// Writes one endpoint with its host filled in. False: it cannot be reached.
static bool resolve(const char *endpoint, size_t size, const char *host, char *out, size_t capacity)
{
    static const char tcp[] = "tcp://";
    const char *port = memrchr(endpoint, ':', size);
    size_t prefix = strlen(tcp);

    if (size >= capacity)
        return false;
    memcpy(out, endpoint, size);
    out[size] = '\0';
    if (size < prefix || memcmp(endpoint, tcp, prefix) != 0 || port < endpoint + prefix ||
        !is_wildcard(endpoint + prefix, (size_t)(port - endpoint) - prefix))
        return true;
    if (!host)
        return false;
    bool is_v6 = strchr(host, ':') && *host != '[';
    int written = snprintf(out, capacity, "tcp://%s%s%s%.*s", is_v6 ? "[" : "", host,
                           is_v6 ? "]" : "", (int)(endpoint + size - port), port);
    return written > 0 && (size_t)written < capacity;
}

static bool is_connectable(const char *endpoint)
{
    struct talus__endpoints parsed;

    if (talus__endpoints_parse(endpoint, false, &parsed) != 0)
        return false;
    bool is_one =
        parsed.count == 1 && parsed.items[0].kind == TALUS__ENDPOINT_CONNECT && *endpoint != '>';
    talus__endpoints_fini(&parsed);
    return is_one;
}

bool talus__replay_choose(const char *named, size_t size, const char *transport, const char *host,
                          char *out, size_t capacity)
{
    bool has_any = false;

    while (size > 0) {
        const char *comma = memchr(named, ',', size);
        size_t length = comma ? (size_t)(comma - named) : size;
        char candidate[ENDPOINT_CAPACITY];
        size_t prefix = strlen(transport);
        if (resolve(named, length, host, candidate, sizeof candidate) &&
            is_connectable(candidate) && strlen(candidate) < capacity) {
            bool is_same = strncmp(candidate, transport, prefix) == 0 && candidate[prefix] == ':';
            if (is_same || !has_any)
                strcpy(out, candidate);
            has_any = true;
            if (is_same)
                return true;
        }
        size -= length + (comma != NULL);
        named += length + (comma != NULL);
    }
    return has_any;
}
