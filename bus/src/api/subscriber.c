// SPDX-License-Identifier: MIT
// Making, ending and watching a subscriber.
#include <talus/subscriber.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/api/subscriber.h"
#include "bus/src/api/transports.h"
#include "bus/src/base/fork.h"
#include "bus/src/base/sized.h"
#include "bus/src/codec/wire.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/join.h"
#include "bus/src/subscriber/receive.h"
#include "bus/src/transport/times.h"

#define MAX_BODY_LEAST    1024u // bytes: as a broadcaster's
#define MAX_BODY_MOST     (1u << 30)
#define SESSIONS_MOST     (1u << 26)
#define BYTES_MOST        ((size_t)1 << 40)
#define ORIGINS_MOST      (1u << 20)
#define MILLISECONDS_MOST (24 * 60 * 60 * 1000)

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
        .repair_timeout_ms = 5000,
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
                    is_time(options->repair_timeout_ms, 1) &&
                    is_time(options->origin_timeout_ms, 0) && is_time(options->head_wait_ms, 0) &&
                    is_time(options->heartbeat_ms, 0) &&
                    is_time(options->heartbeat_timeout_ms, 1) &&
                    is_time(options->reconnect_ms, 1) && is_time(options->reconnect_max_ms, 0) &&
                    (options->directory_mode & 0700) == 0700 && options->directory_mode <= 0777;
    return is_valid ? 0 : TALUS_EINVAL;
}

static int init(talus_subscriber_t *subscriber, const talus_subscriber_options_t *options,
                size_t publisher_size)
{
    struct talus__core *core = &subscriber->core;

    subscriber->generation = talus__fork_generation();
    core->wake.epoll = core->wake.timer = core->wake.event = -1;
    core->options = *options;
    core->options.ignore_origin = NULL; // publishers.c has it
    core->delivery.stats = &core->stats;
    talus__gaps_init(&subscriber->repairs, core);
    subscriber->recover.core = core;
    core->limits = (struct talus__limits){.max_body = options->max_body,
                                          .max_depth = options->max_depth,
                                          .max_bin = options->max_bin};
    talus__receive_own(subscriber);
    talus__publishers_init(&core->publishers, options->max_origins, options->ignore_origin,
                           publisher_size);
    talus__subscriptions_init(&core->subscriptions);
    return talus__wake_open(&core->wake);
}

static int start(talus_subscriber_t *subscriber, const struct talus__receive_ops *ops,
                 const char *endpoint)
{
    struct talus__core *core = &subscriber->core;
    const struct talus__receive_options options = {.endpoint = endpoint,
                                                   .options = &core->options,
                                                   .publishers = &core->publishers,
                                                   .owner = &subscriber->owner,
                                                   .epoll = core->wake.epoll,
                                                   .wake = core->wake.event};
    int error = ops->open(&core->transport, &options);

    if (error)
        return error;
    talus__enter(subscriber);
    talus__receive_begin(subscriber);
    talus__leave(subscriber);
    return 0;
}

// Ends what `init` and `start` made, however far they came.
static void fini(talus_subscriber_t *subscriber)
{
    struct talus__core *core = &subscriber->core;

    talus__gaps_fini(&subscriber->repairs);
    if (core->transport)
        core->transport->ops->close(core->transport, talus__is_forked(subscriber->generation));
    talus__recover_fini(&subscriber->recover);
    talus__wake_close(&core->wake);
    free(core->released);
    talus__subscriptions_fini(&core->subscriptions);
    talus__publishers_fini(&core->publishers);
    free(subscriber);
}

int talus__subscriber_new_on(talus_subscriber_t **out, const struct talus__receive_ops *ops,
                             const char *endpoint, const talus_subscriber_options_t *options)
{
    talus_subscriber_t *subscriber = calloc(1, sizeof *subscriber);
    int error = subscriber ? init(subscriber, options, ops->publisher_size) : TALUS_ENOMEM;

    if (!error)
        error = start(subscriber, ops, endpoint);
    if (!error) {
        *out = subscriber;
        return 0;
    }
    int saved = errno;
    if (subscriber)
        fini(subscriber);
    errno = saved;
    return error;
}

talus_error_t talus_subscriber_new(talus_subscriber_t **subscriber, const char *endpoint,
                                   const talus_subscriber_options_t *options)
{
    talus_subscriber_options_t known;

    talus_subscriber_options_init(&known);
    if (options && options->size < OPTIONS_LEAST)
        return TALUS_EINVAL;
    if (options)
        talus__sized_take(&known, sizeof known, options, options->size);
    int error = check_options(&known);
    return error ? error
                 : talus__subscriber_new_on(subscriber, talus__receive_ops_of(endpoint), endpoint,
                                            &known);
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
    return subscriber->core.transport->endpoint;
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
    const struct talus__receive_transport *transport = subscriber->core.transport;
    talus_subscriber_stats_t all = subscriber->core.stats;

    all.sessions = talus__subscriptions_count(&subscriber->core.subscriptions);
    all.origins = subscriber->core.publishers.table.count;
    all.held = subscriber->repairs.sequencer.held_events;
    transport->ops->stats(transport, &all);
    talus__sized_copy(stats, size, &all, sizeof all);
}

talus_error_t talus_subscriber_join(talus_subscriber_t *subscriber, const char *session)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int error = talus__join_session(subscriber, session, NULL);
    talus__leave(subscriber);
    return error;
}

talus_error_t talus_subscriber_leave(talus_subscriber_t *subscriber, const char *session)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int error = talus__leave_session(subscriber, session);
    talus__leave(subscriber);
    return error;
}

talus_error_t talus_subscriber_recover(talus_subscriber_t *subscriber, const char *session,
                                       const char *since, uint64_t *request)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int error = talus__recover_start(&subscriber->recover, session, since, request);
    talus__leave(subscriber);
    return error;
}

talus_error_t talus_subscriber_receive(talus_subscriber_t *subscriber, int timeout_ms,
                                       const talus_delivery_t **delivery)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int result = talus__receive(subscriber, timeout_ms, delivery);
    talus__leave(subscriber);
    return result;
}

void talus_subscriber_wake(talus_subscriber_t *subscriber)
{
    if (!talus__is_forked(subscriber->generation))
        talus__wake_call(&subscriber->core.wake);
}
