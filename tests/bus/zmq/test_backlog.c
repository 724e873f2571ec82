// SPDX-License-Identifier: MIT
// What a monitor has told while its owner stood still, by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "bus/src/zmq/backlog.h"

enum { UP = 1, ACCEPTED = 32, DOWN = 512 };

static void add(struct talus__backlog *backlog, int fd, const char *endpoint, uint16_t kind)
{
    assert_true(talus__backlog_reserve(backlog));
    talus__backlog_add(backlog, fd, endpoint, kind, kind == DOWN);
}

static void expect(struct talus__backlog *backlog, int fd, const char *endpoint, uint16_t kind,
                   bool has_ended)
{
    struct talus__backlog_entry *entry = talus__backlog_take(backlog);

    assert_non_null(entry);
    assert_int_equal(entry->fd, fd);
    assert_string_equal(entry->endpoint, endpoint);
    assert_int_equal(entry->kind, kind);
    assert_int_equal(entry->has_ended, has_ended);
    free(entry);
}

static void test_what_matters_is_kept(void **state)
{
    struct talus__backlog backlog = {0};

    (void)state;
    assert_null(talus__backlog_take(&backlog));
    add(&backlog, 5, "a", UP);
    add(&backlog, 6, "b", ACCEPTED);
    add(&backlog, 7, "b", DOWN);
    add(&backlog, 8, "b", UP);
    add(&backlog, 8, "b", DOWN);
    add(&backlog, 9, "b", DOWN);
    add(&backlog, 9, "b", UP);
    expect(&backlog, 5, "a", UP, false);
    expect(&backlog, 6, "b", ACCEPTED, false);
    expect(&backlog, 7, "b", DOWN, true);
    expect(&backlog, 8, "b", DOWN, true);
    expect(&backlog, 9, "b", UP, true);
    assert_null(talus__backlog_take(&backlog));
    talus__backlog_fini(&backlog);
}

// What was told last of an endpoint counts, whichever descriptors its connections had.
static void test_the_last_events_are_in_order(void **state)
{
    struct talus__backlog backlog = {0};

    (void)state;
    add(&backlog, 5, "a", UP);
    add(&backlog, 5, "a", DOWN);
    add(&backlog, 7, "a", UP);
    add(&backlog, 5, "b", UP);
    add(&backlog, 7, "a", DOWN);
    add(&backlog, 5, "a", UP);
    expect(&backlog, 5, "b", UP, false);
    expect(&backlog, 7, "a", DOWN, true);
    expect(&backlog, 5, "a", UP, true);
    assert_null(talus__backlog_take(&backlog));
    add(&backlog, 5, "a", DOWN);
    expect(&backlog, 5, "a", DOWN, true);
    talus__backlog_fini(&backlog);
}

static void test_it_has_as_many_entries_as_connections(void **state)
{
    struct talus__backlog backlog = {0};
    char endpoint[TALUS__BACKLOG_ENDPOINT];
    int count = 0;

    (void)state;
    memset(endpoint, 'e', sizeof endpoint - 1);
    endpoint[sizeof endpoint - 1] = '\0';
    for (int i = 0; i < 10000; i++) {
        add(&backlog, i % 7, endpoint, UP);
        add(&backlog, i % 7, endpoint, DOWN);
    }
    for (const struct talus__backlog_entry *entry = backlog.first; entry; entry = entry->next)
        count++;
    assert_int_equal(count, 7);
    talus__backlog_fini(&backlog); // with entries in it
    assert_null(backlog.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_matters_is_kept),
        cmocka_unit_test(test_the_last_events_are_in_order),
        cmocka_unit_test(test_it_has_as_many_entries_as_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
