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
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/subscriber/receive.h"
#include "bus/src/subscriber/replayed.h"
#include "bus/src/zmq/connection_times.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/endpoint.h"

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
    bool is_valid = (!ignored || !*ignored || tl_is_origin(ignored, strlen(ignored))) &&
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

static void init(talus_subscriber_t *subscriber, const talus_subscriber_options_t *options)
{
    subscriber->generation = talus__fork_generation();
    subscriber->core.wake.epoll = subscriber->core.wake.timer = subscriber->core.wake.event = -1;
    subscriber->core.options = *options;
    subscriber->core.options.ignore_origin = NULL; // publishers.c has it
    subscriber->core.inbox.max_messages = (size_t)options->receive_high_water_mark;
    subscriber->core.inbox.bound = &subscriber->core.bound;
    subscriber->core.bound.max_bytes = options->receive_bytes;
    subscriber->core.replay_client.is_emptied = true;
    subscriber->core.delivery.stats = &subscriber->core.stats;
    talus__gaps_init(&subscriber->repairs, &subscriber->core);
    subscriber->liveness.core = &subscriber->core;
    subscriber->liveness.repairs = &subscriber->repairs;
    subscriber->recover.core = &subscriber->core;
    subscriber->core.limits = (struct talus__limits){.max_body = options->max_body,
                                                     .max_depth = options->max_depth,
                                                     .max_bin = options->max_bin};
    talus__frames_init(&subscriber->core.frames);
    talus__origins_init(&subscriber->core.origins, options->max_origins, options->ignore_origin);
    subscriber->core.origins.on_remove = talus__join_on_removed;
    subscriber->core.origins.arg = subscriber;
    talus__joined_init(&subscriber->core.joined);
}

static int start(talus_subscriber_t *subscriber, const struct talus__endpoints *endpoints,
                 const talus_subscriber_options_t *options)
{
    subscriber->context = talus__context_ref();
    if (!subscriber->context)
        return TALUS_ESYSTEM;
    subscriber->core.socket = open_socket(subscriber->context, options);
    if (!subscriber->core.socket)
        return errno == ENOMEM ? TALUS_ENOMEM : TALUS_ESYSTEM;
    subscriber->core.inbox.socket = subscriber->core.socket;
    talus__enter(subscriber); // until the end of talus_subscriber_new
    int error = talus__descriptors_open(subscriber);
    if (error)
        return error;
    subscriber->core.replay_client =
        (struct talus__replay_client){.waiting.max_bytes = ANSWERS_BYTES,
                                      .context = subscriber->context,
                                      .origins = &subscriber->core.origins,
                                      .epoll = subscriber->core.wake.epoll,
                                      .post = &subscriber->core.post,
                                      .is_emptied = true,
                                      .max_message = MESSAGE_MAX(options->max_body),
                                      .options = &subscriber->core.options,
                                      .on_failed = talus__replayed_on_failed,
                                      .arg = subscriber,
                                      .stats = &subscriber->core.stats};
    const struct talus__peers_options peers_options = {.context = subscriber->context,
                                                       .socket = subscriber->core.socket,
                                                       .origins = &subscriber->core.origins,
                                                       .epoll = subscriber->core.wake.epoll,
                                                       .max = options->max_origins,
                                                       .mode = options->directory_mode};
    error = talus__peers_init(&subscriber->core.peers, endpoints, &peers_options);
    if (error)
        return error;
    if (talus__guard_watch(&subscriber->core.post,
                           talus__monitor_descriptor(&subscriber->core.peers.monitor)) != 0)
        return TALUS_ESYSTEM;
    subscriber->liveness.heartbeat =
        (struct talus__heartbeat){.socket = subscriber->core.socket,
                                  .post = &subscriber->core.post,
                                  .peers = &subscriber->core.peers,
                                  .origins = &subscriber->core.origins};
    talus__heartbeat_init(&subscriber->liveness.heartbeat, options->heartbeat_ms);
    talus__receive_begin(subscriber);
    talus__leave(subscriber);
    return 0;
}

// Ends what `init` and `start` made, however far they came.
static void fini(talus_subscriber_t *subscriber)
{
    bool is_forked = talus__is_forked(subscriber->generation);

    talus__guard_remove(&subscriber->core.post, is_forked);
    talus__gaps_fini(&subscriber->repairs);
    talus__replay_client_fini(&subscriber->core.replay_client, is_forked);
    talus__recover_fini(&subscriber->recover);
    talus__peers_fini(&subscriber->core.peers, is_forked);
    talus__wake_close(&subscriber->core.wake);
    talus__inbox_fini(&subscriber->core.inbox);
    talus__frames_fini(&subscriber->core.frames);
    if (!is_forked && subscriber->core.socket)
        zmq_close(subscriber->core.socket);
    if (!is_forked && subscriber->context)
        talus__context_unref();
    talus__joined_fini(&subscriber->core.joined);
    talus__origins_fini(&subscriber->core.origins);
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
    error = subscriber ? 0 : TALUS_ENOMEM;
    if (!error) {
        init(subscriber, options);
        error = start(subscriber, &endpoints, options);
    }
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

const char *talus_subscriber_endpoint(const talus_subscriber_t *subscriber)
{
    return subscriber->core.peers.endpoint;
}

int talus_subscriber_descriptor(talus_subscriber_t *subscriber)
{
    if (!subscriber->core.wake.is_watched) {
        subscriber->core.wake.is_watched = true;
        if (subscriber->core.wake.has_more)
            talus__wake_set(&subscriber->core.wake);
    }
    return subscriber->core.wake.epoll;
}

void talus_subscriber_stats_sized(const talus_subscriber_t *subscriber,
                                  talus_subscriber_stats_t *stats, size_t size)
{
    talus_subscriber_stats_t all = subscriber->core.stats;

    all.sessions = talus__joined_count(&subscriber->core.joined);
    all.origins = subscriber->core.origins.table.count;
    all.held = subscriber->repairs.sequencer.held_events;
    all.malformed += talus__core_inboxes_malformed(&subscriber->core);
    all.receive_dropped =
        atomic_load_explicit(&subscriber->core.bound.dropped, memory_order_relaxed);
    all.answers_dropped =
        atomic_load_explicit(&subscriber->core.replay_client.waiting.dropped, memory_order_relaxed);
    all.directory_overflows = subscriber->core.peers.overflows;
    talus__sized_copy(stats, size, &all, sizeof all);
}

int talus_subscriber_join(talus_subscriber_t *subscriber, const char *session)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int error = talus__join_session(subscriber, session);
    talus__leave(subscriber);
    return error;
}

int talus_subscriber_leave(talus_subscriber_t *subscriber, const char *session)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int error = talus__leave_session(subscriber, session);
    talus__leave(subscriber);
    return error;
}

int talus_subscriber_recover(talus_subscriber_t *subscriber, const char *session, const char *since,
                             uint64_t *request)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int error = talus__recover_start(&subscriber->recover, session, since, request);
    talus__leave(subscriber);
    return error;
}

int talus_subscriber_receive(talus_subscriber_t *subscriber, int timeout_ms,
                             const talus_delivery_t **delivery)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int result = talus__receive(subscriber, timeout_ms, delivery);
    talus__leave(subscriber);
    return result;
}
