// SPDX-License-Identifier: MIT
// talus-gateway: wires the layers together, from the top: options, bus, workers, signals; and takes
// them apart in the opposite order.

#include <czmq.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <talus/error.h>
#include <talus/log.h>

#include "common/descriptor_limit.h"
#include "gateway/base/log.h"
#include "gateway/bridge/bridge.h"
#include "gateway/main/options.h"
#include "gateway/main/workers.h"

struct gateway {
    struct options options;
    struct cors cors;
    struct workers *workers;
    struct bridge *bridge;
    uv_signal_t signals[2];
    bool is_stopping;
    int bus_error; // TALUS_E…, of a bus that could not be opened
};

static bool fail(const char *text)
{
    fprintf(stderr, "talus-gateway: %s\n", text);
    return false;
}

// ---- The end

static void on_signal(uv_signal_t *handle, int number)
{
    struct gateway *gateway = handle->data;
    if (gateway->is_stopping) {
        workers_quit(gateway->workers); // asked twice: at once
        return;
    }
    gw_log(GW_LOG_INFO, "main", "stopping at %s", number == SIGINT ? "SIGINT" : "SIGTERM");
    gateway->is_stopping = true;
    workers_stop(gateway->workers);
}

static void gateway_fini(struct gateway *gateway)
{
    workers_close(gateway->workers);
    // The clients' ends have been posted to the bus thread: it tells the bus before it goes.
    bridge_destroy(&gateway->bridge);
    workers_destroy(&gateway->workers);
    cors_fini(&gateway->cors);
    options_fini(&gateway->options);
}

// ---- The beginning

static void on_talus_log(talus_log_level_t level, const char *line, void *arg)
{
    static const enum gw_log_level levels[] = {
        [TALUS_LOG_ERROR] = GW_LOG_ERROR,
        [TALUS_LOG_WARNING] = GW_LOG_WARNING,
        [TALUS_LOG_INFO] = GW_LOG_INFO,
        [TALUS_LOG_DEBUG] = GW_LOG_DEBUG,
    };
    (void)arg;
    gw_log(levels[level], "bus", "%s", line);
}

static bool open_bridge(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    struct bridge_options bridge;
    char error[512];
    bridge_options_init(&bridge);
    bridge.loop = workers_count(gateway->workers) == 1 ? workers_main_loop(gateway->workers) : NULL;
    bridge.bus = options->bus;
    bridge.publish = options->publish;
    bridge.directory_mode = options->directory_mode;
    bridge.bus_error = &gateway->bus_error;
    bridge.nsp = options->nsp;
    bridge.max_sessions = options->max_sessions_per_client;
    bridge.presence_limit = options->presence_limit;
    bridge.recovery_window_ms = options->recovery_window_ms;
    bridge.max_missed = options->client_queue_bytes;
    bridge.recovery_bytes = options->recovery_bytes;
    bridge.silence_ms = options->ping_interval_ms + options->ping_timeout_ms;
    gateway->bridge = bridge_new(&bridge, error, sizeof error);
    if (!gateway->bridge)
        return fail(error);
    return workers_attach(gateway->workers, gateway->bridge) || fail("out of memory");
}

// nohup and a shell's & start a program with signals ignored: they stay so, as in the talus tool.
static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static bool watch_signals(struct gateway *gateway)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    uv_loop_t *uv = gw_loop_uv(workers_main_loop(gateway->workers));
    for (int i = 0; i < 2; i++) {
        gateway->signals[i].data = gateway;
        if (uv_signal_init(uv, &gateway->signals[i]) != 0 ||
            (!is_ignored(numbers[i]) &&
             uv_signal_start(&gateway->signals[i], on_signal, numbers[i]) != 0))
            return fail("cannot watch for signals");
    }
    return true;
}

static void close_handles(struct gateway *gateway)
{
    uv_close((uv_handle_t *)&gateway->signals[0], NULL);
    uv_close((uv_handle_t *)&gateway->signals[1], NULL);
}

static bool gateway_init(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    char error[512];
    if (!cors_init(&gateway->cors, (const char *const *)options->cors_origins,
                   options->cors_origin_count, error, sizeof error))
        return fail(error);
    gateway->workers = workers_new(options, &gateway->cors, error, sizeof error);
    if (!gateway->workers)
        return fail(error);
    if (!open_bridge(gateway))
        return false;
    if (!workers_listen(gateway->workers, error, sizeof error))
        return fail(error);
    return bridge_start(gateway->bridge) || fail("cannot start the bus thread");
}

static void announce(const struct gateway *gateway)
{
    const char *address = workers_address(gateway->workers);
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    printf("talus-gateway listening on %s%s\n", is_unix ? "" : "http://", address);
    fflush(stdout);
    gw_log(GW_LOG_INFO, "main", "%u workers, bus %s, publishing on %s",
           workers_count(gateway->workers), bridge_bus_endpoint(gateway->bridge),
           bridge_publish_endpoint(gateway->bridge));
}

// What comes while the gateway starts waits until there is somebody to hear it.
static void hold_signals(bool is_held)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(is_held ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
    static struct gateway gateway;
    zsys_handler_set(NULL); // signals are the loop's
    switch (options_read(&gateway.options, argc, argv)) {
    case OPTIONS_BAD:
        return 2;
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_OK:
        break;
    }
    signal(SIGPIPE, SIG_IGN);
    // Each client needs a descriptor.
    tl_descriptor_limit_raise();
    json_object_seed(0); // before other threads use it
    gw_log_set_level(gateway.options.log_level);
    talus_set_log(TALUS_LOG_INFO, on_talus_log, NULL);
    hold_signals(true);
    bool is_up = gateway_init(&gateway) && watch_signals(&gateway);
    hold_signals(false);
    if (is_up) {
        announce(&gateway);
        is_up = workers_run(gateway.workers) || fail("cannot start a worker's thread");
        close_handles(&gateway);
    }
    gateway_fini(&gateway);
    if (is_up)
        gw_log(GW_LOG_INFO, "main", "stopped");
    // As for other options and variables, and as in the talus tool.
    bool is_usage = gateway.bus_error == TALUS_EENDPOINT || gateway.bus_error == TALUS_EPATHTOOLONG;
    return is_up ? 0 : is_usage ? 2 : 1;
}
