// SPDX-License-Identifier: MIT
// Requests to the Engine.IO server: the handshake, who is refused and how, CORS, the server's end.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/protocol/http.h"
#include "tests/gateway/session/eio_harness.h"

#define TRANSPORT_UNKNOWN "{\"code\":0,\"message\":\"Transport unknown\"}"
#define SID_UNKNOWN       "{\"code\":1,\"message\":\"Session ID unknown\"}"
#define BAD_METHOD        "{\"code\":2,\"message\":\"Bad handshake method\"}"
#define BAD_REQUEST       "{\"code\":3,\"message\":\"Bad request\"}"
#define FORBIDDEN         "{\"code\":4,\"message\":\"Forbidden\"}"
#define BAD_REVISION      "{\"code\":5,\"message\":\"Unsupported protocol version\"}"

static void test_handshake_answers_with_the_open_packet_alone(void **state)
{
    struct harness *harness = *state;
    struct sid first = polling_open(harness);
    const struct response *response = last_response();
    assert_true(response_has(response, "Content-Type", "text/plain; charset=UTF-8"));
    assert_true(response_has(response, "Cache-Control", "no-store"));
    assert_false(response_has(response, "Set-Cookie", NULL));
    assert_false(response_has(response, "Access-Control-Allow-Origin", NULL));
    struct sid second = polling_open(harness);
    assert_string_not_equal(first.text, second.text);
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_SESSIONS), 2);
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_SESSIONS_TOTAL), 2);
}

static void test_message_of_on_open_waits_for_the_first_poll(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    assert_true(eio_session_send_message(harness->session, false, "welcome", 7));
    assert_string_equal(fetch(harness, &sid, 200), "4welcome");
}

static void expect_error(struct harness *harness, const char *method, const char *target,
                         int status, const char *body)
{
    assert_string_equal(once(harness, method, target, "", NULL, status), body);
    assert_true(response_has(last_response(), "Content-Type", "application/json"));
    assert_false(response_has(last_response(), "Connection", "close"));
}

static void test_handshake_errors(void **state)
{
    struct harness *harness = *state;
    expect_error(harness, "GET", "/engine.io/", 400, TRANSPORT_UNKNOWN);
    expect_error(harness, "GET", PATH "&transport=flash", 400, TRANSPORT_UNKNOWN);
    expect_error(harness, "GET", PATH "&transport=polling&transport=x", 400, TRANSPORT_UNKNOWN);
    expect_error(harness, "GET", PATH "&transport=webtransport-is-too-long", 400,
                 TRANSPORT_UNKNOWN);
    expect_error(harness, "GET", POLL "&sid=nobody", 400, SID_UNKNOWN);
    expect_error(harness, "POST", POLL "&sid=nobody", 400, SID_UNKNOWN);
    expect_error(harness, "GET", POLL "&sid=%00%01%ff", 400, SID_UNKNOWN);
    expect_error(harness, "GET",
                 POLL "&sid=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 400,
                 SID_UNKNOWN);
    expect_error(harness, "POST", POLL, 400, BAD_METHOD);
    expect_error(harness, "PUT", POLL, 400, BAD_METHOD);
    expect_error(harness, "OPTIONS", POLL, 400, BAD_METHOD);
    expect_error(harness, "GET", PATH "&transport=websocket", 400, BAD_REQUEST);
    expect_error(harness, "GET", "/engine.io/?transport=polling", 400, BAD_REVISION);
    expect_error(harness, "GET", "/engine.io/?EIO=3&transport=polling", 400, BAD_REVISION);
    expect_error(harness, "GET", "/engine.io/?EIO=04&transport=polling", 400, BAD_REVISION);
    expect_error(harness, "GET", "/engine.io/?EIO=44444444&transport=polling", 400, BAD_REVISION);
    harness_expect_log(harness, "");
}

static void test_first_fault_decides(void **state)
{
    struct harness *harness = *state;
    expect_error(harness, "POST", "/engine.io/?EIO=3&transport=x&sid=y", 400, TRANSPORT_UNKNOWN);
    expect_error(harness, "POST", "/engine.io/?EIO=3&transport=polling&sid=y", 400, SID_UNKNOWN);
    expect_error(harness, "POST", "/engine.io/?EIO=3&transport=polling", 400, BAD_METHOD);
}

static void test_empty_sid_is_a_handshake(void **state)
{
    struct harness *harness = *state;
    assert_int_equal(strncmp(once(harness, "GET", POLL "&sid=", "", NULL, 200), "0{", 2), 0);
    harness_expect_log(harness, "open\n");
}

static void test_head_has_no_body(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_request(client, "HEAD", POLL, "", NULL);
    harness_settle(harness);
    client_request(client, "HEAD", poll_target(&sid), "", NULL);
    harness_settle(harness);
    // The second status line follows the empty line of the first head at once.
    assert_true(tl_buffer_append(&client->in, "", 1));
    const char *text = (const char *)client->in.bytes;
    assert_int_equal(strncmp(text, "HTTP/1.1 400", 12), 0);
    assert_non_null(strstr(text, "\r\nContent-Length: 43\r\n"));
    const char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    assert_int_equal(strncmp(end + 4, "HTTP/1.1 500", 12), 0);
    client_close(client);
}

static void test_revision_of_session_must_match(void **state)
{
    struct harness *harness = *state;
    char target[128];
    struct sid sid = polling_open(harness);
    snprintf(target, sizeof target, "/engine.io/?EIO=3&transport=polling&sid=%s", sid.text);
    expect_error(harness, "GET", target, 400, BAD_REQUEST);
    snprintf(target, sizeof target, PATH "&transport=websocket&sid=%s", sid.text);
    expect_error(harness, "GET", target, 400, BAD_REQUEST);
    post(harness, &sid, "4alive");
    harness_expect_log(harness, "message:alive\n");
}

static void test_keep_alive_connection_serves_handshake_poll_and_post(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    char sid_text[64];
    client_open(&client, harness);
    const char *open = client_exchange(client, "GET", POLL, "", NULL, 200);
    assert_int_equal(sscanf(open, "0{\"sid\":\"%20[^\"]", sid_text), 1);
    struct sid sid;
    snprintf(sid.text, sizeof sid.text, "%s", sid_text);
    assert_string_equal(client_exchange(client, "POST", poll_target(&sid), "", "4a", 200), "ok");
    assert_string_equal(client_exchange(client, "GET", poll_target(&sid), "", NULL, 200), "4a");
    client_exchange(client, "GET", POLL "&sid=unknown", "", NULL, 400);
    assert_string_equal(client_exchange(client, "POST", poll_target(&sid), "", "4b", 200), "ok");
    client_close(client);
}

// ---- Upgrade requests

static void expect_refused_upgrade(struct harness *harness, const char *target, const char *headers,
                                   int status, const char *message)
{
    struct client *client;
    client_open(&client, harness);
    assert_string_equal(client_exchange(client, "GET", target, headers, NULL, status), message);
    assert_true(response_has(last_response(), "Connection", "close"));
    assert_true(response_has(last_response(), "Content-Type", "text/html"));
    client_expect_end(client);
    client_close(client);
}

static void test_refused_upgrades_are_answered_with_text(void **state)
{
    struct harness *harness = *state;
    const char *headers = WS_HEADERS;
    expect_refused_upgrade(harness, PATH "&transport=abc", headers, 400, "Transport unknown");
    expect_refused_upgrade(harness, PATH "&transport=websocket&sid=nobody", headers, 400,
                           "Session ID unknown");
    expect_refused_upgrade(harness, "/engine.io/?EIO=3&transport=websocket", headers, 400,
                           "Unsupported protocol version");
    expect_refused_upgrade(harness, POLL, headers, 400, "Bad request");
    expect_refused_upgrade(harness, PATH "&transport=websocket",
                           "Connection: Upgrade\r\nUpgrade: h2c\r\n", 400,
                           "Invalid Upgrade header");
    expect_refused_upgrade(harness, PATH "&transport=websocket",
                           "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
                           400, "Missing or invalid Sec-WebSocket-Key header");
    expect_refused_upgrade(harness, PATH "&transport=websocket",
                           "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                           "Sec-WebSocket-Version: 7\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
                           400, "Missing or invalid Sec-WebSocket-Version header");
    assert_true(response_has(last_response(), "Sec-WebSocket-Version", "13, 8"));
    expect_refused_upgrade(harness, PATH "&transport=websocket",
                           WS_HEADERS "Sec-WebSocket-Protocol: a,,b\r\n", 400,
                           "Invalid Sec-WebSocket-Protocol header");
    harness_expect_log(harness, "");
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_SESSIONS_TOTAL), 0);
}

static void test_upgrade_with_other_method_is_refused(void **state)
{
    struct harness *harness = *state;
    char target[128];
    struct client *client;
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_exchange(client, "POST", PATH "&transport=websocket", WS_HEADERS, NULL, 400);
    client_close(client);
    snprintf(target, sizeof target, PATH "&transport=websocket&sid=%s", sid.text);
    client_open(&client, harness);
    const char *body = client_exchange(client, "POST", target, WS_HEADERS, NULL, 405);
    assert_string_equal(body, "Invalid HTTP method");
    client_close(client);
    post(harness, &sid, "4alive");
    harness_expect_log(harness, "message:alive\n");
}

static void test_upgrade_response_has_what_was_asked(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    client_open(&client, harness);
    client_exchange(client, "GET", PATH "&transport=websocket",
                    "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
                    "Sec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Protocol: chat, superchat\r\n"
                    "Sec-WebSocket-Extensions: permessage-deflate\r\n",
                    NULL, 101);
    const struct response *response = last_response();
    assert_true(response_has(response, "Upgrade", "websocket"));
    assert_true(response_has(response, "Connection", "Upgrade"));
    assert_true(response_has(response, "Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_true(response_has(response, "Sec-WebSocket-Protocol", "chat"));
    assert_false(response_has(response, "Sec-WebSocket-Extensions", NULL));
    harness_expect_log(harness, "open\n");
    client_close(client);
}

// ---- CORS

static const char *const listed[] = {"https://app.example"};
static const char *const any[] = {"*"};

static void test_listed_origin_is_named_in_every_answer(void **state)
{
    struct harness *harness = *state;
    const char *origin = "Origin: https://app.example\r\n";
    harness_set_origins(harness, listed, 1);
    const char *open = once(harness, "GET", POLL, origin, NULL, 200);
    struct sid sid = {0};
    assert_int_equal(sscanf(open, "0{\"sid\":\"%20[^\"]", sid.text), 1);
    assert_true(response_has(last_response(), "Access-Control-Allow-Origin", listed[0]));
    assert_true(response_has(last_response(), "Access-Control-Allow-Credentials", "true"));
    assert_true(response_has(last_response(), "Vary", "Origin"));

    const struct {
        const char *method, *target, *body;
        int status;
    } rows[] = {
        {"POST", poll_target(&sid), "4a", 200},     {"GET", poll_target(&sid), NULL, 200},
        {"PUT", poll_target(&sid), NULL, 500},      {"GET", POLL "&sid=nobody", NULL, 400},
        {"GET", PATH "&transport=none", NULL, 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        once(harness, rows[i].method, rows[i].target, origin, rows[i].body, rows[i].status);
        assert_true(response_has(last_response(), "Access-Control-Allow-Origin", listed[0]));
    }
    struct client *client;
    client_open(&client, harness);
    client_exchange(client, "GET", PATH "&transport=websocket",
                    WS_HEADERS "Origin: https://app.example\r\n", NULL, 101);
    assert_true(response_has(last_response(), "Access-Control-Allow-Origin", listed[0]));
    client_close(client);
}

static void test_pending_poll_answers_its_own_origin(void **state)
{
    struct harness *harness = *state;
    struct client *client;
    harness_set_origins(harness, listed, 1);
    struct sid sid = polling_open(harness);
    client_open(&client, harness);
    client_request(client, "GET", poll_target(&sid), "Origin: https://app.example\r\n", NULL);
    post(harness, &sid, "4x");
    poll_expect(client, "4x");
    assert_true(response_has(last_response(), "Access-Control-Allow-Origin", listed[0]));
    client_close(client);
}

static void test_other_origin_is_forbidden(void **state)
{
    struct harness *harness = *state;
    harness_set_origins(harness, listed, 1);
    const char *body = once(harness, "GET", POLL, "Origin: https://evil.example\r\n", NULL, 403);
    assert_string_equal(body, FORBIDDEN);
    assert_false(response_has(last_response(), "Access-Control-Allow-Origin", NULL));
    assert_true(response_has(last_response(), "Vary", "Origin"));
    expect_refused_upgrade(harness, PATH "&transport=websocket",
                           WS_HEADERS "Origin: https://evil.example\r\n", 400, "Forbidden");
    harness_expect_log(harness, "");

    struct sid sid = polling_open(harness);
    char target[128];
    snprintf(target, sizeof target, PATH "&transport=websocket&sid=%s", sid.text);
    expect_refused_upgrade(harness, target, WS_HEADERS "Origin: https://evil.example\r\n", 400,
                           "Forbidden");
    assert_int_equal(bed_metric(&harness->bed, GW_HTTP_REFUSED_ORIGIN), 3);
}

static void test_own_origin_is_allowed_without_configuration(void **state)
{
    struct harness *harness = *state;
    once(harness, "GET", POLL, "Origin: http://server.example\r\n", NULL, 200);
    once(harness, "GET", POLL, "Origin: http://other.example\r\n", NULL, 403);
    assert_false(response_has(last_response(), "Vary", NULL));
}

static void test_preflight(void **state)
{
    struct harness *harness = *state;
    harness_set_origins(harness, listed, 1);
    once(harness, "OPTIONS", POLL "&sid=whatever",
         "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n"
         "Access-Control-Request-Headers: content-type,x-mine\r\n",
         NULL, 204);
    const struct response *response = last_response();
    assert_true(response_has(response, "Access-Control-Allow-Origin", listed[0]));
    assert_true(response_has(response, "Access-Control-Allow-Credentials", "true"));
    assert_true(
        response_has(response, "Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE"));
    assert_true(response_has(response, "Access-Control-Allow-Headers", "content-type,x-mine"));
    assert_true(response_has(response, "Vary", "Origin, Access-Control-Request-Headers"));

    harness_set_origins(harness, any, 1);
    once(harness, "OPTIONS", "/engine.io/", "Origin: https://x.example\r\n", NULL, 204);
    assert_true(response_has(last_response(), "Access-Control-Allow-Origin", "*"));
    assert_false(response_has(last_response(), "Access-Control-Allow-Credentials", NULL));
}

// Standard error of what `act` does.
static const char *logged_by(struct harness *harness, void (*act)(struct harness *harness))
{
    static char output[4096];
    int ends[2];
    int before = dup(STDERR_FILENO);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    act(harness);
    dup2(before, STDERR_FILENO);
    close(before);
    ssize_t size = read(ends[0], output, sizeof output - 1);
    close(ends[0]);
    output[size > 0 ? size : 0] = '\0';
    return output;
}

static void be_refused(struct harness *harness)
{
    once(harness, "GET", POLL, "Origin: https://evil.example\r\n", NULL, 403);
}

// Any page of the internet can cause it.
static void test_refused_origins_are_logged_now_and_then(void **state)
{
    struct harness *harness = *state;
    assert_non_null(strstr(logged_by(harness, be_refused), "\"https://evil.example\""));
    assert_string_equal(logged_by(harness, be_refused), "");
    harness_advance(harness, 9999);
    assert_string_equal(logged_by(harness, be_refused), "");
    harness_advance(harness, 1);
    assert_non_null(strstr(logged_by(harness, be_refused), "unlogged=2\n"));
    assert_string_equal(logged_by(harness, be_refused), "");
}

static void test_session_id_names_its_worker(void **state)
{
    struct harness *harness = *state;
    struct sid sid = polling_open(harness);
    assert_int_equal(eio_id_worker(sid.text), 0);
    assert_int_equal(eio_id_worker("unknown"), -1);
    sid.text[3] = sid.text[3] == 'a' ? 'b' : 'a';
    assert_int_not_equal(eio_id_worker(sid.text), 0);
}

// ---- The server's end

// The head says nothing yet; the whole request is refused like any other.
static void test_stop_while_a_post_is_coming_in(void **state)
{
    struct harness *harness = *state;
    struct client *known, *unknown;
    struct sid sid = polling_open(harness);
    client_open(&known, harness);
    client_open(&unknown, harness);
    eio_server_stop(harness->eio);
    harness_expect_log(harness, "close:server shutting down\n");
    client_request(known, "POST", poll_target(&sid), "Content-Length: 2\r\n", NULL);
    client_request(unknown, "POST", POLL "&sid=unknown", "Content-Length: 2\r\n", NULL);
    client_expect_silence(known);
    client_expect_silence(unknown);
    client_send(known, "4x", 2);
    client_response(known);
    assert_int_equal(last_response()->status, 503);
    client_send(unknown, "4x", 2);
    client_response(unknown);
    assert_int_equal(last_response()->status, 503);
    client_close(known);
    client_close(unknown);
}

static void test_stop_closes_sessions_at_the_engine_level(void **state)
{
    struct harness *harness = *state;
    struct client *waiting, *websocket;
    struct sid polled = polling_open(harness);
    struct sid unpolled = polling_open(harness);
    ws_open(&websocket, harness);
    client_open(&waiting, harness);
    poll_begin(waiting, &polled);

    eio_server_stop(harness->eio);
    harness_expect_log(harness, "close:server shutting down\n"
                                "close:server shutting down\n"
                                "close:server shutting down\n");
    poll_expect(waiting, "1");
    ws_expect_close(websocket, 0);
    fetch(harness, &unpolled, 503);
    once(harness, "GET", POLL, "", NULL, 503);
    assert_true(response_has(last_response(), "Connection", "close"));

    assert_false(eio_server_is_drained(harness->eio)); // the close frame is not answered yet
    ws_send_frame(websocket, 0x88, "", 0);
    client_close(websocket);
    harness_settle(harness);
    assert_true(eio_server_is_drained(harness->eio));
    assert_int_equal(bed_metric(&harness->bed, GW_EIO_SESSIONS), 0);
    client_close(waiting);
}

static void test_silent_websocket_is_given_up_after_half_a_minute(void **state)
{
    struct harness *harness = *state;
    struct client *websocket;
    ws_open(&websocket, harness);
    eio_server_stop(harness->eio);
    ws_expect_close(websocket, 0);
    harness_advance(harness, 29999);
    assert_false(eio_server_is_drained(harness->eio));
    harness_advance(harness, 1);
    assert_true(eio_server_is_drained(harness->eio));
    client_expect_end(websocket);
    client_close(websocket);
}

static void test_destroy_ends_what_is_left(void **state)
{
    struct harness *harness = *state;
    struct client *waiting, *websocket, *probing;
    struct sid polled = polling_open(harness);
    struct sid upgrading = polling_open(harness);
    ws_open(&websocket, harness);
    ws_open_probe(&probing, harness, &upgrading);
    client_open(&waiting, harness);
    poll_begin(waiting, &polled);
    eio_server_destroy(&harness->eio);
    harness_expect_log(harness, "close:server shutting down\n"
                                "close:server shutting down\n"
                                "close:server shutting down\n");
    poll_expect(waiting, "1");
    client_expect_end(websocket);
    client_expect_end(probing);
    client_close(waiting);
    client_close(websocket);
    client_close(probing);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_handshake_answers_with_the_open_packet_alone),
        TEST(test_message_of_on_open_waits_for_the_first_poll),
        TEST(test_handshake_errors),
        TEST(test_first_fault_decides),
        TEST(test_empty_sid_is_a_handshake),
        TEST(test_head_has_no_body),
        TEST(test_revision_of_session_must_match),
        TEST(test_keep_alive_connection_serves_handshake_poll_and_post),
        TEST(test_refused_upgrades_are_answered_with_text),
        TEST(test_upgrade_with_other_method_is_refused),
        TEST(test_upgrade_response_has_what_was_asked),
        TEST(test_listed_origin_is_named_in_every_answer),
        TEST(test_pending_poll_answers_its_own_origin),
        TEST(test_other_origin_is_forbidden),
        TEST(test_own_origin_is_allowed_without_configuration),
        TEST(test_preflight),
        TEST(test_refused_origins_are_logged_now_and_then),
        TEST(test_session_id_names_its_worker),
        TEST(test_stop_while_a_post_is_coming_in),
        TEST(test_stop_closes_sessions_at_the_engine_level),
        TEST(test_silent_websocket_is_given_up_after_half_a_minute),
        TEST(test_destroy_ends_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
