// SPDX-License-Identifier: MIT
// What clients may ask for, and what they are told: every refusal with its code, acknowledgements,
// the two namespaces, presence, and sessions that linger.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/faults.h"
#include "tests/gateway/bridge/bridge_fixture.h"

#define WAITING_MAX 64 // requests of one client, as in worker.c

static struct client *connected(struct fixture *fixture, struct identity *identity)
{
    struct client *client = connect_client(fixture, identity);
    read_connect(client, identity);
    return client;
}

static void expect_error(struct client *client, const char *packet, const char *code)
{
    char beginning[64];
    ws_send(client, packet);
    snprintf(beginning, sizeof beginning, "42%s[\"error\"",
             strncmp(packet, "42/graph,", 9) == 0 ? "/graph," : "");
    const char *text = read_message(client, beginning);
    char expected[64];
    snprintf(expected, sizeof expected, "\"code\":\"%s\"", code);
    assert_non_null(strstr(text, expected));
}

static void test_requests_that_are_refused(void **state)
{
    static const struct {
        const char *packet;
        const char *code;
    } rows[] = {
        {"42/graph,[\"nonsense\"]", "unknown_event"},
        {"42/graph,[7]", "unknown_event"},
        {"42/graph,[\"join_session\"]", "missing_session_id"},
        {"42/graph,[\"join_session\",\"s\"]", "invalid_payload"},
        {"42/graph,[\"join_session\",{\"session_id\":null}]", "missing_session_id"},
        {"42/graph,[\"join_session\",{\"session_id\":\"\"}]", "missing_session_id"},
        {"42/graph,[\"join_session\",{\"session_id\":5}]", "invalid_session_id"},
        {"42/graph,[\"join_session\",{\"session_id\":\"a/b\"}]", "invalid_session_id"},
        {"42/graph,[\"join_session\",{\"session_id\":\"s\",\"since\":5}]", "invalid_payload"},
        {"42/graph,[\"join_session\",{\"session_id\":\"s\",\"since\":\"x\"}]", "invalid_payload"},
        {"42/graph,[\"leave_session\",{\"session_id\":\"s\"}]", "not_joined"},
        {"42/graph,[\"leave_session\",[]]", "invalid_payload"},
    };
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connected(fixture, &identity);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_error(client, rows[i].packet, rows[i].code);
    ws_send(client, "42/graph,3[\"leave_session\",{\"session_id\":\"s\"}]");
    assert_non_null(strstr(read_message(client, "43/graph,3[{\"error\":"), "not_joined"));
    read_message(client, "42/graph,[\"error\"");
    ws_send(client, "42/graph,4[\"ping\"]");
    read_message(client, "42/graph,[\"pong\",{}]");
    read_message(client, "43/graph,4[{}]");
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 0);
    client_close(client);
}

static void test_sessions_are_in_their_namespace(void **state)
{
    struct fixture *fixture = *state;
    struct client *client = open_client(fixture);
    ws_send(client, "40");
    read_message(client, "40{\"sid\":\"");
    ws_send(client, "42[\"ping\"]");
    read_message(client, "42[\"pong\",{}]");
    expect_error(client, "42[\"join_session\",{\"session_id\":\"s\"}]", "wrong_namespace");
    expect_error(client, "42[\"leave_session\",{\"session_id\":\"s\"}]", "wrong_namespace");
    expect_error(client, "42[\"nonsense\"]", "unknown_event");
    client_close(client);
}

static void test_join_and_leave_are_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connected(fixture, &identity);
    ws_send(client, "42/graph,1[\"join_session\",{\"session_id\":\"s\",\"since\":null}]");
    read_message(client, "42/graph,[\"session-connected\"");
    read_message(client, "42/graph,[\"joined\"");
    assert_non_null(strstr(read_message(client, "43/graph,1[{"), "\"active_clients\":1"));
    ws_send(client,
            "42/graph,2[\"join_session\",{\"session_id\":\"s\"}]"); // once more: no presence
    read_message(client, "42/graph,[\"joined\"");
    assert_non_null(strstr(read_message(client, "43/graph,2[{"), "\"active_clients\":1"));
    assert_int_equal(count_clients(fixture, "s"), 1);
    ws_send(client, "42/graph,3[\"leave_session\",{\"session_id\":\"s\"}]");
    read_message(client, "42/graph,[\"left\"");
    read_message(client, "43/graph,3[{\"session_id\":\"s\"");
    assert_int_equal(count_clients(fixture, "s"), 0);
    client_close(client);
}

static void test_client_may_be_in_so_many_sessions(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct bridge_options options;
    bridge_options_init(&options);
    options.max_sessions = 1;
    start_bridge(fixture, &options);
    struct client *client = connected(fixture, &identity);
    join(client, "s");
    expect_error(client, "42/graph,[\"join_session\",{\"session_id\":\"t\"}]", "too_many_sessions");
    client_close(client);
}

// One is under way, and so many wait behind it; the next one is refused, and those are answered.
static void test_requests_that_wait_have_a_bound(void **state)
{
    static const char packet[] = "42/graph,[\"join_session\",{\"session_id\":\"s\"}]";
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connected(fixture, &identity);
    for (int i = 0; i < 1 + WAITING_MAX + 1; i++)
        ws_put_frame(client, 0x80 | WS_TEXT, packet, strlen(packet));
    assert_non_null(strstr(read_message(client, "42/graph,[\"error\""), "unavailable"));
    read_message(client, "42/graph,[\"session-connected\"");
    for (int i = 0; i < 1 + WAITING_MAX; i++)
        read_message(client, "42/graph,[\"joined\"");
    client_close(client);
}

static bool is_idle(void *arg)
{
    return bridge_is_idle(((const struct fixture *)arg)->bridge, 0);
}

// The join that is under way is answered to nobody, and undone; what waits behind it is dropped.
static void test_client_that_goes_while_its_requests_wait(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0}, other = {0};
    struct client *witness = connected(fixture, &other);
    join(witness, "s");
    struct client *client = connected(fixture, &identity);
    hold_bus_up(fixture);
    for (int i = 0; i < 3; i++) {
        ws_send(client, "42/graph,1[\"join_session\",{\"session_id\":\"new\"}]");
        ws_send(client, "42/graph,2[\"leave_session\",{\"session_id\":\"new\"}]");
    }
    ws_send(client, "42/graph,3[\"join_session\",{\"session_id\":\"s\"}]");
    read_message(witness, "42/graph,[\"session-connected\"");
    client_close(client);
    read_message(witness, "42/graph,[\"session-disconnected\"");
    let_bus_go_on(fixture);
    bed_wait(&fixture->base.bed, is_idle, fixture);
    harness_settle(&fixture->base);
    assert_int_equal(count_clients(fixture, "new"), 0);
    assert_int_equal(count_clients(fixture, "s"), 1);
    assert_int_equal(metric(fixture, GW_SUSPENDED), 0);
    client_close(witness);
}

static void test_rooms_may_be_in_the_main_namespace(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    bridge_options_init(&options);
    options.nsp = "/";
    start_bridge(fixture, &options);
    struct client *client = open_client(fixture);
    ws_send(client, "40");
    read_message(client, "40{\"sid\":\"");
    ws_send(client, "42[\"join_session\",{\"session_id\":\"s\"}]");
    read_message(client, "42[\"session-connected\"");
    read_message(client, "42[\"joined\"");
    emit(fixture, "s", NULL);
    read_message(client, "42[\"step\",");
    client_close(client);
}

static void test_presence_of_another_gateway_has_no_id(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    talus_broadcaster_options_t options;
    talus_broadcaster_t *other = NULL;
    struct client *client = connected(fixture, &identity);
    talus_broadcaster_options_init(&options);
    options.is_presence_only = true;
    assert_int_equal(talus_broadcaster_new(&other, fixture->endpoint, &options), 0);
    join(client, "s");
    assert_int_equal(talus_emit_session_connected(other, "s", "somebody", NULL), 0);
    const char *text = read_message(client, "42/graph,[\"session-connected\"");
    assert_non_null(strstr(text, "somebody"));
    assert_string_equal(strchr(text, '}'), "}]");
    assert_int_equal(talus_emit_session_disconnected(other, "s", "somebody", NULL), 0);
    text = read_message(client, "42/graph,[\"session-disconnected\"");
    assert_string_equal(strchr(text, '}'), "}]");
    talus_broadcaster_destroy(&other);
    client_close(client);
}

static void leave(struct client *client, const char *session)
{
    char packet[96];
    snprintf(packet, sizeof packet, "42/graph,[\"leave_session\",{\"session_id\":\"%s\"}]",
             session);
    ws_send(client, packet);
    read_message(client, "42/graph,[\"left\"");
}

static void test_sessions_linger_for_a_while_and_in_a_number(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct bridge_options options;
    bridge_options_init(&options);
    options.max_lingering = 2;
    options.linger_ms = 100;
    start_bridge(fixture, &options);
    struct client *client = connected(fixture, &identity);
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        join(client, names[i]);
        leave(client, names[i]);
    }
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 2);
    assert_null(bridge__find_session(fixture->bridge, "a")); // it had lingered longest
    harness_advance(&fixture->base, 50);
    join(client, "b");
    harness_advance(&fixture->base, 60);
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 1);
    assert_non_null(bridge__find_session(fixture->bridge, "b"));
    client_close(client);
}

static void expect_no_bus(const struct bridge_options *options, const char *beginning)
{
    char error[512] = "";
    assert_null(bridge_new(options, error, sizeof error));
    if (strncmp(error, beginning, strlen(beginning)) != 0)
        fail_msg("%s instead of %s", error, beginning);
    assert_int_not_equal(*options->bus_error, 0);
}

static void test_bus_that_cannot_be_opened_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    char endpoint[400] = "nonsense:";
    int bus_error = 0;
    bridge_options_init(&options);
    options.loop = fixture->base.bed.loop;
    options.bus_error = &bus_error;
    options.publish = fixture->endpoint;
    options.bus = "nonsense";
    expect_no_bus(&options, "cannot listen on nonsense: ");
    options.publish = "nonsense";
    expect_no_bus(&options, "cannot publish on nonsense: ");
    for (int i = 0; i < 100; i++)
        strcat(endpoint, "ü");
    options.publish = endpoint; // of 209 bytes: the line has whole characters of the first 200
    char expected[400];
    snprintf(expected, sizeof expected, "cannot publish on %.199s…: ", endpoint);
    expect_no_bus(&options, expected);
    bridge_options_init(&options);
    start_bridge(fixture, &options);
}

// Sets a variable, or removes it, and gives a copy of what it was, to be freed.
static char *set_variable(const char *name, const char *value)
{
    const char *before = getenv(name);
    char *copy = before ? strdup(before) : NULL;
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
    return copy;
}

// People have to look where the default is, so it is named.
static void test_default_bus_that_cannot_be_opened_is_named(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    static char folder[8192];
    int bus_error = 0;
    bridge_options_init(&options);
    options.loop = fixture->base.bed.loop;
    options.bus_error = &bus_error;
    char *bus = set_variable("TALUS_BUS", "nonsense");
    expect_no_bus(&options, "cannot publish on the default bus (TALUS_BUS) nonsense: ");
    free(set_variable("TALUS_BUS", NULL));
    char *runtime = set_variable("XDG_RUNTIME_DIR", "/dev/null/missing");
    expect_no_bus(&options,
                  "cannot publish on the default bus ipc:///dev/null/missing/talus/bus/*: ");
    memset(folder, 'x', sizeof folder - 1);
    folder[0] = '/';
    folder[sizeof folder - 1] = '\0';
    free(set_variable("XDG_RUNTIME_DIR", folder));
    expect_no_bus(&options, "cannot publish on the default bus (XDG_RUNTIME_DIR is too long): ");
    free(set_variable("XDG_RUNTIME_DIR", runtime));
    free(set_variable("TALUS_BUS", bus));
    free(runtime);
    free(bus);
    bridge_options_init(&options);
    start_bridge(fixture, &options);
}

struct waiting {
    struct client *client;
    const struct fixture *fixture;
};

static bool is_answered(void *arg)
{
    const struct waiting *waiting = arg;
    return (waiting->client->in.size > 0 || waiting->client->is_over) &&
           bridge_is_idle(waiting->fixture->bridge, 0);
}

static bool is_nobody_in(void *arg)
{
    return count_clients(arg, "s") == 0 && count_clients(arg, "t") == 0;
}

// Every allocation fails in turn, while a client joins one session and leaves another. It is
// answered, or its connection is ended; and it is counted nowhere when it is gone.
static void test_requests_without_memory_are_answered(void **state)
{
    enum { ALLOCATIONS_MAX = 300 };
    struct fixture *fixture = *state;
    bool has_failed = true;
    unsigned at = 0;
    for (; has_failed && at < ALLOCATIONS_MAX; at++) {
        struct identity identity = {0};
        struct client *client = connected(fixture, &identity);
        join(client, "t");
        harness_settle(&fixture->base);
        assert_non_null(tl_buffer_reserve(&client->in, 65536)); // so that the test needs no more
        struct waiting waiting = {client, fixture};
        static const char leave_t[] = "42/graph,[\"leave_session\",{\"session_id\":\"t\"}]";
        put_join(client, "s", NULL);
        ws_put_frame(client, 0x80 | WS_TEXT, leave_t, strlen(leave_t));
        faults_fail_allocation_after(at);
        bed_wait(&fixture->base.bed, is_answered, &waiting);
        has_failed = faults_stop();
        client_close(client);
        bed_wait(&fixture->base.bed, is_nobody_in, fixture);
    }
    assert_in_range(at, 10, ALLOCATIONS_MAX - 1); // there was something to fail, and an end of it
}

int main(void)
{
#define TEST(name)       cmocka_unit_test_setup_teardown(name, bridge_setup, bridge_teardown)
#define TEST_BOUND(name) cmocka_unit_test_setup_teardown(name, bridge_setup_folder, bridge_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests_that_are_refused),
        TEST(test_sessions_are_in_their_namespace),
        TEST(test_join_and_leave_are_acknowledged),
        TEST(test_requests_that_wait_have_a_bound),
        TEST(test_client_that_goes_while_its_requests_wait),
        TEST(test_presence_of_another_gateway_has_no_id),
        TEST_BOUND(test_rooms_may_be_in_the_main_namespace),
        TEST_BOUND(test_client_may_be_in_so_many_sessions),
        TEST_BOUND(test_bus_that_cannot_be_opened_is_named),
        TEST_BOUND(test_default_bus_that_cannot_be_opened_is_named),
        TEST(test_requests_without_memory_are_answered),
        TEST_BOUND(test_sessions_linger_for_a_while_and_in_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
