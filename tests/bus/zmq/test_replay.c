// SPDX-License-Identifier: MIT
// The replay socket as those meet it who missed events, and the markers that tell them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus.h>

#include "bus/src/zmq/context.h"
#include "tests/bus/support/raw_replay_client.h"
#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/scratch.h"

static talus_broadcaster_options_t options;
static talus_broadcaster_t *bus;
static struct raw_subscriber raw;
static struct raw_replay_client client, other;

static int set_up(void **state)
{
    (void)state;
    talus_broadcaster_options_init(&options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    raw_replay_client_close(&client);
    raw_replay_client_close(&other);
    raw_close(&raw);
    talus_broadcaster_destroy(&bus);
    return 0;
}

static void broadcast(const char *endpoint)
{
    assert_int_equal(talus_broadcaster_new(&bus, endpoint, &options), 0);
}

static void flush(void)
{
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
}

static void emit(const char *session)
{
    const talus_emit_t event = {.session = session, .type = "t"};

    assert_int_equal(talus_emit(bus, &event, NULL), 0);
}

static void emit_many(const char *session, int count)
{
    for (int i = 0; i < count; i++)
        emit(session);
    flush();
}

static void emit_sized(const char *session, size_t size)
{
    uint8_t *data = calloc(1, size);

    assert_non_null(data);
    data[0] = 0xc6; // bin
    data[1] = (uint8_t)((size - 5) >> 24);
    data[2] = (uint8_t)((size - 5) >> 16);
    data[3] = (uint8_t)((size - 5) >> 8);
    data[4] = (uint8_t)(size - 5);
    const talus_emit_t event = {.session = session, .type = "t", .data = data, .data_size = size};
    talus_error_t error = talus_emit(bus, &event, NULL);
    if (error == TALUS_EQUEUEFULL) {
        flush();
        error = talus_emit(bus, &event, NULL);
    }
    free(data);
    assert_int_equal(error, 0);
}

static talus_broadcaster_stats_t stats(void)
{
    talus_broadcaster_stats_t now;

    talus_broadcaster_stats(bus, &now);
    return now;
}

// The replay endpoint that a head names.
static void find_replay(char out[TALUS__REPLAY_MAX + 1], void *context)
{
    raw_close(&raw);
    raw_open(&raw, context);
    raw_connect(&raw, talus_broadcaster_endpoint(bus));
    raw_subscribe(&raw, "$bus/");
    raw_expect_head(&raw, "$bus/$hello");
    memcpy(out, raw.head.replay, raw.head.replay_size);
    out[raw.head.replay_size] = '\0';
}

static void open_client(const char *endpoint)
{
    char replay[TALUS__REPLAY_MAX + 1];

    broadcast(endpoint);
    find_replay(replay, NULL);
    raw_replay_client_open(&client, replay, NULL, 1000);
}

#define TCP "tcp://127.0.0.1:*"

// ---- Answers

static void test_replay_answers_with_what_came_after(void **state)
{
    (void)state;
    open_client(TCP);
    emit("a");
    emit("b");
    emit("a");
    emit(NULL);
    emit("a");
    flush();
    raw_replay_client_ask(&client, "a", 1, 0);
    raw_replay_client_expect_event(&client, "a/t", 3);
    assert_int_equal(client.body.prev, 1);
    raw_replay_client_expect_event(&client, "a/t", 5);
    raw_replay_client_expect_end(&client, "a/$end", 1, 5, true);
    assert_memory_equal(client.end.origin, talus_broadcaster_origin(bus), client.end.origin_size);
    raw_replay_client_ask(&client, "", 0, 0);
    raw_replay_client_expect_event(&client, "/t", 4);
    raw_replay_client_expect_end(&client, "/$end", 1, 4, true);
    raw_replay_client_ask(&client, "*", 2, 0);
    for (uint64_t seq = 3; seq <= 5; seq++)
        raw_replay_client_expect_event(&client, NULL, seq);
    raw_replay_client_expect_end(&client, "*/$end", 3, 5, true);
    raw_replay_client_ask(&client, "a", 5, 0); // nothing newer than what one has
    raw_replay_client_expect_end(&client, "a/$end", 1, 5, true);
    raw_replay_client_ask(&client, "never", 0, 0);
    raw_replay_client_expect_end(&client, "never/$end", 1, 0, true);
    assert_int_equal(stats().replay_requests, 5);
    assert_int_equal(stats().replay_events, 6);
    assert_int_equal(stats().history_events, 5);
}

static void test_replay_stops_at_max(void **state)
{
    (void)state;
    open_client(TCP);
    emit_many("a", 10);
    raw_replay_client_ask(&client, "a", 2, 3);
    for (uint64_t seq = 3; seq <= 5; seq++)
        raw_replay_client_expect_event(&client, NULL, seq);
    raw_replay_client_expect_end(&client, "a/$end", 1, 10, true);
    raw_replay_client_ask(&client, "*", 9, 3);
    raw_replay_client_expect_event(&client, NULL, 10);
    raw_replay_client_expect_end(&client, "*/$end", 10, 10, true);
}

static void test_replay_says_when_history_reaches_no_further(void **state)
{
    (void)state;
    options.history_events = 3;
    open_client(TCP);
    emit("b");
    emit_many("a", 10); // 9, 10, 11 are kept
    raw_replay_client_ask(&client, "a", 4, 0);
    for (uint64_t seq = 9; seq <= 11; seq++)
        raw_replay_client_expect_event(&client, NULL, seq);
    raw_replay_client_expect_end(&client, "a/$end", 9, 11, false);
    raw_replay_client_ask(&client, "a", 8, 0);
    for (uint64_t seq = 9; seq <= 11; seq++)
        raw_replay_client_expect_event(&client, NULL, seq);
    raw_replay_client_expect_end(&client, "a/$end", 9, 11, true);
    raw_replay_client_ask(&client, "*", 0, 0);
    raw_replay_client_expect_event(&client, NULL, 1);
    for (uint64_t seq = 9; seq <= 11; seq++)
        raw_replay_client_expect_event(&client, NULL, seq);
    raw_replay_client_expect_end(&client, "*/$end", 9, 11, false);
}

// However long a session has been quiet, whoever has its last event missed nothing.
static void test_replay_knows_that_nothing_newer_is_there(void **state)
{
    (void)state;
    options.history_age_ms = 1;
    open_client(TCP);
    emit_many("a", 2);
    emit_many("b", 1);
    while (stats().history_events > 0)
        raw_replay_client_receive(&client, 1); // until the bus thread has let go of them
    raw_replay_client_ask(&client, "a", 2, 0);
    raw_replay_client_expect_end(&client, "a/$end", 3, 2, true);
    raw_replay_client_ask(&client, "a", 1, 0);
    raw_replay_client_expect_end(&client, "a/$end", 3, 2, false);
    raw_replay_client_ask(&client, "*", 3, 0);
    raw_replay_client_expect_end(&client, "*/$end", 4, 3, true);
    raw_replay_client_ask(&client, "*", 2, 0);
    raw_replay_client_expect_end(&client, "*/$end", 4, 3, false);
}

static void test_replay_of_a_session_that_was_forgotten(void **state)
{
    (void)state;
    options.max_sessions = 1;
    open_client(TCP);
    emit("a");
    emit("b");
    emit("c");
    flush();
    raw_replay_client_ask(&client, "b", 2, 0); // the one forgotten last: exact
    raw_replay_client_expect_end(&client, "b/$end", 3, 2, true);
    raw_replay_client_ask(&client, "a", 1, 0); // it cannot be known any more, and is said
    raw_replay_client_expect_end(&client, "a/$end", 3, 2, false);
}

static void test_replay_gives_heads(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "never", "", "*", "b"};

    open_client(TCP);
    emit("a");
    emit("b");
    emit(NULL);
    flush();
    raw_replay_client_ask_heads(&client, names, 5);
    raw_replay_client_expect_head(&client, "a/$head", 1);
    assert_true(client.head.replay_size > 0);
    raw_replay_client_expect_head(&client, "never/$head", 0);
    raw_replay_client_expect_head(&client, "/$head", 3);
    raw_replay_client_expect_head(&client, "*/$head", 3);
    raw_replay_client_expect_head(&client, "b/$head", 2);
    raw_replay_client_ask_heads(&client, names, 0);
    raw_replay_client_ask(&client, "b", 0, 0);
    raw_replay_client_expect_event(&client, "b/t", 2);
    raw_replay_client_expect_end(&client, "b/$end", 1, 2, true);
}

static void test_replay_answers_nothing_to_bad_requests(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        "\x80",                                  // {}
        "\x81\xa2op\xa6replay",                  // no session
        "\x82\xa2op\xa4what\xa7session\xa1x",    // no such thing
        "\x82\xa2op\xa6replay\xa7session\xa2-x", // no session id
        "\x82\xa2op\xa6replay\xa7session\x01",   // no text
        ("\x83\xa2op\xa6replay\xa7session\xa1x\xa5"
         "after\xff"),                                             // negative
        "\x82\xa2op\xa4head\xa8sessions\x92\xa1x\xa1/",            // one is no session id
        "\x82\xa2op\xa4head\xa8sessions\xdd\x7f\xff\xff\xff\xa1x", // more than there are
        "\x82\xa2op\xa6replay\xa7session\xa1xyz",                  // trailing bytes
    };
    const size_t count = sizeof bad / sizeof bad[0];

    open_client(TCP);
    for (size_t i = 0; i < count; i++)
        raw_replay_client_send(&client, bad[i], strlen(bad[i]));
    assert_int_equal(zmq_send(client.socket, "two", 3, ZMQ_SNDMORE), 3);
    raw_replay_client_send(&client, "frames", 6);
    raw_replay_client_ask(&client, "x", 0, 0);
    raw_replay_client_expect_end(&client, "x/$end", 1, 0, true); // the first answer that comes
    assert_int_equal(stats().replay_requests, count + 2);
    assert_int_equal(stats().replay_refused, count + 1);
}

// ---- Bounds

// Reads what a client gets until its answer ends. Returns the events.
static int read_to_end(struct raw_replay_client *from)
{
    int events = 0;

    for (;;) {
        assert_true(raw_replay_client_receive(from, RAW_DEADLINE_MS));
        if (strstr(from->topic, "/$end"))
            return events;
        events++;
    }
}

static void test_replay_one_client_does_not_starve_the_others(void **state)
{
    (void)state;
    char replay[TALUS__REPLAY_MAX + 1];
    enum { LOAD = 30, EVENTS = 1000 };

    open_client(TCP);
    find_replay(replay, NULL);
    raw_replay_client_open(&other, replay, NULL, 1000);
    emit_many("a", EVENTS);
    emit_many("b", 1);
    for (int i = 0; i < LOAD; i++)
        raw_replay_client_ask(&client, "a", 0, 0);
    assert_true(raw_replay_client_receive(&client, RAW_DEADLINE_MS)); // it is being answered
    raw_replay_client_ask(&other, "b", 0, 0);
    raw_replay_client_expect_event(&other, "b/t", EVENTS + 1);
    raw_replay_client_expect_end(&other, "b/$end", 1, EVENTS + 1, true);
    assert_true(stats().replay_events < LOAD * EVENTS); // long before the other one had all
    emit_many("c", 1);                                  // nor are emitters held up
    for (int i = 0; i < LOAD; i++)
        assert_int_equal(read_to_end(&client), EVENTS - (i == 0));
}

static void test_replay_drops_a_client_that_does_not_read(void **state)
{
    (void)state;
    char replay[TALUS__REPLAY_MAX + 1];
    enum { EVENTS = 400 };

    options.replay_high_water_mark = 5;
    options.replay_stall_ms = 100;
    options.history_session_bytes = 64u << 20;
    broadcast(TCP);
    find_replay(replay, NULL);
    raw_replay_client_open(&client, replay, NULL, 5);
    raw_replay_client_open(&other, replay, NULL, 5);
    for (int i = 0; i < EVENTS; i++)
        emit_sized("a", 100000); // more than what sockets hold
    flush();
    raw_replay_client_ask(&client, "a", 0, 0);
    while (stats().replay_stalled == 0) {
        raw_replay_client_ask(&other, "b", 0, 0); // the others are answered meanwhile
        assert_int_equal(read_to_end(&other), 0);
    }
    assert_true(stats().replay_events < EVENTS);
    // It may ask anew, and finds the answer behind what was on its way.
    raw_replay_client_ask(&client, "a", EVENTS - 1, 0);
    const struct talus__limits limits = {.max_body = 1000000, .max_depth = 4, .max_bin = 4};
    do {
        assert_true(raw_replay_client_receive(&client, RAW_DEADLINE_MS));
        assert_int_equal(talus__body_decode(client.frame, client.frame_size, &limits, &client.body),
                         0);
    } while (client.body.seq < EVENTS);
    raw_replay_client_expect_end(&client, "a/$end", 1, EVENTS, true);
}

// A slow client reads on after its queue was full: nothing is missing.
static void test_replay_waits_for_a_slow_client(void **state)
{
    (void)state;
    char replay[TALUS__REPLAY_MAX + 1];
    enum { EVENTS = 300 };

    options.replay_high_water_mark = 2;
    options.history_session_bytes = 64u << 20;
    broadcast(TCP);
    find_replay(replay, NULL);
    raw_replay_client_open(&client, replay, NULL, 2);
    for (int i = 0; i < EVENTS; i++)
        emit_sized("a", 100000);
    flush();
    raw_replay_client_ask(&client, "a", 0, 0);
    for (uint64_t seq = 1; seq <= EVENTS; seq++)
        raw_replay_client_expect_event(&client, NULL, seq);
    raw_replay_client_expect_end(&client, "a/$end", 1, EVENTS, true);
}

// History moves on under an answer: what is gone is told, the rest comes in order.
static void test_replay_tells_of_events_that_go_meanwhile(void **state)
{
    (void)state;
    char replay[TALUS__REPLAY_MAX + 1];
    enum { EVENTS = 300 };
    uint64_t last = 0;

    options.replay_high_water_mark = 2;
    options.history_events = EVENTS;
    options.history_session_bytes = 64u << 20;
    broadcast(TCP);
    find_replay(replay, NULL);
    raw_replay_client_open(&client, replay, NULL, 2);
    for (int i = 0; i < EVENTS; i++)
        emit_sized("a", 100000);
    flush();
    raw_replay_client_ask(&client, "a", 0, 0);
    raw_replay_client_expect_event(&client, NULL, 1);
    emit_many("a", EVENTS); // all of the first ones are gone now
    for (;;) {
        assert_true(raw_replay_client_receive(&client, RAW_DEADLINE_MS));
        if (strstr(client.topic, "$end"))
            break;
        const struct talus__limits limits = {.max_body = 1000000, .max_depth = 4, .max_bin = 4};
        assert_int_equal(talus__body_decode(client.frame, client.frame_size, &limits, &client.body),
                         0);
        assert_true(client.body.seq > last);
        last = client.body.seq;
    }
    assert_int_equal(last, 2 * EVENTS);
    assert_int_equal(talus__end_decode(client.frame, client.frame_size, &client.end), 0);
    assert_false(client.end.is_complete);
    assert_int_equal(client.end.first, EVENTS + 1);
}

static void test_replay_bounds_the_requests_of_a_client(void **state)
{
    (void)state;
    char replay[TALUS__REPLAY_MAX + 1];
    enum { REQUESTS = 500 };

    options.replay_high_water_mark = 1;
    broadcast(TCP);
    find_replay(replay, NULL);
    raw_replay_client_open(&client, replay, NULL, 1);
    for (int i = 0; i < 50; i++)
        emit_sized("a", 500000); // so that the first answers take their time
    flush();
    for (int i = 0; i < REQUESTS; i++)
        raw_replay_client_ask(&client, "a", 0, 0);
    while (stats().replay_requests < REQUESTS)
        assert_true(raw_replay_client_receive(&client, RAW_DEADLINE_MS));
    assert_true(stats().replay_refused > 0);
    do // those that were not refused are answered
        assert_true(raw_replay_client_receive(&client, RAW_DEADLINE_MS));
    while (!strstr(client.topic, "$end"));
}

// ---- Where it is

static void test_replay_in_a_bus_directory(void **state)
{
    (void)state;
    char root[SCRATCH_PATH_MAX], endpoint[SCRATCH_PATH_MAX + 32];
    char replay[TALUS__REPLAY_MAX + 1], expected[TALUS__REPLAY_MAX + 1];

    scratch_make(root);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/bus/*", root);
    broadcast(endpoint);
    find_replay(replay, NULL);
    snprintf(expected, sizeof expected, "ipc://%s/bus/%s.replay", root,
             talus_broadcaster_origin(bus));
    assert_string_equal(replay, expected);
    raw_replay_client_open(&client, replay, NULL, 1000);
    emit_many("a", 1);
    raw_replay_client_ask(&client, "a", 0, 0);
    raw_replay_client_expect_event(&client, "a/t", 1);
    talus_broadcaster_destroy(&bus);
    strcat(root, "/bus");
    assert_int_equal(scratch_count(root), 0);
    *strrchr(root, '/') = '\0';
    scratch_remove(root);
}

static void test_replay_on_every_endpoint(void **state)
{
    (void)state;
    char root[SCRATCH_PATH_MAX], endpoints[SCRATCH_PATH_MAX + 128];
    char replay[TALUS__REPLAY_MAX + 1];
    void *context = talus__context_ref();
    char *rest;
    int count = 0;

    scratch_make(root);
    snprintf(endpoints, sizeof endpoints, "tcp://*:*,ipc://%s/s,inproc://test-replay", root);
    broadcast(endpoints);
    emit_many("a", 1);
    raw_open(&raw, context);
    raw_connect(&raw, "inproc://test-replay");
    raw_subscribe(&raw, "$bus/");
    raw_expect_head(&raw, "$bus/$hello");
    memcpy(replay, raw.head.replay, raw.head.replay_size);
    replay[raw.head.replay_size] = '\0';
    for (char *one = strtok_r(replay, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
        char endpoint[TALUS__REPLAY_MAX + 32];
        if (strncmp(one, "tcp://*:", 8) == 0) // the host that one is connected to
            snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%s", one + 8);
        else
            strcpy(endpoint, one);
        raw_replay_client_open(&client, endpoint, context, 1000);
        raw_replay_client_ask(&client, "a", 0, 0);
        raw_replay_client_expect_event(&client, "a/t", 1);
        raw_replay_client_close(&client);
        count++;
    }
    assert_int_equal(count, 3);
    raw_close(&raw);
    talus_broadcaster_destroy(&bus);
    talus__context_unref();
    assert_int_equal(scratch_count(root), 0);
    scratch_remove(root);
}

static void test_replay_where_it_is_configured_or_nowhere(void **state)
{
    (void)state;
    char replay[TALUS__REPLAY_MAX + 1];

    options.replay = "tcp://127.0.0.1:*,inproc://test-replay-configured";
    broadcast(TCP);
    find_replay(replay, NULL);
    assert_non_null(strstr(replay, ",inproc://test-replay-configured"));
    raw_close(&raw);
    talus_broadcaster_destroy(&bus);
    options.replay = "";
    broadcast(TCP);
    find_replay(replay, NULL);
    assert_string_equal(replay, "");
    talus_broadcaster_destroy(&bus);
    options.replay = ">tcp://127.0.0.1:5570";
    assert_int_equal(talus_broadcaster_new(&bus, TCP, &options), TALUS_EENDPOINT);
    options.replay = "nonsense";
    assert_int_equal(talus_broadcaster_new(&bus, TCP, &options), TALUS_EENDPOINT);
}

// ---- Markers

// The head comes again, for those who lost the last event.
static void test_replay_heads_are_repeated(void **state)
{
    (void)state;
    broadcast(TCP);
    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(bus));
    raw_subscribe_live(&raw, "");
    emit("a");
    emit(NULL);
    bool has[3] = {false};
    while (!has[0] || !has[1] || !has[2]) {
        assert_true(raw_receive(&raw, RAW_DEADLINE_MS));
        has[0] |= strcmp(raw.topic, "a/$head") == 0;
        has[1] |= strcmp(raw.topic, "/$head") == 0;
        has[2] |= strcmp(raw.topic, "*/$head") == 0;
    }
}

// Whoever ends in good order names each session's last event, and says so.
static void test_replay_ends_with_heads_and_a_leave(void **state)
{
    (void)state;
    broadcast(TCP);
    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(bus));
    raw_subscribe(&raw, "$bus/");
    raw_expect_head(&raw, "$bus/$hello");
    raw_subscribe_live(&raw, "a/");
    emit("a");
    talus_broadcaster_destroy(&bus);
    raw_expect_event(&raw, "a/t");
    assert_int_equal(raw_expect_head(&raw, "a/$head"), 1);
    assert_int_equal(raw_expect_head(&raw, "$bus/$bye"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_replay_answers_with_what_came_after),
        TEST(test_replay_stops_at_max),
        TEST(test_replay_says_when_history_reaches_no_further),
        TEST(test_replay_knows_that_nothing_newer_is_there),
        TEST(test_replay_of_a_session_that_was_forgotten),
        TEST(test_replay_gives_heads),
        TEST(test_replay_answers_nothing_to_bad_requests),
        TEST(test_replay_one_client_does_not_starve_the_others),
        TEST(test_replay_drops_a_client_that_does_not_read),
        TEST(test_replay_waits_for_a_slow_client),
        TEST(test_replay_tells_of_events_that_go_meanwhile),
        TEST(test_replay_bounds_the_requests_of_a_client),
        TEST(test_replay_in_a_bus_directory),
        TEST(test_replay_on_every_endpoint),
        TEST(test_replay_where_it_is_configured_or_nowhere),
        TEST(test_replay_heads_are_repeated),
        TEST(test_replay_ends_with_heads_and_a_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
