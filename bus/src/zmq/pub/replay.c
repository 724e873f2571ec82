// SPDX-License-Identifier: MIT
// The replay server.
//
// Invariants: a client exists exactly while it has open requests, and is then in the table and in
// the ring. A request for events has an open cursor of the history from its beginning to its end.
#include "bus/src/zmq/pub/replay.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/body.h"
#include "bus/src/codec/request.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/pub/send.h"
#include "bus/src/zmq/pub/sockets.h"

// Faster than they can come in: what waits in ZeroMQ has no bound of its own. While the bus thread
// stands still it grows with what is sent (TALUS__REQUEST_MAX bytes each, at most). A high-water
// mark would bound it, and let any peer end the process: see tests/bus/zmq/test_stopped_replay.c.
#define REQUESTS_PER_TURN 1024
#define STEPS_PER_TURN    1024 // messages passed over or sent, heads sent, for all clients
#define BYTES_PER_TURN    ((size_t)1 << 20)
#define STEPS_PER_CLIENT  64 // before the next one has its turn
#define SEND_STEPS        4  // what a message costs that is sent
#define RETRY_MS          10 // a client's queue is full: nothing tells when it is not
#define IDENTITY_MAX      255

// One open request.
struct request {
    struct request *next;
    enum talus__request_kind kind;
    bool is_begun;               // REPLAY: the cursor is open
    size_t bytes;                // of this block
    uint64_t left;               // events that may still be sent
    struct talus__cursor cursor; // its session is `text`
    struct talus__request names; // HEAD: those still to be answered; borrows from `text`
    size_t text_size;
    char text[]; // REPLAY: the session; HEAD: the names
};

struct talus__replay_client {
    struct tl_node node;
    // In the ring, which is no tl_list: it has no head, and `turn` goes around in it.
    struct talus__replay_client *next;
    struct talus__replay_client *before;
    struct request *first; // the one that is being answered
    struct request *last;
    size_t request_count;
    long long blocked_at; // since when its queue is full; 0: it is not
    char identity[];
};

static void add(_Atomic uint64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

void talus__replay_init(struct talus__replay *replay)
{
    tl_table_init(&replay->clients);
}

// ---- Clients and their requests

static struct talus__replay_client *add_client(struct talus__replay *replay, const void *identity,
                                               size_t size)
{
    if (replay->clients.count >= TALUS__REPLAY_CLIENTS)
        return NULL;
    struct talus__replay_client *client = calloc(1, sizeof *client + size);
    if (!client)
        return NULL;
    memcpy(client->identity, identity, size);
    client->node.name = client->identity;
    client->node.name_size = size;
    tl_table_insert(&replay->clients, &client->node);
    if (replay->turn) {
        client->next = replay->turn;
        client->before = replay->turn->before;
        client->next->before = client;
        client->before->next = client;
    } else {
        client->next = client->before = replay->turn = client;
    }
    return client;
}

static void remove_request(struct talus__replay *replay, struct talus__replay_client *client)
{
    struct request *request = client->first;

    if (request->is_begun)
        replay->source->close_cursor(replay->source->arg, &request->cursor);
    client->first = request->next;
    if (!client->first)
        client->last = NULL;
    client->request_count--;
    replay->request_bytes -= request->bytes;
    free(request);
}

static void remove_client(struct talus__replay *replay, struct talus__replay_client *client)
{
    while (client->first)
        remove_request(replay, client);
    if (replay->turn == client)
        replay->turn = client->next == client ? NULL : client->next;
    client->before->next = client->next;
    client->next->before = client->before;
    tl_table_remove(&replay->clients, &client->node);
    free(client);
}

void talus__replay_fini(struct talus__replay *replay)
{
    while (replay->turn)
        remove_client(replay, replay->turn);
    tl_table_fini(&replay->clients);
}

static struct request *new_request(const struct talus__request *asked)
{
    const bool is_head = asked->kind == TALUS__REQUEST_HEAD;
    const void *text = is_head ? (const void *)asked->names : asked->session;
    size_t size = is_head ? asked->names_size : asked->session_size;
    struct request *request = malloc(sizeof *request + size);

    if (!request)
        return NULL;
    *request = (struct request){.kind = asked->kind,
                                .bytes = sizeof *request + size,
                                .left = asked->max > 0 ? asked->max : UINT64_MAX,
                                .names = *asked,
                                .text_size = size};
    if (size > 0)
        memcpy(request->text, text, size);
    request->names.names = (const uint8_t *)request->text;
    return request;
}

static bool accept_request(struct talus__replay *replay, const void *identity, size_t size,
                           const struct talus__request *asked)
{
    struct talus__replay_client *client =
        (struct talus__replay_client *)tl_table_find(&replay->clients, identity, size);

    if (replay->request_bytes >= TALUS__REPLAY_BYTES ||
        (client && client->request_count >= TALUS__REPLAY_REQUESTS))
        return false;
    struct request *request = new_request(asked);
    if (request && !client)
        client = add_client(replay, identity, size);
    if (!request || !client) {
        free(request);
        return false;
    }
    if (client->last)
        client->last->next = request;
    else
        client->first = request;
    client->last = request;
    client->request_count++;
    replay->request_bytes += request->bytes;
    return true;
}

static void refuse(struct talus__replay *replay)
{
    add(&replay->refused);
    talus__log(TALUS_LOG_DEBUG, "%s: a request at the replay socket was refused", replay->origin);
}

// Reads one message: the client's identity and one frame. False: there is none.
static bool read_request(struct talus__replay *replay)
{
    char identity[IDENTITY_MAX];
    struct talus__request asked;
    zmq_msg_t frame;

    int size = zmq_recv(replay->socket, identity, sizeof identity, ZMQ_DONTWAIT);
    if (size < 0)
        return false;
    bool is_whole = size <= (int)sizeof identity && talus__socket_has_more(replay->socket);
    zmq_msg_init(&frame);
    if (is_whole && zmq_msg_recv(&frame, replay->socket, ZMQ_DONTWAIT) < 0)
        is_whole = false;
    is_whole = is_whole && !zmq_msg_more(&frame);
    add(&replay->requests);
    if (!is_whole ||
        talus__request_decode(zmq_msg_data(&frame), zmq_msg_size(&frame), &asked) != 0 ||
        !accept_request(replay, identity, (size_t)size, &asked))
        refuse(replay);
    while (talus__socket_has_more(replay->socket)) {
        if (zmq_msg_recv(&frame, replay->socket, ZMQ_DONTWAIT) < 0)
            break;
    }
    zmq_msg_close(&frame);
    return true;
}

// ---- Answers

enum outcome {
    SENT,
    BLOCKED, // the client's queue is full
    GONE,    // the client, or memory
};

static enum outcome outcome_of_failure(void)
{
    return errno == EAGAIN || errno == EINTR ? BLOCKED : GONE;
}

// Tells the socket whom the next message is for. Whether there is room is decided here, for all
// of the message.
static enum outcome address(struct talus__replay *replay, const struct talus__replay_client *client)
{
    if (zmq_send(replay->socket, client->node.name, client->node.name_size,
                 ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return outcome_of_failure();
    return SENT;
}

static enum outcome send_event(struct talus__replay *replay, struct talus__replay_client *client,
                               struct talus__message *message)
{
    enum outcome outcome = address(replay, client);

    if (outcome != SENT)
        return outcome;
    talus__message_ref(message);
    if (talus__send_message(replay->socket, message) != 0)
        return GONE;
    add(&replay->events);
    return SENT;
}

static enum outcome send_marker(struct talus__replay *replay, struct talus__replay_client *client,
                                const char *session, size_t session_size, const char *type,
                                const void *body, size_t body_size)
{
    char topic[TALUS__TOPIC_MAX];
    size_t size = session_size;

    memcpy(topic, session, session_size);
    topic[size++] = '/';
    memcpy(topic + size, type, strlen(type));
    size += strlen(type);
    enum outcome outcome = address(replay, client);
    if (outcome != SENT)
        return outcome;
    if (zmq_send(replay->socket, topic, size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_send(replay->socket, body, body_size, ZMQ_DONTWAIT) < 0)
        return GONE;
    return SENT;
}

static bool is_everything(const char *name, size_t size)
{
    return size == 1 && *name == '*';
}

static uint64_t head_of(const struct talus__replay *replay, const char *name, size_t size)
{
    return is_everything(name, size) ? *replay->newest
                                     : replay->source->last(replay->source->arg, name, size);
}

// One head of a request for heads.
static enum outcome step_heads(struct talus__replay *replay, struct talus__replay_client *client,
                               bool *is_done)
{
    struct request *request = client->first;
    struct talus__request before = request->names;
    uint8_t body[TALUS__HEAD_BODY_MAX];
    const char *name;
    size_t size;

    *is_done = !talus__request_next_name(&request->names, &name, &size);
    if (*is_done)
        return SENT;
    const struct talus__head head = {.origin = replay->origin,
                                     .origin_size = strlen(replay->origin),
                                     .seq = head_of(replay, name, size),
                                     .replay = replay->endpoint,
                                     .replay_size = strlen(replay->endpoint)};
    size_t body_size = talus__head_encode(body, sizeof body, &head);
    enum outcome outcome = send_marker(replay, client, name, size, TALUS__HEAD, body, body_size);
    if (outcome == BLOCKED)
        request->names = before;
    return outcome;
}

static enum outcome send_end(struct talus__replay *replay, struct talus__replay_client *client)
{
    const struct request *request = client->first;
    uint64_t missing_to = replay->source->missing_to(replay->source->arg, &request->cursor);
    uint8_t body[TALUS__END_MAX];
    const struct talus__end end = {.origin = replay->origin,
                                   .origin_size = strlen(replay->origin),
                                   .first = missing_to + 1,
                                   .head = head_of(replay, request->text, request->text_size),
                                   .is_complete = missing_to <= request->names.after};
    size_t size = talus__end_encode(body, &end);

    return send_marker(replay, client, request->text, request->text_size, TALUS__END, body, size);
}

// Sends one event of a replay, or passes it over, or ends.
static enum outcome step_replay(struct talus__replay *replay, struct talus__replay_client *client,
                                size_t *bytes, bool *is_done)
{
    const struct talus__publish_source *source = replay->source;
    struct request *request = client->first;
    struct talus__cursor *cursor = &request->cursor;

    if (!request->is_begun)
        source->open_cursor(source->arg, cursor, request->text, request->text_size,
                            request->names.after);
    request->is_begun = true;
    struct talus__message *message = request->left > 0 ? cursor->message : NULL;
    if (!message) {
        *is_done = true;
        return send_end(replay, client);
    }
    if (message->seq > cursor->after) {
        enum outcome outcome = send_event(replay, client, message);
        if (outcome != SENT)
            return outcome;
        request->left--;
        *bytes += talus__message_size(message);
    }
    source->advance_cursor(source->arg, cursor);
    return SENT;
}

// Does a share of one client's work. Returns the steps it took.
static int serve(struct talus__replay *replay, struct talus__replay_client *client, size_t *bytes,
                 enum outcome *outcome)
{
    int steps = 0;

    *outcome = SENT;
    while (steps < STEPS_PER_CLIENT && *bytes < BYTES_PER_TURN && client->first) {
        size_t before = *bytes;
        bool is_done = false;
        if (client->first->kind == TALUS__REQUEST_HEAD)
            *outcome = step_heads(replay, client, &is_done);
        else
            *outcome = step_replay(replay, client, bytes, &is_done);
        steps += *bytes > before ? SEND_STEPS : 1;
        if (*outcome != SENT)
            break;
        if (is_done)
            remove_request(replay, client);
    }
    return steps;
}

static void on_blocked(struct talus__replay *replay, struct talus__replay_client *client,
                       long long now)
{
    if (client->blocked_at == 0)
        client->blocked_at = now;
    if (now - client->blocked_at < replay->stall_ms) {
        replay->retry_at = now + RETRY_MS;
        return;
    }
    add(&replay->stalled);
    talus__log(TALUS_LOG_WARNING,
               "%s: a subscriber asks for events and does not read them: dropped", replay->origin);
    remove_client(replay, client);
}

static bool work(struct talus__replay *replay, long long now)
{
    size_t bytes = 0, blocked = 0;
    int steps = 0;

    replay->retry_at = 0;
    while (replay->turn && blocked < replay->clients.count && steps < STEPS_PER_TURN &&
           bytes < BYTES_PER_TURN) {
        struct talus__replay_client *client = replay->turn;
        enum outcome outcome;
        replay->turn = client->next;
        int taken = serve(replay, client, &bytes, &outcome);
        steps += taken;
        if (outcome != BLOCKED)
            client->blocked_at = 0;
        else if (taken > 1)
            client->blocked_at = now; // it read something
        blocked = outcome == BLOCKED ? blocked + 1 : 0;
        if (outcome == GONE || !client->first)
            remove_client(replay, client);
        else if (outcome == BLOCKED)
            on_blocked(replay, client, now);
    }
    return replay->turn && blocked < replay->clients.count;
}

bool talus__replay_run(struct talus__replay *replay, long long now)
{
    int read = 0;

    if (!replay->socket)
        return false;
    while (!replay->is_drained && read < REQUESTS_PER_TURN && read_request(replay))
        read++;
    bool is_waiting = replay->retry_at != 0 && now < replay->retry_at && read == 0;
    bool is_working = replay->turn && !is_waiting;
    bool has_work = is_working && work(replay, now);
    // A send may have taken in what the descriptor told.
    replay->is_drained = read == 0 && !is_working;
    return has_work || !replay->is_drained;
}
