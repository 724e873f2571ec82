// SPDX-License-Identifier: MIT
// ZeroMQ as a transport that receives: a SUB socket, a DEALER for each publisher that is asked, and
// places in bus directories.
//
// ZeroMQ's descriptor tells only that there is something to process, and tells it once. So the
// socket is always read until it is empty before the subscriber waits.
#include "bus/src/zmq/sub/receive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/endpoint.h"
#include "bus/src/zmq/sub/acknowledge.h"
#include "bus/src/zmq/sub/liveness.h"
#include "bus/src/zmq/sub/marks.h"
#include "bus/src/zmq/sub/responses.h"
#include "bus/src/zmq/sub/sub_socket.h"

#define PULLED_MOST     100000             // at once, while the others have to wait
#define RESPONSES_BYTES ((size_t)16 << 20) // of responses that wait to be taken

// A message larger than this ends the connection it came through. It must be so much larger than
// what is allowed that an event of a broadcaster with a more generous bound is refused alone, and
// small enough that nobody can make us allocate at will.
#define MESSAGE_MAX(max_body) (16 * (int64_t)(max_body) + (64 << 20))

// The event data of the SUB socket's descriptor; those of peer_table.h and replay_client.h come
// beside.
#define SOURCE_SOCKET 10u

// ---- What the guard does

static bool is_empty(void *arg)
{
    const struct talus__zmq_receive *receive = arg;

    return receive->inbox.is_emptied && receive->replay_client.is_emptied;
}

static bool pull(void *arg, bool is_away)
{
    struct talus__zmq_receive *receive = arg;

    talus__inbox_pull(&receive->inbox, PULLED_MOST);
    bool has_responses = talus__replay_client_pull(&receive->replay_client, PULLED_MOST);
    bool has_connections = talus__monitor_pull(&receive->peers.monitor);
    if (is_away) {
        talus__inbox_keep(&receive->inbox);
        talus__replay_client_keep(&receive->replay_client);
    }
    return has_responses || has_connections || receive->inbox.count > 0;
}

static bool send_heartbeat(void *arg)
{
    struct talus__zmq_receive *receive = arg;

    return talus__heartbeat_send(&receive->heartbeat);
}

static void lock(struct talus__receive_transport *transport)
{
    talus__post_enter(&talus__zmq_receive_of(transport)->post);
}

static void unlock(struct talus__receive_transport *transport)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);

    talus__post_leave(&receive->post,
                      receive->inbox.is_emptied && receive->replay_client.is_emptied);
}

// ---- Messages

// Takes the next message of the SUB socket. Returns 0 or TALUS_ESYSTEM.
static int take_message(struct talus__zmq_receive *receive, struct talus__incoming *incoming)
{
    struct talus__frames *frames = &receive->frames;

    incoming->kind = TALUS__INCOMING_OTHER;
    switch (talus__sub_receive(&receive->inbox, frames, &receive->source)) {
    case TALUS__RECEIVED_MESSAGE:
        break;
    case TALUS__RECEIVED_EMPTY:
        incoming->kind = TALUS__INCOMING_NONE;
        return 0;
    case TALUS__RECEIVED_INTERRUPTED:
        return 0;
    case TALUS__RECEIVED_ONE_FRAME:
        talus__incoming_set_malformed(incoming, "it has one frame only");
        return 0;
    case TALUS__RECEIVED_MANY_FRAMES:
        talus__incoming_set_malformed(incoming, "it has more than two frames");
        return 0;
    case TALUS__RECEIVED_FAILED:
        return TALUS_ESYSTEM;
    }
    incoming->topic_bytes = talus__frames_topic(frames);
    incoming->topic_size = talus__frames_topic_size(frames);
    int error = talus__topic_parse(incoming->topic_bytes, incoming->topic_size, &incoming->topic);
    if (error) {
        talus__incoming_set_malformed(incoming, talus_strerror(error));
        return 0;
    }
    switch (incoming->topic.kind) {
    case TALUS__TOPIC_EVENT:
        incoming->kind = TALUS__INCOMING_EVENT;
        incoming->body = talus__frames_body(frames);
        incoming->body_size = talus__frames_body_size(frames);
        incoming->is_sequenced = false;
        break;
    case TALUS__TOPIC_HEAD:
        talus__marks_head(receive, incoming);
        break;
    case TALUS__TOPIC_HELLO:
        talus__marks_hello(receive, incoming);
        break;
    case TALUS__TOPIC_BYE:
        talus__marks_bye(receive, incoming);
        break;
    case TALUS__TOPIC_BEAT:
        talus__marks_heartbeat(receive, incoming);
        break;
    case TALUS__TOPIC_END:
    case TALUS__TOPIC_UNKNOWN:
        break;
    }
    return 0;
}

// Responses and the socket's messages take turns, so that neither waits for ever.
static int take(struct talus__receive_transport *transport, struct talus__incoming *incoming)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);

    if (receive->ended) {
        free(receive->ended);
        receive->ended = NULL;
    }
    talus__post_tend(&receive->post);
    incoming->kind = TALUS__INCOMING_NONE;
    receive->prefers_responses = !receive->prefers_responses;
    if (receive->prefers_responses) {
        talus__responses_take(receive, incoming);
        if (incoming->kind != TALUS__INCOMING_NONE)
            return 0;
    }
    int error = take_message(receive, incoming);
    if (!error && incoming->kind == TALUS__INCOMING_NONE && !receive->prefers_responses)
        talus__responses_take(receive, incoming);
    return error;
}

static void refuse(struct talus__receive_transport *transport)
{
    talus__responses_refuse(talus__zmq_receive_of(transport));
}

// ---- Sessions and requests

// The topic of a session's events. Returns its size.
static size_t topic_of(char topic[TALUS_SESSION_MAX + 2], const char *session)
{
    if (strcmp(session, TALUS__EVERYTHING) == 0)
        return 0;
    return (size_t)snprintf(topic, TALUS_SESSION_MAX + 2, "%s/", session);
}

static int subscribe(struct talus__receive_transport *transport, const char *session)
{
    char topic[TALUS_SESSION_MAX + 2];

    return talus__sub_subscribe(talus__zmq_receive_of(transport)->socket, topic,
                                topic_of(topic, session));
}

static int unsubscribe(struct talus__receive_transport *transport, const char *session)
{
    char topic[TALUS_SESSION_MAX + 2];

    return talus__sub_unsubscribe(talus__zmq_receive_of(transport)->socket, topic,
                                  topic_of(topic, session));
}

static int request(struct talus__receive_transport *transport, struct talus__publisher *publisher,
                   struct talus__replay_request *request)
{
    return talus__replay_client_request(&talus__zmq_receive_of(transport)->replay_client, publisher,
                                        request);
}

static int request_marks(struct talus__receive_transport *transport,
                         struct talus__publisher *publisher, const char *const *sessions,
                         size_t count)
{
    return talus__replay_client_request_marks(&talus__zmq_receive_of(transport)->replay_client,
                                              publisher, sessions, count);
}

// ---- Publishers

static void heard(struct talus__receive_transport *transport, struct talus__publisher *publisher)
{
    talus__marks_meet_again(talus__zmq_receive_of(transport), publisher);
}

static void silence(struct talus__receive_transport *transport, struct talus__publisher *publisher)
{
    talus__presence_silence(&talus__zmq_receive_of(transport)->presences, publisher);
}

static bool meet(struct talus__receive_transport *transport)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);

    if (!talus__peers_meet(&receive->peers))
        return false;
    receive->inbox.is_emptied = false; // connecting has read the descriptor
    return true;
}

// ---- Waiting

static uint64_t inboxes_malformed(const struct talus__zmq_receive *receive)
{
    return atomic_load_explicit(&receive->bound.malformed, memory_order_relaxed) +
           atomic_load_explicit(&receive->replay_client.waiting.malformed, memory_order_relaxed);
}

static void prepare(struct talus__receive_transport *transport)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);
    const struct talus__receive_owner *owner = receive->receive.owner;
    uint64_t found = inboxes_malformed(receive), told = receive->malformed_told;

    receive->malformed_told = found;
    if (found != told)
        owner->on_malformed(owner->arg, "it does not have two frames", found - told);
    if (talus__monitor_has_backlog(&receive->peers.monitor))
        talus__peers_read_monitor(&receive->peers);
}

static bool was_woken(struct talus__receive_transport *transport)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);
    bool is_knocked = receive->post.is_knocked;

    receive->post.is_knocked = false;
    return is_knocked;
}

static void on_ready(struct talus__receive_transport *transport, unsigned source)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);

    if (source == SOURCE_SOCKET)
        return; // the subscriber takes from the socket anyway
    if (source == TALUS__REPLAY_SOURCE)
        receive->replay_client.may_have_responses = true;
    else
        talus__peers_on_event(&receive->peers, source);
}

// Whether the subscriber has taken all, and the guard has brought nothing since.
static bool is_all_read(const struct talus__zmq_receive *receive, bool is_drained)
{
    return is_drained && receive->inbox.count == 0;
}

static void tend(struct talus__receive_transport *transport, long long now, bool is_drained)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);

    is_drained = is_all_read(receive, is_drained);
    receive->inbox.is_emptied = false; // connecting and disconnecting read the descriptor
    talus__peers_tend(&receive->peers, now, is_drained);
    talus__liveness_tend_heartbeats(receive, now, is_drained);
    if (receive->base.is_connecting && now >= receive->peers.greet_until)
        talus__marks_end_greeting(receive);
    talus__replay_client_tend(&receive->replay_client, now);
}

static void tend_losses(struct talus__receive_transport *transport, long long now, bool is_drained)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);

    talus__liveness_tend(receive, now, is_all_read(receive, is_drained));
}

static long long due(const struct talus__receive_transport *transport)
{
    const struct talus__zmq_receive *receive = (const struct talus__zmq_receive *)transport;
    long long at = receive->peers.greet_until;

    at = tl_earlier(at, receive->peers.tend_at);
    at = tl_earlier(at, receive->replay_client.tend_at);
    at = tl_earlier(at, talus__liveness_due(receive));
    return tl_earlier(at, receive->heartbeats_at);
}

// ---- Counters

static uint64_t dropped(const struct talus__receive_transport *transport)
{
    const struct talus__zmq_receive *receive = (const struct talus__zmq_receive *)transport;

    return atomic_load_explicit(&receive->bound.dropped, memory_order_relaxed);
}

static void stats(const struct talus__receive_transport *transport, talus_subscriber_stats_t *stats)
{
    const struct talus__zmq_receive *receive = (const struct talus__zmq_receive *)transport;
    const struct talus__replay_client *client = &receive->replay_client;

    stats->replay_requests = client->requests;
    stats->replay_timeouts = client->timeouts;
    stats->malformed += inboxes_malformed(receive) - receive->malformed_told;
    stats->receive_dropped = dropped(transport);
    stats->replay_dropped = atomic_load_explicit(&client->waiting.dropped, memory_order_relaxed);
    stats->directory_overflows = receive->peers.overflows;
}

// ---- Opening and closing

static void close_receive(struct talus__receive_transport *transport, bool is_forked)
{
    struct talus__zmq_receive *receive = talus__zmq_receive_of(transport);
    struct talus__publishers *publishers = receive->receive.publishers;

    talus__guard_remove(&receive->post, is_forked);
    talus__replay_client_fini(&receive->replay_client, is_forked);
    free(receive->ended);
    talus__peers_fini(&receive->peers, is_forked);
    talus__inbox_fini(&receive->inbox);
    talus__frames_fini(&receive->frames);
    if (!is_forked && receive->socket)
        zmq_close(receive->socket);
    if (!is_forked && receive->context)
        talus__context_unref();
    publishers->on_remove = NULL;
    for (size_t i = 0; i < publishers->slot_count; i++) {
        if (publishers->slots[i].publisher)
            talus__presence_fini(publishers->slots[i].publisher);
    }
    free(receive);
}

static int open_descriptors(struct talus__zmq_receive *receive)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = SOURCE_SOCKET};
    int fd = talus__sub_descriptor(receive->socket);

    if (fd < 0 || epoll_ctl(receive->receive.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return TALUS_ESYSTEM;
    receive->post.wake = receive->receive.wake;
    receive->post.is_empty = is_empty;
    receive->post.pull = pull;
    receive->post.beat = send_heartbeat;
    receive->post.arg = receive;
    if (talus__guard_add(&receive->post) != 0 || talus__guard_watch(&receive->post, fd) != 0)
        return TALUS_ESYSTEM;
    return 0;
}

static void init(struct talus__zmq_receive *receive, const struct talus__receive_options *options)
{
    receive->base.ops = &talus__zmq_receive_ops;
    receive->receive = *options;
    receive->inbox.max_messages = (size_t)options->options->receive_high_water_mark;
    receive->inbox.bound = &receive->bound;
    receive->bound.max_bytes = options->options->receive_bytes;
    receive->presences.publishers = options->publishers;
    options->publishers->on_remove = talus__acknowledge_on_removed;
    options->publishers->arg = receive;
    receive->replay_client =
        (struct talus__replay_client){.waiting.max_bytes = RESPONSES_BYTES,
                                      .receive = &receive->receive,
                                      .post = &receive->post,
                                      .is_emptied = true,
                                      .max_message = MESSAGE_MAX(options->options->max_body)};
    tl_list_init(&receive->replay_client.connections);
    talus__frames_init(&receive->frames);
}

static int meet_peers(struct talus__zmq_receive *receive, const struct talus__endpoints *endpoints)
{
    const talus_subscriber_options_t *options = receive->receive.options;
    const struct talus__peers_options peers_options = {.context = receive->context,
                                                       .socket = receive->socket,
                                                       .presences = &receive->presences,
                                                       .epoll = receive->receive.epoll,
                                                       .max = options->max_origins,
                                                       .mode = options->directory_mode};
    int error = talus__peers_init(&receive->peers, endpoints, &peers_options);

    if (error)
        return error;
    receive->base.endpoint = receive->peers.endpoint;
    receive->base.is_connecting = receive->peers.greet_until != 0;
    if (talus__guard_watch(&receive->post, talus__monitor_descriptor(&receive->peers.monitor)) != 0)
        return TALUS_ESYSTEM;
    receive->heartbeat = (struct talus__heartbeat){.socket = receive->socket,
                                                   .post = &receive->post,
                                                   .peers = &receive->peers,
                                                   .publishers = receive->receive.publishers};
    talus__heartbeat_init(&receive->heartbeat, options->heartbeat_ms);
    return 0;
}

static int start(struct talus__zmq_receive *receive, const struct talus__endpoints *endpoints)
{
    const talus_subscriber_options_t *options = receive->receive.options;

    receive->context = talus__context_ref();
    if (!receive->context)
        return TALUS_ESYSTEM;
    receive->replay_client.context = receive->context;
    receive->socket = talus__sub_open(receive->context, options, MESSAGE_MAX(options->max_body));
    if (!receive->socket)
        return errno == ENOMEM ? TALUS_ENOMEM : TALUS_ESYSTEM;
    receive->inbox.socket = receive->socket;
    talus__post_enter(&receive->post);
    int error = open_descriptors(receive);
    if (!error)
        error = meet_peers(receive, endpoints);
    if (!error)
        unlock(&receive->base);
    return error;
}

static int open_receive(struct talus__receive_transport **transport,
                        const struct talus__receive_options *options)
{
    struct talus__endpoints endpoints;
    int error = talus__endpoints_parse(options->endpoint, false, &endpoints);

    if (error)
        return error;
    struct talus__zmq_receive *receive = calloc(1, sizeof *receive);
    error = TALUS_ENOMEM;
    if (receive) {
        init(receive, options);
        error = start(receive, &endpoints);
    }
    talus__endpoints_fini(&endpoints);
    if (!error) {
        *transport = &receive->base;
        return 0;
    }
    int saved = errno;
    if (receive)
        close_receive(&receive->base, false);
    errno = saved;
    return error;
}

const struct talus__receive_ops talus__zmq_receive_ops = {
    .publisher_size = sizeof(struct talus__presence),
    .open = open_receive,
    .close = close_receive,
    .lock = lock,
    .unlock = unlock,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .take = take,
    .refuse = refuse,
    .request = request,
    .request_marks = request_marks,
    .heard = heard,
    .silence = silence,
    .meet = meet,
    .prepare = prepare,
    .was_woken = was_woken,
    .on_ready = on_ready,
    .tend = tend,
    .tend_losses = tend_losses,
    .due = due,
    .dropped = dropped,
    .stats = stats,
};
