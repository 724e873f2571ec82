// SPDX-License-Identifier: MIT
// Making, ending and watching a broadcaster, and its local callbacks.
#include <talus/broadcaster.h>

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/api/broadcaster.h"
#include "bus/src/api/instance.h"
#include "bus/src/api/transports.h"
#include "bus/src/base/log.h"
#include "bus/src/base/pool.h"
#include "bus/src/base/sized.h"
#include "bus/src/codec/wire.h"
#include "bus/src/transport/times.h"
#include "common/clock.h"
#include "common/random.h"

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
    if (!tl_random_name(origin, TALUS__ORIGIN_SIZE))
        return TALUS_ESYSTEM;
    if (is_presence_only)
        memcpy(origin, TALUS_PRESENCE_ORIGIN, size);
    else if (memcmp(origin, TALUS_PRESENCE_ORIGIN, size) == 0)
        origin[0] = 'h';
    return 0;
}

static int init(talus_broadcaster_t *broadcaster, const talus_broadcaster_options_t *options,
                const struct talus__publish_ops *ops)
{
    memset(broadcaster, 0, sizeof *broadcaster);
    broadcaster->generation = talus__fork_generation();
    broadcaster->limits = (struct talus__limits){.max_body = options->max_body,
                                                 .max_depth = options->max_depth,
                                                 .max_bin = options->max_bin};
    int error = name_origin(broadcaster->origin, options->is_presence_only);
    if (error)
        return error;
    const struct talus__bus_thread_options publisher_options = {
        .origin = broadcaster->origin,
        .queue_events = options->queue_events,
        .queue_bytes = options->queue_bytes,
        .max_sessions = options->max_sessions,
        .session_size = ops->session_size,
        .history = {.session_events = options->history_events,
                    .session_bytes = options->history_session_bytes,
                    .total_bytes = options->history_bytes,
                    .age_ms = options->history_age_ms},
    };
    broadcaster->linger_ms = options->linger_ms;
    error = talus__bus_thread_init(&broadcaster->publisher, &publisher_options);
    if (error)
        return error;
    talus__callbacks_init(&broadcaster->callbacks);
    return 0;
}

static void fini(talus_broadcaster_t *broadcaster)
{
    talus__callbacks_fini(&broadcaster->callbacks);
    talus__bus_thread_fini(&broadcaster->publisher);
}

static void close_transport(talus_broadcaster_t *broadcaster, enum talus__publish_end end)
{
    broadcaster->transport->ops->close(broadcaster->transport, end);
    broadcaster->transport = NULL;
}

// Opens the transport and starts the bus thread on it.
static int start(talus_broadcaster_t *broadcaster, const char *endpoint,
                 const talus_broadcaster_options_t *options, const struct talus__publish_ops *ops)
{
    const struct talus__publish_options publish = {.origin = broadcaster->origin,
                                                   .endpoint = endpoint,
                                                   .options = options,
                                                   .source =
                                                       &broadcaster->publisher.cursors.source};

    int error = ops->open(&broadcaster->transport, &publish);
    if (error)
        return error;
    error = talus__bus_thread_start(&broadcaster->publisher, broadcaster->transport);
    if (error) {
        int saved = errno;
        close_transport(broadcaster, TALUS__END_HANDED_OVER);
        errno = saved;
    }
    return error;
}

talus_error_t talus_broadcaster_new(talus_broadcaster_t **out, const char *endpoint,
                                    const talus_broadcaster_options_t *options)
{
    talus_broadcaster_options_t known;

    talus_broadcaster_options_init(&known);
    if (options && options->size < OPTIONS_LEAST)
        return TALUS_EINVAL;
    if (options)
        talus__sized_take(&known, sizeof known, options, options->size);
    options = &known;
    int error = check_options(options);
    if (error)
        return error;
    return talus__broadcaster_new_on(out, talus__publish_ops_of(endpoint), endpoint, options);
}

int talus__broadcaster_new_on(talus_broadcaster_t **out, const struct talus__publish_ops *ops,
                              const char *endpoint, const talus_broadcaster_options_t *options)
{
    // The queue's counters lie on cache lines of their own, which malloc does not promise.
    talus_broadcaster_t *broadcaster =
        aligned_alloc(alignof(talus_broadcaster_t), sizeof *broadcaster);
    int error = broadcaster ? init(broadcaster, options, ops) : TALUS_ENOMEM;
    if (!error) {
        error = start(broadcaster, endpoint, options, ops);
        if (error) {
            int saved = errno;
            fini(broadcaster);
            errno = saved;
        }
    }
    if (error) {
        free(broadcaster);
        return error;
    }
    *out = broadcaster;
    return 0;
}

// Waits until every subscriber is ready for what was emitted. Returns whether all are.
static bool await_subscribers(talus_broadcaster_t *broadcaster)
{
    struct talus__publish_transport *transport = broadcaster->transport;

    if (talus__queue_newest(&broadcaster->publisher.queue) == 0)
        return true;
    // What is left of the time is for sending to those that are.
    long long deadline = tl_monotonic_ms() + broadcaster->linger_ms - broadcaster->linger_ms / 4;
    return transport->ops->await_subscribers(transport, deadline);
}

talus_error_t talus_broadcaster_close(talus_broadcaster_t **reference)
{
    talus_broadcaster_t *broadcaster = reference ? *reference : NULL;
    if (!broadcaster)
        return 0;
    *reference = NULL;

    if (talus__is_foreign(broadcaster)) {
        // The bus thread does not exist here, and may have been in the middle of anything: what it
        // and the mutexes guard is left alone.
        close_transport(broadcaster, TALUS__END_FORKED);
        free(broadcaster);
        return 0;
    }
    long long deadline = tl_monotonic_ms() + broadcaster->linger_ms;
    bool is_handed_over = await_subscribers(broadcaster);
    is_handed_over &= talus__bus_thread_stop(&broadcaster->publisher, deadline) == 0;
    if (!is_handed_over)
        talus__log(TALUS_LOG_WARNING,
                   "%s ends before every subscriber was ready within %d ms: events may be lost, "
                   "which the subscribers are told",
                   broadcaster->origin, broadcaster->linger_ms);
    close_transport(broadcaster, is_handed_over ? TALUS__END_HANDED_OVER : TALUS__END_UNFINISHED);
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
    return broadcaster->transport->endpoint;
}

// ---- Local callbacks

talus_error_t talus_broadcaster_on(talus_broadcaster_t *broadcaster, const char *type,
                                   talus_callback_fn *fn, void (*release)(void *arg), void *arg,
                                   uint64_t *callback)
{
    if (talus__is_foreign(broadcaster))
        return TALUS_EFORKED;
    if (type) {
        talus_error_t error = talus_type_check(type, strnlen(type, TALUS_TYPE_MAX + 1));
        if (error)
            return error;
    }
    return talus__callbacks_add(&broadcaster->callbacks, type, fn, release, arg, callback);
}

talus_error_t talus_broadcaster_off(talus_broadcaster_t *broadcaster, uint64_t callback)
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
    const struct talus__bus_thread *publisher = &broadcaster->publisher;
    talus_broadcaster_stats_t all = {
        .emitted = value_of(&publisher->queue.tickets),
        .refused_invalid = value_of(&broadcaster->refused_invalid),
        .refused_bounds = value_of(&broadcaster->refused_bounds),
        .refused_full = value_of(&broadcaster->refused_full),
        .refused_memory = value_of(&broadcaster->refused_memory),
        .callback_failed = value_of(&broadcaster->callbacks.failed),
        .history_events = value_of(&publisher->events_kept),
        .history_bytes = value_of(&publisher->bytes_kept),
        .sessions = value_of(&publisher->sessions_known),
    };
    broadcaster->transport->ops->stats(broadcaster->transport, &all);
    talus__sized_copy(stats, size, &all, sizeof all);
}
