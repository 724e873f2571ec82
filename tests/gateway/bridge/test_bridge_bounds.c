// SPDX-License-Identifier: MIT
// What the bridge holds is bounded: room messages to a worker that does not keep up, sessions that
// clients walk through, sessions in all. The worker's loop runs when a test turns it, so a slow
// worker is one that is not turned.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/bridge/internal.h"
#include "tests/gateway/support/bed.h"

enum {
    EVENTS = 256,
    EVENT_SIZE = 64 * 1024, // bytes: together twice BRIDGE_PENDING_MAX
    SESSIONS = 5,
};

struct fixture {
    char folder[64];
    char endpoint[80];
    struct gw_loop *loop; // the worker's
    bool is_shared;       // with the bus
    struct gw_metrics metrics;
    struct sio_server *server;
    struct bridge *bridge;
    talus_subscriber_t *ear; // hears the presence
    unsigned connected;      // that it has heard of
    unsigned disconnected;
    time_t patience;
};

// ---- The fixture

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    bed_make_folder(fixture->folder);
    snprintf(fixture->endpoint, sizeof fixture->endpoint, "ipc://%s/*", fixture->folder);
    *state = fixture;
    return 0;
}

static int setup_shared(void **state)
{
    setup(state);
    ((struct fixture *)*state)->is_shared = true;
    return 0;
}

static void start(struct fixture *fixture, struct bridge_options *options)
{
    char error[256] = "";
    struct sio_server_options server;
    sio_server_options_init(&server);
    options->bus = fixture->endpoint;
    options->publish = fixture->endpoint;
    fixture->loop = gw_loop_new();
    assert_non_null(fixture->loop);
    fixture->server = sio_server_new(fixture->loop, &fixture->metrics, &server);
    assert_non_null(fixture->server);
    options->loop = fixture->is_shared ? fixture->loop : NULL;
    fixture->bridge = bridge_new(options, error, sizeof error);
    assert_string_equal(error[0] && !fixture->bridge ? error : "", "");
    assert_true(bridge_attach(fixture->bridge, fixture->server, fixture->loop, &fixture->metrics));
    assert_true(bridge_start(fixture->bridge));
    fixture->patience = time(NULL) + BED_PATIENCE_MS / 1000;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[96];
    talus_subscriber_destroy(&fixture->ear);
    sio_server_destroy(&fixture->server);
    bridge_destroy(&fixture->bridge);
    gw_loop_destroy(&fixture->loop);
    snprintf(command, sizeof command, "rm -r '%s'", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

static int64_t metric(const struct fixture *fixture, enum gw_metric metric)
{
    return atomic_load(&bridge_metrics(fixture->bridge)->values[metric]);
}

// Lets the bus thread go on, and fails when it took too long. For the condition of a loop.
static void give_time(const struct fixture *fixture, bool is_turning)
{
    assert_true(time(NULL) < fixture->patience);
    if (is_turning)
        gw_loop_turn(fixture->loop, false);
    poll(NULL, 0, 1);
}

// ---- Room messages

static void emit_all(talus_broadcaster_t *bus)
{
    static unsigned char data[EVENT_SIZE] = {0xda, (EVENT_SIZE - 3) >> 8, (EVENT_SIZE - 3) & 0xff};
    const talus_emit_t event = {.type = "blob", .data = data, .data_size = sizeof data};
    memset(data + 3, 'x', sizeof data - 3);
    for (int i = 0; i < EVENTS; i++) {
        talus_error_t error = talus_emit(bus, &event, NULL);
        if (error == TALUS_EQUEUEFULL) {
            assert_int_equal(talus_broadcaster_flush(bus, BED_PATIENCE_MS), 0);
            error = talus_emit(bus, &event, NULL);
        }
        assert_int_equal(error, 0);
    }
}

static void test_bridge_waits_for_a_worker_that_is_behind(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    talus_broadcaster_t *bus;
    bridge_options_init(&options);
    start(fixture, &options);
    assert_int_equal(talus_broadcaster_new(&bus, fixture->endpoint, NULL), 0);
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 1, BED_PATIENCE_MS, NULL), 0);
    emit_all(bus);

    while (metric(fixture, GW_BUS_HELD_UP) == 0)
        give_time(fixture, false);
    atomic_size_t *pending = &fixture->bridge->workers[0].pending;
    const size_t most = BRIDGE_PENDING_MAX + EVENT_SIZE + 4096;
    assert_in_range(atomic_load(pending), BRIDGE_PENDING_MAX, most);
    assert_in_range(metric(fixture, GW_BUS_EVENTS), 1, most / EVENT_SIZE);

    while (metric(fixture, GW_BUS_EVENTS) < EVENTS || atomic_load(pending) > 0) {
        give_time(fixture, true);
        assert_in_range(atomic_load(pending), 0, most);
    }
    assert_int_equal(metric(fixture, GW_BUS_HOLES), 0);
    talus_broadcaster_destroy(&bus);
}

static void test_bridge_on_the_workers_loop_holds_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    talus_broadcaster_t *bus;
    bridge_options_init(&options);
    start(fixture, &options);
    assert_int_equal(talus_broadcaster_new(&bus, fixture->endpoint, NULL), 0);
    while (talus_broadcaster_wait_subscribers(bus, 1, 0, NULL) != 0)
        give_time(fixture, true);
    emit_all(bus);
    atomic_size_t *pending = &fixture->bridge->workers[0].pending;
    while (metric(fixture, GW_BUS_EVENTS) < EVENTS || atomic_load(pending) > 0) {
        give_time(fixture, true);
        assert_in_range(atomic_load(pending), 0, BRIDGE_PENDING_MAX + EVENT_SIZE + 4096);
    }
    assert_int_equal(metric(fixture, GW_BUS_HOLES), 0);
    talus_broadcaster_destroy(&bus);
}

static void join(struct fixture *fixture, int session);

static void test_bridge_on_the_workers_loop_ends_with_messages_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    bridge_options_init(&options);
    start(fixture, &options);
    struct bridge_encoded *encoded = encoder_presence(
        fixture->bridge->encoder, talus_type_session_connected, "somewhere", "somebody");
    assert_non_null(encoded);
    bridge__fan_out(fixture->bridge, NULL, encoded, NULL);
    bridge_encoded_unref(encoded);
    join(fixture, 0);
    assert_true(gw_loop_is_busy(fixture->loop)); // for the teardown to end
}

static void test_bridge_on_a_workers_loop_takes_no_other_worker(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    bridge_options_init(&options);
    start(fixture, &options);
    fixture->bridge->is_started = false; // the refusal is not for that
    assert_false(bridge_attach(fixture->bridge, fixture->server, fixture->loop, &fixture->metrics));
    fixture->bridge->is_started = true;
}

// ---- Sessions

// Joins by a client that is gone when the answer comes, so that the worker says GONE at once.
static void join(struct fixture *fixture, int session)
{
    char name[16];
    snprintf(name, sizeof name, "s-%d", session);
    struct bridge_request *request =
        bridge__new_request(&fixture->bridge->workers[0], BRIDGE_JOIN, name, "nobody");
    assert_non_null(request);
    bridge__post_request(request);
}

static void join_since(struct fixture *fixture, const char *since)
{
    struct bridge_request *request =
        bridge__new_request(&fixture->bridge->workers[0], BRIDGE_JOIN, "s", "nobody");
    assert_non_null(request);
    strcpy(request->since, since);
    bridge__post_request(request);
}

static void listen_for_presence(struct fixture *fixture)
{
    const talus_delivery_t *delivery;
    assert_int_equal(talus_subscriber_new(&fixture->ear, fixture->endpoint, NULL), 0);
    assert_int_equal(talus_subscriber_join(fixture->ear, "*"), 0);
    assert_int_equal(talus_subscriber_receive(fixture->ear, BED_PATIENCE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
    assert_true(delivery->live.complete);
}

static void hear(struct fixture *fixture)
{
    const talus_delivery_t *delivery;
    while (talus_subscriber_receive(fixture->ear, 0, &delivery) == 0) {
        if (delivery->kind != TALUS_DELIVERY_EVENT)
            continue;
        if (strcmp(delivery->event->type, talus_type_session_connected) == 0)
            fixture->connected++;
        else
            fixture->disconnected++;
    }
}

static void test_bridge_lets_the_longest_empty_session_go(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    bridge_options_init(&options);
    options.linger_ms = 3600 * 1000;
    options.max_lingering = 2;
    start(fixture, &options);
    listen_for_presence(fixture);
    for (int i = 0; i < SESSIONS; i++)
        join(fixture, i);
    while (fixture->disconnected < SESSIONS || metric(fixture, GW_BUS_SESSIONS) != 2) {
        give_time(fixture, true);
        hear(fixture);
    }
    assert_int_equal(fixture->connected, SESSIONS);
    // One that lingers still is taken up again, and counts no more among the empty.
    join(fixture, SESSIONS - 1);
    while (fixture->disconnected < SESSIONS + 1) {
        give_time(fixture, true);
        hear(fixture);
    }
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 2);
}

static void test_bridge_subscribes_to_so_many_sessions_and_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    bridge_options_init(&options);
    options.linger_ms = 3600 * 1000;
    options.max_bus_sessions = 3;
    start(fixture, &options);
    listen_for_presence(fixture);
    for (int i = 0; i < SESSIONS; i++)
        join(fixture, i);
    join(fixture, 0); // behind the others
    while (fixture->disconnected < 4) {
        give_time(fixture, true);
        hear(fixture);
    }
    assert_int_equal(fixture->connected, 4);
    assert_int_equal(metric(fixture, GW_BUS_SESSIONS), 3);
}

// A worker that went before would leave somebody behind who is never told to be gone.
static void test_bridge_is_idle_when_all_is_answered(void **state)
{
    struct fixture *fixture = *state;
    struct bridge_options options;
    bridge_options_init(&options);
    start(fixture, &options);
    listen_for_presence(fixture);
    assert_true(bridge_is_idle(fixture->bridge, 0));
    for (int i = 0; i < SESSIONS; i++)
        join(fixture, i);
    while (fixture->connected < SESSIONS) { // the worker does not turn
        assert_false(bridge_is_idle(fixture->bridge, 0));
        give_time(fixture, false);
        hear(fixture);
    }
    while (!bridge_is_idle(fixture->bridge, 0))
        give_time(fixture, true);
    bridge_stop(fixture->bridge);
    while (fixture->disconnected < SESSIONS) {
        give_time(fixture, false);
        hear(fixture);
    }
}

// What joins with the same event missed waits for their worker once, and counts in what it is
// behind.
static void test_bridge_answers_that_miss_the_same_share_it(void **state)
{
    enum { JOINS = 50, BLOBS = 15, MISSED = BLOBS * EVENT_SIZE };
    static unsigned char data[EVENT_SIZE] = {0xda, (EVENT_SIZE - 3) >> 8, (EVENT_SIZE - 3) & 0xff};
    struct fixture *fixture = *state;
    struct bridge_options options;
    talus_broadcaster_t *bus;
    talus_event_id_t since;
    bridge_options_init(&options);
    start(fixture, &options);
    listen_for_presence(fixture);
    assert_int_equal(talus_broadcaster_new(&bus, fixture->endpoint, NULL), 0);
    // The bridge has met it, and so can ask it; the ear has, too.
    while (talus_broadcaster_wait_subscribers(bus, 2, 0, NULL) != 0) {
        give_time(fixture, false);
        hear(fixture);
    }
    memset(data + 3, 'x', sizeof data - 3);
    talus_emit_t event = {.session = "s", .type = "first"};
    assert_int_equal(talus_emit(bus, &event, &since), 0);
    event = (talus_emit_t){.session = "s", .type = "blob", .data = data, .data_size = sizeof data};
    for (int i = 0; i < BLOBS; i++)
        assert_int_equal(talus_emit(bus, &event, NULL), 0);
    assert_int_equal(talus_broadcaster_flush(bus, BED_PATIENCE_MS), 0); // before anybody joins
    for (int i = 0; i < JOINS; i++)
        join_since(fixture, since.text);
    while (fixture->connected < JOINS) { // the worker does not turn
        give_time(fixture, false);
        hear(fixture);
    }
    // Presence is published just before the answer to the last join is posted.
    while (atomic_load(&fixture->bridge->workers[0].pending) < 2 * MISSED)
        give_time(fixture, false);
    // That of the first join may have room to grow.
    assert_in_range(atomic_load(&fixture->bridge->workers[0].pending), 2 * MISSED, 4 * MISSED);
    while (!bridge_is_idle(fixture->bridge, 0))
        give_time(fixture, true);
    assert_in_range(atomic_load(&fixture->bridge->workers[0].pending), 0, MISSED); // presence
    talus_broadcaster_destroy(&bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bridge_waits_for_a_worker_that_is_behind, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_bridge_on_the_workers_loop_holds_no_more, setup_shared,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_bridge_on_the_workers_loop_ends_with_messages_under_way, setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_bridge_on_a_workers_loop_takes_no_other_worker,
                                        setup_shared, teardown),
        cmocka_unit_test_setup_teardown(test_bridge_lets_the_longest_empty_session_go, setup_shared,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_bridge_lets_the_longest_empty_session_go, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_bridge_subscribes_to_so_many_sessions_and_no_more,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_bridge_is_idle_when_all_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bridge_answers_that_miss_the_same_share_it, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
