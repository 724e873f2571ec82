// SPDX-License-Identifier: MIT
#include "tests/gateway/session/sio_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/sio_frames.h"
#include "gateway/session/sio_internal.h"

enum { FRAMES_MAX = 1 << 20 };

// ---- The server

static void log_line(struct sio_harness *harness, const char *what, const struct sio_socket *socket,
                     const json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    tl_buffer_append_format(&harness->base.log, "%s %s %s", what,
                            sio_socket_namespace(socket)->name, text ? text : "-");
    free(text);
}

static bool on_connect(struct sio_socket *socket, const json_t *auth, struct sio_refusal *refusal,
                       void *arg)
{
    struct sio_harness *harness = arg;
    log_line(harness, "connect", socket, auth);
    tl_buffer_append_text(&harness->base.log, "\n");
    return !harness->hooks.on_connect || harness->hooks.on_connect(socket, auth, refusal, arg);
}

static void on_connection(struct sio_socket *socket, const json_t *auth, void *arg)
{
    struct sio_harness *harness = arg;
    harness->newest = socket;
    harness->connections++;
    log_line(harness, "connection", socket, auth);
    tl_buffer_append_text(&harness->base.log, "\n");
    if (harness->hooks.on_connection)
        harness->hooks.on_connection(socket, auth, arg);
}

static void log_attachments(struct sio_harness *harness, const struct sio_message *message)
{
    for (unsigned i = 0; i < message->attachment_count; i++) {
        const struct sio_attachment *attachment = &message->attachments[i];
        tl_buffer_append_text(&harness->base.log, " <");
        for (size_t at = 0; at < attachment->size; at++)
            tl_buffer_append_format(&harness->base.log, "%02x", attachment->bytes[at]);
        tl_buffer_append_text(&harness->base.log, ">");
    }
}

static void on_event(struct sio_socket *socket, const struct sio_message *message,
                     struct sio_ack *ack, void *arg)
{
    struct sio_harness *harness = arg;
    log_line(harness, "event", socket, message->args);
    tl_buffer_append_text(&harness->base.log, ack ? " ack" : "");
    log_attachments(harness, message);
    tl_buffer_append_text(&harness->base.log, "\n");
    if (harness->hooks.on_event)
        harness->hooks.on_event(socket, message, ack, arg);
    else
        sio_ack_drop(ack);
}

static void on_disconnect(struct sio_socket *socket, const char *reason, void *arg)
{
    struct sio_harness *harness = arg;
    harness->disconnections++;
    if (harness->newest == socket)
        harness->newest = NULL;
    tl_buffer_append_format(&harness->base.log, "disconnect %s %s\n",
                            sio_socket_namespace(socket)->name, reason);
    const struct sio_message late = {.args = harness->late};
    assert_false(sio_emit(socket, &late));
    if (harness->hooks.on_disconnect)
        harness->hooks.on_disconnect(socket, reason, arg);
}

static void on_head(struct http_exchange *exchange, const struct http_request *request, void *arg)
{
    sio_server_handle_head(((struct sio_harness *)arg)->sio, exchange, request);
}

static void on_request(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    sio_server_handle(((struct sio_harness *)arg)->sio, exchange, request);
}

static void start(struct sio_harness *harness)
{
    static const struct sio_handler handler = {
        .on_connect = on_connect,
        .on_connection = on_connection,
        .on_event = on_event,
        .on_disconnect = on_disconnect,
    };
    struct bed *bed = &harness->base.bed;
    struct sio_server_options options;
    struct http_server_options http;
    sio_server_options_init(&options);
    options.connect_timeout_ms = CONNECT_TIMEOUT;
    options.max_namespaces = MAX_NAMESPACES;
    options.engine.ping_interval_ms = PING_INTERVAL;
    options.engine.ping_timeout_ms = PING_TIMEOUT;
    options.engine.max_payload = MAX_PAYLOAD;
    options.engine.max_queue = (size_t)64 << 20; // who is slow is the Engine.IO tests' matter
    http_server_options_init(&http);
    http.limits.max_body = MAX_PAYLOAD;
    http.on_head = on_head;
    harness->sio = sio_server_new(bed->loop, &bed->metrics, &options);
    harness->base.http = http_server_new(bed->loop, &bed->metrics, &http, on_request, harness);
    assert_non_null(harness->sio);
    assert_non_null(harness->base.http);
    harness->main = sio_server_add_namespace(harness->sio, "/", &handler, harness);
    harness->custom = sio_server_add_namespace(harness->sio, "/custom", &handler, harness);
    harness->third = sio_server_add_namespace(harness->sio, "/third", &handler, harness);
    assert_true(harness->main && harness->custom && harness->third);
}

int sio_setup(void **state)
{
    struct sio_harness *harness = calloc(1, sizeof *harness);
    assert_non_null(harness);
    harness_init(&harness->base);
    harness->late = json_pack("[s]", "late");
    start(harness);
    *state = harness;
    return 0;
}

int sio_teardown(void **state)
{
    static const enum gw_metric gauges[] = {GW_SIO_SOCKETS, GW_ROOMS, GW_EIO_SESSIONS,
                                            GW_CONNECTIONS};
    struct sio_harness *harness = *state;
    sio_server_destroy(&harness->sio);
    http_server_stop(harness->base.http, 1);
    harness_settle(&harness->base);
    http_server_destroy(&harness->base.http);
    harness_settle(&harness->base);
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        assert_int_equal(bed_metric(&harness->base.bed, gauges[i]), 0);
    assert_int_equal(harness->connections, harness->disconnections);
    assert_null(harness->newest);
    json_decref(harness->late);
    harness_fini(&harness->base);
    free(harness);
    return 0;
}

void sio_expect_log(struct sio_harness *harness, const char *expected)
{
    harness_expect_log(&harness->base, expected);
}

void sio_forget_log(struct sio_harness *harness)
{
    harness_settle(&harness->base);
    tl_buffer_clear(&harness->base.log);
}

// ---- Clients

static void encode_nsp(char text[64], const char *nsp)
{
    bool is_main = strcmp(nsp, "/") == 0;
    snprintf(text, 64, "%s%s", is_main ? "" : nsp, is_main ? "" : ",");
}

// The answer to a CONNECT, which must have led to a socket.
static const char *answer_of(const struct sio_harness *harness, const char *nsp_text)
{
    static char answer[128];
    assert_non_null(harness->newest);
    const char *id = sio_socket_id(harness->newest);
    assert_int_equal(strlen(id), GW_ID_SIZE);
    assert_int_equal(strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"),
                     GW_ID_SIZE);
    snprintf(answer, sizeof answer, "40%s{\"sid\":\"%s\"}", nsp_text, id);
    return answer;
}

struct sio_socket *sio_ws_enter(struct client *client, struct sio_harness *harness, const char *nsp)
{
    char nsp_text[64];
    char packet[80];
    encode_nsp(nsp_text, nsp);
    snprintf(packet, sizeof packet, "40%s", nsp_text);
    harness->newest = NULL;
    ws_send(client, packet);
    ws_expect(client, answer_of(harness, nsp_text));
    sio_forget_log(harness);
    return harness->newest;
}

struct sio_socket *sio_ws_open(struct client **client, struct sio_harness *harness)
{
    ws_handshake(client, &harness->base, WS);
    return sio_ws_enter(*client, harness, "/");
}

struct sio_socket *sio_polling_open(struct sid *sid, struct sio_harness *harness)
{
    *sid = polling_handshake(&harness->base);
    harness->newest = NULL;
    post(&harness->base, sid, "40");
    const char *body = fetch(&harness->base, sid, 200);
    assert_string_equal(body, answer_of(harness, ""));
    sio_forget_log(harness);
    return harness->newest;
}

// ---- Emitting

struct sio_message message_of(const char *json)
{
    struct sio_message message = {.args = json_loads(json, JSON_DECODE_ANY, NULL)};
    if (!message.args)
        fail_msg("no JSON: %s", json);
    return message;
}

bool sio_emit_json(struct sio_socket *socket, const char *json)
{
    struct sio_message message = message_of(json);
    bool is_sent = sio_emit(socket, &message);
    json_decref(message.args);
    return is_sent;
}

size_t sio_room_emit_json(struct sio_namespace *nsp, const char *room, const char *json,
                          const struct sio_socket *except)
{
    struct sio_message message = message_of(json);
    const char *id = except ? sio_socket_id(except) : NULL;
    size_t count = sio_room_emit(nsp, room, &message, &id, except ? 1 : 0);
    json_decref(message.args);
    return count;
}

size_t sio_room_emit_frames(struct sio_namespace *nsp, const char *room, const char *json,
                            const struct sio_socket *except)
{
    struct sio_message message = message_of(json);
    struct tl_buffer frames;
    tl_buffer_init(&frames, FRAMES_MAX);
    assert_true(sio_frames_encode(&frames, SIO_EVENT, nsp->name, SIO_NO_ID, message.args, NULL, 0));
    const struct sio_encoded encoded = {frames.bytes, frames.size};
    size_t count =
        sio_room_emit_encoded(nsp, room, &encoded, except ? sio_socket_id(except) : NULL);
    tl_buffer_fini(&frames);
    json_decref(message.args);
    return count;
}
