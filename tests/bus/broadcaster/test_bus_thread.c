// SPDX-License-Identifier: MIT
// The broadcaster on a transport in memory, without sockets: order, prev, the queue's bound, flush
// and the end, while the transport refuses, is slow, or never settles.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <talus.h>

#include "common/clock.h"
#include "tests/bus/support/memory_publish.h"

static talus_broadcaster_t *bus;
static talus_broadcaster_options_t options;
static struct memory_script script;

static int set_up(void **state)
{
    (void)state;
    talus_broadcaster_options_init(&options);
    script = (struct memory_script){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (bus) {
        script = (struct memory_script){0};
        memory_change(&script);
        talus_broadcaster_destroy(&bus);
    }
    memory_check();
    return 0;
}

static void open_bus(void)
{
    memory_open(&bus, &options, &script);
}

static int try_emit(const char *session)
{
    const talus_emit_t event = {.session = session, .type = "t"};

    return talus_emit(bus, &event, NULL);
}

static void emit(const char *session)
{
    assert_int_equal(try_emit(session), 0);
}

static void emit_many(const char *session, int count)
{
    for (int i = 0; i < count; i++)
        emit(session);
}

static void flush(void)
{
    assert_int_equal(talus_broadcaster_flush(bus, MEMORY_DEADLINE_MS), 0);
}

static talus_broadcaster_stats_t stats(void)
{
    talus_broadcaster_stats_t now;

    talus_broadcaster_stats(bus, &now);
    return now;
}

// ---- Order

#define EMITTERS    4
#define EVENTS_EACH 8000
#define SESSIONS    7

static void *run_emitter(void *arg)
{
    unsigned random = (unsigned)(uintptr_t)arg;
    char session[16];

    for (int i = 0; i < EVENTS_EACH; i++) {
        random = random * 1664525u + 1013904223u;
        snprintf(session, sizeof session, "s%u", (random >> 16) % SESSIONS);
        while (try_emit(session) == TALUS_EQUEUEFULL)
            sched_yield();
    }
    return NULL;
}

static void test_bus_thread_keeps_order_and_prev_under_load(void **state)
{
    (void)state;
    pthread_t emitters[EMITTERS];
    uint64_t last[SESSIONS] = {0}, count[SESSIONS] = {0};

    options.queue_events = 1024;
    script.window_events = 100; // so that it stands still now and then
    script.settling = MEMORY_SETTLES_LATE;
    open_bus();
    for (uintptr_t i = 0; i < EMITTERS; i++)
        assert_int_equal(pthread_create(&emitters[i], NULL, run_emitter, (void *)(i + 1)), 0);
    for (int i = 0; i < EMITTERS; i++)
        pthread_join(emitters[i], NULL);
    flush();
    assert_int_equal(memory_sent(), EMITTERS * EVENTS_EACH);
    for (size_t i = 0; i < EMITTERS * EVENTS_EACH; i++) {
        const struct memory_event *event = memory_event(i);
        unsigned session;
        assert_int_equal(sscanf(event->session, "s%u", &session), 1);
        assert_int_equal(event->seq, i + 1);
        assert_int_equal(event->prev, last[session]);
        assert_int_equal(event->in_session, ++count[session]);
        last[session] = event->seq;
    }
    assert_int_equal(stats().sent, EMITTERS * EVENTS_EACH);
    assert_int_equal(stats().sessions, SESSIONS);
    assert_true(memory_counts().batches < EMITTERS * EVENTS_EACH);
}

// The transport's own work holds up no event.
static void test_bus_thread_sends_while_the_transport_is_busy(void **state)
{
    (void)state;
    script.busy_turns = 1 << 30;
    open_bus();
    for (int i = 0; i < 100; i++) {
        emit("s");
        flush();
    }
    assert_int_equal(memory_sent(), 100);
    script.busy_turns = 0;
    memory_change(&script);
}

// Nor do events hold up the transport's own work.
static void test_bus_thread_gives_the_transport_its_turns_in_a_flood(void **state)
{
    (void)state;
    enum { EVENTS = 20000 };

    script.is_refusing = true;
    open_bus();
    emit_many("s", EVENTS);
    size_t turns = memory_counts().turns;
    script.is_refusing = false;
    memory_change(&script);
    flush();
    assert_true(memory_counts().turns - turns >= EVENTS / 256);
}

static void test_bus_thread_gives_events_that_fail_their_place(void **state)
{
    (void)state;
    script.fail_every = 3;
    open_bus();
    emit_many("s", 9);
    flush();
    assert_int_equal(stats().send_failed, 3);
    assert_int_equal(stats().sent, 6);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(memory_event(i)->prev, i);
    assert_int_equal(stats().history_events, 9);
}

// ---- Room

static void test_bus_thread_takes_no_more_than_there_is_room_for(void **state)
{
    (void)state;
    script.window_events = 10;
    script.settling = MEMORY_SETTLES_BY_TEST;
    open_bus();
    emit_many("s", 1000);
    memory_wait_sent(10);
    assert_int_equal(memory_sent(), 10);
    memory_settle(3);
    memory_wait_sent(13);
    assert_int_equal(memory_sent(), 13);
    for (uint64_t seq = 4; seq <= 1000; seq += 7) { // wherever it stands still
        memory_settle(seq);
        memory_wait_sent(seq + 10 < 1000 ? seq + 10 : 1000);
    }
    memory_settle(1000);
    flush();
    assert_int_equal(memory_sent(), 1000);
}

static void test_bus_thread_counts_the_bytes_of_the_room(void **state)
{
    (void)state;
    uint8_t data[10003] = {0xc5, 10000 >> 8, 10000 & 0xff};
    const talus_emit_t event = {
        .session = "s", .type = "t", .data = data, .data_size = sizeof data};

    script.window_bytes = 45000; // the fifth begins in it
    script.settling = MEMORY_SETTLES_BY_TEST;
    open_bus();
    for (int i = 0; i < 100; i++)
        assert_int_equal(talus_emit(bus, &event, NULL), 0);
    memory_wait_sent(5);
    assert_int_equal(talus_broadcaster_flush(bus, 20), TALUS_ETIMEOUT);
    assert_int_equal(memory_sent(), 5);
    memory_settle(1);
    memory_wait_sent(6);
    memory_settle(100);
    memory_wait_sent(11);
    for (uint64_t sent = 11; sent <= 100; sent++) {
        memory_settle(sent);
        memory_wait_sent(sent);
    }
    flush();
}

static void test_bus_thread_refuses_emits_while_there_is_no_room(void **state)
{
    (void)state;
    options.queue_events = 8;
    script.is_refusing = true;
    open_bus();
    emit_many("s", 8);
    assert_int_equal(try_emit("s"), TALUS_EQUEUEFULL);
    assert_int_equal(try_emit("s"), TALUS_EQUEUEFULL);
    assert_int_equal(memory_sent(), 0);
    assert_int_equal(stats().refused_full, 2);
    assert_int_equal(stats().sessions, 0); // what was not taken has advanced nothing
    script.is_refusing = false;
    memory_change(&script);
    flush();
    emit("s");
    flush();
    assert_int_equal(memory_sent(), 9); // refused emits took no seq
    assert_int_equal(memory_event(8)->seq, 9);
    assert_int_equal(memory_event(8)->prev, 8);
}

static void test_bus_thread_tells_that_the_queue_is_half_full(void **state)
{
    (void)state;
    options.queue_events = 16;
    script.is_holding = true;
    open_bus();
    emit_many("s", 7);
    assert_int_equal(talus_broadcaster_flush(bus, 20), TALUS_ETIMEOUT);
    assert_int_equal(memory_sent(), 0);
    emit("s");
    memory_wait_sent(8);
}

// A slow peer costs time, and no turns: the thread sleeps until something is due.
static void test_bus_thread_sleeps_beside_a_slow_peer(void **state)
{
    (void)state;
    enum { EVENTS = 40 };

    script.window_events = 4;
    script.settling = MEMORY_SETTLES_LATE;
    script.delay_ms = 5;
    open_bus();
    long long begin = tl_monotonic_ms();
    emit_many("s", EVENTS);
    flush();
    assert_true(tl_monotonic_ms() - begin >= (EVENTS / 4 - 1) * 5);
    assert_int_equal(memory_sent(), EVENTS);
    assert_true(memory_counts().turns < 20 * EVENTS);
    // With nothing to do it does nothing.
    size_t turns = memory_counts().turns;
    assert_int_equal(talus_broadcaster_wait_subscribers(bus, 8, 0, NULL), TALUS_ENOSUBSCRIBER);
    assert_true(memory_counts().turns <= turns + 2);
}

// ---- Flush

static void *run_settler(void *arg)
{
    (void)arg;
    memory_wait_sent(3);
    memory_settle(3);
    return NULL;
}

static void test_bus_thread_flush_waits_until_all_is_settled(void **state)
{
    (void)state;
    pthread_t settler;

    script.settling = MEMORY_SETTLES_BY_TEST;
    open_bus();
    emit_many("s", 3);
    memory_wait_sent(3);
    assert_int_equal(talus_broadcaster_flush(bus, 0), TALUS_ETIMEOUT);
    memory_settle(2);
    assert_int_equal(talus_broadcaster_flush(bus, 30), TALUS_ETIMEOUT);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(pthread_create(&settler, NULL, run_settler, NULL), 0);
    flush();
    pthread_join(settler, NULL);
}

// ---- The end

static void test_bus_thread_ends_at_once_when_all_is_settled(void **state)
{
    (void)state;
    options.linger_ms = MEMORY_DEADLINE_MS;
    open_bus();
    emit_many("s", 1000);
    long long begin = tl_monotonic_ms();
    assert_int_equal(talus_broadcaster_close(&bus), 0);
    assert_true(tl_monotonic_ms() - begin < MEMORY_DEADLINE_MS / 2);
    assert_int_equal(memory_sent(), 1000);
    assert_true(memory_counts().is_finished);
    assert_true(memory_counts().is_complete);
    assert_true(memory_counts().is_closed);
    assert_int_equal(memory_counts().end, TALUS__END_HANDED_OVER);
}

static void expect_unfinished(long long begin)
{
    long long took = tl_monotonic_ms() - begin;

    assert_true(took >= options.linger_ms - 1);
    assert_true(took < MEMORY_DEADLINE_MS);
    assert_true(memory_counts().is_finished);
    assert_false(memory_counts().is_complete);
    assert_int_equal(memory_counts().end, TALUS__END_UNFINISHED);
}

static void test_bus_thread_ends_at_the_deadline_with_what_is_never_settled(void **state)
{
    (void)state;
    options.linger_ms = 100;
    script.settling = MEMORY_SETTLES_BY_TEST;
    open_bus();
    emit_many("s", 3);
    long long begin = tl_monotonic_ms();
    assert_int_equal(talus_broadcaster_close(&bus), TALUS_ETIMEOUT);
    expect_unfinished(begin);
    assert_int_equal(memory_sent(), 3);
}

static void test_bus_thread_ends_at_the_deadline_with_what_is_refused(void **state)
{
    (void)state;
    options.linger_ms = 100;
    script.is_refusing = true;
    open_bus();
    emit_many("s", 3);
    long long begin = tl_monotonic_ms();
    assert_int_equal(talus_broadcaster_close(&bus), TALUS_ETIMEOUT);
    expect_unfinished(begin);
    assert_int_equal(memory_sent(), 0);
}

// What is queued goes through a small window, and each event is waited for.
static void test_bus_thread_hands_everything_over_to_a_slow_peer_at_the_end(void **state)
{
    (void)state;
    options.linger_ms = MEMORY_DEADLINE_MS;
    script.window_events = 2;
    script.settling = MEMORY_SETTLES_LATE;
    script.delay_ms = 2;
    open_bus();
    emit_many("s", 30);
    assert_int_equal(talus_broadcaster_close(&bus), 0);
    assert_int_equal(memory_sent(), 30);
    assert_true(memory_counts().is_complete);
    assert_int_equal(memory_counts().end, TALUS__END_HANDED_OVER);
}

static void *run_late_settler(void *arg)
{
    (void)arg;
    memory_wait_sent(3);
    memory_settle(3);
    return NULL;
}

static void test_bus_thread_waits_at_the_end_for_what_is_settled_late(void **state)
{
    (void)state;
    pthread_t settler;

    options.linger_ms = MEMORY_DEADLINE_MS;
    script.settling = MEMORY_SETTLES_BY_TEST;
    script.is_holding = true; // nothing is sent before the end
    open_bus();
    emit_many("s", 3);
    assert_int_equal(pthread_create(&settler, NULL, run_late_settler, NULL), 0);
    assert_int_equal(talus_broadcaster_close(&bus), 0);
    pthread_join(settler, NULL);
    assert_int_equal(memory_counts().end, TALUS__END_HANDED_OVER);
}

static void test_bus_thread_tells_that_not_everybody_was_ready(void **state)
{
    (void)state;
    script.is_nobody_ready = true;
    open_bus();
    assert_int_equal(talus_broadcaster_close(&bus), 0); // nothing was emitted
    assert_int_equal(memory_counts().end, TALUS__END_HANDED_OVER);
    open_bus();
    emit("s");
    assert_int_equal(talus_broadcaster_close(&bus), TALUS_ETIMEOUT);
    assert_true(memory_counts().is_complete);
    assert_int_equal(memory_counts().end, TALUS__END_UNFINISHED);
}

static void test_bus_thread_is_left_alone_in_a_forked_child(void **state)
{
    (void)state;
    int status;

    open_bus();
    emit("s");
    flush();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool is_refused = try_emit("s") == TALUS_EFORKED &&
                          talus_broadcaster_flush(bus, 0) == TALUS_EFORKED &&
                          talus_broadcaster_wait_subscribers(bus, 0, 0, NULL) == TALUS_EFORKED;
        bool is_closed = talus_broadcaster_close(&bus) == 0;
        _exit(is_refused && is_closed && memory_counts().end == TALUS__END_FORKED &&
                      !memory_counts().is_finished
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    emit("s");
    flush();
    assert_int_equal(memory_sent(), 2);
}

static void test_bus_thread_is_not_there_when_the_transport_does_not_open(void **state)
{
    (void)state;
    script.open_error = TALUS_EADDRINUSE;
    assert_int_equal(memory_open_error(&script), TALUS_EADDRINUSE);
    assert_int_equal(memory_counts().turns, 0);
    assert_false(memory_counts().is_closed);
}

// ---- Sessions and the history

static void test_bus_thread_forgets_a_session_after_its_events(void **state)
{
    (void)state;
    enum { MANY = 300 };
    uint64_t last[MANY] = {0};
    char session[16];

    options.max_sessions = 2;
    script.is_refusing = true; // so that they come in whole batches
    open_bus();
    for (unsigned i = 0; i < 4 * MANY; i++) {
        snprintf(session, sizeof session, "s%u", i * i % MANY);
        emit(session);
    }
    script.is_refusing = false;
    memory_change(&script);
    flush();
    for (size_t i = 0; i < 4 * MANY; i++) {
        const struct memory_event *event = memory_event(i);
        unsigned which;
        assert_int_equal(sscanf(event->session, "s%u", &which), 1);
        assert_true(event->prev >= last[which]); // never too low
        assert_true(event->prev < event->seq);
        last[which] = event->seq;
    }
    assert_int_equal(stats().sessions, 2);
    size_t newest = 4 * MANY - 1, other = newest - 1;
    while (strcmp(memory_event(other)->session, memory_event(newest)->session) == 0)
        other--;
    assert_int_equal(stats().history_events,
                     memory_event(newest)->in_session + memory_event(other)->in_session);
    assert_true(memory_counts().forgotten > MANY);
    assert_true(memory_counts().watermark < 4 * MANY - 1);
}

static void expect_replayed(const struct memory_replay *replay, size_t count, uint64_t first,
                            uint64_t step)
{
    assert_int_equal(replay->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(replay->seqs[i], first + i * step);
}

static void test_bus_thread_lets_the_history_be_read(void **state)
{
    (void)state;
    open_bus();
    for (int i = 0; i < 5; i++) {
        emit("a");
        emit("b");
    }
    flush();
    struct memory_replay of_a = {.session = "a", .after = 3};
    memory_replay_start(&of_a);
    memory_replay_wait();
    expect_replayed(&of_a, 3, 5, 2);
    assert_true(of_a.missing_to <= 3);
    assert_int_equal(of_a.last, 9);
    struct memory_replay of_all = {.session = "*", .after = 4};
    memory_replay_start(&of_all);
    memory_replay_wait();
    expect_replayed(&of_all, 6, 5, 1);
    assert_int_equal(of_all.missing_to, 4);
    struct memory_replay of_none = {.session = "none", .after = 0};
    memory_replay_start(&of_none);
    memory_replay_wait();
    assert_int_equal(of_none.count, 0);
    assert_int_equal(of_none.missing_to, 0);
}

static void test_bus_thread_tells_readers_what_the_history_let_go(void **state)
{
    (void)state;
    options.history_events = 3;
    open_bus();
    emit_many("a", 5);
    flush();
    struct memory_replay whole = {.session = "a", .after = 0};
    memory_replay_start(&whole);
    memory_replay_wait();
    expect_replayed(&whole, 3, 3, 1);
    assert_int_equal(whole.missing_to, 2);
    struct memory_replay replay = {.session = "a", .after = 1, .pause_at = 1};
    memory_replay_start(&replay);
    memory_replay_wait();
    expect_replayed(&replay, 1, 3, 1); // 2 is gone
    emit_many("a", 5);                 // under the reader all that it has not read goes
    flush();
    memory_replay_resume();
    memory_replay_wait();
    assert_int_equal(replay.count, 4);
    assert_int_equal(replay.seqs[1], 8);
    assert_int_equal(replay.seqs[3], 10);
    assert_int_equal(replay.missing_to, 7);
}

static void test_bus_thread_tells_readers_that_nothing_is_kept(void **state)
{
    (void)state;
    options.history_events = 0;
    open_bus();
    emit_many("a", 5);
    flush();
    struct memory_replay of_all = {.session = "*", .after = 3};
    memory_replay_start(&of_all);
    memory_replay_wait();
    assert_int_equal(of_all.count, 0);
    assert_int_equal(of_all.missing_to, 5);
    struct memory_replay of_a = {.session = "a", .after = 5};
    memory_replay_start(&of_a);
    memory_replay_wait();
    assert_int_equal(of_a.missing_to, 5); // a reader that has the last event misses nothing
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bus_thread_keeps_order_and_prev_under_load),
        TEST(test_bus_thread_sends_while_the_transport_is_busy),
        TEST(test_bus_thread_gives_the_transport_its_turns_in_a_flood),
        TEST(test_bus_thread_gives_events_that_fail_their_place),
        TEST(test_bus_thread_takes_no_more_than_there_is_room_for),
        TEST(test_bus_thread_counts_the_bytes_of_the_room),
        TEST(test_bus_thread_refuses_emits_while_there_is_no_room),
        TEST(test_bus_thread_tells_that_the_queue_is_half_full),
        TEST(test_bus_thread_sleeps_beside_a_slow_peer),
        TEST(test_bus_thread_flush_waits_until_all_is_settled),
        TEST(test_bus_thread_ends_at_once_when_all_is_settled),
        TEST(test_bus_thread_ends_at_the_deadline_with_what_is_never_settled),
        TEST(test_bus_thread_ends_at_the_deadline_with_what_is_refused),
        TEST(test_bus_thread_hands_everything_over_to_a_slow_peer_at_the_end),
        TEST(test_bus_thread_waits_at_the_end_for_what_is_settled_late),
        TEST(test_bus_thread_tells_that_not_everybody_was_ready),
        TEST(test_bus_thread_is_left_alone_in_a_forked_child),
        TEST(test_bus_thread_is_not_there_when_the_transport_does_not_open),
        TEST(test_bus_thread_forgets_a_session_after_its_events),
        TEST(test_bus_thread_lets_the_history_be_read),
        TEST(test_bus_thread_tells_readers_what_the_history_let_go),
        TEST(test_bus_thread_tells_readers_that_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
