// SPDX-License-Identifier: MIT
#include "tests/gateway/session/eio_harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

// ---- The server

static void on_open(struct eio_session *session, void *arg)
{
    struct harness *harness = arg;
    harness->session = session;
    tl_buffer_append_text(&harness->log, "open\n");
}

static void on_message(struct eio_session *session, bool is_binary, const uint8_t *bytes,
                       size_t size, void *arg)
{
    struct harness *harness = arg;
    tl_buffer_append_text(&harness->log, is_binary ? "binary:" : "message:");
    tl_buffer_append(&harness->log, bytes, size);
    tl_buffer_append_text(&harness->log, "\n");
    if (harness->is_echo)
        eio_session_send_message(session, is_binary, bytes, size);
}

static void on_close(struct eio_session *session, const char *reason, void *arg)
{
    struct harness *harness = arg;
    tl_buffer_append_format(&harness->log, "close:%s\n", reason);
    if (harness->session == session)
        harness->session = NULL;
}

static void on_request(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    struct harness *harness = arg;
    eio_server_handle(harness->eio, exchange, request);
}

static void on_head(struct http_exchange *exchange, const struct http_request *request, void *arg)
{
    struct harness *harness = arg;
    eio_server_handle_head(harness->eio, exchange, request);
}

static void start(struct harness *harness)
{
    static const struct eio_handler handler = {
        .on_open = on_open,
        .on_message = on_message,
        .on_close = on_close,
    };
    struct eio_server_options options;
    struct http_server_options http_options;
    eio_server_options_init(&options);
    options.ping_interval_ms = PING_INTERVAL;
    options.ping_timeout_ms = PING_TIMEOUT;
    options.upgrade_timeout_ms = UPGRADE_TIMEOUT;
    options.max_payload = MAX_PAYLOAD;
    options.max_queue = MAX_QUEUE;
    options.cors = &harness->cors;
    http_server_options_init(&http_options);
    http_options.limits.max_body = MAX_PAYLOAD * 2;
    http_options.on_head = on_head;
    harness->eio =
        eio_server_new(harness->bed.loop, &harness->bed.metrics, &options, &handler, harness);
    harness->http = http_server_new(harness->bed.loop, &harness->bed.metrics, &http_options,
                                    on_request, harness);
    assert_non_null(harness->eio);
    assert_non_null(harness->http);
}

static void stop(struct harness *harness)
{
    eio_server_destroy(&harness->eio);
    http_server_stop(harness->http, 1);
    harness_settle(harness);
    http_server_destroy(&harness->http);
    harness_settle(harness);
}

static struct response newest;

void harness_init(struct harness *harness)
{
    bed_init(&harness->bed);
    tl_buffer_init(&harness->log, (size_t)1 << 24);
}

void harness_fini(struct harness *harness)
{
    cors_fini(&harness->cors);
    tl_buffer_fini(&harness->log);
    bed_fini(&harness->bed);
    response_fini(&newest);
}

int harness_setup(void **state)
{
    struct harness *harness = calloc(1, sizeof *harness);
    assert_non_null(harness);
    harness_init(harness);
    harness->is_echo = true;
    start(harness);
    *state = harness;
    return 0;
}

int harness_teardown(void **state)
{
    struct harness *harness = *state;
    stop(harness);
    harness_fini(harness);
    free(harness);
    return 0;
}

void harness_set_origins(struct harness *harness, const char *const *origins, size_t count)
{
    char error[128];
    stop(harness);
    cors_fini(&harness->cors);
    assert_true(cors_init(&harness->cors, origins, count, error, sizeof error));
    start(harness);
}

// What one turn leaves for the next (tasks of a phase that was over) is done after a few.
void harness_settle(struct harness *harness)
{
    for (int i = 0; i < 4; i++)
        bed_turn(&harness->bed);
}

void harness_advance(struct harness *harness, int64_t ms)
{
    for (int64_t i = 0; i < ms; i++) {
        harness->bed.now++;
        gw_loop_turn(harness->bed.loop, false);
    }
    harness_settle(harness);
}

void harness_expect_log(struct harness *harness, const char *expected)
{
    harness_settle(harness);
    tl_buffer_append(&harness->log, "", 1);
    assert_string_equal((const char *)harness->log.bytes, expected);
    tl_buffer_clear(&harness->log);
}

// ---- Clients

static struct harness *harness_of(const struct client *client)
{
    return (struct harness *)(void *)client->bed;
}

void client_open(struct client **client, struct harness *harness)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *client = client_adopt(&harness->bed, fds[0]);
    if (harness->send_buffer > 0)
        assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &harness->send_buffer,
                                    sizeof harness->send_buffer),
                         0);
    http_server_take(harness->http, fds[1]);
    harness_settle(harness);
}

void client_expect(struct client *client, const void *bytes, size_t size)
{
    client_wait_size(client, size);
    assert_memory_equal(client->in.bytes, bytes, size);
    tl_buffer_consume(&client->in, size);
}

void client_expect_silence(struct client *client)
{
    harness_settle(harness_of(client));
    if (client->in.size > 0)
        fail_msg("unexpected: %.*s", (int)client->in.size, (const char *)client->in.bytes);
    assert_false(client->is_over);
}

void client_expect_end(struct client *client)
{
    client_wait_over(client);
    assert_int_equal(client->in.size, 0);
}

void client_request(struct client *client, const char *method, const char *target,
                    const char *headers, const char *body)
{
    struct tl_buffer text;
    tl_buffer_init(&text, (size_t)1 << 20);
    assert_true(tl_buffer_append_format(&text, "%s %s HTTP/1.1\r\nHost: server.example\r\n%s",
                                        method, target, headers));
    if (body)
        assert_true(tl_buffer_append_format(&text, "Content-Length: %zu\r\n", strlen(body)));
    assert_true(tl_buffer_append_text(&text, "\r\n") &&
                tl_buffer_append_text(&text, body ? body : ""));
    client_send(client, text.bytes, text.size);
    tl_buffer_fini(&text);
}

const char *client_response(struct client *client)
{
    response_fini(&newest);
    client_take_response(client, &newest, true);
    return newest.body;
}

bool response_has(const struct response *response, const char *name, const char *value)
{
    const char *found = response_header(response, name);
    return found && (!value || strcmp(found, value) == 0);
}

const struct response *last_response(void)
{
    return &newest;
}

const char *client_exchange(struct client *client, const char *method, const char *target,
                            const char *headers, const char *body, int status)
{
    client_request(client, method, target, headers, body);
    client_response(client);
    if (newest.status != status)
        fail_msg("%s %s: %s%s", method, target, newest.head, newest.body);
    return newest.body;
}

const char *once(struct harness *harness, const char *method, const char *target,
                 const char *headers, const char *body, int status)
{
    struct client *client;
    client_open(&client, harness);
    client_exchange(client, method, target, headers, body, status);
    client_close(client);
    return newest.body;
}

// ---- Polling

static struct sid sid_of(const char *open, bool can_upgrade)
{
    struct sid sid = {0};
    char expected[256];
    if (sscanf(open, "0{\"sid\":\"%20[A-Za-z0-9_-]\"", sid.text) != 1)
        fail_msg("no open packet: %s", open);
    snprintf(expected, sizeof expected,
             "0{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%d,\"pingTimeout\":%d,"
             "\"maxPayload\":%d}",
             sid.text, can_upgrade ? "\"websocket\"" : "", PING_INTERVAL, PING_TIMEOUT,
             MAX_PAYLOAD);
    assert_int_equal(strlen(sid.text), 20);
    assert_string_equal(open, expected);
    return sid;
}

struct sid polling_handshake(struct harness *harness)
{
    return sid_of(once(harness, "GET", POLL, "", NULL, 200), true);
}

struct sid polling_open(struct harness *harness)
{
    struct sid sid = polling_handshake(harness);
    harness_expect_log(harness, "open\n");
    return sid;
}

const char *poll_target(const struct sid *sid)
{
    static char targets[8][128];
    static unsigned next;
    char *target = targets[next++ % 8];
    snprintf(target, sizeof targets[0], POLL "&sid=%s", sid->text);
    return target;
}

const char *fetch(struct harness *harness, const struct sid *sid, int status)
{
    return once(harness, "GET", poll_target(sid), "", NULL, status);
}

void post(struct harness *harness, const struct sid *sid, const char *body)
{
    const char *answer = once(harness, "POST", poll_target(sid),
                              "Content-Type: text/plain;charset=UTF-8\r\n", body, 200);
    assert_string_equal(answer, "ok");
}

void poll_begin(struct client *client, const struct sid *sid)
{
    client_request(client, "GET", poll_target(sid), "", NULL);
    client_expect_silence(client);
}

void poll_expect(struct client *client, const char *body)
{
    assert_string_equal(client_response(client), body);
    assert_int_equal(newest.status, 200);
}

// ---- WebSocket

void ws_connect(struct client **client, struct harness *harness, const char *target)
{
    client_open(client, harness);
    client_request(*client, "GET", target, WS_HEADERS, NULL);
    client_response(*client);
    if (newest.status != 101)
        fail_msg("%s: %s%s", target, newest.head, newest.body);
}

struct frame {
    struct client *client;
    enum ws_opcode opcode;
    const uint8_t *payload;
    size_t size; // of the payload
    size_t frame_size;
};

static bool has_frame(void *arg)
{
    struct frame *frame = arg;
    const struct tl_buffer *in = &frame->client->in;
    frame->frame_size =
        ws_split_server_frame(in->bytes, in->size, &frame->opcode, &frame->payload, &frame->size);
    return frame->frame_size > 0;
}

const char *ws_read_frame(struct client *client, enum ws_opcode *opcode, size_t *size)
{
    static char text[262144];
    struct frame frame = {.client = client};
    bed_wait(client->bed, has_frame, &frame);
    assert_true(frame.size < sizeof text);
    assert_int_equal(client->in.bytes[0] & 0xf0, 0x80);
    assert_int_equal(client->in.bytes[1] & 0x80, 0);
    if (frame.size > 0)
        memcpy(text, frame.payload, frame.size);
    text[frame.size] = '\0';
    *opcode = frame.opcode;
    *size = frame.size;
    tl_buffer_consume(&client->in, frame.frame_size);
    return text;
}

struct sid ws_open(struct client **client, struct harness *harness)
{
    return ws_open_at(client, harness, PATH "&transport=websocket");
}

struct sid ws_handshake(struct client **client, struct harness *harness, const char *target)
{
    enum ws_opcode opcode;
    size_t size;
    ws_connect(client, harness, target);
    struct sid sid = sid_of(ws_read_frame(*client, &opcode, &size), false);
    assert_int_equal(opcode, WS_TEXT);
    return sid;
}

struct sid ws_open_at(struct client **client, struct harness *harness, const char *target)
{
    struct sid sid = ws_handshake(client, harness, target);
    harness_expect_log(harness, "open\n");
    return sid;
}

void ws_open_probe(struct client **client, struct harness *harness, const struct sid *sid)
{
    char target[128];
    snprintf(target, sizeof target, PATH "&transport=websocket&sid=%s", sid->text);
    ws_connect(client, harness, target);
}

void ws_put_frame(struct client *client, uint8_t first, const void *bytes, size_t size)
{
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t *frame = malloc(size + 14);
    size_t at = 0;
    assert_non_null(frame);
    frame[at++] = first;
    if (size < 126) {
        frame[at++] = 0x80 | (uint8_t)size;
    } else if (size <= UINT16_MAX) {
        frame[at++] = 0x80 | 126;
        frame[at++] = (uint8_t)(size >> 8);
        frame[at++] = (uint8_t)size;
    } else {
        frame[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            frame[at++] = (uint8_t)((uint64_t)size >> shift);
    }
    memcpy(frame + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < size; i++)
        frame[at + i] = ((const uint8_t *)bytes)[i] ^ mask[i % 4];
    client_send(client, frame, at + size);
    free(frame);
}

void ws_send_frame(struct client *client, uint8_t first, const void *bytes, size_t size)
{
    ws_put_frame(client, first, bytes, size);
    harness_settle(harness_of(client));
}

void ws_send(struct client *client, const char *text)
{
    ws_send_frame(client, 0x80 | WS_TEXT, text, strlen(text));
}

void ws_expect_frame(struct client *client, enum ws_opcode opcode, const void *bytes, size_t size)
{
    enum ws_opcode got;
    size_t got_size;
    const char *payload = ws_read_frame(client, &got, &got_size);
    if (got != opcode || got_size != size)
        fail_msg("opcode %d, %zu bytes: %s", got, got_size, payload);
    if (size > 0)
        assert_memory_equal(payload, bytes, size);
}

void ws_expect(struct client *client, const char *text)
{
    ws_expect_frame(client, WS_TEXT, text, strlen(text));
}

void ws_expect_close(struct client *client, uint16_t code)
{
    const uint8_t bytes[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    ws_expect_frame(client, WS_CLOSE, bytes, code ? 2 : 0);
}
