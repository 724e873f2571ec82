// SPDX-License-Identifier: MIT
// What joins are told from a broadcaster's history, where the gateway was not subscribed before;
// and what a client is recovered with that has left a session, or was left out of an event.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gateway/bridge/bridge_fixture.h"

// An event that every gateway hears: the bridge has met the broadcaster, and has what it sent
// before.
static void emit_to_everybody(struct fixture *fixture, talus_broadcaster_t *bus)
{
    int64_t events = metric(fixture, GW_BUS_EVENTS);
    assert_int_equal(talus_emit(bus, &(talus_emit_t){.session = "", .type = "sync"}, NULL), 0);
    wait_metric(fixture, GW_BUS_EVENTS, events + 1);
}

// So many events of a session that the gateway is not subscribed to, between two for everybody;
// before any client is there.
static void emit_unheard(struct fixture *fixture, talus_broadcaster_t *bus, const char *session,
                         unsigned count)
{
    emit_to_everybody(fixture, bus);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(talus_emit(bus, &(talus_emit_t){.session = session, .type = "step"}, NULL),
                         0);
    emit_to_everybody(fixture, bus);
}

static const char *id_of(talus_broadcaster_t *bus, unsigned seq)
{
    static char id[TALUS_ID_MAX + 1];
    snprintf(id, sizeof id, "%s.%u", talus_broadcaster_origin(bus), seq);
    return id;
}

static void join_with(struct client *client, const char *session, const char *since)
{
    put_join(client, session, since);
    read_message(client, "42/graph,[\"session-connected\"");
    read_message(client, "42/graph,[\"joined\"");
}

static void expect_gap(struct client *client, const char *part)
{
    const char *text = read_message(client, "42/graph,[\"gap\"");
    if (!strstr(text, part))
        fail_msg("%s without %s", text, part);
}

static void test_history_of_a_session_that_nobody_was_in(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    emit_unheard(fixture, fixture->bus, "s", 3);
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join_with(client, "s", id_of(fixture->bus, 2));
    read_step(client, &identity, 3);
    read_step(client, &identity, 4);
    emit(fixture, "s", NULL);
    read_step(client, &identity, 6);
    client_close(client);
}

static void test_history_that_does_not_reach_back(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    talus_broadcaster_options_t options;
    talus_broadcaster_t *other = NULL;
    talus_broadcaster_options_init(&options);
    options.history_bytes = 1; // of no event
    assert_int_equal(talus_broadcaster_new(&other, fixture->endpoint, &options), 0);
    emit_unheard(fixture, other, "s", 3);
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join_with(client, "s", id_of(other, 2));
    expect_gap(client, "\"reason\":\"history\"");
    assert_int_equal(metric(fixture, GW_SINCE_HISTORY), 1);
    talus_broadcaster_destroy(&other);
    client_close(client);
}

static void test_event_of_a_broadcaster_that_is_not_there(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    emit_unheard(fixture, fixture->bus, "s", 1);
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join_with(client, "s", "zzzzzzzz.5");
    expect_gap(client, "\"after\":\"\""); // of what others sent
    expect_gap(client, "\"after\":\"zzzzzzzz.5\"");
    assert_int_equal(metric(fixture, GW_SINCE_NO_ANSWER), 1);
    client_close(client);
}

// A client that was here before, whose state is not kept: its offset stands for the `since` of its
// joins, if it is an event of the session.
static void come_back(struct fixture *fixture, struct client **client, struct identity *identity,
                      const char *offset)
{
    *client = connect_client(fixture, identity);
    read_connect(*client, identity);
    ws_send(*client, "41/graph,"); // it leaves on purpose, so it is not suspended
    client_close(*client);
    strcpy(identity->offset, offset);
    *client = connect_client(fixture, identity);
    assert_false(read_connect(*client, identity));
}

static void test_offset_stands_for_since(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client;
    emit_unheard(fixture, fixture->bus, "s", 3);
    come_back(fixture, &client, &identity, id_of(fixture->bus, 2));
    join_with(client, "s", NULL);
    read_step(client, &identity, 3);
    read_step(client, &identity, 4);
    client_close(client);
}

static void test_offset_of_another_session_proves_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client;
    emit_unheard(fixture, fixture->bus, "t", 1);
    emit_unheard(fixture, fixture->bus, "s", 1);
    come_back(fixture, &client, &identity, id_of(fixture->bus, 2));
    join_with(client, "s", NULL);
    expect_gap(client, "\"after\":\"\"");
    client_close(client);
}

static void test_offset_that_is_no_event_id_is_told_a_gap(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client;
    emit_unheard(fixture, fixture->bus, "s", 1);
    come_back(fixture, &client, &identity, "?");
    join_with(client, "s", NULL);
    expect_gap(client, "\"after\":\"\"");
    client_close(client);
}

static void test_more_than_a_client_may_miss_of_a_history(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct bridge_options options;
    bridge_options_init(&options);
    options.max_missed = 400; // some four events
    start_bridge(fixture, &options);
    emit_unheard(fixture, fixture->bus, "s", 20);
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join_with(client, "s", id_of(fixture->bus, 2));
    expect_gap(client, "\"reason\":\"history\"");
    assert_int_equal(metric(fixture, GW_SINCE_TOO_MUCH), 1);
    client_close(client);
}

static void test_recovery_with_the_offset_of_a_session_that_was_left(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join(client, "s");
    join(client, "t");
    emit(fixture, "s", NULL);
    read_step(client, &identity, 1);
    ws_send(client, "42/graph,[\"leave_session\",{\"session_id\":\"s\"}]");
    read_message(client, "42/graph,[\"left\"");
    cut(fixture, client);
    emit(fixture, "t", NULL);
    client = connect_client(fixture, &identity);
    read_step(client, &identity, 2);
    assert_true(read_connect(client, &identity));
    client_close(client);
}

static void test_recovery_of_one_that_an_event_for_everybody_leaves_out(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    emit(fixture, "", NULL);
    read_step(client, &identity, 1);
    emit(fixture, "", identity.sid);
    cut(fixture, client);
    emit(fixture, "", NULL);
    client = connect_client(fixture, &identity);
    read_step(client, &identity, 3);
    assert_true(read_connect(client, &identity));
    client_close(client);
}

int main(void)
{
#define TEST(name)       cmocka_unit_test_setup_teardown(name, bridge_setup, bridge_teardown)
#define TEST_BOUND(name) cmocka_unit_test_setup_teardown(name, bridge_setup_folder, bridge_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_history_of_a_session_that_nobody_was_in),
        TEST(test_history_that_does_not_reach_back),
        TEST(test_event_of_a_broadcaster_that_is_not_there),
        TEST(test_offset_stands_for_since),
        TEST(test_offset_of_another_session_proves_nothing),
        TEST(test_offset_that_is_no_event_id_is_told_a_gap),
        TEST(test_recovery_with_the_offset_of_a_session_that_was_left),
        TEST(test_recovery_of_one_that_an_event_for_everybody_leaves_out),
        TEST_BOUND(test_more_than_a_client_may_miss_of_a_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
