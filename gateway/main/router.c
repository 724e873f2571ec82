// SPDX-License-Identifier: MIT

#include "gateway/main/router.h"

#include <string.h>

#include "gateway/base/random.h"
#include "gateway/transport/http_relay.h"

#define METRICS_MAX ((size_t)1 << 20) // bytes of the metrics' text
#define HEADERS_MAX ((size_t)2048)

#define JSON "Content-Type: application/json\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"

// Answers with `headers`, those that CORS asks for, and a body that is not to be kept by caches.
static void answer(const struct router *router, struct http_exchange *exchange,
                   const struct http_request *request, int status, const char *headers,
                   const char *body, size_t size)
{
    struct tl_buffer all;
    tl_buffer_init(&all, HEADERS_MAX);
    bool is_whole = tl_buffer_append_text(&all, headers) &&
                    tl_buffer_append_text(&all, "Cache-Control: no-store\r\n") &&
                    cors_append_headers(router->cors, request, &all) &&
                    tl_buffer_append(&all, "", 1);
    http_respond(exchange, status, is_whole ? (const char *)all.bytes : headers, body, size, false);
    tl_buffer_fini(&all);
}

static void answer_text(const struct router *router, struct http_exchange *exchange,
                        const struct http_request *request, int status, const char *headers,
                        const char *body)
{
    answer(router, exchange, request, status, headers, body, strlen(body));
}

static void on_metrics(const struct router *router, struct http_exchange *exchange,
                       const struct http_request *request)
{
    struct tl_buffer text;
    tl_buffer_init(&text, METRICS_MAX);
    if (gw_metrics_encode(&text, router->metrics, router->worker_count + 1) &&
        gw_metrics_encode_workers(&text, router->metrics, router->worker_count))
        answer(router, exchange, request, 200,
               "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
               (const char *)text.bytes, text.size);
    else
        answer_text(router, exchange, request, 503, TEXT, "out of memory\n");
    tl_buffer_fini(&text);
}

static bool is_reading(const struct http_request *request)
{
    return request->method == HTTP_METHOD_GET || request->method == HTTP_METHOD_HEAD;
}

static bool is_health(const struct http_request *request)
{
    return strcmp(request->path, "/api/v1/health") == 0;
}

static bool is_metrics(const struct http_request *request)
{
    return strcmp(request->path, "/metrics") == 0;
}

// With `--path /` the gateway's own two paths lie below that of Socket.IO.
static bool is_socket_io(const struct router *router, const struct http_request *request)
{
    return strncmp(request->path, router->path, strlen(router->path)) == 0 && !is_health(request) &&
           !is_metrics(request);
}

// The server of the other worker that the request's session lives on, going by its id; NULL: there
// is none.
static struct http_server *find_other(const struct router *router,
                                      const struct http_request *request)
{
    char id[GW_ID_SIZE + 2];
    if (router->worker_count == 1 || http_query_get(request->query, "sid", id, sizeof id) <= 0)
        return NULL;
    int worker = eio_id_worker(id);
    if (worker < 0 || (unsigned)worker >= router->worker_count ||
        (unsigned)worker == router->worker)
        return NULL;
    return router->workers[worker];
}

static void on_socket_io(const struct router *router, struct http_exchange *exchange,
                         const struct http_request *request)
{
    struct http_server *other = find_other(router, request);
    if (other)
        http_relay(exchange, request, other);
    else
        sio_server_handle(router->sio, exchange, request);
}

void router_handle_head(struct http_exchange *exchange, const struct http_request *request,
                        void *arg)
{
    const struct router *router = arg;
    if (!is_socket_io(router, request))
        return;
    struct http_server *other = find_other(router, request);
    if (other)
        http_relay_head(exchange, request, other);
    else
        sio_server_handle_head(router->sio, exchange, request);
}

void router_handle(struct http_exchange *exchange, const struct http_request *request, void *arg)
{
    const struct router *router = arg;
    if (is_socket_io(router, request))
        on_socket_io(router, exchange, request);
    else if ((is_health(request) || is_metrics(request)) && !is_reading(request))
        answer_text(router, exchange, request, 405, JSON "Allow: GET, HEAD\r\n",
                    "{\"error\":\"method not allowed\"}");
    else if (is_health(request))
        answer_text(router, exchange, request, 200, JSON, "{\"status\":\"ok\"}");
    else if (is_metrics(request))
        on_metrics(router, exchange, request);
    else if (!router->page || !static_files_respond(router->page, exchange, request))
        answer_text(router, exchange, request, 404, JSON, "{\"error\":\"not found\"}");
}
