// SPDX-License-Identifier: MIT
// Puts the bridge together: the bus, its thread, the workers.

#include "gateway/bridge/bridge.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "gateway/base/log.h"
#include "gateway/bridge/internal.h"

// Bytes of presence that the bus can ask for again: some four thousand clients that came or went. A
// gateway has many clients, and what it keeps of each counts.
#define PRESENCE_HISTORY ((size_t)1 << 20)
#define SHOWN_BYTES      200 // of an endpoint, in an error

void bridge_options_init(struct bridge_options *options)
{
    *options = (struct bridge_options){
        .directory_mode = 0700,
        .nsp = "/graph",
        .max_sessions = 100,
        .presence_limit = BRIDGE_PRESENCE_ALWAYS,
        .live_timeout_ms = 1000,
        .linger_ms = 30000,
        .max_lingering = 10000,
        .recovery_window_ms = 120000,
        .silence_ms = 45000,
        .recovery_bytes = (size_t)64 << 20,
        .max_suspended = 10000,
        .max_suspended_bytes = (size_t)16 << 20,
        .max_missed = (size_t)1 << 20,
        .max_histories = 256,
        .max_histories_of_one = 64,
        .max_catch_ups_waiting = 16384,
        .catch_up_queue_ms = 10000,
        .catch_up_stream_ms = 1000,
        .max_bus_sessions = 100000,
    };
}

// Names the endpoint also where it is the default, since that is where people have to look.
static bool complain(char *error, size_t error_size, const char *verb, const char *endpoint,
                     int result)
{
    const char *reason = result == TALUS_ESYSTEM ? strerror(errno) : talus_strerror(result);
    const char *variable = getenv("TALUS_BUS");
    char fallback[PATH_MAX + 32];
    const char *source = "";
    if (!endpoint && variable && *variable) {
        source = "the default bus (TALUS_BUS) ";
        endpoint = variable;
    } else if (!endpoint) {
        source = "the default bus ";
        talus_error_t unknown = talus_default_endpoint(fallback, sizeof fallback);
        endpoint = unknown ? "(XDG_RUNTIME_DIR is too long)" : fallback;
    }
    int size = (int)tl_utf8_cut(endpoint, SHOWN_BYTES); // as much as a line shows
    snprintf(error, error_size, "cannot %s on %s%.*s%s: %s", verb, source, size, endpoint,
             endpoint[size] ? "…" : "", reason);
    return false;
}

static bool open_bus(struct bridge *bridge, char *error, size_t error_size)
{
    const struct bridge_options *options = &bridge->options;
    talus_broadcaster_options_t broadcaster;
    talus_broadcaster_options_init(&broadcaster);
    broadcaster.history_bytes = PRESENCE_HISTORY;
    broadcaster.directory_mode = options->directory_mode;
    broadcaster.is_presence_only = true;
    talus_error_t result =
        talus_broadcaster_new(&bridge->broadcaster, options->publish, &broadcaster);
    if (options->bus_error)
        *options->bus_error = result;
    if (result)
        return complain(error, error_size, "publish", options->publish, result);
    talus_subscriber_options_t subscriber;
    talus_subscriber_options_init(&subscriber);
    subscriber.ignore_origin = talus_broadcaster_origin(bridge->broadcaster);
    subscriber.max_sessions = options->max_bus_sessions + 1; // and the events for everybody
    subscriber.live_timeout_ms = (int)options->live_timeout_ms;
    subscriber.directory_mode = options->directory_mode;
    result = talus_subscriber_new(&bridge->subscriber, options->bus, &subscriber);
    if (options->bus_error)
        *options->bus_error = result;
    return !result || complain(error, error_size, "listen", options->bus, result);
}

static const struct bridge_handlers handlers = {
    .on_request = bridge__on_request,
    .on_answer = bridge__on_answer,
    .on_room_message = bridge__on_room_message,
    .on_search = bridge__on_search,
};

struct bridge *bridge_new(const struct bridge_options *options, char *error, size_t error_size)
{
    struct bridge *bridge = calloc(1, sizeof *bridge);
    snprintf(error, error_size, "out of memory");
    if (!bridge)
        return NULL;
    bridge->options = *options;
    bridge->handlers = &handlers;
    bridge->nsp = strdup(options->nsp);
    bridge->loop = options->loop ? options->loop : gw_loop_new();
    bridge->encoder = encoder_new(options->nsp);
    if (!bridge->nsp || !bridge->loop || !bridge->encoder || !open_bus(bridge, error, error_size) ||
        !bridge__bus_init(bridge))
        bridge_destroy(&bridge);
    return bridge;
}

bool bridge_attach(struct bridge *bridge, struct sio_server *server, struct gw_loop *loop,
                   struct gw_metrics *metrics)
{
    const struct gw_loop *shared = bridge->options.loop;
    const unsigned most = shared ? 1 : BRIDGE_WORKERS_MAX;
    if (bridge->worker_count == most || bridge->is_started || (shared && shared != loop))
        return false;
    struct bridge_worker *worker = &bridge->workers[bridge->worker_count];
    *worker = (struct bridge_worker){
        .bridge = bridge,
        .server = server,
        .loop = loop,
        .metrics = metrics,
        .index = bridge->worker_count,
        .ready_message = {.deliver = bridge__on_ready},
        .lost_message = {.deliver = bridge__on_lost},
    };
    if (!bridge__worker_init(worker))
        return false;
    bridge->worker_count++;
    return true;
}

static void *run(void *arg)
{
    struct bridge *bridge = arg;
    gw_loop_run(bridge->loop);
    return NULL;
}

bool bridge_start(struct bridge *bridge)
{
    if (bridge->options.loop) {
        bridge->is_started = true;
        return true;
    }
    // Signals are for the thread that runs the main loop.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bridge->is_started = pthread_create(&bridge->thread, NULL, run, bridge) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (bridge->is_started)
        pthread_setname_np(bridge->thread, "talus-bus");
    return bridge->is_started;
}

bool bridge_is_idle(const struct bridge *bridge, unsigned worker)
{
    return bridge->workers[worker].unanswered == 0;
}

static void on_stop(struct gw_loop_message *message)
{
    struct bridge *bridge = TL_LIST_ENTRY(message, struct bridge, stop_message);
    if (bridge->options.loop)
        bridge->is_started = false;
    else
        gw_loop_stop(bridge->loop);
}

void bridge_stop(struct bridge *bridge)
{
    if (!bridge->is_started)
        return;
    // Behind everything that the workers have posted.
    bridge->stop_message.deliver = on_stop;
    gw_loop_post(bridge->loop, &bridge->stop_message);
    if (bridge->options.loop) {
        bridge->are_workers_gone = true;
        while (bridge->is_started)
            gw_loop_turn(bridge->loop, false);
        return;
    }
    pthread_join(bridge->thread, NULL);
    bridge->is_started = false;
}

void bridge_destroy(struct bridge **handle)
{
    struct bridge *bridge = *handle;
    if (!bridge)
        return;
    bridge_stop(bridge);
    if (bridge->loop && bridge->linger.loop)
        bridge__bus_fini(bridge);
    if (!bridge->options.loop)
        gw_loop_destroy(&bridge->loop);
    talus_subscriber_destroy(&bridge->subscriber);
    talus_broadcaster_destroy(&bridge->broadcaster); // flushes the last presence
    encoder_destroy(&bridge->encoder);
    free(bridge->nsp);
    free(bridge);
    *handle = NULL;
}

const struct gw_metrics *bridge_metrics(const struct bridge *bridge)
{
    return &bridge->metrics;
}

const char *bridge_bus_endpoint(const struct bridge *bridge)
{
    return talus_subscriber_endpoint(bridge->subscriber);
}

const char *bridge_publish_endpoint(const struct bridge *bridge)
{
    return talus_broadcaster_endpoint(bridge->broadcaster);
}
