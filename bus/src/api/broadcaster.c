// SPDX-License-Identifier: MIT
// Making, ending and watching a broadcaster, and its local callbacks.
#include <talus/broadcaster.h>

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/api/instance.h"
#include "bus/src/base/log.h"
#include "bus/src/base/sized.h"
#include "bus/src/broadcaster/pool.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/connection_times.h"

#define MAX_BODY_LEAST    1024u // bytes: an event without payload must fit
#define MAX_BODY_MOST     (1u << 30)
#define SESSIONS_MOST     (1u << 26)
#define MILLISECONDS_MOST (24 * 60 * 60 * 1000)

// The first version's; a caller with less has made them by other means.
#define OPTIONS_LEAST (offsetof(talus_broadcaster_options_t, is_presence_only) + sizeof(bool))

void talus_broadcaster_options_init_sized(talus_broadcaster_options_t *options, size_t size)
{
    const talus_broadcaster_options_t defaults = {
        .size = size,
        .queue_events = 65536,
        .queue_bytes = 64u << 20,
        .max_body = TALUS__MAX_BODY,
        .max_depth = TALUS__MAX_DEPTH,
        .max_bin = TALUS__MAX_BIN,
        .max_sessions = 100000,
        .history_events = 1000,
        .history_session_bytes = 1u << 20,
        .history_bytes = 64u << 20,
        .history_age_ms = 600000,
        .replay_high_water_mark = 1000,
        .replay_stall_ms = 10000,
        .heartbeat_ms = TALUS__HEARTBEAT_MS,
        .heartbeat_timeout_ms = TALUS__HEARTBEAT_TIMEOUT_MS,
        .reconnect_ms = TALUS__RECONNECT_MS,
        .reconnect_max_ms = TALUS__RECONNECT_MAX_MS,
        .send_high_water_mark = 100000,
        .linger_ms = 1000,
        .directory_mode = 0700,
    };

    talus__sized_copy(options, size, &defaults, sizeof defaults);
}

static bool is_time(int ms, int least)
{
    return ms >= least && ms <= MILLISECONDS_MOST;
}

static int check_options(const talus_broadcaster_options_t *options)
{
    bool is_valid =
        options->queue_events >= 1 && options->queue_events <= TALUS__QUEUE_EVENTS_MAX &&
        options->max_body >= MAX_BODY_LEAST && options->max_body <= MAX_BODY_MOST &&
        options->queue_bytes >= options->max_body + TALUS__TOPIC_MAX && options->max_depth >= 1 &&
        options->max_depth <= TALUS__DEPTH_LIMIT && options->max_sessions >= 1 &&
        options->max_sessions <= SESSIONS_MOST && options->send_high_water_mark >= 1 &&
        options->linger_ms >= 1 && options->linger_ms <= MILLISECONDS_MOST &&
        (options->directory_mode & 0700) == 0700 && options->directory_mode <= 0777 &&
        is_time(options->history_age_ms, 1) && is_time(options->replay_stall_ms, 1) &&
        options->replay_high_water_mark >= 1 && is_time(options->heartbeat_ms, 0) &&
        is_time(options->heartbeat_timeout_ms, 1) && is_time(options->reconnect_ms, 1) &&
        is_time(options->reconnect_max_ms, 0);
    return is_valid ? 0 : TALUS_EINVAL;
}

// The start of the presence-only origins is theirs alone.
static int name_origin(char *origin, bool is_presence_only)
{
    const size_t size = sizeof TALUS_PRESENCE_ORIGIN - 1;
    int error = talus__random_name(origin, TALUS__ORIGIN_SIZE);
    if (!error && is_presence_only)
        memcpy(origin, TALUS_PRESENCE_ORIGIN, size);
    else if (!error && memcmp(origin, TALUS_PRESENCE_ORIGIN, size) == 0)
        origin[0] = 'h';
    return error;
}

static int init(talus_broadcaster_t *broadcaster, const talus_broadcaster_options_t *options)
{
    memset(broadcaster, 0, sizeof *broadcaster);
    broadcaster->generation = talus__fork_generation();
    broadcaster->limits = (struct talus__limits){.max_body = options->max_body,
                                                 .max_depth = options->max_depth,
                                                 .max_bin = options->max_bin};
    int error = name_origin(broadcaster->origin, options->is_presence_only);
    if (error)
        return error;
    const struct talus__publisher_options publisher_options = {
        .origin = broadcaster->origin,
        .queue_events = options->queue_events,
        .queue_bytes = options->queue_bytes,
        .max_sessions = options->max_sessions,
        .history = {.session_events = options->history_events,
                    .session_bytes = options->history_session_bytes,
                    .total_bytes = options->history_bytes,
                    .age_ms = options->history_age_ms},
        .replay_stall_ms = options->replay_stall_ms,
        .heartbeat_ms = options->heartbeat_ms,
        .heartbeat_timeout_ms = options->heartbeat_timeout_ms,
    };
    broadcaster->linger_ms = options->linger_ms;
    error = talus__publisher_init(&broadcaster->publisher, &publisher_options);
    if (error)
        return error;
    talus__callbacks_init(&broadcaster->callbacks);
    return 0;
}

static void fini(talus_broadcaster_t *broadcaster)
{
    talus__callbacks_fini(&broadcaster->callbacks);
    talus__publisher_fini(&broadcaster->publisher);
    free(broadcaster->endpoint);
}

static bool has_replay(const talus_broadcaster_options_t *options)
{
    return !options->replay || options->replay[0];
}

static int on_subscriber(const char *name, void *arg)
{
    talus__publisher_await(arg, name);
    return 0;
}

// What is emitted at once waits until the subscribers that live are ready for it.
static void await_subscribers(talus_broadcaster_t *broadcaster)
{
    for (size_t i = 0; i < broadcaster->attachments.count; i++) {
        const char *directory = broadcaster->attachments.items[i].directory;
        if (directory)
            talus__directory_scan(directory, TALUS__ROLE_SUBSCRIBER, on_subscriber,
                                  &broadcaster->publisher, NULL);
    }
}

static int attach(talus_broadcaster_t *broadcaster, const struct talus__endpoints *endpoints,
                  const talus_broadcaster_options_t *options, void *socket, void *router)
{
    const struct talus__attach_options attach_options = {.socket = socket,
                                                         .router = router,
                                                         .origin = broadcaster->origin,
                                                         .replay = options->replay,
                                                         .directory_mode = options->directory_mode,
                                                         .ledger = &broadcaster->publisher.ledger,
                                                         .queue_events = options->queue_events};

    int error = talus__attach(&broadcaster->attachments, endpoints, &attach_options);
    if (error)
        return error;
    broadcaster->endpoint = talus__attachments_text(&broadcaster->attachments);
    error = broadcaster->endpoint ? 0 : TALUS_ENOMEM;
    if (!error)
        await_subscribers(broadcaster);
    if (!error)
        error = talus__publisher_start(&broadcaster->publisher, socket, router,
                                       broadcaster->attachments.replay);
    if (error) {
        int saved = errno;
        talus__detach(&broadcaster->attachments, false);
        errno = saved;
    }
    return error;
}

// Opens and attaches the sockets and starts the bus thread on them.
static int start(talus_broadcaster_t *broadcaster, const struct talus__endpoints *endpoints,
                 const talus_broadcaster_options_t *options)
{
    void *socket = NULL, *router = NULL;
    void *context = talus__context_ref();
    if (!context)
        return TALUS_ESYSTEM;
    socket = talus__xpub_open(context, options);
    if (socket && has_replay(options))
        router = talus__router_open(context, options);
    int error = socket && (router || !has_replay(options)) ? 0 : TALUS_ESYSTEM;
    if (!error)
        error = attach(broadcaster, endpoints, options, socket, router);
    if (!error)
        return 0;

    int saved = errno;
    if (socket)
        talus__socket_close(socket, 0);
    if (router)
        talus__socket_close(router, 0);
    talus__context_unref();
    errno = saved;
    return error;
}

int talus_broadcaster_new(talus_broadcaster_t **out, const char *endpoint,
                          const talus_broadcaster_options_t *options)
{
    talus_broadcaster_options_t known;
    struct talus__endpoints endpoints;

    talus_broadcaster_options_init(&known);
    if (options && options->size < OPTIONS_LEAST)
        return TALUS_EINVAL;
    if (options)
        talus__sized_take(&known, sizeof known, options, options->size);
    options = &known;
    int error = check_options(options);
    if (error)
        return error;
    error = talus__endpoints_parse(endpoint, true, &endpoints);
    if (error)
        return error;

    // The queue's counters lie on cache lines of their own, which malloc does not promise.
    talus_broadcaster_t *broadcaster =
        aligned_alloc(alignof(talus_broadcaster_t), sizeof *broadcaster);
    error = broadcaster ? init(broadcaster, options) : TALUS_ENOMEM;
    if (!error) {
        error = start(broadcaster, &endpoints, options);
        if (error)
            fini(broadcaster);
    }
    talus__endpoints_fini(&endpoints);
    if (error) {
        free(broadcaster);
        return error;
    }
    *out = broadcaster;
    return 0;
}

// Waits until each subscriber that lives in the bus directories is ready for what was emitted.
// Returns whether all are.
static bool await_ready(talus_broadcaster_t *broadcaster)
{
    bool has_directory = false;

    for (size_t i = 0; i < broadcaster->attachments.count; i++)
        has_directory |= broadcaster->attachments.items[i].directory != NULL;
    if (!has_directory || talus__queue_newest(&broadcaster->publisher.queue) == 0)
        return true;
    atomic_store_explicit(&broadcaster->publisher.closing, true, memory_order_release);
    // What is left of the time is for sending to those who are.
    long long deadline =
        talus__monotonic_ms() + broadcaster->linger_ms - broadcaster->linger_ms / 4;
    int error;
    do {
        long long left = deadline - talus__monotonic_ms();
        error = talus_broadcaster_wait_subscribers(broadcaster, 0, left > 0 ? (int)left : 0, NULL);
    } while (error == TALUS_ETIMEOUT && errno == EINTR); // a signal does not end the time
    return error == 0 || error == TALUS_ENOSUBSCRIBER;
}

int talus_broadcaster_close(talus_broadcaster_t **reference)
{
    talus_broadcaster_t *broadcaster = reference ? *reference : NULL;
    if (!broadcaster)
        return 0;
    *reference = NULL;

    if (talus__is_foreign(broadcaster)) {
        // The bus thread does not exist here, and may have been in the middle of anything: what it
        // and the mutexes guard is left alone.
        talus__detach(&broadcaster->attachments, true);
        free(broadcaster->endpoint);
        free(broadcaster);
        return 0;
    }
    long long deadline = talus__monotonic_ms() + broadcaster->linger_ms;
    broadcaster->publisher.has_inproc = strstr(broadcaster->endpoint, "inproc://") != NULL;
    bool is_handed_over = await_ready(broadcaster);
    is_handed_over &= talus__publisher_stop(&broadcaster->publisher, deadline, is_handed_over) == 0;
    talus__context_unref();
    if (!is_handed_over) {
        talus__log(TALUS_LOG_WARNING,
                   "%s ends before every subscriber was ready within %d ms: events may be lost, "
                   "which the subscribers are told",
                   broadcaster->origin, broadcaster->linger_ms);
        talus__attachments_abandon(&broadcaster->attachments);
    }
    talus__detach(&broadcaster->attachments, false);
    fini(broadcaster);
    free(broadcaster);
    talus__pool_trim(); // the last one of the process leaves nothing behind
    return is_handed_over ? 0 : TALUS_ETIMEOUT;
}

void talus_broadcaster_destroy(talus_broadcaster_t **reference)
{
    (void)talus_broadcaster_close(reference); // which logs what it returns
}

const char *talus_broadcaster_origin(const talus_broadcaster_t *broadcaster)
{
    return broadcaster->origin;
}

const char *talus_broadcaster_endpoint(const talus_broadcaster_t *broadcaster)
{
    return broadcaster->endpoint;
}

// ---- Local callbacks

int talus_broadcaster_on(talus_broadcaster_t *broadcaster, const char *type, talus_callback_fn *fn,
                         void (*release)(void *arg), void *arg, uint64_t *callback)
{
    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    if (type) {
        int error = talus_type_check(type, strnlen(type, TALUS_TYPE_MAX + 1));
        if (error)
            return error;
    }
    return talus__callbacks_add(&broadcaster->callbacks, type, fn, release, arg, callback);
}

int talus_broadcaster_off(talus_broadcaster_t *broadcaster, uint64_t callback)
{
    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    return talus__callbacks_remove(&broadcaster->callbacks, callback);
}

// ---- Watching

static uint64_t value_of(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void talus_broadcaster_stats_sized(const talus_broadcaster_t *broadcaster,
                                   talus_broadcaster_stats_t *stats, size_t size)
{
    const struct talus__publisher *publisher = &broadcaster->publisher;
    const talus_broadcaster_stats_t all = {
        .emitted = value_of(&publisher->queue.tickets),
        .sent = value_of(&publisher->sent),
        .send_failed = value_of(&publisher->send_failed),
        .refused_invalid = value_of(&broadcaster->refused_invalid),
        .refused_bounds = value_of(&broadcaster->refused_bounds),
        .refused_full = value_of(&broadcaster->refused_full),
        .refused_memory = value_of(&broadcaster->refused_memory),
        .callback_failed = value_of(&broadcaster->callbacks.failed),
        .heads = value_of(&publisher->heads),
        .subscriptions = value_of(&publisher->subscriptions),
        .replay_requests = value_of(&publisher->replay.requests),
        .replay_refused = value_of(&publisher->replay.refused),
        .replay_events = value_of(&publisher->replay.events),
        .replay_stalled = value_of(&publisher->replay.stalled),
        .history_events = value_of(&publisher->events_kept),
        .history_bytes = value_of(&publisher->bytes_kept),
        .sessions = value_of(&publisher->sessions_known),
        .subscribers = value_of(&publisher->ready.count),
        .silent = value_of(&publisher->ready.silent),
        .beats = value_of(&publisher->beats),
        .beats_ignored = value_of(&publisher->beats_ignored),
    };

    talus__sized_copy(stats, size, &all, sizeof all);
}
