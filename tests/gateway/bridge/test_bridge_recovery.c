// SPDX-License-Identifier: MIT
// Recovery against the clock: a real client's bytes, a real bus, and a loop whose time the test
// moves. The windows are short; an hour differs from them in nothing but its length.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/faults.h"
#include "tests/gateway/bridge/bridge_fixture.h"

// ---- Tests

static void test_recovery_of_a_session_that_was_quiet_for_long(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    assert_false(read_connect(client, &identity));
    join(client, "s");
    emit(fixture, "s", NULL);
    read_step(client, &identity, 1);
    live(fixture, client, 2 * LOG_MS);
    assert_int_equal(fixture->bridge->log.bytes, 0); // nothing is kept of it

    cut(fixture, client);
    emit(fixture, "s", NULL);
    client = connect_client(fixture, &identity);
    read_step(client, &identity, 2); // before it is told that it is connected
    assert_true(read_connect(client, &identity));
    emit(fixture, "s", NULL);
    read_step(client, &identity, 3);
    client_close(client);
}

static void test_recovery_ends_with_its_window(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join(client, "s");
    cut(fixture, client);
    harness_advance(&fixture->base, WINDOW_MS - 1);
    assert_int_equal(metric(fixture, GW_SUSPENDED), 1);
    harness_advance(&fixture->base, 1);
    assert_int_equal(metric(fixture, GW_SUSPENDED), 0);
    client = connect_client(fixture, &identity);
    assert_false(read_connect(client, &identity));
    assert_int_equal(metric(fixture, GW_NOT_RECOVERED), 1);
    client_close(client);
}

static void test_recovery_keeps_what_was_sent_before_the_cut_was_noticed(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join(client, "s");
    // The client reads nothing any more, and is noticed to be gone by its silence.
    emit(fixture, "s", NULL);
    harness_advance(&fixture->base, PING_INTERVAL + PING_TIMEOUT);
    wait_metric(fixture, GW_SUSPENDED, 1);
    harness_advance(&fixture->base, WINDOW_MS - 1);
    client_close(client);
    client = connect_client(fixture, &identity);
    read_step(client, &identity, 1);
    assert_true(read_connect(client, &identity));
    client_close(client);
}

static void test_recovery_of_one_that_was_left_out_of_everything_newer(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join(client, "s");
    emit(fixture, "s", NULL);
    read_step(client, &identity, 1);
    emit(fixture, "s", identity.sid);
    emit(fixture, "s", identity.sid);
    live(fixture, client, 2 * LOG_MS);
    cut(fixture, client);
    emit(fixture, "s", NULL);
    emit(fixture, "s", identity.sid);
    client = connect_client(fixture, &identity);
    read_step(client, &identity, 4);
    assert_true(read_connect(client, &identity));
    client_close(client);
}

static void test_recovery_is_refused_where_the_log_was_too_small(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity identity = {0};
    bridge_options_init(&options);
    options.recovery_window_ms = WINDOW_MS;
    options.recovery_bytes = 800; // of an entry or two
    start_bridge(fixture, &options);
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join(client, "s");
    cut(fixture, client);
    for (int i = 0; i < 4; i++)
        emit(fixture, "s", NULL);
    client = connect_client(fixture, &identity);
    assert_false(read_connect(client, &identity));
    client_close(client);
}

static void test_recovery_gives_no_more_than_a_client_may_be_behind(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity identity = {0};
    bridge_options_init(&options);
    options.recovery_window_ms = WINDOW_MS;
    options.max_missed = 100;
    start_bridge(fixture, &options);
    for (int is_behind = 0; is_behind < 2; is_behind++) {
        struct client *client = connect_client(fixture, &identity);
        read_connect(client, &identity);
        join(client, "s");
        cut(fixture, client);
        for (int i = 0; i < (is_behind ? 4 : 1); i++)
            emit(fixture, "s", NULL);
        client = connect_client(fixture, &identity);
        if (!is_behind)
            read_step(client, &identity, 1);
        assert_int_equal(read_connect(client, &identity), !is_behind);
        client_close(client);
        harness_settle(&fixture->base);
        memset(&identity, 0, sizeof identity);
    }
}

static void test_recovery_forgets_the_oldest_beyond_its_bound(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity first = {0}, second = {0}, third = {0};
    struct identity *const all[] = {&first, &second, &third};
    bridge_options_init(&options);
    options.recovery_window_ms = WINDOW_MS;
    options.max_suspended = 2;
    options.linger_ms = 1;
    start_bridge(fixture, &options);
    for (int i = 0; i < 3; i++) {
        struct client *client = connect_client(fixture, all[i]);
        char session[] = {(char)('a' + i), '\0'};
        read_connect(client, all[i]);
        join(client, session);
        client_close(client);
        wait_metric(fixture, GW_SUSPENDED, i < 2 ? i + 1 : 2);
    }
    wait_metric(fixture, GW_BUS_SESSIONS, 3);
    harness_advance(&fixture->base, 2);
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 2); // nobody is waited for in the first one
    struct client *client = connect_client(fixture, &first);
    assert_false(read_connect(client, &first));
    client_close(client);
    client = connect_client(fixture, &third);
    assert_true(read_connect(client, &third));
    client_close(client);
}

static void test_recovery_is_bounded_by_the_sessions_of_those_who_went(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity small = {0}, large = {0};
    bridge_options_init(&options);
    options.recovery_window_ms = WINDOW_MS;
    options.max_suspended_bytes = 6 * sizeof(struct bridge_suspended_membership);
    start_bridge(fixture, &options);
    struct client *client = connect_client(fixture, &small);
    read_connect(client, &small);
    join(client, "a");
    cut(fixture, client);
    client = connect_client(fixture, &large);
    read_connect(client, &large);
    join(client, "b");
    join(client, "c");
    join(client, "d");
    client_close(client);
    client = connect_client(fixture, &large);
    assert_true(read_connect(client, &large));
    client = connect_client(fixture, &small);
    assert_false(read_connect(client, &small));
}

static void test_recovery_keeps_no_session_from_those_who_are_here(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity gone = {0}, here = {0};
    bridge_options_init(&options);
    options.recovery_window_ms = WINDOW_MS;
    options.max_bus_sessions = 2;
    start_bridge(fixture, &options);
    struct client *client = connect_client(fixture, &gone);
    read_connect(client, &gone);
    join(client, "a");
    join(client, "b");
    cut(fixture, client);
    client = connect_client(fixture, &here);
    read_connect(client, &here);
    join(client, "c");
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 2); // one of the others lingers
    join(client, "d");
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 2);
    ws_send(client, "42/graph,[\"join_session\",{\"session_id\":\"e\"}]");
    assert_non_null(strstr(read_message(client, "42/graph,[\"error\""), "unavailable"));
    client_close(client);
    client = connect_client(fixture, &gone);
    assert_false(read_connect(client, &gone));
    client_close(client);
}

struct ear {
    talus_subscriber_t *subscriber;
    const char *type, *client; // of the event that is awaited
};

static bool hears(void *arg)
{
    const struct ear *ear = arg;
    const talus_delivery_t *delivery;
    while (talus_subscriber_receive(ear->subscriber, 0, &delivery) == 0) {
        if (delivery->kind != TALUS_DELIVERY_EVENT)
            continue;
        const talus_event_t *event = delivery->event;
        if (strcmp(event->type, ear->type) == 0 &&
            memmem(event->data, event->data_size, ear->client, strlen(ear->client)))
            return true;
    }
    return false;
}

static void test_recovery_that_fails_is_told_of_sessions_that_are_let_go_with_it(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity self = {0};
    struct ear ear = {0};
    bridge_options_init(&options);
    options.recovery_window_ms = WINDOW_MS;
    options.max_lingering = 0;
    start_bridge(fixture, &options);
    assert_int_equal(talus_subscriber_new(&ear.subscriber, fixture->endpoint, NULL), 0);
    assert_int_equal(talus_subscriber_join(ear.subscriber, "s"), 0);
    struct client *before = connect_client(fixture, &self);
    read_connect(before, &self);
    join(before, "s");
    char sid[sizeof self.sid];
    strcpy(sid, self.sid);
    ear.client = sid;
    ear.type = "session-connected";
    bed_wait(&fixture->base.bed, hears, &ear);
    strcpy(self.offset, "abcdefgh.1");                      // of nobody
    struct client *client = connect_client(fixture, &self); // takes its own place
    assert_false(read_connect(client, &self));
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 0);
    ear.type = "session-disconnected";
    bed_wait(&fixture->base.bed, hears, &ear);
    client_close(before);
    client_close(client);
    talus_subscriber_destroy(&ear.subscriber);
}

// A suspended client keeps its sessions while there are empty ones to let go.
static void test_lingering_sessions_go_before_suspended_clients(void **state)
{
    struct fixture *fixture = *state;
    struct identity away = {0}, here = {0};
    struct bridge_options options;
    bridge_options_init(&options);
    options.max_bus_sessions = 2;
    start_bridge(fixture, &options);
    struct client *client = connect_client(fixture, &away);
    read_connect(client, &away);
    join(client, "a");
    cut(fixture, client);
    client = connect_client(fixture, &here);
    read_connect(client, &here);
    join(client, "b");
    ws_send(client, "42/graph,[\"leave_session\",{\"session_id\":\"b\"}]");
    read_message(client, "42/graph,[\"left\"");
    join(client, "c");
    assert_null(bridge__find_session(fixture->bridge, "b"));
    assert_non_null(bridge__find_session(fixture->bridge, "a"));
    assert_int_equal(metric(fixture, GW_SUSPENDED), 1);
    join(client, "d");
    assert_null(bridge__find_session(fixture->bridge, "a"));
    assert_int_equal(metric(fixture, GW_SUSPENDED), 0);
    client_close(client);
}

static void test_recovery_can_be_off(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity nobody = {0};
    bridge_options_init(&options);
    options.recovery_window_ms = 0;
    start_bridge(fixture, &options);
    struct client *client = connect_client(fixture, &nobody);
    assert_null(strstr(read_message(client, "40/graph,{\"sid\":\""), "pid"));
    join(client, "s");
    emit(fixture, "s", NULL);
    assert_int_equal(fixture->bridge->log.bytes, 0);
    client_close(client);
}

static bool is_asked_or_answered(void *arg)
{
    const struct bridge *bridge = ((const struct fixture *)arg)->bridge;
    const struct bridge_session *session = bridge__find_session(bridge, "s");
    return bridge->catch_up_count == 1 || (session && session->clients == 1);
}

// Leaves, and joins with `since`. False: the broadcaster was so fast that the answer was there
// before anybody could look.
static bool is_waiting_to_join_again(struct fixture *fixture, struct client *client)
{
    char packet[160];
    snprintf(packet, sizeof packet,
             "42/graph,[\"join_session\",{\"session_id\":\"s\",\"since\":\"%s.0\"}]",
             talus_broadcaster_origin(fixture->bus));
    ws_send(client, "42/graph,[\"leave_session\",{\"session_id\":\"s\"}]");
    read_message(client, "42/graph,[\"left\"");
    ws_send(client, packet);
    bed_wait(&fixture->base.bed, is_asked_or_answered, fixture);
    if (fixture->bridge->catch_up_count == 1)
        return true;
    read_message(client, "42/graph,[\"session-connected\"");
    read_message(client, "42/graph,[\"joined\"");
    return false;
}

// The history is asked for while the session is on its way out: it has to stay until the answer.
static void test_since_holds_a_session_that_lingers(void **state)
{
    enum { ATTEMPTS = 100 };
    struct fixture *fixture = *state;
    struct bridge_options options;
    struct identity nobody = {0};
    bool is_waiting = false;
    bridge_options_init(&options);
    options.linger_ms = 2;
    start_bridge(fixture, &options);
    struct client *client = connect_client(fixture, &nobody);
    read_connect(client, &nobody);
    join(client, "s");
    for (int i = 0; i < ATTEMPTS && !is_waiting; i++)
        is_waiting = is_waiting_to_join_again(fixture, client);
    assert_true(is_waiting);
    harness_advance(&fixture->base, 3);
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 1);
    read_message(client, "42/graph,[\"session-connected\"");
    read_message(client, "42/graph,[\"joined\"");
    assert_int_equal(fixture->bridge->catch_up_count, 0);
    client_close(client);
}

// Nobody misses an event in silence: who would have is closed, and comes back.
static void test_event_without_memory_to_pass_it_on_closes_clients(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join(client, "s");
    struct bridge *bridge = fixture->bridge;
    const struct bridge_session *session = bridge__find_session(bridge, "s");
    struct bridge_encoded *encoded =
        encoder_presence(bridge->encoder, "session-connected", "s", "somebody");
    assert_true(session && encoded);
    for (int i = 0; i < 2; i++) { // the second before the first was heard of
        faults_fail_allocation_after(0);
        bridge__fan_out(bridge, session, encoded, NULL);
        assert_true(faults_stop());
    }
    bridge_encoded_unref(encoded);
    ws_expect_close(client, 0);
    client_close(client);
    assert_int_equal(metric(fixture, GW_BUS_REFUSED), 2);
    wait_metric(fixture, GW_SUSPENDED, 1);
    client = connect_client(fixture, &identity);
    assert_true(read_connect(client, &identity));
    client_close(client);
}

// The sum of docs/gateway.md, when nothing waits.
static void expect_accounts(const struct fixture *fixture, int64_t published, int64_t recovered,
                            int64_t resent)
{
    const struct bed *bed = &fixture->base.bed;
    assert_int_equal(bed_metric(bed, GW_PUBLISHED) + metric(fixture, GW_PUBLISHED), published);
    assert_int_equal(bed_metric(bed, GW_RECOVERED_COPIES), recovered);
    assert_int_equal(bed_metric(bed, GW_RESENT), resent);
    assert_int_equal(bed_metric(bed, GW_DELIVERED), published - recovered);
    assert_int_equal(metric(fixture, GW_DROPPED_LEFT), 0);
}

// What came while the client was away is recovered; what it had been sent before, and says that it
// has not, is sent once more.
static void test_recovery_accounts_for_each_copy(void **state)
{
    struct fixture *fixture = *state;
    struct identity identity = {0};
    struct identity forgetful;
    struct client *client = connect_client(fixture, &identity);
    read_connect(client, &identity);
    join(client, "s");
    int64_t before = bed_metric(&fixture->base.bed, GW_PUBLISHED); // presence
    emit(fixture, "s", NULL);
    read_step(client, &identity, 1);
    expect_accounts(fixture, before + 1, 0, 0);
    cut(fixture, client);
    emit(fixture, "s", NULL);
    emit(fixture, "s", NULL);
    forgetful = identity;
    forgetful.offset[0] = '\0';
    client = connect_client(fixture, &forgetful);
    for (unsigned seq = 1; seq <= 3; seq++)
        read_step(client, &identity, seq);
    assert_true(read_connect(client, &forgetful));
    expect_accounts(fixture, before + 3, 2, 1);
    client_close(client);
}

static void join_since(struct client *client, const char *since)
{
    char packet[160];
    snprintf(packet, sizeof packet,
             "42/graph,[\"join_session\",{\"session_id\":\"s\",\"since\":\"%s\"}]", since);
    ws_send(client, packet);
    read_message(client, "42/graph,[\"session-connected\"");
    read_message(client, "42/graph,[\"joined\"");
}

// What follows `joined` may be lost with the connection, and no log has it for one who came later:
// who may not have got it starts anew, and asks again.
static void test_recovery_of_one_that_joined_with_since(void **state)
{
    struct fixture *fixture = *state;
    struct identity first = {0};
    struct client *client = connect_client(fixture, &first);
    read_connect(client, &first);
    join(client, "s");
    for (unsigned seq = 1; seq <= 3; seq++)
        emit(fixture, "s", NULL);
    read_step(client, &first, 1);
    client_close(client);

    struct identity other = {0};
    client = connect_client(fixture, &other);
    read_connect(client, &other);
    join_since(client, first.offset);
    strcpy(other.offset, first.offset);
    cut(fixture, client);
    client = connect_client(fixture, &other);
    assert_false(read_connect(client, &other));
    join_since(client, first.offset);
    read_step(client, &other, 2);
    read_step(client, &other, 3);
    cut(fixture, client);
    client = connect_client(fixture, &other);
    assert_false(read_connect(client, &other)); // there was nothing newer yet
    join_since(client, other.offset);
    emit(fixture, "s", NULL);
    read_step(client, &other, 4);
    cut(fixture, client);
    client = connect_client(fixture, &other);
    assert_true(read_connect(client, &other));
    client_close(client);
}

// What `since` brought is older than the join, and no log has it for this client: it is recovered
// only if its offset is newer than that join, whatever it has of other sessions.
static void test_recovery_after_since_needs_an_offset_behind_the_join(void **state)
{
    struct fixture *fixture = *state;
    struct identity first = {0}, nothing = {0}, elsewhere = {0}, newer = {0};
    struct client *member = connect_client(fixture, &first);
    read_connect(member, &first);
    join(member, "s");
    emit(fixture, "s", NULL);
    read_step(member, &first, 1);
    emit(fixture, "s", NULL);

    struct client *client = connect_client(fixture, &nothing);
    read_connect(client, &nothing);
    join_since(client, first.offset);
    cut(fixture, client);
    client = connect_client(fixture, &nothing); // with no offset: it got nothing
    assert_false(read_connect(client, &nothing));
    client_close(client);

    client = connect_client(fixture, &elsewhere);
    read_connect(client, &elsewhere);
    join(client, "t");
    emit(fixture, "t", NULL);
    read_step(client, &elsewhere, 3); // the newest of all events when it joins "s"
    join_since(client, first.offset);
    cut(fixture, client);
    client = connect_client(fixture, &elsewhere);
    assert_false(read_connect(client, &elsewhere));
    client_close(client);

    client = connect_client(fixture, &newer);
    read_connect(client, &newer);
    join_since(client, first.offset);
    read_step(client, &newer, 2);
    emit(fixture, "s", NULL);
    read_step(client, &newer, 4);
    cut(fixture, client);
    client = connect_client(fixture, &newer);
    assert_true(read_connect(client, &newer));
    client_close(client);
    client_close(member);
}

int main(void)
{
#define TEST(name)       cmocka_unit_test_setup_teardown(name, bridge_setup, bridge_teardown)
#define TEST_BOUND(name) cmocka_unit_test_setup_teardown(name, bridge_setup_folder, bridge_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_recovery_of_a_session_that_was_quiet_for_long),
        TEST(test_recovery_ends_with_its_window),
        TEST(test_recovery_accounts_for_each_copy),
        TEST(test_event_without_memory_to_pass_it_on_closes_clients),
        TEST(test_recovery_keeps_what_was_sent_before_the_cut_was_noticed),
        TEST(test_recovery_of_one_that_was_left_out_of_everything_newer),
        TEST(test_recovery_of_one_that_joined_with_since),
        TEST(test_recovery_after_since_needs_an_offset_behind_the_join),
        TEST_BOUND(test_recovery_is_refused_where_the_log_was_too_small),
        TEST_BOUND(test_recovery_gives_no_more_than_a_client_may_be_behind),
        TEST_BOUND(test_recovery_forgets_the_oldest_beyond_its_bound),
        TEST_BOUND(test_recovery_is_bounded_by_the_sessions_of_those_who_went),
        TEST_BOUND(test_recovery_keeps_no_session_from_those_who_are_here),
        TEST_BOUND(test_recovery_that_fails_is_told_of_sessions_that_are_let_go_with_it),
        TEST_BOUND(test_lingering_sessions_go_before_suspended_clients),
        TEST_BOUND(test_recovery_can_be_off),
        TEST_BOUND(test_since_holds_a_session_that_lingers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
