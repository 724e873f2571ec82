// SPDX-License-Identifier: MIT
// talus-gateway: wires the layers together, from the top: options, bus, workers, signals; and takes
// them apart in the opposite order.

#include <czmq.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <talus/log.h>

#include "gateway/base/log.h"
#include "gateway/intake/intake.h"
#include "gateway/main/options.h"
#include "gateway/main/router.h"
#include "gateway/transport/listener.h"

#define DRAIN_MS       2000 // how long clients may take to hear that we go
#define DRAIN_CHECK_MS 10

struct gateway {
    struct options options;
    struct cors cors;
    struct static_files *page;
    struct gw_loop *loop;
    struct gw_metrics metrics;
    struct sio_server *sio;
    struct http_server *http;
    struct listener *listener;
    struct intake *intake;
    struct router router;
    const struct gw_metrics *all_metrics[2];
    uv_signal_t signals[2];
    uv_timer_t drain_timer;
    int64_t drain_until;
    bool is_stopping;
};

static bool fail(const char *text)
{
    fprintf(stderr, "talus-gateway: %s\n", text);
    return false;
}

// ---- The end

static void on_drain_check(uv_timer_t *timer)
{
    struct gateway *gateway = timer->data;
    if ((sio_server_is_drained(gateway->sio) && http_server_is_drained(gateway->http)) ||
        gw_loop_now(gateway->loop) >= gateway->drain_until)
        gw_loop_stop(gateway->loop);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct gateway *gateway = handle->data;
    if (gateway->is_stopping) {
        gw_loop_stop(gateway->loop); // asked twice: at once
        return;
    }
    gw_log(GW_LOG_INFO, "main", "stopping at %s", number == SIGINT ? "SIGINT" : "SIGTERM");
    gateway->is_stopping = true;
    listener_close(&gateway->listener);
    sio_server_stop(gateway->sio);
    http_server_stop(gateway->http, DRAIN_MS);
    gateway->drain_until = gw_loop_now(gateway->loop) + DRAIN_MS;
    uv_timer_start(&gateway->drain_timer, on_drain_check, 0, DRAIN_CHECK_MS);
}

static void gateway_fini(struct gateway *gateway)
{
    listener_close(&gateway->listener);
    http_server_destroy(&gateway->http);
    sio_server_destroy(&gateway->sio);
    // The clients' ends have been posted to the bus thread: it tells the bus before it goes.
    intake_destroy(&gateway->intake);
    gw_loop_destroy(&gateway->loop);
    static_files_destroy(&gateway->page);
    cors_fini(&gateway->cors);
    options_fini(&gateway->options);
}

// ---- The beginning

static void on_accept(int fd, void *arg)
{
    struct gateway *gateway = arg;
    http_server_take(gateway->http, fd);
}

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

static bool open_servers(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    struct sio_server_options sio;
    sio_server_options_init(&sio);
    sio.engine.ping_interval_ms = options->ping_interval_ms;
    sio.engine.ping_timeout_ms = options->ping_timeout_ms;
    sio.engine.max_payload = options->max_payload;
    sio.engine.cors = &gateway->cors;
    sio.max_packet = options->max_payload; // nothing that clients send here has attachments
    sio.connect_timeout_ms = options->connect_timeout_ms;
    gateway->sio = sio_server_new(gateway->loop, &gateway->metrics, &sio);

    struct http_server_options http;
    http_server_options_init(&http);
    http.limits.max_body = options->max_payload;
    http.on_head = router_handle_head;
    gateway->http =
        http_server_new(gateway->loop, &gateway->metrics, &http, router_handle, &gateway->router);
    return (gateway->sio && gateway->http) || fail("out of memory");
}

static bool open_intake(struct gateway *gateway)
{
    const struct options *options = &gateway->options;
    struct intake_options intake;
    char error[512];
    intake_options_init(&intake);
    intake.loop = gateway->loop;
    intake.bus = options->bus;
    intake.publish = options->publish;
    intake.nsp = options->nsp;
    intake.max_sessions = options->max_sessions_per_client;
    intake.presence_limit = options->presence_limit;
    gateway->intake = intake_new(&intake, error, sizeof error);
    if (!gateway->intake)
        return fail(error);
    return intake_attach(gateway->intake, gateway->sio, gateway->loop, &gateway->metrics) ||
           fail("out of memory");
}

static bool open_page(struct gateway *gateway)
{
    char error[512];
    if (!gateway->options.page)
        return true;
    gateway->page = static_files_load(gateway->options.page, error, sizeof error);
    return gateway->page || fail(error);
}

static bool watch_signals(struct gateway *gateway)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    uv_loop_t *uv = gw_loop_uv(gateway->loop);
    for (int i = 0; i < 2; i++) {
        gateway->signals[i].data = gateway;
        if (uv_signal_init(uv, &gateway->signals[i]) != 0 ||
            uv_signal_start(&gateway->signals[i], on_signal, numbers[i]) != 0)
            return fail("cannot watch for signals");
    }
    gateway->drain_timer.data = gateway;
    return uv_timer_init(uv, &gateway->drain_timer) == 0 || fail("cannot make a timer");
}

static void close_handles(struct gateway *gateway)
{
    uv_close((uv_handle_t *)&gateway->signals[0], NULL);
    uv_close((uv_handle_t *)&gateway->signals[1], NULL);
    uv_close((uv_handle_t *)&gateway->drain_timer, NULL);
}

static bool gateway_init(struct gateway *gateway)
{
    char error[512];
    gateway->loop = gw_loop_new();
    if (!gateway->loop)
        return fail("out of memory or descriptors");
    if (!cors_init(&gateway->cors, (const char *const *)gateway->options.cors_origins,
                   gateway->options.cors_origin_count, error, sizeof error))
        return fail(error);
    if (!open_page(gateway) || !open_servers(gateway) || !open_intake(gateway))
        return false;
    gateway->all_metrics[0] = &gateway->metrics;
    gateway->all_metrics[1] = intake_metrics(gateway->intake);
    gateway->router = (struct router){
        .path = gateway->options.path,
        .cors = &gateway->cors,
        .sio = gateway->sio,
        .page = gateway->page,
        .metrics = &gateway->metrics,
        .all_metrics = gateway->all_metrics,
        .metrics_count = 2,
    };
    gateway->listener = listener_open(gateway->loop, &gateway->metrics, gateway->options.listen,
                                      on_accept, gateway, error, sizeof error);
    if (!gateway->listener)
        return fail(error);
    return intake_start(gateway->intake) || fail("cannot start the bus thread");
}

static void announce(const struct gateway *gateway)
{
    const char *address = listener_address(gateway->listener);
    bool is_unix = strncmp(address, "unix:", 5) == 0;
    printf("talus-gateway listening on %s%s\n", is_unix ? "" : "http://", address);
    fflush(stdout);
    gw_log(GW_LOG_INFO, "main", "bus %s, publishing on %s", intake_bus_endpoint(gateway->intake),
           intake_publish_endpoint(gateway->intake));
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
    json_object_seed(0); // before other threads use it
    gw_log_set_level(gateway.options.log_level);
    talus_set_log(TALUS_LOG_INFO, on_talus_log, NULL);
    bool is_up = gateway_init(&gateway) && watch_signals(&gateway);
    if (is_up) {
        announce(&gateway);
        gw_loop_run(gateway.loop);
        close_handles(&gateway);
    }
    gateway_fini(&gateway);
    if (is_up)
        gw_log(GW_LOG_INFO, "main", "stopped");
    return is_up ? 0 : 1;
}
