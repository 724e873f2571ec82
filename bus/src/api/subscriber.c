// SPDX-License-Identifier: MIT
// Making, ending and watching a subscriber.
#include <talus/subscriber.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/sized.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/answers.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/receive.h"
#include "bus/src/zmq/connection_times.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/endpoint.h"
#include "bus/src/zmq/zmq_handover.h"

#define MAX_BODY_LEAST    1024u // bytes: as a broadcaster's
#define MAX_BODY_MOST     (1u << 30)
#define SESSIONS_MOST     (1u << 26)
#define BYTES_MOST        ((size_t)1 << 40)
#define ORIGINS_MOST      (1u << 20)
#define ANSWERS_BYTES     ((size_t)16 << 20) // of answers that wait to be received
#define MILLISECONDS_MOST (24 * 60 * 60 * 1000)

// A message larger than this ends the connection it came through. It must be so much larger than
// what is allowed that an event of a broadcaster with a more generous bound is refused alone, and
// small enough that nobody can make us allocate at will.
#define MESSAGE_MAX(max_body) (16 * (int64_t)(max_body) + (64 << 20))

// The first version's; a caller with less has made them by other means.
#define OPTIONS_LEAST                                                                              \
    (offsetof(talus_subscriber_options_t, receive_bytes) +                                         \
     sizeof(((talus_subscriber_options_t *)0)->receive_bytes))

void talus_subscriber_options_init_sized(talus_subscriber_options_t *options, size_t size)
{
    const talus_subscriber_options_t defaults = {
        .size = size,
        .ignore_origin = NULL,
        .max_body = TALUS__MAX_BODY,
        .max_depth = TALUS__MAX_DEPTH,
        .max_bin = TALUS__MAX_BIN,
        .max_sessions = 1000000,
        .max_origins = 4096,
        .receive_high_water_mark = 100000,
        .receive_bytes = 64u << 20,
        .live_timeout_ms = 1000,
        .held_events = 10000,
        .held_bytes = 16u << 20,
        .heal_timeout_ms = 5000,
        .origin_timeout_ms = 10000,
        .head_wait_ms = 250,
        .heartbeat_ms = TALUS__HEARTBEAT_MS,
        .heartbeat_timeout_ms = TALUS__HEARTBEAT_TIMEOUT_MS,
        .reconnect_ms = TALUS__RECONNECT_MS,
        .reconnect_max_ms = TALUS__RECONNECT_MAX_MS,
        .directory_mode = 0700,
    };

    talus__sized_copy(options, size, &defaults, sizeof defaults);
}

static bool is_time(int ms, int least)
{
    return ms >= least && ms <= MILLISECONDS_MOST;
}

static int check_options(const talus_subscriber_options_t *options)
{
    const char *ignored = options->ignore_origin;
    bool is_valid = (!ignored || !*ignored || talus__is_origin(ignored, strlen(ignored))) &&
                    options->max_body >= MAX_BODY_LEAST && options->max_body <= MAX_BODY_MOST &&
                    options->max_depth >= 1 && options->max_depth <= TALUS__DEPTH_LIMIT &&
                    options->max_sessions >= 1 && options->max_sessions <= SESSIONS_MOST &&
                    options->max_origins >= 1 && options->max_origins <= ORIGINS_MOST &&
                    options->receive_high_water_mark >= 0 && options->receive_bytes >= 1 &&
                    options->receive_bytes <= BYTES_MOST && is_time(options->live_timeout_ms, 0) &&
                    is_time(options->heal_timeout_ms, 1) &&
                    is_time(options->origin_timeout_ms, 0) && is_time(options->head_wait_ms, 0) &&
                    is_time(options->heartbeat_ms, 0) &&
                    is_time(options->heartbeat_timeout_ms, 1) &&
                    is_time(options->reconnect_ms, 1) && is_time(options->reconnect_max_ms, 0) &&
                    (options->directory_mode & 0700) == 0700 && options->directory_mode <= 0777;
    return is_valid ? 0 : TALUS_EINVAL;
}

// docs/protocol.md, "Sockets", says why each option is as it is.
static void *open_socket(void *context, const talus_subscriber_options_t *options)
{
    const int64_t message_max = MESSAGE_MAX(options->max_body);
    const struct {
        int option;
        int value;
    } values[] = {
        {ZMQ_SNDHWM, 0}, // else subscriptions are lost
        {ZMQ_RCVHWM, 0}, // a stopped input can abort the process; the inbox has a bound
        {ZMQ_LINGER, 0},
        TALUS__TCP_OPTIONS(options->heartbeat_ms),
        {ZMQ_RECONNECT_IVL, options->reconnect_ms},
        {ZMQ_RECONNECT_IVL_MAX, options->reconnect_max_ms},
    };
    void *socket = zmq_socket(context, ZMQ_SUB);
    if (!socket)
        return NULL;
    int failed =
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max) != 0 ||
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, TALUS__BUS_TOPIC, strlen(TALUS__BUS_TOPIC)) != 0;
    for (size_t i = 0; !failed && i < sizeof values / sizeof values[0]; i++)
        failed = zmq_setsockopt(socket, values[i].option, &values[i].value, sizeof values[i].value);
    if (failed) {
        int saved = errno;
        zmq_close(socket);
        errno = saved;
        return NULL;
    }
    return socket;
}

static int init(talus_subscriber_t *subscriber, const talus_subscriber_options_t *options)
{
    subscriber->generation = talus__fork_generation();
    subscriber->epoll = subscriber->timer = subscriber->wake = -1;
    subscriber->options = *options;
    subscriber->options.ignore_origin = NULL; // origins.c has it
    subscriber->inbox.max_messages = (size_t)options->receive_high_water_mark;
    subscriber->inbox.bound = &subscriber->bound;
    subscriber->bound.max_bytes = options->receive_bytes;
    subscriber->askers.is_emptied = true;
    subscriber->heals.max_events = options->held_events;
    subscriber->heals.max_bytes = options->held_bytes;
    subscriber->heals.head_wait_ms = options->head_wait_ms;
    subscriber->limits = (struct talus__limits){.max_body = options->max_body,
                                                .max_depth = options->max_depth,
                                                .max_bin = options->max_bin};
    zmq_msg_init(&subscriber->topic);
    zmq_msg_init(&subscriber->body);
    int error =
        talus__origins_init(&subscriber->origins, options->max_origins, options->ignore_origin);
    if (error)
        return error;
    subscriber->origins.on_remove = talus__on_origin_removed;
    subscriber->origins.arg = subscriber;
    return talus__joined_init(&subscriber->joined);
}

static int start(talus_subscriber_t *subscriber, const struct talus__endpoints *endpoints,
                 const talus_subscriber_options_t *options)
{
    subscriber->context = talus__context_ref();
    if (!subscriber->context)
        return TALUS_ESYSTEM;
    subscriber->socket = open_socket(subscriber->context, options);
    if (!subscriber->socket)
        return errno == ENOMEM ? TALUS_ENOMEM : TALUS_ESYSTEM;
    subscriber->inbox.socket = subscriber->socket;
    talus__enter(subscriber); // until the end of talus_subscriber_new
    int error = talus__descriptors_open(subscriber);
    if (error)
        return error;
    subscriber->askers = (struct talus__askers){.waiting.max_bytes = ANSWERS_BYTES,
                                                .context = subscriber->context,
                                                .origins = &subscriber->origins,
                                                .epoll = subscriber->epoll,
                                                .post = &subscriber->post,
                                                .is_emptied = true,
                                                .max_message = MESSAGE_MAX(options->max_body),
                                                .options = &subscriber->options,
                                                .on_failed = talus__on_ask_failed,
                                                .arg = subscriber,
                                                .stats = &subscriber->stats};
    const struct talus__peers_options peers_options = {.context = subscriber->context,
                                                       .socket = subscriber->socket,
                                                       .origins = &subscriber->origins,
                                                       .epoll = subscriber->epoll,
                                                       .max = options->max_origins,
                                                       .mode = options->directory_mode};
    error = talus__peers_init(&subscriber->peers, endpoints, &peers_options);
    if (error)
        return error;
    if (talus__guard_watch(&subscriber->post,
                           talus__monitor_descriptor(&subscriber->peers.monitor)) != 0)
        return TALUS_ESYSTEM;
    talus__heartbeat_init(subscriber);
    talus__raise(subscriber); // binding and connecting may have read what the descriptors told
    talus__arm_timer(subscriber);
    talus__leave(subscriber);
    return 0;
}

// Ends what `init` and `start` made, however far they came.
static void fini(talus_subscriber_t *subscriber)
{
    bool is_forked = talus__is_forked(subscriber->generation);

    talus__guard_remove(&subscriber->post, is_forked);
    talus__heals_fini(&subscriber->heals);
    talus__askers_fini(&subscriber->askers, is_forked);
    talus__recoveries_fini(subscriber);
    talus__peers_fini(&subscriber->peers, is_forked);
    talus__descriptors_close(subscriber);
    talus__zmq_release(zmq_msg_data(&subscriber->body));
    talus__inbox_fini(&subscriber->inbox);
    zmq_msg_close(&subscriber->topic);
    zmq_msg_close(&subscriber->body);
    if (!is_forked && subscriber->socket)
        zmq_close(subscriber->socket);
    if (!is_forked && subscriber->context)
        talus__context_unref();
    talus__joined_fini(&subscriber->joined);
    talus__origins_fini(&subscriber->origins);
    free(subscriber);
}

int talus_subscriber_new(talus_subscriber_t **out, const char *endpoint,
                         const talus_subscriber_options_t *options)
{
    talus_subscriber_options_t known;
    struct talus__endpoints endpoints;

    talus_subscriber_options_init(&known);
    if (options && options->size < OPTIONS_LEAST)
        return TALUS_EINVAL;
    if (options)
        talus__sized_take(&known, sizeof known, options, options->size);
    options = &known;
    int error = check_options(options);
    if (error)
        return error;
    error = talus__endpoints_parse(endpoint, false, &endpoints);
    if (error)
        return error;
    talus_subscriber_t *subscriber = calloc(1, sizeof *subscriber);
    error = subscriber ? init(subscriber, options) : TALUS_ENOMEM;
    if (!error)
        error = start(subscriber, &endpoints, options);
    talus__endpoints_fini(&endpoints);
    if (error) {
        int saved = errno;
        if (subscriber)
            fini(subscriber);
        errno = saved;
        return error;
    }
    *out = subscriber;
    return 0;
}

void talus_subscriber_destroy(talus_subscriber_t **subscriber)
{
    if (!subscriber || !*subscriber)
        return;
    fini(*subscriber);
    *subscriber = NULL;
}

const char *talus_gap_reason_name(talus_gap_reason_t reason)
{
    switch (reason) {
    case TALUS_GAP_HISTORY:
        return "history";
    case TALUS_GAP_ORIGIN_LOST:
        return "origin_lost";
    case TALUS_GAP_REFUSED:
        return "refused";
    }
    return "unknown";
}

const char *talus_subscriber_endpoint(const talus_subscriber_t *subscriber)
{
    return subscriber->peers.endpoint;
}

int talus_subscriber_descriptor(talus_subscriber_t *subscriber)
{
    if (!subscriber->is_watched) {
        subscriber->is_watched = true;
        if (subscriber->has_more)
            talus__raise(subscriber);
    }
    return subscriber->epoll;
}

void talus_subscriber_stats_sized(const talus_subscriber_t *subscriber,
                                  talus_subscriber_stats_t *stats, size_t size)
{
    talus_subscriber_stats_t all = subscriber->stats;

    all.sessions = talus__joined_count(&subscriber->joined);
    all.origins = subscriber->origins.table.count;
    all.held = subscriber->heals.held_events;
    all.malformed += talus__inboxes_malformed(subscriber);
    all.receive_dropped = atomic_load_explicit(&subscriber->bound.dropped, memory_order_relaxed);
    all.answers_dropped =
        atomic_load_explicit(&subscriber->askers.waiting.dropped, memory_order_relaxed);
    all.directory_overflows = subscriber->peers.overflows;
    talus__sized_copy(stats, size, &all, sizeof all);
}
