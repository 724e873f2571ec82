// SPDX-License-Identifier: MIT
// Which request goes where: health, metrics, Socket.IO, the page, and nothing.
#include "gateway/main/router.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/random.h"
#include "tests/gateway/session/eio_harness.h"

#define HEALTH    "/api/v1/health"
#define NOT_FOUND "{\"error\":\"not found\"}"
#define HANDSHAKE "?EIO=4&transport=polling"

// A second worker, for tests of two; it may live on the same loop.
struct other {
    struct sio_server *sio;
    struct http_server *http;
    struct router router;
    struct http_server *workers[2];
};

struct fixture {
    struct harness base; // first, since a client's bed leads here
    struct other other;
    struct sio_server *sio;
    struct gw_metrics bus_metrics;
    const struct gw_metrics *all_metrics[2];
    struct router router;
    struct static_files *page;
    char folder[64];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct sio_server_options sio;
    struct http_server_options http;
    const struct sio_handler handler = {0};
    assert_non_null(fixture);
    harness_init(&fixture->base);
    struct bed *bed = &fixture->base.bed;
    sio_server_options_init(&sio);
    sio.engine.cors = &fixture->base.cors;
    http_server_options_init(&http);
    http.on_head = router_handle_head;
    fixture->sio = sio_server_new(bed->loop, &bed->metrics, &sio);
    fixture->base.http =
        http_server_new(bed->loop, &bed->metrics, &http, router_handle, &fixture->router);
    assert_true(fixture->sio && fixture->base.http);
    assert_non_null(sio_server_add_namespace(fixture->sio, "/", &handler, NULL));
    fixture->all_metrics[0] = &bed->metrics;
    fixture->all_metrics[1] = &fixture->bus_metrics;
    fixture->router = (struct router){
        .path = "/socket.io/",
        .cors = &fixture->base.cors,
        .sio = fixture->sio,
        .workers = &fixture->base.http,
        .worker_count = 1,
        .metrics = fixture->all_metrics,
    };
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[80];
    sio_server_destroy(&fixture->sio);
    sio_server_destroy(&fixture->other.sio);
    http_server_destroy(&fixture->other.http);
    http_server_stop(fixture->base.http, 1);
    harness_settle(&fixture->base);
    http_server_destroy(&fixture->base.http);
    harness_settle(&fixture->base);
    static_files_destroy(&fixture->page);
    if (fixture->folder[0]) {
        snprintf(path, sizeof path, "%s/index.html", fixture->folder);
        unlink(path);
        rmdir(fixture->folder);
    }
    harness_fini(&fixture->base);
    free(fixture);
    return 0;
}

static void add_worker(struct fixture *fixture)
{
    struct other *other = &fixture->other;
    struct bed *bed = &fixture->base.bed;
    const struct sio_handler handler = {0};
    struct sio_server_options sio;
    struct http_server_options http;
    sio_server_options_init(&sio);
    sio.engine.worker = 1;
    http_server_options_init(&http);
    http.on_head = router_handle_head;
    other->sio = sio_server_new(bed->loop, &bed->metrics, &sio);
    other->http = http_server_new(bed->loop, &bed->metrics, &http, router_handle, &other->router);
    assert_true(other->sio && other->http);
    assert_non_null(sio_server_add_namespace(other->sio, "/", &handler, NULL));
    other->workers[0] = fixture->base.http;
    other->workers[1] = other->http;
    fixture->router.workers = other->workers;
    fixture->router.worker_count = 2;
    other->router = fixture->router;
    other->router.sio = other->sio;
    other->router.worker = 1;
}

static void make_page(struct fixture *fixture)
{
    char path[80];
    char error[256];
    bed_make_folder(fixture->folder);
    snprintf(path, sizeof path, "%s/index.html", fixture->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("<p>page</p>", file);
    fclose(file);
    fixture->page = static_files_load(fixture->folder, error, sizeof error);
    assert_non_null(fixture->page);
    fixture->router.page = fixture->page;
}

static const char *get(struct fixture *fixture, const char *target, int status)
{
    return once(&fixture->base, "GET", target, "", NULL, status);
}

// A HEAD request is answered like GET, but for the body.
static void expect_head(struct fixture *fixture, const char *target, size_t body_size)
{
    struct client *client;
    struct response response;
    char size[24];
    client_open(&client, &fixture->base);
    client_request(client, "HEAD", target, "", NULL);
    client_take_response(client, &response, false);
    assert_int_equal(response.status, 200);
    snprintf(size, sizeof size, "%zu", body_size);
    assert_true(response_has(&response, "Content-Length", size));
    client_expect_silence(client);
    response_fini(&response);
    client_close(client);
}

// ---- Health and metrics

static void test_health(void **state)
{
    struct fixture *fixture = *state;
    assert_string_equal(get(fixture, HEALTH, 200), "{\"status\":\"ok\"}");
    assert_true(response_has(last_response(), "Content-Type", "application/json"));
    assert_true(response_has(last_response(), "Cache-Control", "no-store"));
    assert_false(response_has(last_response(), "Access-Control-Allow-Origin", NULL));
    assert_string_equal(get(fixture, HEALTH "?probe=1", 200), "{\"status\":\"ok\"}");
    expect_head(fixture, HEALTH, strlen("{\"status\":\"ok\"}"));
}

static void test_metrics_are_the_sum_of_all_threads(void **state)
{
    struct fixture *fixture = *state;
    gw_metric_add(&fixture->base.bed.metrics, GW_DELIVERED, 40);
    gw_metric_add(&fixture->bus_metrics, GW_DELIVERED, 2);
    gw_metric_add(&fixture->bus_metrics, GW_BUS_EVENTS, 7);
    const char *text = get(fixture, "/metrics", 200);
    assert_true(
        response_has(last_response(), "Content-Type", "text/plain; version=0.0.4; charset=utf-8"));
    assert_true(response_has(last_response(), "Cache-Control", "no-store"));
    assert_non_null(strstr(text, "# HELP talus_deliveries_delivered_total "));
    assert_non_null(strstr(text, "\n# TYPE talus_deliveries_delivered_total counter\n"));
    assert_non_null(strstr(text, "\ntalus_deliveries_delivered_total 42\n"));
    assert_non_null(strstr(text, "\ntalus_bus_events_total 7\n"));
    assert_non_null(strstr(text, "\ntalus_worker_deliveries_total{worker=\"0\"} 40\n"));
    assert_null(strstr(text, "worker=\"1\"")); // the bus thread is none
    assert_non_null(strstr(text, "\n# TYPE talus_connections gauge\ntalus_connections 1\n"));
    assert_int_equal(text[strlen(text) - 1], '\n');
    expect_head(fixture, "/metrics", strlen(get(fixture, "/metrics", 200)));
}

static void test_other_methods_are_refused(void **state)
{
    static const char *const paths[] = {HEALTH, "/metrics"};
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < 2; i++)
        for (size_t at = 0; at < sizeof methods / sizeof *methods; at++) {
            const char *body = once(&fixture->base, methods[at], paths[i], "", "", 405);
            assert_string_equal(body, "{\"error\":\"method not allowed\"}");
            assert_true(response_has(last_response(), "Allow", "GET, HEAD"));
        }
}

// ---- Socket.IO

static void test_socket_io_takes_its_path(void **state)
{
    struct fixture *fixture = *state;
    assert_non_null(strstr(get(fixture, "/socket.io/" HANDSHAKE, 200), "0{\"sid\":\""));
    assert_non_null(strstr(get(fixture, "/socket.io/x/y" HANDSHAKE, 200), "0{\"sid\":\""));
    assert_string_equal(get(fixture, "/socket.io/", 400),
                        "{\"code\":0,\"message\":\"Transport unknown\"}");
    once(&fixture->base, "POST", "/socket.io/" HANDSHAKE, "", "x", 400);
    // Without the slash it is not: and a name that only begins so.
    assert_string_equal(get(fixture, "/socket.io" HANDSHAKE, 404), NOT_FOUND);
    assert_string_equal(get(fixture, "/socket.iox/" HANDSHAKE, 404), NOT_FOUND);
    assert_string_equal(get(fixture, "/Socket.io/" HANDSHAKE, 404), NOT_FOUND);
}

static void test_socket_io_at_another_path(void **state)
{
    struct fixture *fixture = *state;
    fixture->router.path = "/a/b/";
    assert_non_null(strstr(get(fixture, "/a/b/" HANDSHAKE, 200), "0{\"sid\":\""));
    assert_string_equal(get(fixture, "/socket.io/" HANDSHAKE, 404), NOT_FOUND);
    fixture->router.path = "/"; // takes everything but the gateway's own
    assert_non_null(strstr(get(fixture, "/anything" HANDSHAKE, 200), "0{\"sid\":\""));
    assert_string_equal(get(fixture, HEALTH, 200), "{\"status\":\"ok\"}");
    get(fixture, "/metrics", 200);
}

// What is refused by its head need not send its body.
static void test_heads_are_looked_at(void **state)
{
    static const char *const targets[] = {"/socket.io/" HANDSHAKE "&sid=unknown", "/nowhere"};
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        struct client *client;
        client_open(&client, &fixture->base);
        client_request(client, "POST", targets[i], "Content-Length: 5\r\n", NULL);
        if (i == 0) {
            assert_string_equal(client_response(client),
                                "{\"code\":1,\"message\":\"Session ID unknown\"}");
        } else {
            client_expect_silence(client);
            client_send_text(client, "12345");
            assert_string_equal(client_response(client), NOT_FOUND);
        }
        client_close(client);
    }
}

static void test_websocket_is_upgraded(void **state)
{
    struct fixture *fixture = *state;
    struct client *client;
    client_open(&client, &fixture->base);
    client_exchange(client, "GET", "/socket.io/?EIO=4&transport=websocket", WS_HEADERS, NULL, 101);
    client_close(client);
    client_open(&client, &fixture->base);
    client_exchange(client, "GET", "/elsewhere?EIO=4&transport=websocket", WS_HEADERS, NULL, 404);
    client_close(client);
}

// ---- Two workers

static void open_session(struct client *client, char target[128], int worker)
{
    const char *body = client_exchange(client, "GET", "/socket.io/" HANDSHAKE, "", NULL, 200);
    char id[GW_ID_SIZE + 1];
    assert_int_equal(sscanf(body, "0{\"sid\":\"%20[^\"]\"", id), 1);
    assert_int_equal(eio_id_worker(id), worker);
    snprintf(target, 128, "/socket.io/" HANDSHAKE "&sid=%s", id);
}

static void test_sessions_are_found_on_their_worker(void **state)
{
    struct fixture *fixture = *state;
    struct client *clients[2];
    char targets[2][128];
    add_worker(fixture);
    client_open(&clients[0], &fixture->base);
    fixture->base.http = fixture->other.http; // to it for once
    client_open(&clients[1], &fixture->base);
    fixture->base.http = fixture->other.workers[0];
    for (int i = 0; i < 2; i++)
        open_session(clients[i], targets[i], i);
    for (int i = 0; i < 2; i++) { // each asks for the session of the other
        struct client *client = clients[1 - i];
        client_exchange(client, "POST", targets[i], "", "40", 200);
        assert_non_null(
            strstr(client_exchange(client, "GET", targets[i], "", NULL, 200), "40{\"sid\":\""));
        // The body comes later.
        client_request(client, "POST", targets[i], "Content-Length: 2\r\n", NULL);
        client_expect_silence(client);
        client_send_text(client, "41");
        assert_string_equal(client_response(client), "ok");
    }
    assert_int_equal(bed_metric(&fixture->base.bed, GW_HTTP_RELAYED), 6);
    for (int i = 0; i < 2; i++)
        client_close(clients[i]);
}

static void test_ids_of_no_worker_are_unknown(void **state)
{
    struct fixture *fixture = *state;
    add_worker(fixture);
    for (unsigned worker = 0; worker < GW_ID_TAGS_MAX; worker++) {
        char target[128];
        char id[GW_ID_SIZE + 1];
        assert_true(gw_random_id_tagged(id, worker));
        snprintf(target, sizeof target, "/socket.io/" HANDSHAKE "&sid=%s", id);
        assert_string_equal(get(fixture, target, 400),
                            "{\"code\":1,\"message\":\"Session ID unknown\"}");
        target[strlen(target) - 1] = '\0'; // too short
        get(fixture, target, 400);
    }
    assert_int_equal(bed_metric(&fixture->base.bed, GW_HTTP_RELAYED), 1); // the other worker's
}

// ---- The page, and what there is not

static void test_without_a_page(void **state)
{
    struct fixture *fixture = *state;
    assert_string_equal(get(fixture, "/", 404), NOT_FOUND);
    assert_true(response_has(last_response(), "Content-Type", "application/json"));
    assert_string_equal(get(fixture, "/api/v1/health/", 404), NOT_FOUND);
    assert_string_equal(get(fixture, "/metrics/x", 404), NOT_FOUND);
    once(&fixture->base, "POST", "/nowhere", "", "body", 404);
}

static void test_page(void **state)
{
    struct fixture *fixture = *state;
    make_page(fixture);
    assert_string_equal(get(fixture, "/", 200), "<p>page</p>");
    assert_string_equal(get(fixture, "/index.html", 200), "<p>page</p>");
    expect_head(fixture, "/", strlen("<p>page</p>"));
    assert_string_equal(get(fixture, "/nowhere", 404), NOT_FOUND);
    once(&fixture->base, "POST", "/", "", "x", 405);
    assert_string_equal(get(fixture, HEALTH, 200), "{\"status\":\"ok\"}");
    get(fixture, "/socket.io/" HANDSHAKE, 200);
}

static void test_cors_holds_everywhere(void **state)
{
    static const char *const origins[] = {"https://app.example"};
    static const char *const targets[] = {HEALTH, "/metrics", "/nowhere", "/socket.io/"};
    struct fixture *fixture = *state;
    char error[128];
    assert_true(cors_init(&fixture->base.cors, origins, 1, error, sizeof error));
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct client *client;
        client_open(&client, &fixture->base);
        client_request(client, "GET", targets[i], "Origin: https://app.example\r\n", NULL);
        client_response(client);
        assert_true(
            response_has(last_response(), "Access-Control-Allow-Origin", "https://app.example"));
        client_close(client);
    }
}

#define router_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        router_test(test_health),
        router_test(test_metrics_are_the_sum_of_all_threads),
        router_test(test_other_methods_are_refused),
        router_test(test_socket_io_takes_its_path),
        router_test(test_socket_io_at_another_path),
        router_test(test_heads_are_looked_at),
        router_test(test_websocket_is_upgraded),
        router_test(test_sessions_are_found_on_their_worker),
        router_test(test_ids_of_no_worker_are_unknown),
        router_test(test_without_a_page),
        router_test(test_page),
        router_test(test_cors_holds_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
