// SPDX-License-Identifier: MIT
// The history's bounds and watermarks, and when heads are repeated. The clock is the test's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "bus/src/base/pool.h"
#include "bus/src/broadcaster/history.h"
#include "bus/src/zmq/pub/repeats.h"

#define HOUR_MS 3600000LL

static struct talus__sessions sessions;
static struct talus__history history;
static struct talus__repeats repeats;
static uint64_t seq;
static uint64_t evicted; // seq of the message that was told to go last

static void on_forget(struct talus__session *session, void *arg)
{
    (void)arg;
    talus__history_drop(&history, session);
    talus__repeats_drop(talus__publish_state(&session->publish));
}

static void on_evict(struct talus__message *message, void *arg)
{
    (void)arg;
    evicted = message->seq;
    message->cursors = 0;
}

static void open_history(size_t max_sessions, size_t events, size_t session_bytes,
                         size_t total_bytes)
{
    const struct talus__history_bounds bounds = {.session_events = events,
                                                 .session_bytes = session_bytes,
                                                 .total_bytes = total_bytes,
                                                 .age_ms = 600000};

    talus__sessions_init(&sessions, max_sessions);
    talus__history_init(&history, &bounds);
    talus__repeats_init(&repeats, 1000, bounds.age_ms);
    sessions.state_size = sizeof(struct talus__repeat);
    sessions.on_forget = on_forget;
    history.on_evict = on_evict;
    seq = 0;
    evicted = 0;
}

static void close_history(void)
{
    talus__history_fini(&history);
    assert_int_equal(history.events, 0);
    assert_int_equal(history.bytes, 0);
    talus__sessions_fini(&sessions);
    talus__pool_trim();
}

static struct talus__session *find(const char *name)
{
    return talus__sessions_find(&sessions, name, strlen(name));
}

// Sends an event with a payload of `data_size` bytes, as the bus thread does.
static struct talus__message *send_sized(const char *name, size_t data_size, long long now)
{
    static const uint8_t data[5000];
    const struct talus__message_parts parts = {.origin = "abcdefgh1234",
                                               .session = name,
                                               .session_size = strlen(name),
                                               .type = "t",
                                               .type_size = 1,
                                               .data = data,
                                               .data_size = data_size,
                                               .max_body = 10000};
    struct talus__message *message;
    uint64_t prev;

    assert_int_equal(talus__message_new(&message, &parts), 0);
    talus__message_set_seq(message, ++seq);
    struct talus__session *session =
        talus__sessions_advance(&sessions, name, strlen(name), seq, &prev);
    talus__history_add(&history, session, message, now);
    if (session)
        talus__repeats_note(&repeats, talus__publish_state(&session->publish), now);
    talus__message_unref(message); // the socket's
    return message;
}

static struct talus__message *send(const char *name, long long now)
{
    return send_sized(name, 1, now);
}

// The kept seqs of a session, as text.
static const char *kept(const char *name)
{
    static char text[256];
    const struct talus__session *session = find(name);
    size_t size = 0;

    text[0] = '\0';
    for (const struct talus__message *message = session ? session->oldest_kept : NULL; message;
         message = message->kept.next)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%d", size ? " " : "",
                                 (int)message->seq);
    return text;
}

static const char *all_kept(void)
{
    static char text[256];
    size_t size = 0;
    const struct talus__message *newer = NULL;

    text[0] = '\0';
    for (const struct talus__message *message = history.oldest; message;
         message = message->kept.newer) {
        assert_ptr_equal(message->kept.older, newer);
        newer = message;
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%d", size ? " " : "",
                                 (int)message->seq);
    }
    assert_ptr_equal(history.newest, newer);
    return text;
}

static void test_history_is_bounded_by_count_in_each_session(void **state)
{
    (void)state;
    open_history(10, 2, 1 << 20, 1 << 20);
    send("a", 1);
    assert_int_equal(find("a")->low, 0);
    send("b", 1);
    send("a", 1);
    send("a", 1);
    send("b", 1);
    assert_string_equal(kept("a"), "3 4");
    assert_string_equal(kept("b"), "2 5");
    assert_string_equal(all_kept(), "2 3 4 5");
    assert_int_equal(find("a")->low, 1);
    assert_int_equal(find("b")->low, 0);
    assert_int_equal(history.low, 1);
    close_history();
}

static void test_history_is_bounded_by_bytes_in_each_session(void **state)
{
    (void)state;
    open_history(10, 1000, 2048, 1 << 20); // a small event takes 256 bytes
    for (int i = 0; i < 10; i++)
        send("a", 1);
    assert_string_equal(kept("a"), "3 4 5 6 7 8 9 10");
    assert_int_equal(find("a")->kept_bytes, 2048);
    send_sized("a", 1500, 1); // takes all of it
    assert_string_equal(kept("a"), "11");
    assert_int_equal(find("a")->low, 10);
    send("b", 1);
    send_sized("a", 4000, 1); // too large to be kept at all
    assert_string_equal(kept("a"), "");
    assert_int_equal(find("a")->low, 13);
    assert_int_equal(history.low, 13);
    send("a", 1);
    assert_string_equal(kept("a"), "14");
    assert_string_equal(all_kept(), "12 14");
    close_history();
}

static void test_history_is_bounded_over_all_sessions(void **state)
{
    (void)state;
    char name[16];

    open_history(1000, 1000, 1 << 20, 1024);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "s%d", i);
        send(name, 1);
        assert_true(history.bytes <= 1024);
    }
    assert_string_equal(all_kept(), "97 98 99 100");
    assert_int_equal(history.low, 96);
    assert_int_equal(find("s95")->low, 96); // its only event is gone: nothing newer is owed
    assert_string_equal(kept("s96"), "97");
    close_history();
}

static void test_history_is_bounded_by_age(void **state)
{
    (void)state;
    open_history(10, 1000, 1 << 20, 1 << 20);
    assert_int_equal(talus__history_due(&history), 0);
    send("a", 1000);
    send("b", 2000);
    send("a", 3000);
    assert_int_equal(talus__history_due(&history), 601000);
    talus__history_expire(&history, 600999);
    assert_int_equal(history.events, 3);
    talus__history_expire(&history, 602000);
    assert_string_equal(all_kept(), "3");
    assert_int_equal(find("a")->low, 1);
    assert_int_equal(find("b")->low, 2);
    // Quiet for an hour: nothing is kept, and it is known that nothing newer was missed.
    talus__history_expire(&history, HOUR_MS);
    assert_int_equal(history.events, 0);
    assert_int_equal(find("a")->low, 3);
    assert_int_equal(find("a")->last, 3);
    assert_int_equal(talus__history_due(&history), 0);
    close_history();
}

static void test_history_forgets_with_its_session(void **state)
{
    (void)state;
    open_history(2, 1000, 1 << 20, 1 << 20);
    send("a", 1);
    send("b", 1);
    send("b", 1);
    send("c", 1); // forgets a
    assert_string_equal(all_kept(), "2 3 4");
    assert_int_equal(history.low, 1);
    send("a", 1); // forgets b; what a had before is not known any more
    assert_int_equal(find("a")->low, 1);
    assert_string_equal(all_kept(), "4 5");
    close_history();
}

static void test_history_of_nothing(void **state)
{
    (void)state;
    open_history(10, 0, 1 << 20, 1 << 20);
    send("a", 1);
    assert_int_equal(history.events, 0);
    assert_int_equal(find("a")->low, 1);
    assert_int_equal(history.low, 1);
    close_history();
}

static void test_history_tells_of_messages_with_cursors(void **state)
{
    (void)state;
    open_history(10, 2, 1 << 20, 1 << 20);
    send("a", 1)->cursors = 1;
    send("a", 1);
    send("a", 1);
    assert_int_equal(evicted, 1);
    send("a", 1);
    assert_int_equal(evicted, 1); // nobody was there
    close_history();
}

// ---- Repeats

// NULL: there is no session. The session's own has no NUL at its end.
static const char *name_of(struct talus__repeat *repeat)
{
    static char name[TALUS_SESSION_MAX + 1];

    if (!repeat)
        return NULL;
    const struct talus__publish_session *session = talus__publish_session_of(repeat);
    snprintf(name, sizeof name, "%.*s", (int)session->name_size, session->name);
    return name;
}

static const char *due(long long now)
{
    return name_of(talus__repeats_take(&repeats, now));
}

static void test_repeats_come_after_twice_the_time_until_a_session_ages_out(void **state)
{
    (void)state;
    open_history(10, 10, 1 << 20, 1 << 20);
    send("a", 500);
    for (long long delay = 1000; delay <= 600000; delay *= 2) {
        assert_int_equal(talus__repeats_due(&repeats), 500 + delay);
        assert_null(due(500 + delay - 1));
        assert_string_equal(due(500 + delay), "a");
        assert_null(due(500 + delay));
    }
    assert_int_equal(talus__repeats_due(&repeats), 0);
    send("a", 700000); // and anew
    assert_int_equal(talus__repeats_due(&repeats), 701000);
    assert_string_equal(due(701000), "a");
    close_history();
}

static void test_repeats_start_over_at_each_event(void **state)
{
    (void)state;
    open_history(10, 10, 1 << 20, 1 << 20);
    send("a", 1);
    send("b", 200);
    send("c", 300);
    assert_string_equal(due(1001), "a");
    send("b", 1100);
    assert_null(due(1299));
    assert_string_equal(due(1300), "c");
    assert_null(due(2000));
    assert_string_equal(due(2001), "a"); // its second
    assert_string_equal(due(2100), "b"); // its first
    close_history();
}

static void test_repeats_forget_with_the_session(void **state)
{
    (void)state;
    open_history(1, 10, 1 << 20, 1 << 20);
    send("a", 1);
    send("b", 1);
    assert_string_equal(due(1001), "b");
    assert_null(due(1001));
    close_history();
}

static void test_repeats_are_drained(void **state)
{
    (void)state;
    open_history(10, 10, 1 << 20, 1 << 20);
    send("a", 1);
    send("b", 2);
    assert_string_equal(due(1001), "a");
    assert_string_equal(name_of(talus__repeats_drain(&repeats)), "b");
    assert_string_equal(name_of(talus__repeats_drain(&repeats)), "a");
    assert_null(talus__repeats_drain(&repeats));
    assert_int_equal(talus__repeats_due(&repeats), 0);
    close_history();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_is_bounded_by_count_in_each_session),
        cmocka_unit_test(test_history_is_bounded_by_bytes_in_each_session),
        cmocka_unit_test(test_history_is_bounded_over_all_sessions),
        cmocka_unit_test(test_history_is_bounded_by_age),
        cmocka_unit_test(test_history_forgets_with_its_session),
        cmocka_unit_test(test_history_of_nothing),
        cmocka_unit_test(test_history_tells_of_messages_with_cursors),
        cmocka_unit_test(test_repeats_come_after_twice_the_time_until_a_session_ages_out),
        cmocka_unit_test(test_repeats_start_over_at_each_event),
        cmocka_unit_test(test_repeats_forget_with_the_session),
        cmocka_unit_test(test_repeats_are_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
