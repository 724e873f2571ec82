// SPDX-License-Identifier: MIT
// The recovery log: what is owed, in which order, and what it says when it no longer knows.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/bridge/events/event_log.h"
#include "tests/common/cmocka_all.h"
#include "tests/common/faults.h"

#define WINDOW_MS 1000
#define ROOMY     ((size_t)1 << 20)

static struct fixture {
    struct encoder *encoder;
    struct event_log log;
    struct session_log a, b, c;
} fixture;

static int setup(void **state)
{
    (void)state;
    fixture.encoder = encoder_new("/graph");
    event_log_init(&fixture.log, ROOMY, WINDOW_MS);
    session_log_init(&fixture.a);
    session_log_init(&fixture.b);
    session_log_init(&fixture.c);
    return fixture.encoder ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    session_log_fini(&fixture.log, &fixture.a);
    session_log_fini(&fixture.log, &fixture.b);
    session_log_fini(&fixture.log, &fixture.c);
    encoder_destroy(&fixture.encoder);
    return fixture.log.bytes == 0 ? 0 : -1;
}

static void append(struct session_log *session, const char *id, int64_t now)
{
    const talus_event_t event = {.session = "s",
                                 .type = "node-created",
                                 .id = id,
                                 .except = "",
                                 .data = "\xc0",
                                 .data_size = 1};
    struct bridge_encoded *encoded = encoder_event(fixture.encoder, &event);
    assert_non_null(encoded);
    event_log_append(&fixture.log, session, encoded, id, now);
    bridge_encoded_unref(encoded);
}

// The ids of what is owed, each followed by a space.
static void expect_owed(struct event_log_cursor *cursors, size_t count, const char *ids)
{
    char text[256] = "";
    const struct event_log_entry *entry;
    while ((entry = event_log_next(cursors, count)))
        strcat(strcat(text, entry->id), " ");
    assert_string_equal(text, ids);
}

static void test_event_log_merges_sessions_in_order(void **state)
{
    (void)state;
    append(&fixture.a, "o.1", 0);
    append(&fixture.b, "o.2", 0);
    append(&fixture.c, "o.3", 0);
    append(&fixture.b, "o.4", 0);
    append(&fixture.a, "o.5", 0);

    struct event_log_cursor all[] = {{&fixture.a, 0, NULL}, {&fixture.b, 0, NULL}};
    assert_true(event_log_reaches(all, 2));
    expect_owed(all, 2, "o.1 o.2 o.4 o.5 ");

    uint64_t index = session_log_find(&fixture.b, "o.2");
    assert_int_equal(index, 2);
    assert_int_equal(session_log_find_after(&fixture.b, "o.2", 1), 2);
    assert_int_equal(session_log_find_after(&fixture.b, "o.2", 2), 0);
    assert_int_equal(session_log_find_after(&fixture.b, "o.4", 2), 4);
    struct event_log_cursor rest[] = {{&fixture.a, index, NULL}, {&fixture.b, index, NULL}};
    expect_owed(rest, 2, "o.4 o.5 ");

    // Each session has its own beginning: that of the client's join.
    struct event_log_cursor joined[] = {{&fixture.a, 5, NULL}, {&fixture.b, 0, NULL}};
    expect_owed(joined, 2, "o.2 o.4 ");
    expect_owed(NULL, 0, "");
}

static void test_event_log_knows_what_has_aged_out(void **state)
{
    (void)state;
    append(&fixture.a, "o.1", 0);
    append(&fixture.b, "o.2", 500);
    event_log_expire(&fixture.log, WINDOW_MS);
    assert_int_equal(session_log_find(&fixture.a, "o.1"), 1);
    event_log_expire(&fixture.log, WINDOW_MS + 1);
    assert_int_equal(session_log_find_after(&fixture.a, "o.1", 0), 1);
    assert_int_equal(session_log_find_after(&fixture.a, "o.1", 1), 0);
    assert_int_equal(fixture.a.gone, 1);
    assert_int_equal(fixture.b.gone, 0);

    struct event_log_cursor before = {&fixture.a, 0, NULL};
    struct event_log_cursor after = {&fixture.a, 1, NULL};
    assert_false(event_log_reaches(&before, 1));
    assert_true(event_log_reaches(&after, 1));
    // The last one that went is known however old it is: a quiet session is no reason to start
    // anew.
    append(&fixture.a, "o.3", 3600 * 1000);
    assert_int_equal(session_log_find(&fixture.a, "o.1"), 1);
    expect_owed(&after, 1, "o.3 ");
    append(&fixture.a, "o.4", 7200 * 1000);
    assert_int_equal(session_log_find(&fixture.a, "o.1"), 0);
    assert_int_equal(session_log_find(&fixture.a, "o.3"), 3);
}

static void test_event_log_is_bounded_in_bytes(void **state)
{
    (void)state;
    append(&fixture.a, "o.1", 0);
    size_t size = fixture.log.bytes;
    fixture.log.max_bytes = 3 * size;
    append(&fixture.b, "o.2", 0);
    append(&fixture.a, "o.3", 0);
    assert_int_equal(fixture.a.gone, 0);
    append(&fixture.a, "o.4", 0);
    assert_int_equal(fixture.log.bytes, 3 * size);
    assert_int_equal(fixture.a.gone, 1);
    append(&fixture.a, "o.5", 0);
    assert_int_equal(fixture.b.gone, 2);
    struct event_log_cursor pending = {&fixture.a, 1, NULL};
    assert_true(event_log_reaches(&pending, 1));
    expect_owed(&pending, 1, "o.3 o.4 o.5 ");
}

static void test_event_log_notes_what_it_does_not_keep(void **state)
{
    (void)state;
    append(&fixture.a, "o.1", 0);
    event_log_append(&fixture.log, &fixture.a, NULL, "o.2", 0);
    append(&fixture.a, "o.3", 0);
    struct event_log_cursor from_first = {&fixture.a, session_log_find(&fixture.a, "o.1"), NULL};
    assert_int_equal(from_first.after, 1);
    assert_false(event_log_reaches(&from_first, 1));
    struct event_log_cursor from_second = {&fixture.a, 2, NULL};
    assert_true(event_log_reaches(&from_second, 1));
    expect_owed(&from_second, 1, "o.3 ");
}

// What was let go later, but is older, changes nothing of that.
static void test_event_log_does_not_forget_what_it_did_not_keep(void **state)
{
    (void)state;
    struct bridge_log_position newest;
    append(&fixture.a, "o.1", 0);
    append(&fixture.a, "o.2", 0);
    event_log_append(&fixture.log, &fixture.a, NULL, "o.3", 0);
    event_log_expire(&fixture.log, WINDOW_MS + 1);
    assert_int_equal(fixture.log.bytes, 0);
    assert_int_equal(fixture.a.gone, 3);
    assert_int_equal(session_log_find(&fixture.a, "o.3"), 3);
    session_log_newest(&fixture.a, &newest);
    assert_int_equal(newest.index, 3);
    assert_string_equal(newest.id, "o.3");
    struct event_log_cursor from_second = {&fixture.a, 2, NULL};
    assert_false(event_log_reaches(&from_second, 1));
}

static void test_event_log_is_incomplete_when_memory_was_out(void **state)
{
    (void)state;
    const talus_event_t event = {
        .session = "s", .type = "t", .id = "o.1", .except = "", .data = "\xc0", .data_size = 1};
    struct bridge_encoded *encoded = encoder_event(fixture.encoder, &event);
    faults_fail_allocation_after(0);
    event_log_append(&fixture.log, &fixture.a, encoded, "o.1", 0);
    assert_true(faults_stop());
    bridge_encoded_unref(encoded);
    assert_int_equal(fixture.a.newest, 1);
    assert_int_equal(fixture.a.gone, 1);
}

static void test_event_log_forgets_a_session_alone(void **state)
{
    (void)state;
    append(&fixture.a, "o.1", 0);
    append(&fixture.b, "o.2", 0);
    append(&fixture.a, "o.3", 0);
    session_log_fini(&fixture.log, &fixture.a);
    session_log_init(&fixture.a);
    struct event_log_cursor pending = {&fixture.b, 0, NULL};
    expect_owed(&pending, 1, "o.2 ");
    append(&fixture.a, "o.4", 0);
    struct event_log_cursor again = {&fixture.a, 0, NULL};
    expect_owed(&again, 1, "o.4 ");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_event_log_merges_sessions_in_order),
        TEST(test_event_log_knows_what_has_aged_out),
        TEST(test_event_log_is_bounded_in_bytes),
        TEST(test_event_log_notes_what_it_does_not_keep),
        TEST(test_event_log_does_not_forget_what_it_did_not_keep),
        TEST(test_event_log_is_incomplete_when_memory_was_out),
        TEST(test_event_log_forgets_a_session_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
