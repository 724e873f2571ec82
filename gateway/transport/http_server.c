// SPDX-License-Identifier: MIT
// The HTTP server: its connections as a set.
#include "gateway/transport/http_server.h"

#include <stdlib.h>
#include <unistd.h>

#include "gateway/transport/http_internal.h"

void http_server_options_init(struct http_server_options *options)
{
    *options = (struct http_server_options){
        .limits = {.max_head = 16 * 1024, .max_headers = 100, .max_body = 1000000},
        .idle_timeout_ms = 5000,
        .request_timeout_ms = 60000,
    };
}

static void on_grace_over(struct gw_deadline *deadline)
{
    struct http_server *server = TL_LIST_ENTRY(deadline, struct http_server, grace);
    for (struct tl_list *link = server->connections.next; link != &server->connections;
         link = link->next)
        conn_abort(TL_LIST_ENTRY(link, struct http_connection, link)->conn);
}

struct http_server *http_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                    const struct http_server_options *options,
                                    http_handler_fn *handler, void *arg)
{
    struct http_server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->loop = loop;
    server->metrics = metrics;
    server->options = *options;
    server->handler = handler;
    server->arg = arg;
    tl_list_init(&server->connections);
    tl_list_init(&server->relayed);
    gw_deadline_queue_init(&server->idle, loop, options->idle_timeout_ms);
    gw_deadline_queue_init(&server->request, loop, options->request_timeout_ms);
    gw_deadline_init(&server->grace, on_grace_over);
    return server;
}

void http_server_take(struct http_server *server, int fd)
{
    if (server->is_stopping) {
        close(fd);
        return;
    }
    if (!http__connection_open(server, fd)) {
        gw_metric_add(server->metrics, GW_ACCEPT_FAILED, 1);
        close(fd);
    }
}

void http_server_stop(struct http_server *server, int64_t grace_ms)
{
    server->is_stopping = true;
    for (struct tl_list *link = server->connections.next; link != &server->connections;
         link = link->next) {
        struct http_connection *http = TL_LIST_ENTRY(link, struct http_connection, link);
        if (http__connection_is_idle(http))
            http__close_gently(http);
    }
    struct gw_deadline_queue *queue = gw_loop_deadlines(server->loop, grace_ms);
    if (queue)
        gw_deadline_start(queue, &server->grace);
    else
        on_grace_over(&server->grace);
}

bool http_server_is_drained(const struct http_server *server)
{
    return tl_list_is_empty(&server->connections) && tl_list_is_empty(&server->relayed);
}

void http_server_destroy(struct http_server **server_pointer)
{
    struct http_server *server = *server_pointer;
    *server_pointer = NULL;
    if (!server)
        return;
    while (!tl_list_is_empty(&server->connections)) {
        struct http_connection *http =
            TL_LIST_ENTRY(server->connections.next, struct http_connection, link);
        tl_list_remove(&http->link);
        http__close_hard(http); // it is freed at its end
        http__abort_exchanges(http);
        http->server = NULL;
    }
    http__abort_relayed(server);
    http_reader_destroy(&server->spare_reader);
    gw_deadline_stop(&server->grace);
    gw_deadline_queue_fini(&server->idle);
    gw_deadline_queue_fini(&server->request);
    free(server);
}
