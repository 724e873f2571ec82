// SPDX-License-Identifier: MIT
// Emitting: what goes out, in which order, and what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <talus.h>

#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/stalled_log.h"

#define EMPTY_MAP "\x80"

static talus_broadcaster_t *bus;
static struct raw_subscriber raw;
static talus_broadcaster_options_t options;

static void open_bus(void)
{
    assert_int_equal(talus_broadcaster_new(&bus, "tcp://127.0.0.1:*", &options), 0);
    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(bus));
    assert_int_equal(raw_subscribe_live(&raw, ""), 0);
}

static int setup(void **state)
{
    (void)state;
    talus_broadcaster_options_init(&options);
    open_bus();
    return 0;
}

static int setup_closed(void **state)
{
    (void)state;
    talus_broadcaster_options_init(&options);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    talus_broadcaster_destroy(&bus);
    raw_close(&raw);
    return 0;
}

static int emit(const char *session, const char *type)
{
    const talus_emit_t event = {.session = session, .type = type};

    return talus_emit(bus, &event, NULL);
}

static int emit_data(const void *data, size_t size)
{
    const talus_emit_t event = {.session = "s", .type = "t", .data = data, .data_size = size};

    return talus_emit(bus, &event, NULL);
}

static talus_broadcaster_stats_t stats(void)
{
    talus_broadcaster_stats_t now;

    talus_broadcaster_stats(bus, &now);
    return now;
}

static void expect(const char *topic, uint64_t seq, uint64_t prev)
{
    raw_expect_event(&raw, topic);
    assert_int_equal(raw.body.seq, seq);
    assert_int_equal(raw.body.prev, prev);
    assert_int_equal(raw.body.origin_size, strlen(talus_broadcaster_origin(bus)));
    assert_memory_equal(raw.body.origin, talus_broadcaster_origin(bus), raw.body.origin_size);
}

static void test_emit_orders_sessions_and_links_them(void **state)
{
    (void)state;
    assert_int_equal(emit("a", "t1"), 0);
    assert_int_equal(emit("b", "t1"), 0);
    assert_int_equal(emit("a", "t2"), 0);
    assert_int_equal(emit(NULL, "all"), 0);
    assert_int_equal(emit("a:b_c.d@e-f", "t1"), 0);
    assert_int_equal(emit("", "all"), 0);
    assert_int_equal(emit("b", "t3"), 0);
    assert_int_equal(emit("a", "t4"), 0);
    expect("a/t1", 1, 0);
    expect("b/t1", 2, 0);
    expect("a/t2", 3, 1);
    expect("/all", 4, 0);
    expect("a:b_c.d@e-f/t1", 5, 0);
    expect("/all", 6, 4);
    expect("b/t3", 7, 2);
    expect("a/t4", 8, 3);
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
    assert_int_equal(stats().emitted, 8);
    assert_int_equal(stats().sent, 8);
    assert_int_equal(stats().sessions, 4);
}

static void test_emit_carries_everything(void **state)
{
    (void)state;
    static const char data[] = "\x81\xa1k\xa5value";
    const talus_emit_t event = {.session = "s",
                                .type = "node-created",
                                .data = data,
                                .data_size = sizeof data - 1,
                                .except = "client-1"};
    talus_event_id_t id;
    char expected[64];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t before = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
    for (unsigned i = 1; i <= 12; i++) {
        assert_int_equal(talus_emit(bus, &event, &id), 0);
        snprintf(expected, sizeof expected, "%s.%u", talus_broadcaster_origin(bus), i);
        assert_string_equal(id.text, expected);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t after = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
    expect("s/node-created", 1, 0);
    assert_in_range(raw.body.ts, before, after);
    assert_int_equal(raw.body.except_size, 8);
    assert_memory_equal(raw.body.except, "client-1", 8);
    assert_int_equal(raw.body.data_size, sizeof data - 1);
    assert_memory_equal(raw.body.data, data, sizeof data - 1);
}

static void test_emit_without_data_sends_an_empty_map(void **state)
{
    (void)state;
    const talus_emit_t event = {.session = "s", .type = "t", .except = ""};

    assert_int_equal(talus_emit(bus, &event, NULL), 0);
    expect("s/t", 1, 0);
    assert_null(raw.body.except);
    assert_int_equal(raw.body.data_size, 1);
    assert_memory_equal(raw.body.data, EMPTY_MAP, 1);
}

static void test_emit_refuses_what_is_not_valid(void **state)
{
    (void)state;
    char long_session[TALUS_SESSION_MAX + 2], long_type[TALUS_TYPE_MAX + 2],
        long_except[TALUS_EXCEPT_MAX + 2];
    memset(long_session, 's', sizeof long_session);
    memset(long_type, 't', sizeof long_type);
    memset(long_except, 'k', sizeof long_except);
    long_session[sizeof long_session - 1] = '\0';
    long_type[sizeof long_type - 1] = '\0';
    long_except[sizeof long_except - 1] = '\0';
    const struct {
        talus_emit_t event;
        int error;
    } cases[] = {
        {{.session = "a/b", .type = "t"}, TALUS_ESESSION},
        {{.session = "-a", .type = "t"}, TALUS_ESESSION},
        {{.session = "*", .type = "t"}, TALUS_ESESSION},
        {{.session = long_session, .type = "t"}, TALUS_ESESSION},
        {{.session = "s", .type = NULL}, TALUS_ETYPE},
        {{.session = "s", .type = ""}, TALUS_ETYPE},
        {{.session = "s", .type = "a b"}, TALUS_ETYPE},
        {{.session = "s", .type = long_type}, TALUS_ETYPE},
        {{.session = "s", .type = "$head"}, TALUS_ERESERVED},
        {{.session = "s", .type = "disconnect"}, TALUS_ERESERVED},
        {{.session = "s", .type = "gap"}, TALUS_ERESERVED},
        {{.session = "s", .type = "t", .except = long_except}, TALUS_EINVAL},
        {{.session = "s", .type = "t", .data = "", .data_size = 0}, TALUS_EMSGPACK},
        {{.session = "s", .type = "t", .data = "\x81\xa1k", .data_size = 3}, TALUS_EMSGPACK},
        {{.session = "s", .type = "t", .data = "\x80\x80", .data_size = 2}, TALUS_EMSGPACK},
    };
    const size_t count = sizeof cases / sizeof cases[0];
    talus_event_id_t id = {"untouched"};

    for (size_t i = 0; i < count; i++)
        assert_int_equal(talus_emit(bus, &cases[i].event, &id), cases[i].error);
    assert_string_equal(id.text, "untouched");
    assert_int_equal(stats().refused_invalid, count);
    assert_int_equal(stats().emitted, 0);
    assert_int_equal(emit("s", "t"), 0);
    expect("s/t", 1, 0); // none of them took a number
}

static void test_emit_refuses_what_breaks_a_bound(void **state)
{
    (void)state;
    uint8_t deep[40], bins[32];

    memset(deep, 0x91, sizeof deep); // arrays of one element
    deep[31] = 0x90;
    assert_int_equal(emit_data(deep, 32), 0); // 32 of them
    deep[31] = 0x91;
    deep[32] = 0x90;
    assert_int_equal(emit_data(deep, 33), TALUS_ETOODEEP);

    bins[0] = 0x9a; // ten empty `bin` values
    for (int i = 0; i < 11; i++) {
        bins[1 + 2 * i] = 0xc4;
        bins[2 + 2 * i] = 0;
    }
    assert_int_equal(emit_data(bins, 21), 0);
    bins[0] = 0x9b;
    assert_int_equal(emit_data(bins, 23), TALUS_ETOOMANYBIN);
    assert_int_equal(stats().refused_bounds, 2);

    static const char placeholder[] = "\x82\xac_placeholder\xc3\xa1x\xc4\x00";
    assert_int_equal(emit_data(placeholder, sizeof placeholder - 1), TALUS_EPLACEHOLDER);
    assert_int_equal(stats().refused_bounds, 2);
    assert_int_equal(stats().refused_invalid, 1);
    expect("s/t", 1, 0);
    expect("s/t", 2, 1);
}

static void test_emit_bounds_the_body_to_the_byte(void **state)
{
    (void)state;
    options.max_body = 4096;
    open_bus();
    uint8_t data[8192] = {0xc5}; // bin 16
    memset(data + 3, 'x', sizeof data - 3);

    assert_int_equal(emit_data(EMPTY_MAP, 1), 0);
    expect("s/t", 1, 0);
    size_t header = raw.frame_size - 1;
    size_t most = options.max_body - header;
    for (size_t size = most; size <= most + 1; size++) {
        data[1] = (uint8_t)((size - 3) >> 8);
        data[2] = (uint8_t)(size - 3);
        assert_int_equal(emit_data(data, size), size == most ? 0 : TALUS_ETOOLARGE);
    }
    expect("s/t", 2, 1);
    assert_int_equal(raw.frame_size, options.max_body);
    assert_int_equal(emit_data(data, sizeof data), TALUS_ETOOLARGE);
    assert_int_equal(stats().refused_bounds, 2);
}

// The bus thread is held while it logs, so that nothing leaves the queue.
static void test_emit_full_queue_is_an_error_and_no_hole(void **state)
{
    (void)state;
    char ready[128];

    stalled_log_open();
    options.queue_events = 100; // 128
    open_bus();
    stalled_log_hold("is ready for");
    snprintf(ready, sizeof ready, "$ready/abcdefghijkl/%s", talus_broadcaster_origin(bus));
    raw_subscribe(&raw, ready);
    stalled_log_wait_held();
    for (int i = 0; i < 128; i++)
        assert_int_equal(emit("s", "t"), 0);
    for (int i = 0; i < 7; i++)
        assert_int_equal(emit("s", "t"), TALUS_EQUEUEFULL);
    assert_int_equal(stats().emitted, 128);
    assert_int_equal(stats().refused_full, 7);
    assert_int_equal(stats().sent, 0);
    assert_int_equal(talus_broadcaster_flush(bus, 0), TALUS_ETIMEOUT);
    assert_int_equal(talus_broadcaster_flush(bus, 1), TALUS_ETIMEOUT);

    stalled_log_release();
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
    assert_int_equal(stats().sent, 128);
    assert_int_equal(emit("s", "t"), 0);
    for (uint64_t seq = 1; seq <= 129; seq++)
        expect("s/t", seq, seq - 1);
}

static void on_alarm(int number)
{
    (void)number;
}

// SIGALRM comes every 10 ms, since the first may come before the wait.
static void test_emit_flush_ends_at_a_signal(void **state)
{
    (void)state;
    char ready[128];
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    struct sigaction before;
    const struct itimerval soon = {.it_value = {.tv_usec = 10000},
                                   .it_interval = {.tv_usec = 10000}};
    const struct itimerval never = {.it_value = {0}};

    stalled_log_open();
    open_bus();
    stalled_log_hold("is ready for");
    snprintf(ready, sizeof ready, "$ready/abcdefghijkl/%s", talus_broadcaster_origin(bus));
    raw_subscribe(&raw, ready);
    stalled_log_wait_held();
    assert_int_equal(emit("s", "t"), 0);
    errno = EINTR;
    assert_int_equal(talus_broadcaster_flush(bus, 1), TALUS_ETIMEOUT);
    assert_int_not_equal(errno, EINTR);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), TALUS_ETIMEOUT);
    assert_int_equal(errno, EINTR);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    sigaction(SIGALRM, &before, NULL);
    stalled_log_release();
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
}

static int teardown_log(void **state)
{
    stalled_log_close();
    return teardown(state);
}

static void test_emit_forgotten_session_has_the_watermark(void **state)
{
    (void)state;
    options.max_sessions = 2;
    open_bus();
    const char *sessions[] = {"a", "b", "c", "a", "c"};

    for (size_t i = 0; i < sizeof sessions / sizeof sessions[0]; i++)
        assert_int_equal(emit(sessions[i], "t"), 0);
    expect("a/t", 1, 0);
    expect("b/t", 2, 0);
    expect("c/t", 3, 0); // forgets a
    expect("a/t", 4, 1); // forgets b; told by the watermark
    expect("c/t", 5, 3); // remembered
    assert_int_equal(talus_broadcaster_flush(bus, RAW_DEADLINE_MS), 0);
    assert_int_equal(stats().sessions, 2);

    struct raw_subscriber other;
    raw_open(&other, NULL);
    raw_connect(&other, talus_broadcaster_endpoint(bus));
    assert_int_equal(raw_subscribe_live(&other, "b/"), 2);
    assert_int_equal(raw_subscribe_live(&other, "never/"), 2); // it cannot know better
    assert_int_equal(raw_subscribe_live(&other, "a/"), 4);
    raw_close(&other);
}

// ---- Local callbacks

static int on_inner(const talus_event_t *event, void *arg)
{
    char *record = arg;

    assert_string_equal(event->type, "inner");
    strcat(record, "inner ");
    return 0;
}

static int on_outer(const talus_event_t *event, void *arg)
{
    char *record = arg;
    talus_value_t value;
    talus_event_id_t id;

    assert_string_equal(event->session, "s");
    assert_string_equal(event->type, "outer");
    assert_string_equal(event->except, "me");
    assert_string_equal(event->origin, talus_broadcaster_origin(bus));
    assert_int_equal(event->seq, 1);
    assert_int_equal(event->prev, 0);
    assert_non_null(strstr(event->id, ".1"));
    assert_int_equal(talus_event_field(event, "k", &value), 0);
    assert_int_equal(value.as.u64, 7);
    strcat(record, "outer(");
    const talus_emit_t inner = {.session = "s", .type = "inner"};
    assert_int_equal(talus_emit(bus, &inner, &id), 0);
    strcat(record, ") ");
    return 1; // a failure, which is not the emitter's
}

static void test_emit_runs_callbacks_before_it_returns(void **state)
{
    (void)state;
    char record[64] = "";
    uint64_t outer, inner;
    const talus_emit_t event = {
        .session = "s", .type = "outer", .except = "me", .data = "\x81\xa1k\x07", .data_size = 4};

    assert_int_equal(talus_broadcaster_on(bus, "$head", on_inner, NULL, record, &outer),
                     TALUS_ERESERVED);
    assert_int_equal(talus_broadcaster_on(bus, "a b", on_inner, NULL, record, &outer), TALUS_ETYPE);
    assert_int_equal(talus_broadcaster_on(bus, "outer", on_outer, NULL, record, &outer), 0);
    assert_int_equal(talus_broadcaster_on(bus, "inner", on_inner, NULL, record, &inner), 0);
    assert_int_equal(emit("-", "outer"), TALUS_ESESSION);
    assert_string_equal(record, "");
    assert_int_equal(talus_emit(bus, &event, NULL), 0);
    assert_string_equal(record, "outer(inner ) ");
    assert_int_equal(stats().callback_failed, 1);
    assert_int_equal(talus_broadcaster_off(bus, outer), 0);
    assert_int_equal(talus_broadcaster_off(bus, outer), TALUS_ENOTFOUND);
    assert_int_equal(talus_emit(bus, &event, NULL), 0);
    assert_string_equal(record, "outer(inner ) ");
    expect("s/outer", 1, 0);
    expect("s/inner", 2, 1);
    expect("s/outer", 3, 2);
}

static void test_emit_typed(void **state)
{
    (void)state;
    talus_event_id_t id;

    assert_int_equal(talus_emit_node_deleted(bus, "s", "n-1", &id), 0);
    expect("s/node-deleted", 1, 0);
    const talus_event_t event = {.data = raw.body.data, .data_size = raw.body.data_size};
    talus_value_t value;
    assert_int_equal(talus_event_field(&event, "session_id", &value), 0);
    assert_memory_equal(value.as.bytes.ptr, "s", 1);
    assert_int_equal(talus_event_field(&event, "node_id", &value), 0);
    assert_memory_equal(value.as.bytes.ptr, "n-1", 3);
    assert_int_equal(talus_emit_node_deleted(bus, "s", NULL, NULL), TALUS_EINVAL);
    assert_int_equal(talus_emit_node_deleted(bus, "", "n-1", NULL), TALUS_ESESSION);
    assert_int_equal(talus_emit_node_deleted(bus, NULL, "n-1", NULL), TALUS_ESESSION);
    assert_int_equal(stats().refused_invalid, 3);
}

// ---- Many threads

#define THREADS     4
#define EVENTS_EACH 5000
#define SESSIONS    8

struct emitter {
    pthread_t thread;
    unsigned number;
    int error;
};

static void *run_emitter(void *arg)
{
    struct emitter *emitter = arg;

    for (unsigned i = 0; i < EVENTS_EACH && !emitter->error; i++) {
        char session[16];
        uint8_t data[8] = {0x92,
                           (uint8_t)emitter->number,
                           0xce,
                           (uint8_t)(i >> 24),
                           (uint8_t)(i >> 16),
                           (uint8_t)(i >> 8),
                           (uint8_t)i};
        const talus_emit_t event = {.session = session, .type = "t", .data = data, .data_size = 7};
        talus_event_id_t id;
        snprintf(session, sizeof session, "s%u", i % SESSIONS);
        emitter->error = talus_emit(bus, &event, &id);
    }
    return NULL;
}

static void test_emit_from_many_threads_has_no_hole(void **state)
{
    (void)state;
    struct emitter emitters[THREADS];
    unsigned next[THREADS] = {0};
    uint64_t last[SESSIONS] = {0};

    for (unsigned i = 0; i < THREADS; i++) {
        emitters[i] = (struct emitter){.number = i};
        assert_int_equal(pthread_create(&emitters[i].thread, NULL, run_emitter, &emitters[i]), 0);
    }
    for (uint64_t seq = 1; seq <= THREADS * EVENTS_EACH; seq++) {
        raw_expect_event(&raw, NULL);
        unsigned session = (unsigned)(raw.topic[1] - '0');
        const uint8_t *data = raw.body.data;
        assert_int_equal(raw.body.seq, seq);
        assert_int_equal(raw.body.prev, last[session]);
        last[session] = seq;
        unsigned count =
            (unsigned)data[3] << 24 | (unsigned)data[4] << 16 | (unsigned)data[5] << 8 | data[6];
        assert_int_equal(count, next[data[1]]); // each thread's own order
        next[data[1]]++;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(emitters[i].thread, NULL);
        assert_int_equal(emitters[i].error, 0);
    }
    assert_false(raw_receive(&raw, 0));
}

int main(void)
{
#define TEST(name)              cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH_OPTIONS(name) cmocka_unit_test_setup_teardown(name, setup_closed, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_emit_orders_sessions_and_links_them),
        TEST(test_emit_carries_everything),
        TEST(test_emit_without_data_sends_an_empty_map),
        TEST(test_emit_refuses_what_is_not_valid),
        TEST(test_emit_refuses_what_breaks_a_bound),
        TEST_WITH_OPTIONS(test_emit_bounds_the_body_to_the_byte),
        cmocka_unit_test_setup_teardown(test_emit_full_queue_is_an_error_and_no_hole, setup_closed,
                                        teardown_log),
        cmocka_unit_test_setup_teardown(test_emit_flush_ends_at_a_signal, setup_closed,
                                        teardown_log),
        TEST_WITH_OPTIONS(test_emit_forgotten_session_has_the_watermark),
        TEST(test_emit_runs_callbacks_before_it_returns),
        TEST(test_emit_typed),
        TEST(test_emit_from_many_threads_has_no_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
