// SPDX-License-Identifier: MIT
// The Engine.IO server: what a request is for, and whether it may. The order of the checks is the
// reference's, since it decides which error a request with several faults gets.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/log.h"
#include "gateway/session/eio_internal.h"

#define RELEASE_MS         100                // between two polls that are let go during an upgrade
#define HEADERS_MAX        ((size_t)32 << 10) // bytes; a preflight repeats what the request's head held
#define OPEN_MAX           ((size_t)512)      // bytes of an open packet
#define TRANSPORT_NAME_MAX 16                 // of a transport; a longer one is unknown
#define ORIGIN_LOG_MS      10000              // between two log lines about refused origins
#define ORIGIN_LOG_BYTES   200                // of an origin in such a line
#define SESSION_ID_MAX     (GW_ID_SIZE + 1) // of a session; a longer one is unknown

// X(identifier, status, message): the codes, from 0, of error responses.
#define REFUSALS(X)                                                                                \
    X(UNKNOWN_TRANSPORT, 400, "Transport unknown")                                                 \
    X(UNKNOWN_ID, 400, "Session ID unknown")                                                       \
    X(BAD_METHOD, 400, "Bad handshake method")                                                     \
    X(BAD_REQUEST, 400, "Bad request")                                                             \
    X(FORBIDDEN, 403, "Forbidden")                                                                 \
    X(BAD_REVISION, 400, "Unsupported protocol version")

#define REFUSAL_ENUM(identifier, status, message) REFUSE_##identifier,
enum refusal { REFUSALS(REFUSAL_ENUM) ACCEPT };

// What a request asks for.
struct target {
    const struct transport_ops *ops;
    struct eio_session *session; // NULL: a handshake
};

// ---- Answers

static void respond(const struct eio_server *server, struct http_exchange *exchange,
                    const struct http_request *request, int status, const char *lines,
                    const char *body, bool close)
{
    char *headers = transport_headers(&server->host, request, lines);
    http_respond(exchange, headers ? status : 503, headers ? headers : "", body, strlen(body),
                 close || !headers);
    free(headers);
}

// Any page of the internet can cause this: one line, then none for a while.
static void note_refused_origin(struct eio_server *server, const struct http_request *request)
{
    const char *origin = http_request_header(request, "Origin");
    int64_t now = gw_loop_now(server->host.loop);
    gw_metric_add(server->host.metrics, GW_HTTP_REFUSED_ORIGIN, 1);
    if (server->origin_logged_at && now - server->origin_logged_at < ORIGIN_LOG_MS) {
        server->origins_unlogged++;
        return;
    }
    gw_log(GW_LOG_WARNING, "engine",
           "refused a page of origin \"%.*s\"; --cors-origin would allow it unlogged=%" PRIu64,
           ORIGIN_LOG_BYTES, origin ? origin : "", server->origins_unlogged);
    server->origin_logged_at = now ? now : 1;
    server->origins_unlogged = 0;
}

static void refuse(struct eio_server *server, struct http_exchange *exchange,
                   const struct http_request *request, enum refusal refusal)
{
#define REFUSAL_ROW(identifier, status, message) {status, message},
    static const struct {
        int status;
        const char *message;
    } rows[] = {REFUSALS(REFUSAL_ROW)};
#undef REFUSAL_ROW
    if (refusal == REFUSE_FORBIDDEN)
        note_refused_origin(server, request);
    // Browsers show nothing of a refused WebSocket handshake, so its answer has no code.
    if (request->is_upgrade) {
        respond(server, exchange, request, 400, "Content-Type: text/html\r\n",
                rows[refusal].message, true);
        return;
    }
    struct tl_buffer body;
    tl_buffer_init(&body, 128);
    bool is_whole = tl_buffer_append_format(&body, "{\"code\":%d,\"message\":\"%s\"}", (int)refusal,
                                            rows[refusal].message) &&
                    tl_buffer_append(&body, "", 1);
    respond(server, exchange, request, rows[refusal].status, "Content-Type: application/json\r\n",
            is_whole ? (const char *)body.bytes : "", false);
    tl_buffer_fini(&body);
}

static void answer_preflight(const struct eio_server *server, struct http_exchange *exchange,
                             const struct http_request *request)
{
    struct tl_buffer headers;
    tl_buffer_init(&headers, HEADERS_MAX);
    if (cors_append_preflight(server->host.cors, request, &headers) &&
        tl_buffer_append(&headers, "", 1))
        http_respond(exchange, 204, (const char *)headers.bytes, NULL, 0, false);
    else
        http_respond(exchange, 503, "", NULL, 0, true);
    tl_buffer_fini(&headers);
}

// ---- Checks

static bool is_revision_known(const struct http_request *request)
{
    char revision[4];
    return http_query_get(request->query, "EIO", revision, sizeof revision) > 0 &&
           strcmp(revision, EIO_PROTOCOL) == 0;
}

static enum refusal check_session(const struct eio_server *server,
                                  const struct http_request *request, const struct target *target)
{
    if (!target->session)
        return REFUSE_UNKNOWN_ID;
    if (request->is_upgrade != target->ops->needs_upgrade)
        return REFUSE_BAD_REQUEST;
    if (!request->is_upgrade && target->session->transport->ops != target->ops)
        return REFUSE_BAD_REQUEST; // a poll after the upgrade
    if (!is_revision_known(request))
        return REFUSE_BAD_REQUEST;
    // WebSockets know no CORS: whether a page may use one is for the server to say.
    if (request->is_upgrade && !cors_allows(server->host.cors, request))
        return REFUSE_FORBIDDEN;
    return ACCEPT;
}

static enum refusal check_handshake(const struct eio_server *server,
                                    const struct http_request *request, const struct target *target)
{
    if (request->method != HTTP_METHOD_GET)
        return REFUSE_BAD_METHOD;
    if (request->is_upgrade != target->ops->needs_upgrade)
        return REFUSE_BAD_REQUEST;
    if (!cors_allows(server->host.cors, request))
        return REFUSE_FORBIDDEN;
    return is_revision_known(request) ? ACCEPT : REFUSE_BAD_REVISION;
}

static enum refusal check(struct eio_server *server, const struct http_request *request,
                          struct target *target)
{
    char name[TRANSPORT_NAME_MAX + 1];
    char id[SESSION_ID_MAX + 1];
    http_query_get(request->query, "transport", name, sizeof name);
    target->ops = transport_find(name);
    if (!target->ops)
        return REFUSE_UNKNOWN_TRANSPORT;
    int id_size = http_query_get(request->query, "sid", id, sizeof id);
    if (id_size == 0 || id_size == -1)
        return check_handshake(server, request, target);
    target->session = id_size > 0 ? eio__session_find(server, id) : NULL;
    return check_session(server, request, target);
}

// ---- Requests

static void handshake(struct eio_server *server, struct http_exchange *exchange,
                      const struct http_request *request, const struct transport_ops *ops)
{
    const struct eio_server_options *options = &server->options;
    struct eio_session *session = eio__session_new(server);
    struct tl_buffer open;
    tl_buffer_init(&open, OPEN_MAX);
    if (!session ||
        !eio_encode_open(&open, session->id, ops->can_upgrade, options->ping_interval_ms,
                         options->ping_timeout_ms, options->max_payload)) {
        gw_log(GW_LOG_WARNING, "engine",
               "a client was refused: out of memory, or no random numbers");
        respond(server, exchange, request, 503, "", "", true);
        goto fail;
    }
    struct transport *transport =
        ops->accept(&server->host, exchange, request, &open, &eio__session_events, session);
    if (!transport)
        goto fail;
    tl_buffer_fini(&open);
    eio__session_open(session, transport);
    return;
fail:
    tl_buffer_fini(&open);
    if (session)
        eio__session_discard(session);
}

void eio_server_handle(struct eio_server *server, struct http_exchange *exchange,
                       const struct http_request *request)
{
    struct target target = {0};
    if (server->is_stopping) {
        respond(server, exchange, request, 503, "", "", true);
        return;
    }
    if (cors_is_preflight(server->host.cors, request)) {
        answer_preflight(server, exchange, request);
        return;
    }
    enum refusal refusal = check(server, request, &target);
    if (refusal != ACCEPT)
        refuse(server, exchange, request, refusal);
    else if (!target.session)
        handshake(server, exchange, request, target.ops);
    else if (request->is_upgrade)
        eio__upgrade_begin(target.session, target.ops, exchange, request);
    else
        target.ops->on_request(target.session->transport, exchange, request);
}

void eio_server_handle_head(struct eio_server *server, struct http_exchange *exchange,
                            const struct http_request *request)
{
    struct target target = {0};
    if (server->is_stopping || cors_is_preflight(server->host.cors, request))
        return; // answered as a whole
    enum refusal refusal = check(server, request, &target);
    if (refusal != ACCEPT)
        refuse(server, exchange, request, refusal);
    else if (target.session && target.ops->on_head)
        target.ops->on_head(target.session->transport, exchange, request);
}

// ---- Life

void eio_server_options_init(struct eio_server_options *options)
{
    *options = (struct eio_server_options){
        .ping_interval_ms = 25000,
        .ping_timeout_ms = 20000,
        .upgrade_timeout_ms = 10000,
        .max_payload = 1000000,
        .max_queue = (size_t)1 << 20,
    };
}

struct eio_server *eio_server_new(struct gw_loop *loop, struct gw_metrics *metrics,
                                  const struct eio_server_options *options,
                                  const struct eio_handler *handler, void *arg)
{
    static const struct cors no_cors;
    struct eio_server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->options = *options;
    server->handler = handler;
    server->arg = arg;
    server->host = (struct transport_host){
        .loop = loop,
        .metrics = metrics,
        .cors = options->cors ? options->cors : &no_cors,
        .max_payload = options->max_payload,
        .max_queue = options->max_queue,
    };
    transport_host_init(&server->host);
    gw_deadline_queue_init(&server->ping_intervals, loop, options->ping_interval_ms);
    gw_deadline_queue_init(&server->ping_timeouts, loop, options->ping_timeout_ms);
    gw_deadline_queue_init(&server->upgrade_timeouts, loop, options->upgrade_timeout_ms);
    gw_deadline_queue_init(&server->releases, loop, RELEASE_MS);
    tl_table_init(&server->by_id);
    tl_list_init(&server->sessions);
    tl_list_init(&server->orphans);
    return server;
}

static void end_sessions(struct eio_server *server)
{
    for (struct tl_list *at = server->sessions.next, *next; at != &server->sessions; at = next) {
        next = at->next;
        struct eio_session *session = TL_LIST_ENTRY(at, struct eio_session, link);
        if (session->state != EIO_SESSION_OPENING)
            eio__session_end(session, EIO__SHUTTING_DOWN);
    }
}

void eio_server_stop(struct eio_server *server)
{
    server->is_stopping = true;
    for (struct tl_list *at = server->sessions.next, *next; at != &server->sessions; at = next) {
        next = at->next;
        struct eio_session *session = TL_LIST_ENTRY(at, struct eio_session, link);
        if (session->state == EIO_SESSION_OPENING)
            continue;
        if (eio__upgrade_is_probed(session))
            eio_session_close(session, EIO__SHUTTING_DOWN);
        else
            eio__session_end(session, EIO__SHUTTING_DOWN);
    }
}

bool eio_server_is_drained(const struct eio_server *server)
{
    return tl_list_is_empty(&server->sessions) && tl_list_is_empty(&server->host.transports);
}

void eio_server_destroy(struct eio_server **handle)
{
    struct eio_server *server = *handle;
    *handle = NULL;
    if (!server)
        return;
    server->is_stopping = true;
    end_sessions(server);
    while (!tl_list_is_empty(&server->sessions))
        eio__session_destroy(TL_LIST_ENTRY(server->sessions.next, struct eio_session, link));
    eio__upgrades_drop_orphans(server);
    transport_host_fini(&server->host);
    gw_deadline_queue_fini(&server->ping_intervals);
    gw_deadline_queue_fini(&server->ping_timeouts);
    gw_deadline_queue_fini(&server->upgrade_timeouts);
    gw_deadline_queue_fini(&server->releases);
    tl_table_fini(&server->by_id);
    free(server);
}
