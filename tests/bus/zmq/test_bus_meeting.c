// SPDX-License-Identifier: MIT
// Broadcasters and subscribers meet: over each transport, in any order, several at once, with
// processes that are killed, and with their directory taken from under them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/broadcaster.h>
#include <talus/error.h>
#include <talus/subscriber.h>

#include "bus/src/zmq/context.h"
#include "tests/bus/support/child.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/scratch.h"

#define ENDPOINT_MAX  (SCRATCH_PATH_MAX + 16)
#define MANY_SESSIONS 10000

struct fixture {
    char root[SCRATCH_PATH_MAX];
    char directory[SCRATCH_PATH_MAX];
    char bus[ENDPOINT_MAX];
    talus_subscriber_options_t options;
    talus_subscriber_t *subscriber;
    talus_broadcaster_t *broadcasters[4];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    scratch_make(fixture->root);
    scratch_join(fixture->directory, fixture->root, "bus");
    stpcpy(stpcpy(stpcpy(fixture->bus, "ipc://"), fixture->directory), "/*");
    talus_subscriber_options_init(&fixture->options);
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    talus_subscriber_destroy(&fixture->subscriber);
    for (size_t i = 0; i < 4; i++)
        talus_broadcaster_destroy(&fixture->broadcasters[i]);
    scratch_remove(fixture->root);
    free(fixture);
    return 0;
}

static talus_subscriber_t *subscribe(struct fixture *fixture, const char *endpoint)
{
    assert_int_equal(talus_subscriber_new(&fixture->subscriber, endpoint, &fixture->options), 0);
    return fixture->subscriber;
}

static talus_broadcaster_t *broadcast(struct fixture *fixture, size_t i, const char *endpoint)
{
    assert_int_equal(talus_broadcaster_new(&fixture->broadcasters[i], endpoint, NULL), 0);
    return fixture->broadcasters[i];
}

static void emit(talus_broadcaster_t *broadcaster, const char *session, const char *type,
                 talus_event_id_t *id)
{
    const talus_emit_t event = {.session = session, .type = type};

    assert_int_equal(talus_emit(broadcaster, &event, id), 0);
}

// Emits an event that is sent before anything that is done later.
static void emit_now(talus_broadcaster_t *broadcaster, const char *session, const char *type,
                     talus_event_id_t *id)
{
    emit(broadcaster, session, type, id);
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
}

// Emits an event and receives it.
static void exchange(talus_broadcaster_t *broadcaster, talus_subscriber_t *subscriber,
                     const char *session, const char *type)
{
    talus_event_id_t id;

    emit(broadcaster, session, type, &id);
    expect_event(subscriber, id.text, session, type);
}

static talus_subscriber_stats_t stats_of(const struct fixture *fixture)
{
    talus_subscriber_stats_t stats;

    talus_subscriber_stats(fixture->subscriber, &stats);
    return stats;
}

// ---- In a bus directory

static void test_bus_meeting_broadcaster_first(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    talus_event_id_t id;

    emit_now(broadcaster, "s", "early", &id);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    assert_int_equal(stats_of(fixture).origins, 1);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    assert_string_equal(expect_live(subscriber, "s", true)->newest, id.text);
    exchange(broadcaster, subscriber, "s", "late");
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_bus_meeting_subscriber_first(void **state)
{
    struct fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    size_t ready = 0;

    join_live(subscriber, "s");
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "t"); // its head comes after that of "s"
    exchange(broadcaster, subscriber, "s", "a");
    exchange(broadcaster, subscriber, "t", "b");
    assert_int_equal(talus_broadcaster_wait_subscribers(broadcaster, 1, EXPECT_DEADLINE_MS, &ready),
                     0);
    assert_int_equal(ready, 1);
}

static void test_bus_meeting_makes_a_broadcaster_ready_for_all_joined(void **state)
{
    struct fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;
    int error;

    join_live(subscriber, "s");
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    // Once it counts as ready, nothing is lost: not even the first event.
    while ((error = talus_broadcaster_wait_subscribers(broadcaster, 1, 5, NULL)) != 0) {
        assert_true(error == TALUS_ETIMEOUT || error == TALUS_ENOSUBSCRIBER);
        assert_int_equal(talus_subscriber_receive(subscriber, 5, &delivery), TALUS_ETIMEOUT);
    }
    exchange(broadcaster, subscriber, "s", "a");
}

static void test_bus_meeting_several_broadcasters_of_one_session(void **state)
{
    struct fixture *fixture = *state;
    uint64_t last[3] = {0};

    broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    broadcast(fixture, 1, fixture->bus);
    broadcast(fixture, 2, fixture->bus);
    pump_until(subscriber, origins_are, 3);
    join_live(subscriber, "s");
    for (int i = 0; i < 3000; i++)
        emit(fixture->broadcasters[i % 3], "s", "a", NULL);
    for (int i = 0; i < 3000; i++) {
        const talus_event_t *event = expect_event(subscriber, NULL, "s", "a");
        for (size_t j = 0; j < 3; j++) {
            if (strcmp(event->origin, talus_broadcaster_origin(fixture->broadcasters[j])) == 0)
                assert_int_equal(event->seq, ++last[j]);
        }
    }
    assert_int_equal(last[0] + last[1] + last[2], 3000);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_bus_meeting_sessions_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    exchange(broadcaster, subscriber, "s", "a");
    emit_now(broadcaster, "t", "not-joined", NULL);
    join_live(subscriber, "t");
    exchange(broadcaster, subscriber, "t", "b");
    assert_int_equal(talus_subscriber_leave(subscriber, "s"), 0);
    emit(broadcaster, "s", "gone", NULL);
    exchange(broadcaster, subscriber, "t", "c");
    join_live(subscriber, "");
    exchange(broadcaster, subscriber, "", "all");
    join_live(subscriber, "*");
    exchange(broadcaster, subscriber, "elsewhere", "d");
    exchange(broadcaster, subscriber, "t", "e"); // once, though it is joined twice
    assert_int_equal(talus_subscriber_leave(subscriber, "*"), 0);
    emit(broadcaster, "elsewhere", "f", NULL);
    exchange(broadcaster, subscriber, "t", "g");
    assert_int_equal(stats_of(fixture).duplicates, 0);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_bus_meeting_event_arrives_whole(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    const talus_emit_t emitted = {
        .session = "s", .type = "a", .data = "\x81\xa1k\x07", .data_size = 4, .except = "client-1"};
    talus_value_t value;
    talus_event_id_t id;

    join_live(subscriber, "s");
    assert_int_equal(talus_emit(broadcaster, &emitted, &id), 0);
    const talus_event_t *event = expect_event(subscriber, id.text, "s", "a");
    assert_string_equal(event->origin, talus_broadcaster_origin(broadcaster));
    assert_string_equal(event->except, "client-1");
    assert_true(event->ts > 0);
    assert_int_equal(event->data_size, 4);
    assert_int_equal(talus_event_field(event, "k", &value), 0);
    assert_int_equal(value.as.u64, 7);
}

static void test_bus_meeting_broadcaster_that_ends_is_forgotten(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    talus_event_id_t ids[100];

    join_live(subscriber, "s");
    for (int i = 0; i < 100; i++)
        emit(broadcaster, "s", "a", &ids[i]);
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    for (int i = 0; i < 100; i++) // what it had sent is not lost with it
        expect_event(subscriber, ids[i].text, "s", "a");
    pump_until(subscriber, origins_are, 0);
    join_live(subscriber, "t");
}

static int play_broadcaster(const char *endpoint)
{
    talus_broadcaster_t *broadcaster;

    if (talus_broadcaster_new(&broadcaster, endpoint, NULL) != 0)
        return 1;
    child_say();
    for (int i = 0;; i++) {
        child_await();
        const talus_emit_t event = {.session = "s", .type = i ? "more" : "first"};
        if (talus_emit(broadcaster, &event, NULL) != 0 ||
            talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS) != 0)
            return 2;
        child_say();
    }
}

static void test_bus_meeting_killed_broadcaster_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    char origin[TALUS_ORIGIN_MAX + 1];
    struct child child;

    child_start(&child, "broadcaster", fixture->bus);
    child_wait_said(&child);
    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    child_tell(&child);
    strcpy(origin, expect_event(subscriber, NULL, "s", "first")->origin);
    child_wait_said(&child);
    child_tell(&child);
    expect_event(subscriber, NULL, "s", "more");
    child_kill(&child);

    struct child next;
    child_start(&next, "broadcaster", fixture->bus);
    child_wait_said(&next);
    join_live(subscriber, "t"); // the dead one is not waited for, the new one is
    child_tell(&next);
    assert_string_not_equal(expect_event(subscriber, NULL, "s", "first")->origin, origin);
    pump_until(subscriber, origins_are, 1);
    assert_int_equal(scratch_count(fixture->directory),
                     5); // its lock and sockets, our lock, a dead one's
    child_kill(&next);
    pump_until(subscriber, origins_are, 0);
    assert_int_equal(scratch_count(fixture->directory), 3); // our lock, and the ledgers of two
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_bus_meeting_goes_on_when_the_directory_is_deleted(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *before = broadcast(fixture, 0, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    const talus_delivery_t *delivery;

    join_live(subscriber, "s");
    exchange(before, subscriber, "s", "a");
    scratch_remove(fixture->directory);
    for (int i = 0; access(fixture->directory, F_OK) != 0; i++) {
        assert_true(i < EXPECT_DEADLINE_MS / 20);
        assert_int_equal(talus_subscriber_receive(subscriber, 20, &delivery), TALUS_ETIMEOUT);
    }
    // The one that was connected still is, and one that comes later is found.
    exchange(before, subscriber, "s", "b");
    talus_broadcaster_t *after = broadcast(fixture, 1, fixture->bus);
    pump_until(subscriber, origins_are, 2);
    join_live(subscriber, "t");
    exchange(after, subscriber, "s", "c");
    exchange(before, subscriber, "t", "d");
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    pump_until(subscriber, origins_are, 1);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_bus_meeting_own_broadcaster_is_ignored(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *own = broadcast(fixture, 0, fixture->bus);
    talus_broadcaster_t *other = broadcast(fixture, 1, fixture->bus);

    fixture->options.ignore_origin = talus_broadcaster_origin(own);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    join_live(subscriber, "s");
    emit(own, "s", "a", NULL);
    exchange(other, subscriber, "s", "b");
    // It is ready for its own broadcaster all the same: who waits for subscribers must not hang. It
    // says so while it receives, as a join does not wait for the hello of one that is ignored.
    for (int i = 0; talus_broadcaster_wait_subscribers(own, 1, 0, NULL) != 0; i++) {
        const talus_delivery_t *delivery;
        assert_true(i < EXPECT_DEADLINE_MS / 20);
        assert_int_equal(talus_subscriber_receive(subscriber, 20, &delivery), TALUS_ETIMEOUT);
    }
}

static bool heads_are(const talus_subscriber_stats_t *stats, uint64_t value)
{
    return stats->heads >= value;
}

static void test_bus_meeting_ten_thousand_sessions_are_live(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    broadcast(fixture, 1, fixture->bus);
    talus_subscriber_t *subscriber = subscribe(fixture, fixture->bus);
    static bool is_live[MANY_SESSIONS];
    char session[32];
    int number = 0;

    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    }
    for (int i = 0; i < MANY_SESSIONS; i++) {
        const talus_delivery_t *delivery;
        assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
        assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
        assert_true(delivery->live.complete);
        assert_int_equal(sscanf(delivery->session, "session-%d", &number), 1);
        assert_false(is_live[number]);
        is_live[number] = true;
    }
    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        emit(broadcaster, session, "a", NULL);
    }
    for (int i = 0; i < MANY_SESSIONS; i++) {
        const talus_event_t *event = expect_event(subscriber, NULL, NULL, "a");
        assert_int_equal(sscanf(event->session, "session-%d", &number), 1);
        assert_int_equal(number, i);
    }
    // A broadcaster that comes later gets all subscriptions, too, and answers each.
    uint64_t heads = stats_of(fixture).heads;
    talus_broadcaster_t *later = broadcast(fixture, 2, fixture->bus);
    pump_until(subscriber, heads_are, heads + MANY_SESSIONS);
    exchange(later, subscriber, "session-9999", "b");
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
    assert_int_equal(stats_of(fixture).sessions, MANY_SESSIONS);
    for (int i = 0; i < MANY_SESSIONS; i++) {
        snprintf(session, sizeof session, "session-%d", i);
        assert_int_equal(talus_subscriber_leave(subscriber, session), 0);
    }
    assert_int_equal(stats_of(fixture).sessions, 0);
}

// ---- Over other transports

// ZeroMQ repeats the subscriptions after a reconnect in the subscriber's own thread.
static void expect_while_receiving(struct raw_publisher *raw, talus_subscriber_t *subscriber,
                                   const char *topic)
{
    const talus_delivery_t *delivery;
    uint8_t frame[256];
    size_t size = strlen(topic);

    for (int i = 0; i < EXPECT_DEADLINE_MS / 5; i++) {
        int got = zmq_recv(raw->socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (got == (int)size + 1 && frame[0] == 1 && memcmp(frame + 1, topic, size) == 0)
            return;
        if (got < 0)
            assert_int_equal(talus_subscriber_receive(subscriber, 5, &delivery), TALUS_ETIMEOUT);
    }
    fail_msg("nobody subscribed to %s", topic);
}

static void test_bus_meeting_tcp_subscriber_connects(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, "tcp://127.0.0.1:*");
    talus_subscriber_t *subscriber = subscribe(fixture, talus_broadcaster_endpoint(broadcaster));

    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    exchange(broadcaster, subscriber, "s", "a");
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    join_live(subscriber, "t");
}

static void test_bus_meeting_tcp_subscriber_binds(void **state)
{
    struct fixture *fixture = *state;
    talus_subscriber_t *subscriber = subscribe(fixture, "@tcp://127.0.0.1:*");
    char endpoint[128];

    join_live(subscriber, "s");
    stpcpy(stpcpy(endpoint, ">"), talus_subscriber_endpoint(subscriber));
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, endpoint);
    talus_broadcaster_t *other = broadcast(fixture, 1, endpoint);
    pump_until(subscriber, origins_are, 2);
    join_live(subscriber, "t");
    exchange(broadcaster, subscriber, "s", "a");
    exchange(other, subscriber, "s", "b");
    talus_broadcaster_destroy(&fixture->broadcasters[1]);
    join_live(subscriber, "u"); // the connection that ended is known by its descriptor
    exchange(broadcaster, subscriber, "u", "c");
}

static void test_bus_meeting_inproc(void **state)
{
    struct fixture *fixture = *state;
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, "inproc://meeting");
    talus_subscriber_t *subscriber = subscribe(fixture, "inproc://meeting");

    pump_until(subscriber, origins_are, 1);
    join_live(subscriber, "s");
    exchange(broadcaster, subscriber, "s", "a");

    // What was delivered lives until the next call, also when the broadcaster, whose very bytes
    // they are, is gone; and what was sent is not lost with it.
    talus_event_id_t id;
    emit(broadcaster, "s", "b", NULL);
    emit_now(broadcaster, "s", "c", &id);
    const talus_event_t *event = expect_event(subscriber, NULL, "s", "b");
    talus_broadcaster_destroy(&fixture->broadcasters[0]);
    assert_int_equal(event->data_size, 1);
    assert_int_equal(*(const uint8_t *)event->data, 0x80);
    expect_event(subscriber, id.text, "s", "c");
}

static void test_bus_meeting_over_two_ways_delivers_once(void **state)
{
    struct fixture *fixture = *state;
    char endpoints[ENDPOINT_MAX + 64];

    stpcpy(stpcpy(endpoints, fixture->bus), ",tcp://127.0.0.1:*");
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, endpoints);
    const char *tcp = strstr(talus_broadcaster_endpoint(broadcaster), "tcp://");
    assert_non_null(tcp);
    stpcpy(stpcpy(stpcpy(endpoints, fixture->bus), ","), tcp);
    talus_subscriber_t *subscriber = subscribe(fixture, endpoints);
    join_live(subscriber, "s");
    pump_until(subscriber, heads_are, 2); // subscribed over both ways
    for (int i = 0; i < 1000; i++)
        emit(broadcaster, "s", "a", NULL);
    for (uint64_t seq = 1; seq <= 1000; seq++)
        assert_int_equal(expect_event(subscriber, NULL, "s", "a")->seq, seq);
    assert_int_equal(stats_of(fixture).gaps_opened, 0);
}

static void test_bus_meeting_reconnected_broadcaster_is_ready_again(void **state)
{
    struct fixture *fixture = *state;
    struct raw_publisher raw;
    char endpoint[256];

    raw_publisher_open(&raw, ZMQ_XPUB, "origin01", NULL);
    raw_publisher_bind(&raw, NULL);
    talus_subscriber_t *subscriber = subscribe(fixture, raw.endpoint);
    raw_publisher_expect(&raw, "$bus/");
    raw_publish_head(&raw, "$bus/$hello", 0);
    pump_until(subscriber, origins_are, 1);
    assert_int_equal(talus_subscriber_join(subscriber, "s"), 0);
    raw_publisher_expect(&raw, "s/");
    raw_publish_head(&raw, "s/$head", 5);
    expect_live(subscriber, "s", true);
    strcpy(endpoint, raw.endpoint);
    raw_publisher_close(&raw);

    raw_publisher_open(&raw, ZMQ_XPUB, "origin01", NULL); // as if the network had been away
    raw_publisher_bind(&raw, endpoint);
    expect_while_receiving(&raw, subscriber, "s/");
    raw_publish_head(&raw, "$bus/$hello", 7);
    raw_publish_head(&raw, "s/$head", 7);
    pump_until(subscriber, heads_are, 2);
    assert_int_equal(stats_of(fixture).gaps_opened, 1); // 6 and 7 were emitted meanwhile
    raw_publisher_expect_ready(&raw);
    raw_publisher_close(&raw);
}

// A message beyond every bound costs the connection it came through, and that one alone, for a
// while.
static void test_bus_meeting_connection_is_made_anew_after_a_monstrous_message(void **state)
{
    struct fixture *fixture = *state;
    struct raw_publisher raw;
    size_t size = ((size_t)64 << 20) + 32 * 1024;
    uint8_t *monster = calloc(1, size);
    talus_broadcaster_t *broadcaster = broadcast(fixture, 0, fixture->bus);
    char endpoints[ENDPOINT_MAX + 300];

    assert_non_null(monster);
    raw_publisher_open(&raw, ZMQ_XPUB, "origin01", NULL);
    raw_publisher_bind(&raw, NULL);
    fixture->options.max_body = 1024;
    stpcpy(stpcpy(stpcpy(endpoints, fixture->bus), ","), raw.endpoint);
    talus_subscriber_t *subscriber = subscribe(fixture, endpoints);
    join_live(subscriber, "s");
    raw_publisher_expect(&raw, "s/");
    raw_publish_frames(&raw, "s/a", monster, size);
    free(monster);
    exchange(broadcaster, subscriber, "s", "a");
    expect_while_receiving(&raw, subscriber, "s/");
    raw_publish(&raw, "s/b", 1, 0);
    expect_event(subscriber, "origin01.1", "s", "b");
    raw_publisher_close(&raw);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "broadcaster") == 0)
        return play_broadcaster(argv[2]);

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bus_meeting_broadcaster_first),
        TEST(test_bus_meeting_subscriber_first),
        TEST(test_bus_meeting_makes_a_broadcaster_ready_for_all_joined),
        TEST(test_bus_meeting_several_broadcasters_of_one_session),
        TEST(test_bus_meeting_sessions_come_and_go),
        TEST(test_bus_meeting_event_arrives_whole),
        TEST(test_bus_meeting_broadcaster_that_ends_is_forgotten),
        TEST(test_bus_meeting_killed_broadcaster_is_replaced),
        TEST(test_bus_meeting_goes_on_when_the_directory_is_deleted),
        TEST(test_bus_meeting_own_broadcaster_is_ignored),
        TEST(test_bus_meeting_ten_thousand_sessions_are_live),
        TEST(test_bus_meeting_tcp_subscriber_connects),
        TEST(test_bus_meeting_tcp_subscriber_binds),
        TEST(test_bus_meeting_inproc),
        TEST(test_bus_meeting_over_two_ways_delivers_once),
        TEST(test_bus_meeting_reconnected_broadcaster_is_ready_again),
        TEST(test_bus_meeting_connection_is_made_anew_after_a_monstrous_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
