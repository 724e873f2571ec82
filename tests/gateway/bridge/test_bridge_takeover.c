// SPDX-License-Identifier: MIT
// A client that connects with the `pid` of one that counts as connected takes its place: the old
// connection is ended, what it did not get is owed again, and every CONNECT is answered.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/faults.h"
#include "tests/gateway/bridge/bridge_fixture.h"

#define HEIRS 3

// Two clients of session "s": a witness that is told who comes and goes, and one whose connection
// is as good as dead. Both have event 1; the second one was written and has not arrived.
struct scene {
    struct fixture *fixture;
    struct client *witness, *ghost;
    struct identity witness_identity, identity;
};

static void arrange(struct scene *scene, struct fixture *fixture)
{
    *scene = (struct scene){.fixture = fixture};
    scene->witness = connect_client(fixture, &scene->witness_identity);
    read_connect(scene->witness, &scene->witness_identity);
    join(scene->witness, "s");
    scene->ghost = connect_client(fixture, &scene->identity);
    read_connect(scene->ghost, &scene->identity);
    join(scene->ghost, "s");
    read_message(scene->witness, "42/graph,[\"session-connected\"");
    emit(fixture, "s", NULL);
    read_step(scene->ghost, &scene->identity, 1);
    read_step(scene->witness, &scene->witness_identity, 1);
    scene->ghost->is_reading = false;
    emit(fixture, "s", NULL);
    read_step(scene->witness, &scene->witness_identity, 2);
}

// Reads up to the close frame.
static void expect_end(struct client *client)
{
    enum ws_opcode opcode = WS_TEXT;
    size_t size;
    client->is_reading = true;
    while (opcode != WS_CLOSE)
        ws_read_frame(client, &opcode, &size);
    client_close(client);
}

static void expect_told(const struct scene *scene, const char *type)
{
    char beginning[64];
    snprintf(beginning, sizeof beginning, "42/graph,[\"%s\"", type);
    assert_non_null(strstr(read_message(scene->witness, beginning), scene->identity.sid));
}

static void test_takeover_gives_what_the_old_connection_did_not_get(void **state)
{
    struct scene scene;
    arrange(&scene, *state);
    struct client *heir = connect_client(scene.fixture, &scene.identity);
    read_step(heir, &scene.identity, 2);
    assert_true(read_connect(heir, &scene.identity));
    expect_end(scene.ghost);
    assert_int_equal(metric(scene.fixture, GW_TAKEN_OVER), 1);
    assert_int_equal(metric(scene.fixture, GW_RECOVERED), 1);
    assert_int_equal(metric(scene.fixture, GW_SUSPENDED), 0);
    assert_int_equal(count_clients(scene.fixture, "s"), 2);
    emit(scene.fixture, "s", NULL);
    read_step(heir, &scene.identity, 3);
    read_step(scene.witness, &scene.witness_identity, 3); // next: nobody was said to come or go
    client_close(heir);
    expect_told(&scene, "session-disconnected");
}

static void test_takeover_with_an_unknown_offset_begins_anew(void **state)
{
    struct scene scene;
    arrange(&scene, *state);
    struct identity heirs = scene.identity;
    strcpy(heirs.offset, "abcdefghijkl.7");
    struct client *heir = connect_client(scene.fixture, &heirs);
    assert_false(read_connect(heir, &heirs));
    expect_told(&scene, "session-disconnected");
    expect_end(scene.ghost);
    assert_int_equal(metric(scene.fixture, GW_TAKEN_OVER), 0);
    assert_int_equal(metric(scene.fixture, GW_NOT_RECOVERED), 1);
    assert_int_equal(metric(scene.fixture, GW_SUSPENDED), 0);
    assert_int_equal(count_clients(scene.fixture, "s"), 1);
    client_close(heir);
}

static void test_takeover_by_several_at_once_is_the_newest_ones(void **state)
{
    struct scene scene;
    struct client *heirs[HEIRS];
    arrange(&scene, *state);
    for (int i = 0; i < HEIRS; i++)
        heirs[i] = open_client(scene.fixture);
    for (int i = 0; i < HEIRS; i++)
        put_connect(heirs[i], &scene.identity); // all before the gateway looks
    for (int i = 0; i < HEIRS; i++) {
        struct identity identity = scene.identity;
        bool is_newest = i == HEIRS - 1;
        if (is_newest)
            read_step(heirs[i], &identity, 2);
        assert_int_equal(read_connect(heirs[i], &identity), is_newest);
    }
    expect_end(scene.ghost);
    assert_int_equal(metric(scene.fixture, GW_TAKEN_OVER), 1);
    assert_int_equal(metric(scene.fixture, GW_NOT_RECOVERED), HEIRS - 1);
    assert_int_equal(count_clients(scene.fixture, "s"), 2);
    emit(scene.fixture, "s", NULL);
    read_step(scene.witness, &scene.witness_identity, 3);
    for (int i = 0; i < HEIRS; i++)
        client_close(heirs[i]);
}

static void test_takeover_of_one_that_took_over(void **state)
{
    struct scene scene;
    arrange(&scene, *state);
    struct client *heir = connect_client(scene.fixture, &scene.identity);
    for (int64_t i = 1; i <= HEIRS; i++) {
        struct identity identity = scene.identity; // that knows of the first event alone
        struct client *next = connect_client(scene.fixture, &scene.identity);
        expect_end(heir);
        heir = next;
        read_step(heir, &identity, 2);
        assert_true(read_connect(heir, &identity));
        assert_int_equal(metric(scene.fixture, GW_TAKEN_OVER), i + 1);
        assert_int_equal(count_clients(scene.fixture, "s"), 2);
    }
    client_close(heir);
}

// The old connection has ended for its sake: who comes next finds what it would have got.
static void test_takeover_by_one_that_is_gone_before_its_answer(void **state)
{
    struct scene scene;
    arrange(&scene, *state);
    struct client *heir = open_client(scene.fixture);
    put_connect(heir, &scene.identity);
    client_close(heir);
    expect_told(&scene, "session-disconnected");
    wait_metric(scene.fixture, GW_SUSPENDED, 1);
    expect_end(scene.ghost);
    assert_int_equal(count_clients(scene.fixture, "s"), 1);
    heir = connect_client(scene.fixture, &scene.identity);
    expect_told(&scene, "session-connected");
    read_step(heir, &scene.identity, 2);
    assert_true(read_connect(heir, &scene.identity));
    assert_int_equal(count_clients(scene.fixture, "s"), 2);
    client_close(heir);
}

static bool is_settled(void *arg)
{
    return bridge_is_idle(((const struct fixture *)arg)->bridge, 0);
}

// What it had asked for is in doubt: it begins anew, and is in no session.
static void test_takeover_of_one_that_waits_for_an_answer_begins_anew(void **state)
{
    struct scene scene;
    arrange(&scene, *state);
    hold_bus_up(scene.fixture); // so that a join is not answered
    put_join(scene.ghost, "another", NULL);
    wait_metric(scene.fixture, GW_BUS_SESSIONS, 2);
    struct identity heirs = scene.identity;
    struct client *heir = connect_client(scene.fixture, &heirs);
    assert_false(read_connect(heir, &heirs));
    expect_told(&scene, "session-disconnected");
    expect_end(scene.ghost);
    let_bus_go_on(scene.fixture);
    bed_wait(&scene.fixture->base.bed, is_settled, scene.fixture);
    harness_settle(&scene.fixture->base); // what the answer made the worker say
    assert_int_equal(count_clients(scene.fixture, "s"), 1);
    assert_int_equal(count_clients(scene.fixture, "another"), 0);
    assert_int_equal(metric(scene.fixture, GW_TAKEN_OVER), 0);
    client_close(heir);
}

static bool is_answered(void *arg)
{
    const struct client *client = arg;
    return client->in.size > 0 || client->is_over;
}

struct count {
    struct fixture *fixture;
    size_t most;
};

static bool are_no_more(void *arg)
{
    const struct count *count = arg;
    return count_clients(count->fixture, "s") <= count->most;
}

// Every allocation fails in turn. A CONNECT is answered, or its connection is ended; and nobody is
// counted who is gone.
static void test_takeover_without_memory_leaves_nobody_waiting(void **state)
{
    enum { ALLOCATIONS_MAX = 300 };
    struct fixture *fixture = *state;
    bool has_failed = true;
    unsigned at = 0;
    for (; has_failed && at < ALLOCATIONS_MAX; at++) {
        struct identity identity = {0};
        struct client *ghost = connect_client(fixture, &identity);
        read_connect(ghost, &identity);
        join(ghost, "s");
        struct client *heir = open_client(fixture);
        put_connect(heir, &identity);
        faults_fail_allocation_after(at);
        bed_wait(&fixture->base.bed, is_answered, heir);
        has_failed = faults_stop();
        client_close(ghost);
        client_close(heir);
        struct count count = {fixture, 0};
        bed_wait(&fixture->base.bed, are_no_more, &count);
    }
    assert_in_range(at, 10, ALLOCATIONS_MAX - 1); // there was something to fail, and an end of it
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bridge_setup, bridge_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_takeover_gives_what_the_old_connection_did_not_get),
        TEST(test_takeover_with_an_unknown_offset_begins_anew),
        TEST(test_takeover_by_several_at_once_is_the_newest_ones),
        TEST(test_takeover_of_one_that_took_over),
        TEST(test_takeover_by_one_that_is_gone_before_its_answer),
        TEST(test_takeover_of_one_that_waits_for_an_answer_begins_anew),
        TEST(test_takeover_without_memory_leaves_nobody_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
