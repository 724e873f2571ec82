// SPDX-License-Identifier: MIT
// The last sent seq of each session, its bound and watermark; and the set of names, which stands on
// the same table.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

#include "bus/src/base/names.h"
#include "bus/src/broadcaster/sessions.h"

#define MANY 20000

static uint64_t advance(struct talus__sessions *sessions, const char *name, uint64_t seq)
{
    uint64_t prev;

    talus__sessions_advance(sessions, name, strlen(name), seq, &prev);
    return prev;
}

static uint64_t last(const struct talus__sessions *sessions, const char *name)
{
    return talus__sessions_last(sessions, name, strlen(name));
}

static void test_sessions_give_the_seq_before(void **state)
{
    (void)state;
    struct talus__sessions sessions;

    talus__sessions_init(&sessions, 10);
    assert_int_equal(last(&sessions, "a"), 0);
    assert_int_equal(advance(&sessions, "a", 1), 0);
    assert_int_equal(advance(&sessions, "b", 2), 0);
    assert_int_equal(advance(&sessions, "a", 3), 1);
    assert_int_equal(advance(&sessions, "a", 4), 3);
    assert_int_equal(advance(&sessions, "", 5), 0); // everybody
    assert_int_equal(advance(&sessions, "b", 6), 2);
    assert_int_equal(advance(&sessions, "", 7), 5);
    assert_int_equal(last(&sessions, "a"), 4);
    assert_int_equal(last(&sessions, "ab"), 0);
    assert_int_equal(talus__sessions_count(&sessions), 3); // asking remembers nothing
    talus__sessions_fini(&sessions);
}

static void test_sessions_forget_the_longest_silent(void **state)
{
    (void)state;
    struct talus__sessions sessions;

    talus__sessions_init(&sessions, 2);
    advance(&sessions, "a", 1);
    advance(&sessions, "b", 2);
    assert_int_equal(advance(&sessions, "a", 3), 1);
    assert_int_equal(advance(&sessions, "c", 4), 0); // forgets b, not a
    assert_int_equal(talus__sessions_count(&sessions), 2);
    assert_int_equal(last(&sessions, "a"), 3);
    assert_int_equal(last(&sessions, "c"), 4);

    // Whoever is not known may have an event as new as the newest one forgotten.
    assert_int_equal(last(&sessions, "b"), 2);
    assert_int_equal(last(&sessions, "never"), 2);
    assert_int_equal(advance(&sessions, "b", 5), 2);
    assert_int_equal(last(&sessions, "a"), 3); // forgotten, told by the watermark
    assert_int_equal(advance(&sessions, "never", 6), 3);
    talus__sessions_fini(&sessions);
}

static void test_sessions_bound_of_one(void **state)
{
    (void)state;
    struct talus__sessions sessions;

    talus__sessions_init(&sessions, 1);
    assert_int_equal(advance(&sessions, "a", 1), 0);
    assert_int_equal(advance(&sessions, "b", 2), 0);
    for (uint64_t seq = 3; seq < 50; seq++) // each forgets the other: prev is the one before that
        assert_int_equal(advance(&sessions, seq % 2 ? "a" : "b", seq), seq - 2);
    talus__sessions_fini(&sessions);
}

// Never too low, whatever is forgotten: checked against a map that forgets nothing.
static void test_sessions_never_hide_an_event(void **state)
{
    (void)state;
    static uint64_t truth[MANY];
    struct talus__sessions sessions;
    uint32_t random = 1;
    uint64_t exact = 0;

    memset(truth, 0, sizeof truth);
    talus__sessions_init(&sessions, MANY / 4);
    for (uint64_t seq = 1; seq <= 10 * (uint64_t)MANY; seq++) {
        char name[32];
        random = random * 1664525u + 1013904223u;
        uint32_t spread = (random >> 8) % MANY;
        uint32_t which = random >> 31 ? spread : spread % (MANY / 8); // some are busier
        snprintf(name, sizeof name, "session-%u", which);
        assert_true(last(&sessions, name) >= truth[which]);
        uint64_t prev = advance(&sessions, name, seq);
        assert_true(prev >= truth[which] && prev < seq);
        exact += prev == truth[which];
        truth[which] = seq;
        assert_true(talus__sessions_count(&sessions) <= MANY / 4);
    }
    assert_true(exact > 2 * (uint64_t)MANY); // the busy ones are remembered
    talus__sessions_fini(&sessions);
}

static void count_name(const char *name, size_t size, void *arg)
{
    unsigned *seen = arg;
    char text[16];

    assert_true(size < sizeof text);
    memcpy(text, name, size);
    text[size] = '\0';
    seen[atoi(text)]++;
}

static void test_names_are_a_bounded_set(void **state)
{
    (void)state;
    static unsigned seen[MANY];
    struct talus__names names;
    char name[16];
    bool is_new;

    memset(seen, 0, sizeof seen);
    talus__names_init(&names, MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(talus__names_add(&names, name, strlen(name), &is_new), 0);
        assert_true(is_new);
    }
    assert_int_equal(talus__names_add(&names, "17", 2, &is_new), 0);
    assert_false(is_new);
    assert_int_equal(talus__names_add(&names, "more", 4, &is_new), TALUS_ELIMIT);
    assert_false(is_new);
    assert_false(talus__names_contain(&names, "more", 4));
    assert_true(talus__names_remove(&names, "17", 2));
    assert_false(talus__names_remove(&names, "17", 2));
    assert_false(talus__names_contain(&names, "17", 2));
    assert_int_equal(talus__names_count(&names), MANY - 1);

    talus__names_drain(&names, count_name, seen);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(seen[i], i == 17 ? 0 : 1);
    assert_int_equal(talus__names_count(&names), 0);
    assert_int_equal(talus__names_add(&names, "", 0, &is_new), 0); // the session of everybody
    assert_true(talus__names_contain(&names, "", 0));
    talus__names_fini(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sessions_give_the_seq_before),
        cmocka_unit_test(test_sessions_forget_the_longest_silent),
        cmocka_unit_test(test_sessions_bound_of_one),
        cmocka_unit_test(test_sessions_never_hide_an_event),
        cmocka_unit_test(test_names_are_a_bounded_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
