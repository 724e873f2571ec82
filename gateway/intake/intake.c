// SPDX-License-Identifier: MIT
// Puts the intake together: the bus, its thread, the workers.

#include "gateway/intake/intake.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/intake/internal.h"

// Bytes of presence that the bus can ask for again: some four thousand clients that came or went. A
// gateway has many clients, and what it keeps of each counts.
#define PRESENCE_HISTORY ((size_t)1 << 20)
#define SHOWN_BYTES      200 // of an endpoint, in an error

void intake_options_init(struct intake_options *options)
{
    *options = (struct intake_options){
        .directory_mode = 0700,
        .nsp = "/graph",
        .max_sessions = 100,
        .presence_limit = INTAKE_PRESENCE_ALWAYS,
        .live_timeout_ms = 1000,
        .linger_ms = 30000,
        .max_lingering = 10000,
        .recovery_window_ms = 120000,
        .silence_ms = 45000,
        .recovery_bytes = (size_t)64 << 20,
        .max_departed = 10000,
        .max_departed_bytes = (size_t)16 << 20,
        .max_missed = (size_t)1 << 20,
        .max_histories = 256,
        .max_histories_of_one = 64,
        .max_since_waiting = 16384,
        .since_queue_ms = 10000,
        .since_stream_ms = 1000,
        .max_bus_sessions = 100000,
    };
}

// As much of an endpoint, which may be of any length, as a line shows: whole characters of UTF-8.
static int shown_size(const char *endpoint)
{
    size_t size = strnlen(endpoint, SHOWN_BYTES + 1);
    if (size <= SHOWN_BYTES)
        return (int)size;
    size = SHOWN_BYTES;
    while (size > SHOWN_BYTES - 3 && ((unsigned char)endpoint[size] & 0xc0) == 0x80)
        size--;
    return (int)size;
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
        int unknown = talus_default_endpoint(fallback, sizeof fallback);
        endpoint = unknown ? "(XDG_RUNTIME_DIR is too long)" : fallback;
    }
    int size = shown_size(endpoint);
    snprintf(error, error_size, "cannot %s on %s%.*s%s: %s", verb, source, size, endpoint,
             endpoint[size] ? "…" : "", reason);
    return false;
}

static bool open_bus(struct intake *intake, char *error, size_t error_size)
{
    const struct intake_options *options = &intake->options;
    talus_broadcaster_options_t broadcaster;
    talus_broadcaster_options_init(&broadcaster);
    broadcaster.history_bytes = PRESENCE_HISTORY;
    broadcaster.directory_mode = options->directory_mode;
    broadcaster.is_presence_only = true;
    int result = talus_broadcaster_new(&intake->broadcaster, options->publish, &broadcaster);
    if (options->bus_error)
        *options->bus_error = result;
    if (result)
        return complain(error, error_size, "publish", options->publish, result);
    talus_subscriber_options_t subscriber;
    talus_subscriber_options_init(&subscriber);
    subscriber.ignore_origin = talus_broadcaster_origin(intake->broadcaster);
    subscriber.max_sessions = options->max_bus_sessions + 1; // and the events for everybody
    subscriber.live_timeout_ms = (int)options->live_timeout_ms;
    subscriber.directory_mode = options->directory_mode;
    result = talus_subscriber_new(&intake->subscriber, options->bus, &subscriber);
    if (options->bus_error)
        *options->bus_error = result;
    return !result || complain(error, error_size, "listen", options->bus, result);
}

struct intake *intake_new(const struct intake_options *options, char *error, size_t error_size)
{
    struct intake *intake = calloc(1, sizeof *intake);
    snprintf(error, error_size, "out of memory");
    if (!intake)
        return NULL;
    intake->options = *options;
    intake->nsp = strdup(options->nsp);
    intake->loop = options->loop ? options->loop : gw_loop_new();
    intake->encoder = encoder_new(options->nsp);
    if (!intake->nsp || !intake->loop || !intake->encoder || !open_bus(intake, error, error_size) ||
        !intake__bus_init(intake))
        intake_destroy(&intake);
    return intake;
}

bool intake_attach(struct intake *intake, struct sio_server *server, struct gw_loop *loop,
                   struct gw_metrics *metrics)
{
    const struct gw_loop *shared = intake->options.loop;
    const unsigned most = shared ? 1 : INTAKE_WORKERS_MAX;
    if (intake->worker_count == most || intake->is_started || (shared && shared != loop))
        return false;
    struct intake_worker *worker = &intake->workers[intake->worker_count];
    *worker = (struct intake_worker){
        .intake = intake,
        .server = server,
        .loop = loop,
        .metrics = metrics,
        .index = intake->worker_count,
        .ready_mail = {.deliver = intake__on_ready},
        .lost_mail = {.deliver = intake__on_lost},
    };
    if (!intake__worker_init(worker))
        return false;
    intake->worker_count++;
    return true;
}

static void *run(void *arg)
{
    struct intake *intake = arg;
    gw_loop_run(intake->loop);
    return NULL;
}

bool intake_start(struct intake *intake)
{
    if (intake->options.loop) {
        intake->is_started = true;
        return true;
    }
    // Signals are for the thread that runs the main loop.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    intake->is_started = pthread_create(&intake->thread, NULL, run, intake) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (intake->is_started)
        pthread_setname_np(intake->thread, "talus-bus");
    return intake->is_started;
}

bool intake_is_settled(const struct intake *intake, unsigned worker)
{
    return intake->workers[worker].unanswered == 0;
}

static void on_stop(struct gw_mail *mail)
{
    struct intake *intake = LIST_ENTRY(mail, struct intake, stop_mail);
    if (intake->options.loop)
        intake->is_started = false;
    else
        gw_loop_stop(intake->loop);
}

void intake_stop(struct intake *intake)
{
    if (!intake->is_started)
        return;
    // Behind everything that the workers have posted.
    intake->stop_mail.deliver = on_stop;
    gw_loop_post(intake->loop, &intake->stop_mail);
    if (intake->options.loop) {
        intake->are_workers_gone = true;
        while (intake->is_started)
            gw_loop_turn(intake->loop, false);
        return;
    }
    pthread_join(intake->thread, NULL);
    intake->is_started = false;
}

void intake_destroy(struct intake **handle)
{
    struct intake *intake = *handle;
    if (!intake)
        return;
    intake_stop(intake);
    if (intake->loop && intake->linger.loop)
        intake__bus_fini(intake);
    if (!intake->options.loop)
        gw_loop_destroy(&intake->loop);
    talus_subscriber_destroy(&intake->subscriber);
    talus_broadcaster_destroy(&intake->broadcaster); // flushes the last presence
    encoder_destroy(&intake->encoder);
    free(intake->nsp);
    free(intake);
    *handle = NULL;
}

const struct gw_metrics *intake_metrics(const struct intake *intake)
{
    return &intake->metrics;
}

const char *intake_bus_endpoint(const struct intake *intake)
{
    return talus_subscriber_endpoint(intake->subscriber);
}

const char *intake_publish_endpoint(const struct intake *intake)
{
    return talus_broadcaster_endpoint(intake->broadcaster);
}
