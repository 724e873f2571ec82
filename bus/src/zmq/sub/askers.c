// SPDX-License-Identifier: MIT
// Asking broadcasters.
//
// Invariants: an asker is on the list and its origin's `asker`, which it pins, until it is closed.
// Of its asks the first `sent` were sent over the present socket, in their order.
#include "bus/src/zmq/sub/askers.h"

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

#define ASK_MS            1000               // without an answer, before asking again
#define IDLE_MS           10000              // before a connection is closed that is not needed
#define SENT_MOST         16                 // asks of one broadcaster on their way
#define EVENTS_PER_ASK    1000               // so that many askers have their turns
#define ASKERS_MOST       256                // sockets; ZeroMQ has about a thousand for the process
#define LEAST_BYTES       ((size_t)32 << 10) // that an asker's answers may take in any case
#define ASKS_MOST         1000000
#define ENDPOINT_CAPACITY 1024

// ---- Asks

struct talus__ask *talus__ask_new(enum talus__ask_kind kind, const char *session, uint64_t after)
{
    size_t size = strlen(session) + 1;
    struct talus__ask *ask = calloc(1, sizeof *ask + size);

    if (!ask)
        return NULL;
    ask->kind = kind;
    ask->since = ask->after = after;
    ask->session = (const char *)ask->bytes;
    memcpy(ask->bytes, session, size);
    return ask;
}

struct talus__ask *talus__ask_heads_new(const char *const *sessions, size_t count)
{
    size_t capacity = 64;
    for (size_t i = 0; i < count; i++)
        capacity += strlen(sessions[i]) + 3;
    struct talus__ask *ask = calloc(1, sizeof *ask + capacity);

    if (!ask)
        return NULL;
    ask->kind = TALUS__ASK_HEADS;
    ask->heads = ask->heads_left = count;
    ask->size = talus__request_encode_heads(ask->bytes, capacity, sessions, count);
    return ask;
}

static int send_ask(struct talus__asker *asker, const struct talus__ask *ask)
{
    uint8_t request[TALUS__REPLAY_REQUEST];

    if (ask->kind == TALUS__ASK_HEADS)
        return zmq_send(asker->socket, ask->bytes, ask->size, ZMQ_DONTWAIT);
    size_t size = talus__request_encode_replay(request, ask->session, ask->after, EVENTS_PER_ASK);
    return zmq_send(asker->socket, request, size, ZMQ_DONTWAIT);
}

// ---- Sockets

static bool watch(struct talus__askers *askers, struct talus__asker *asker, void *socket)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = TALUS__ASKERS_SOURCE};
    size_t size = sizeof asker->fd;

    return zmq_getsockopt(socket, ZMQ_FD, &asker->fd, &size) == 0 &&
           epoll_ctl(askers->epoll, EPOLL_CTL_ADD, asker->fd, &event) == 0 &&
           talus__guard_watch(askers->post, asker->fd) == 0;
}

static void *open_socket(struct talus__askers *askers, struct talus__asker *asker)
{
    const char *endpoint = asker->origin->replay;
    const talus_subscriber_options_t *options = askers->options;
    const int64_t message_max = (int64_t)askers->max_message;
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
    void *socket = zmq_socket(askers->context, ZMQ_DEALER);

    if (!socket)
        return NULL;
    int failed = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max);
    for (size_t i = 0; !failed && i < sizeof values / sizeof values[0]; i++)
        failed = zmq_setsockopt(socket, values[i].option, &values[i].value, sizeof values[i].value);
    if (!failed && zmq_connect(socket, endpoint) == 0 && watch(askers, asker, socket))
        return socket;
    talus__log(TALUS_LOG_WARNING, "%s cannot be asked for events: %s", endpoint,
               zmq_strerror(errno));
    zmq_close(socket);
    return NULL;
}

static void close_socket(struct talus__askers *askers, struct talus__asker *asker)
{
    if (!asker->socket)
        return;
    epoll_ctl(askers->epoll, EPOLL_CTL_DEL, asker->fd, NULL);
    talus__guard_unwatch(askers->post, asker->fd);
    talus__inbox_fini(&asker->inbox);
    asker->inbox.is_cut = false;
    zmq_close(asker->socket);
    asker->socket = NULL;
}

// ---- Askers

static void tend_by(struct talus__askers *askers, long long at)
{
    if (askers->tend_at == 0 || at < askers->tend_at)
        askers->tend_at = at;
}

// When an asker that is being asked is to be looked at.
static void tend_asker_by(struct talus__askers *askers, const struct talus__asker *asker)
{
    tend_by(askers, asker->asked_at + ASK_MS);
    tend_by(askers, asker->progress_at + askers->options->heal_timeout_ms);
}

static struct talus__asker *add_asker(struct talus__askers *askers, struct talus__origin *origin)
{
    struct talus__asker *asker = calloc(1, sizeof *asker);

    if (!asker)
        return NULL;
    asker->origin = origin;
    asker->inbox.bound = &askers->waiting;
    asker->inbox.least_bytes = LEAST_BYTES;
    asker->inbox.is_stream = true;
    asker->before = askers->last;
    if (askers->last)
        askers->last->next = asker;
    else
        askers->first = asker;
    askers->last = asker;
    askers->count++;
    origin->asker = asker;
    talus__origin_pin(askers->origins, origin);
    return asker;
}

static void free_asks(struct talus__asker *asker)
{
    while (asker->first) {
        struct talus__ask *ask = asker->first;
        asker->first = ask->next;
        free(ask);
    }
}

static void unlink_asker(struct talus__askers *askers, struct talus__asker *asker)
{
    if (asker->before)
        asker->before->next = asker->next;
    else
        askers->first = asker->next;
    if (asker->next)
        asker->next->before = asker->before;
    else
        askers->last = asker->before;
    askers->count--;
}

static void close_asker(struct talus__askers *askers, struct talus__asker *asker)
{
    struct talus__origin *origin = asker->origin;

    close_socket(askers, asker);
    unlink_asker(askers, asker);
    free(asker);
    origin->asker = NULL;
    talus__origin_unpin(askers->origins, origin);
}

void talus__askers_fini(struct talus__askers *askers, bool is_forked)
{
    while (askers->first) {
        struct talus__asker *asker = askers->first;
        free_asks(asker);
        talus__inbox_fini(&asker->inbox);
        if (asker->socket && !is_forked)
            zmq_close(asker->socket);
        unlink_asker(askers, asker);
        free(asker);
    }
}

static struct talus__asker *find_idle(struct talus__askers *askers)
{
    for (struct talus__asker *asker = askers->first; asker; asker = asker->next) {
        if (!asker->first)
            return asker;
    }
    return NULL;
}

static struct talus__asker *get_asker(struct talus__askers *askers, struct talus__origin *origin)
{
    if (origin->asker)
        return origin->asker;
    struct talus__asker *idle = askers->count >= ASKERS_MOST ? find_idle(askers) : NULL;
    if (askers->count >= ASKERS_MOST && !idle)
        return NULL;
    if (idle)
        close_asker(askers, idle);
    return add_asker(askers, origin);
}

// Sends what may be sent.
static void send_asks(struct talus__askers *askers, struct talus__asker *asker)
{
    if (!asker->socket && asker->unsent)
        asker->socket = open_socket(askers, asker);
    asker->inbox.socket = asker->socket;
    while (asker->socket && asker->unsent && asker->sent < SENT_MOST) {
        if (send_ask(asker, asker->unsent) < 0)
            break;
        asker->unsent = asker->unsent->next;
        asker->sent++;
        askers->stats->asked++;
    }
    askers->is_emptied = false;
    askers->may_have_answers = true; // sending may have read what the descriptor told
}

int talus__askers_ask(struct talus__askers *askers, struct talus__origin *origin,
                      struct talus__ask *ask)
{
    struct talus__asker *asker = askers->open_asks < ASKS_MOST ? get_asker(askers, origin) : NULL;

    if (!asker) {
        free(ask);
        return askers->open_asks < ASKS_MOST && askers->count < ASKERS_MOST ? TALUS_ENOMEM
                                                                            : TALUS_ELIMIT;
    }
    ask->next = NULL;
    if (!asker->first) {
        asker->progress_at = asker->asked_at = talus__monotonic_ms();
        asker->first = ask;
    } else {
        asker->last->next = ask;
    }
    asker->last = ask;
    if (!asker->unsent)
        asker->unsent = ask;
    askers->open_asks++;
    send_asks(askers, asker);
    tend_asker_by(askers, asker);
    return 0;
}

struct talus__ask *talus__asker_take(struct talus__askers *askers, struct talus__asker *asker)
{
    struct talus__ask *ask = asker->first;

    asker->first = ask->next;
    if (!asker->first)
        asker->last = NULL;
    if (asker->unsent == ask)
        asker->unsent = ask->next;
    else
        asker->sent--;
    askers->open_asks--;
    send_asks(askers, asker);
    return ask;
}

void talus__asker_reset(struct talus__askers *askers, struct talus__asker *asker)
{
    close_socket(askers, asker);
    asker->unsent = asker->first;
    asker->sent = 0;
    asker->first->heads_left = asker->first->heads; // only the first is answered in part
    asker->asked_at = talus__monotonic_ms();
    send_asks(askers, asker);
    tend_asker_by(askers, asker);
}

// ---- Receiving

static bool receive_from(struct talus__askers *askers, struct talus__asker *asker, zmq_msg_t *topic,
                         zmq_msg_t *body, struct talus__source *source)
{
    if (asker->inbox.count > 0) {
        talus__inbox_take(&asker->inbox, topic, body, source);
        asker->progress_at = asker->asked_at = talus__monotonic_ms();
        return true;
    }
    source->is_kept = false;
    while (zmq_msg_recv(topic, asker->socket, ZMQ_DONTWAIT) >= 0) {
        askers->is_emptied = false;
        bool is_pair = zmq_msg_more(topic) && zmq_msg_recv(body, asker->socket, ZMQ_DONTWAIT) >= 0;
        if (is_pair && !zmq_msg_more(body)) {
            asker->progress_at = asker->asked_at = talus__monotonic_ms();
            return true;
        }
        atomic_fetch_add_explicit(&askers->waiting.malformed, 1, memory_order_relaxed);
        while (is_pair && zmq_msg_more(body)) {
            if (zmq_msg_recv(body, asker->socket, ZMQ_DONTWAIT) < 0)
                break;
        }
    }
    return false;
}

// The owner was so slow that a part of an answer was let go.
static void ask_again(struct talus__askers *askers, struct talus__asker *asker)
{
    if (asker->first)
        talus__asker_reset(askers, asker);
    else
        close_socket(askers, asker);
}

struct talus__asker *talus__askers_receive(struct talus__askers *askers, zmq_msg_t *topic,
                                           zmq_msg_t *body, struct talus__source *source)
{
    bool is_asked_again = false;

    if (!askers->may_have_answers)
        return NULL;
    for (struct talus__asker *asker = askers->first; asker; asker = asker->next) {
        if (asker->inbox.count == 0 && asker->inbox.is_cut) {
            is_asked_again |= asker->first != NULL;
            ask_again(askers, asker);
            continue;
        }
        if (!asker->socket || !receive_from(askers, asker, topic, body, source))
            continue;
        // To the end of the list, so that the others have their turn.
        if (asker != askers->last) {
            unlink_asker(askers, asker);
            askers->count++;
            asker->next = NULL;
            asker->before = askers->last;
            askers->last->next = asker;
            askers->last = asker;
        }
        return asker;
    }
    askers->may_have_answers = is_asked_again;
    askers->is_emptied = !is_asked_again;
    return NULL;
}

bool talus__askers_pull(struct talus__askers *askers, size_t most)
{
    bool is_emptied = true;

    for (struct talus__asker *asker = askers->first; asker; asker = asker->next) {
        if (!asker->socket)
            continue;
        talus__inbox_pull(&asker->inbox, most / askers->count + 1);
        is_emptied &= asker->inbox.is_emptied;
        askers->may_have_answers |= asker->inbox.count > 0 || asker->inbox.is_cut;
    }
    askers->is_emptied = is_emptied;
    return askers->may_have_answers;
}

// ---- Time

static void fail_all(struct talus__askers *askers, struct talus__asker *asker)
{
    struct talus__ask *ask = asker->first;

    close_socket(askers, asker);
    asker->first = asker->last = asker->unsent = NULL;
    asker->sent = 0;
    while (ask) {
        struct talus__ask *next = ask->next;
        askers->open_asks--;
        askers->on_failed(ask, asker->origin, askers->arg);
        free(ask);
        ask = next;
    }
}

void talus__askers_tend(struct talus__askers *askers, long long now)
{
    struct talus__asker *asker = askers->first;

    if (askers->tend_at == 0 || now < askers->tend_at)
        return;
    askers->tend_at = 0;
    while (asker) {
        struct talus__asker *next = asker->next;
        if (asker->inbox.count > 0 || asker->inbox.is_cut)
            asker->progress_at = asker->asked_at = now; // it has answered: its owner was away
        if (!asker->first && now >= asker->progress_at + IDLE_MS) {
            close_asker(askers, asker);
        } else if (!asker->first) {
            tend_by(askers, asker->progress_at + IDLE_MS);
        } else if (now >= asker->progress_at + askers->options->heal_timeout_ms) {
            askers->stats->ask_timeouts++;
            fail_all(askers, asker);
            close_asker(askers, asker);
        } else if (now >= asker->asked_at + ASK_MS) {
            askers->stats->ask_timeouts++;
            talus__asker_reset(askers, asker);
        } else {
            tend_asker_by(askers, asker);
        }
        asker = next;
    }
}

void talus__askers_give_up(struct talus__askers *askers, struct talus__origin *origin)
{
    if (!origin->asker)
        return;
    fail_all(askers, origin->asker);
    close_asker(askers, origin->asker);
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
