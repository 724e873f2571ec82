// SPDX-License-Identifier: MIT
// Invariants: what a worker has is touched by its own thread alone, while that runs; others write
// to it by loop messages. No loop ends before all have drained or the time is up, so that what one
// relays to another is answered, and no client stays counted that no worker has any more. Loops are
// destroyed after all servers, since servers write to loops.
#include "gateway/main/workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/base/random.h"
#include "gateway/main/router.h"
#include "gateway/transport/listener.h"

#define DRAIN_MS       2000 // how long clients may take to hear that we go
#define DRAIN_CHECK_MS 10
#define CACHE_LINE     128 // with the one beside it, which processors fetch along

struct worker {
    alignas(CACHE_LINE) struct workers *workers;
    struct gw_loop *loop;
    struct sio_server *sio;
    struct http_server *http;
    struct listener *listener;
    struct static_files *page; // of its own: its chunks are for one thread
    struct router router;
    struct gw_metrics metrics;
    uv_timer_t drain_timer;
    bool has_timer;
    int64_t drain_until;
    bool is_drained;
    struct gw_loop_message stop_message;
    struct gw_loop_message quit_message;
    pthread_t thread;
    bool is_started;
};

struct workers {
    const struct options *options;
    const struct cors *cors;
    const struct bridge *bridge; // NULL until it is attached
    unsigned count;
    atomic_uint drained;
    bool is_stopping;
    bool is_quitting;
    struct worker *all;
    struct http_server *servers[GW_ID_TAGS_MAX];
    const struct gw_metrics *metrics[GW_ID_TAGS_MAX + 1]; // then the bus thread's
};

static bool fail(char *error, size_t error_size, const char *text)
{
    snprintf(error, error_size, "%s", text);
    return false;
}

// ---- The beginning

static unsigned choose_count(const struct options *options)
{
    long cores = options->workers > 0 ? (long)options->workers : sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 1)
        return 1;
    return cores < GW_ID_TAGS_MAX ? (unsigned)cores : GW_ID_TAGS_MAX;
}

static bool open_servers(struct worker *worker, unsigned index)
{
    const struct options *options = worker->workers->options;
    struct sio_server_options sio;
    sio_server_options_init(&sio);
    sio.engine.worker = index;
    sio.engine.ping_interval_ms = options->ping_interval_ms;
    sio.engine.ping_timeout_ms = options->ping_timeout_ms;
    sio.engine.max_payload = options->max_payload;
    sio.engine.max_queue = options->client_queue_bytes;
    sio.engine.cors = worker->workers->cors;
    sio.max_packet = options->max_payload; // nothing that clients send here has attachments
    sio.connect_timeout_ms = options->connect_timeout_ms;
    worker->sio = sio_server_new(worker->loop, &worker->metrics, &sio);

    struct http_server_options http;
    http_server_options_init(&http);
    http.limits.max_body = options->max_payload;
    http.on_head = router_handle_head;
    worker->http =
        http_server_new(worker->loop, &worker->metrics, &http, router_handle, &worker->router);
    return worker->sio && worker->http;
}

static void on_stop(struct gw_loop_message *message);
static void on_quit(struct gw_loop_message *message);

static bool open_worker(struct workers *workers, unsigned index, char *error, size_t error_size)
{
    struct worker *worker = &workers->all[index];
    const struct options *options = workers->options;
    worker->workers = workers;
    worker->stop_message.deliver = on_stop;
    worker->quit_message.deliver = on_quit;
    worker->loop = gw_loop_new();
    worker->drain_timer.data = worker;
    worker->has_timer =
        worker->loop && uv_timer_init(gw_loop_uv(worker->loop), &worker->drain_timer) == 0;
    if (!worker->has_timer)
        return fail(error, error_size, "out of memory or descriptors");
    if (options->page) {
        worker->page = static_files_load(options->page, error, error_size);
        if (!worker->page)
            return false;
    }
    if (!open_servers(worker, index))
        return fail(error, error_size, "out of memory");
    workers->servers[index] = worker->http;
    workers->metrics[index] = &worker->metrics;
    worker->router = (struct router){
        .path = options->path,
        .cors = workers->cors,
        .sio = worker->sio,
        .page = worker->page,
        .worker = index,
        .workers = workers->servers,
        .worker_count = workers->count,
        .metrics = workers->metrics,
    };
    return true;
}

struct workers *workers_new(const struct options *options, const struct cors *cors, char *error,
                            size_t error_size)
{
    struct workers *workers = calloc(1, sizeof *workers);
    fail(error, error_size, "out of memory");
    if (!workers)
        return NULL;
    workers->options = options;
    workers->cors = cors;
    workers->count = choose_count(options);
    workers->all = aligned_alloc(CACHE_LINE, workers->count * sizeof *workers->all);
    if (!workers->all) {
        free(workers);
        return NULL;
    }
    memset(workers->all, 0, workers->count * sizeof *workers->all);
    for (unsigned i = 0; workers && i < workers->count; i++) {
        if (!open_worker(workers, i, error, error_size)) {
            workers_close(workers);
            workers_destroy(&workers);
        }
    }
    return workers;
}

bool workers_attach(struct workers *workers, struct bridge *bridge)
{
    workers->bridge = bridge;
    workers->metrics[workers->count] = bridge_metrics(bridge);
    for (unsigned i = 0; i < workers->count; i++) {
        struct worker *worker = &workers->all[i];
        if (!bridge_attach(bridge, worker->sio, worker->loop, &worker->metrics))
            return false;
    }
    return true;
}

static void on_accept(int fd, void *arg)
{
    http_server_take(((struct worker *)arg)->http, fd);
}

bool workers_listen(struct workers *workers, char *error, size_t error_size)
{
    const char *address = workers->options->listen;
    struct worker *first = &workers->all[0];
    first->listener = workers->count > 1
                          ? listener_open_shared(first->loop, &first->metrics, address, on_accept,
                                                 first, error, error_size)
                          : listener_open(first->loop, &first->metrics, address, on_accept, first,
                                          error, error_size);
    bool is_open = first->listener != NULL;
    for (unsigned i = 1; is_open && i < workers->count; i++) {
        struct worker *worker = &workers->all[i];
        worker->listener = listener_join(worker->loop, &worker->metrics, first->listener, on_accept,
                                         worker, error, error_size);
        is_open = worker->listener != NULL;
    }
    return is_open;
}

const char *workers_address(const struct workers *workers)
{
    return listener_address(workers->all[0].listener);
}

unsigned workers_count(const struct workers *workers)
{
    return workers->count;
}

struct gw_loop *workers_main_loop(const struct workers *workers)
{
    return workers->all[0].loop;
}

// ---- Running

static void *run(void *arg)
{
    gw_loop_run(((struct worker *)arg)->loop);
    return NULL;
}

static bool start(struct workers *workers)
{
    // Signals are for the main thread.
    sigset_t all;
    sigset_t before;
    bool is_started = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 1; is_started && i < workers->count; i++) {
        struct worker *worker = &workers->all[i];
        char name[32];
        is_started = pthread_create(&worker->thread, NULL, run, worker) == 0;
        worker->is_started = is_started;
        snprintf(name, sizeof name, "talus-worker-%u", i);
        if (is_started)
            pthread_setname_np(worker->thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

bool workers_run(struct workers *workers)
{
    bool is_started = start(workers);
    if (is_started)
        gw_loop_run(workers->all[0].loop);
    else
        workers_quit(workers);
    for (unsigned i = 1; i < workers->count; i++) {
        struct worker *worker = &workers->all[i];
        if (worker->is_started)
            pthread_join(worker->thread, NULL);
        worker->is_started = false;
    }
    return is_started;
}

// ---- The end

static bool is_drained(const struct worker *worker)
{
    const struct workers *workers = worker->workers;
    return sio_server_is_drained(worker->sio) && http_server_is_drained(worker->http) &&
           bridge_is_idle(workers->bridge, (unsigned)(worker - workers->all));
}

static void on_drain_check(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    struct workers *workers = worker->workers;
    if (!worker->is_drained && is_drained(worker)) {
        worker->is_drained = true;
        atomic_fetch_add(&workers->drained, 1);
    }
    if (atomic_load(&workers->drained) == workers->count ||
        gw_loop_now(worker->loop) >= worker->drain_until)
        gw_loop_stop(worker->loop);
}

static void on_stop(struct gw_loop_message *message)
{
    struct worker *worker = TL_LIST_ENTRY(message, struct worker, stop_message);
    listener_close(&worker->listener);
    sio_server_stop(worker->sio);
    http_server_stop(worker->http, DRAIN_MS);
    worker->drain_until = gw_loop_now(worker->loop) + DRAIN_MS;
    uv_timer_start(&worker->drain_timer, on_drain_check, 0, DRAIN_CHECK_MS);
}

static void on_quit(struct gw_loop_message *message)
{
    gw_loop_stop(TL_LIST_ENTRY(message, struct worker, quit_message)->loop);
}

void workers_stop(struct workers *workers)
{
    if (workers->is_stopping)
        return;
    workers->is_stopping = true;
    for (unsigned i = 0; i < workers->count; i++)
        gw_loop_post(workers->all[i].loop, &workers->all[i].stop_message);
}

void workers_quit(struct workers *workers)
{
    if (workers->is_quitting)
        return;
    workers->is_quitting = true;
    for (unsigned i = 0; i < workers->count; i++)
        gw_loop_post(workers->all[i].loop, &workers->all[i].quit_message);
}

void workers_close(struct workers *workers)
{
    for (unsigned i = 0; workers && i < workers->count; i++) {
        struct worker *worker = &workers->all[i];
        if (!worker->workers)
            break; // it was never opened
        listener_close(&worker->listener);
        http_server_destroy(&worker->http);
        sio_server_destroy(&worker->sio);
        if (worker->has_timer)
            uv_close((uv_handle_t *)&worker->drain_timer, NULL);
    }
}

void workers_destroy(struct workers **handle)
{
    struct workers *workers = *handle;
    *handle = NULL;
    if (!workers)
        return;
    for (unsigned i = 0; i < workers->count; i++) {
        gw_loop_destroy(&workers->all[i].loop);
        static_files_destroy(&workers->all[i].page);
    }
    free(workers->all);
    free(workers);
}
