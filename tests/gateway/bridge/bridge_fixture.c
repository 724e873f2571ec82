// SPDX-License-Identifier: MIT
#include "tests/gateway/bridge/bridge_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WS PATH "&transport=websocket"

static void on_request(struct http_exchange *exchange, const struct http_request *request,
                       void *arg)
{
    sio_server_handle(((struct fixture *)arg)->sio, exchange, request);
}

void start_bridge(struct fixture *fixture, struct bridge_options *options)
{
    struct sio_server_options sio;
    struct http_server_options http;
    char error[256] = "";
    struct bed *bed = &fixture->base.bed;
    sio_server_options_init(&sio);
    sio.engine.ping_interval_ms = PING_INTERVAL;
    sio.engine.ping_timeout_ms = PING_TIMEOUT;
    sio.engine.max_payload = MAX_PAYLOAD;
    http_server_options_init(&http);
    fixture->sio = sio_server_new(bed->loop, &bed->metrics, &sio);
    fixture->base.http = http_server_new(bed->loop, &bed->metrics, &http, on_request, fixture);
    assert_true(fixture->sio && fixture->base.http);
    options->loop = bed->loop;
    if (!options->bus)
        options->bus = fixture->endpoint;
    options->publish = fixture->endpoint;
    options->silence_ms = PING_INTERVAL + PING_TIMEOUT;
    fixture->bridge = bridge_new(options, error, sizeof error);
    assert_string_equal(fixture->bridge ? "" : error, "");
    assert_true(bridge_attach(fixture->bridge, fixture->sio, bed->loop, &bed->metrics));
    assert_true(bridge_start(fixture->bridge));
    assert_int_equal(talus_broadcaster_new(&fixture->bus, fixture->endpoint, NULL), 0);
}

int bridge_setup_folder(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    harness_init(&fixture->base);
    bed_make_folder(fixture->folder);
    snprintf(fixture->endpoint, sizeof fixture->endpoint, "ipc://%s/*", fixture->folder);
    *state = fixture;
    return 0;
}

int bridge_setup(void **state)
{
    struct bridge_options options;
    bridge_setup_folder(state);
    bridge_options_init(&options);
    options.recovery_window_ms = WINDOW_MS;
    start_bridge(*state, &options);
    return 0;
}

int bridge_teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[96];
    talus_broadcaster_destroy(&fixture->bus);
    sio_server_destroy(&fixture->sio);
    bridge_stop(fixture->bridge); // before the loop turns again: answers may be under way
    http_server_stop(fixture->base.http, 1);
    harness_settle(&fixture->base);
    http_server_destroy(&fixture->base.http);
    bridge_destroy(&fixture->bridge);
    harness_settle(&fixture->base);
    harness_fini(&fixture->base);
    snprintf(command, sizeof command, "rm -r '%s'", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

int64_t metric(const struct fixture *fixture, enum gw_metric metric)
{
    return atomic_load(&bridge_metrics(fixture->bridge)->values[metric]);
}

// ---- The bus

struct goal {
    const struct fixture *fixture;
    enum gw_metric metric;
    int64_t value;
};

static bool is_reached(void *arg)
{
    const struct goal *goal = arg;
    return metric(goal->fixture, goal->metric) == goal->value;
}

void wait_metric(struct fixture *fixture, enum gw_metric which, int64_t value)
{
    struct goal goal = {fixture, which, value};
    bed_wait(&fixture->base.bed, is_reached, &goal);
}

void emit(struct fixture *fixture, const char *session, const char *except)
{
    talus_event_id_t id;
    const talus_emit_t event = {.session = session, .type = "step", .except = except};
    int64_t events = metric(fixture, GW_BUS_EVENTS);
    assert_int_equal(talus_emit(fixture->bus, &event, &id), 0);
    wait_metric(fixture, GW_BUS_EVENTS, events + 1);
}

// ---- A client

const char *read_message(struct client *client, const char *beginning)
{
    for (;;) {
        enum ws_opcode opcode;
        size_t size;
        const char *text = ws_read_frame(client, &opcode, &size);
        if (strcmp(text, "2") == 0)
            ws_send(client, "3");
        else if (strncmp(text, beginning, strlen(beginning)) == 0)
            return text;
        else
            fail_msg("%s instead of %s", text, beginning);
    }
}

static void copy_string(char to[64], const char *text, const char *key)
{
    const char *at = strstr(text, key);
    assert_non_null(at);
    at += strlen(key);
    snprintf(to, 64, "%.*s", (int)strcspn(at, "\""), at);
}

struct client *open_client(struct fixture *fixture)
{
    struct client *client;
    ws_handshake(&client, &fixture->base, WS);
    return client;
}

void put_connect(struct client *client, const struct identity *identity)
{
    char packet[256];
    snprintf(packet, sizeof packet,
             identity->offset[0] ? "40/graph,{\"pid\":\"%s\",\"offset\":\"%s\"}"
             : identity->pid[0]  ? "40/graph,{\"pid\":\"%s\"}"
                                 : "40/graph,",
             identity->pid, identity->offset);
    ws_put_frame(client, 0x80 | WS_TEXT, packet, strlen(packet));
}

struct client *connect_client(struct fixture *fixture, const struct identity *identity)
{
    struct client *client = open_client(fixture);
    put_connect(client, identity);
    harness_settle(&fixture->base);
    return client;
}

bool read_connect(struct client *client, struct identity *identity)
{
    char before[64];
    strcpy(before, identity->pid);
    const char *text = read_message(client, "40/graph,{\"sid\":\"");
    copy_string(identity->pid, text, "\"pid\":\"");
    char sid[64];
    copy_string(sid, text, "\"sid\":\"");
    bool is_recovered = strcmp(before, identity->pid) == 0;
    assert_int_equal(is_recovered, strcmp(sid, identity->sid) == 0);
    strcpy(identity->sid, sid);
    return is_recovered;
}

void read_step(struct client *client, struct identity *identity, unsigned seq)
{
    char expected[32];
    const char *text = read_message(client, "42/graph,[\"step\",");
    copy_string(identity->offset, strrchr(text, ','), ",\"");
    snprintf(expected, sizeof expected, ".%u", seq);
    assert_string_equal(strchr(identity->offset, '.'), expected);
}

void put_join(struct client *client, const char *session, const char *since)
{
    char packet[256];
    snprintf(packet, sizeof packet,
             since ? "42/graph,[\"join_session\",{\"session_id\":\"%s\",\"since\":\"%s\"}]"
                   : "42/graph,[\"join_session\",{\"session_id\":\"%s\"}]",
             session, since);
    ws_put_frame(client, 0x80 | WS_TEXT, packet, strlen(packet));
}

void join(struct client *client, const char *session)
{
    put_join(client, session, NULL);
    read_message(client, "42/graph,[\"session-connected\"");
    read_message(client, "42/graph,[\"joined\"");
}

void cut(struct fixture *fixture, struct client *client)
{
    int64_t suspended = metric(fixture, GW_SUSPENDED);
    client_close(client);
    wait_metric(fixture, GW_SUSPENDED, suspended + 1);
}

void live(struct fixture *fixture, struct client *client, int64_t ms)
{
    for (int64_t gone = 0; gone < ms; gone += PING_INTERVAL) {
        harness_advance(&fixture->base, PING_INTERVAL);
        ws_expect(client, "2");
        ws_send(client, "3");
        harness_settle(&fixture->base);
    }
}

size_t count_clients(const struct fixture *fixture, const char *name)
{
    const struct bridge_session *session = bridge__find_session(fixture->bridge, name);
    return session ? session->clients : 0;
}

void hold_bus_up(struct fixture *fixture)
{
    atomic_fetch_add(&fixture->bridge->workers[0].pending, BRIDGE_PENDING_MAX + 1);
}

void let_bus_go_on(struct fixture *fixture)
{
    struct bridge_worker *worker = &fixture->bridge->workers[0];
    int expected = BRIDGE_AWAITED;
    atomic_fetch_sub(&worker->pending, BRIDGE_PENDING_MAX + 1);
    if (atomic_compare_exchange_strong(&worker->pace, &expected, BRIDGE_READY))
        gw_loop_post(fixture->bridge->loop, &worker->ready_message);
}
