// SPDX-License-Identifier: MIT
// Short lives: what a broadcaster emits and leaves behind at once arrives, or is told.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <talus.h>

#include "context.h"
#include "expect.h"
#include "heal_fixture.h"

#define CHILDREN 8
#define LIVES    13 // of each

static int emit_one(const char *endpoint)
{
    const talus_emit_t event = {.session = "s", .type = "t"};
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster;

    talus_broadcaster_options_init(&options);
    options.linger_ms = EXPECT_DEADLINE_MS;
    int error = talus_broadcaster_new(&broadcaster, endpoint, &options);
    if (error)
        return error;
    error = talus_emit(broadcaster, &event, NULL);
    int closed = talus_broadcaster_close(&broadcaster);
    return error ? error : closed;
}

// The last of the broadcasters is forgotten when all that it had sent was read. Nothing is
// delivered until then.
static void wait_forgotten(struct heal_fixture *fixture)
{
    const talus_delivery_t *delivery;
    long long deadline = talus__monotonic_ms() + EXPECT_DEADLINE_MS;

    while (heal_stats_of(fixture).origins > 0) {
        assert_true(talus__monotonic_ms() < deadline);
        assert_int_equal(talus_subscriber_receive(fixture->subscriber, 100, &delivery),
                         TALUS_ETIMEOUT);
    }
}

static void expect_nothing_more(struct heal_fixture *fixture)
{
    wait_forgotten(fixture);
    assert_int_equal(heal_stats_of(fixture).gaps, 0);
}

static void test_handover_short_lives_deliver(void **state)
{
    struct heal_fixture *fixture = *state;
    struct child children[CHILDREN];
    talus_subscriber_t *subscriber = heal_subscribe(fixture, fixture->bus);

    join_live(subscriber, "s");
    for (int i = 0; i < CHILDREN; i++)
        child_start(&children[i], "short", fixture->bus);
    for (int i = 0; i < CHILDREN * LIVES; i++)
        assert_int_equal(expect_event(subscriber, NULL, "s", "t")->seq, 1);
    for (int i = 0; i < CHILDREN; i++)
        child_finish(&children[i]);
    expect_nothing_more(fixture);
}

// A subscriber that does not come to be ready in time: the caller gets an error, and the subscriber
// is told what it missed, and no more.
static void test_handover_says_what_it_could_not_do(void **state)
{
    struct heal_fixture *fixture = *state;
    const talus_emit_t event = {.session = "s", .type = "t"};
    const talus_delivery_t *delivery;
    char origin[TALUS_ORIGIN_MAX + 1];

    fixture->publishing.linger_ms = 50;
    talus_subscriber_t *subscriber = heal_subscribe(fixture, fixture->bus);
    join_live(subscriber, "s");
    join_live(subscriber, "other");
    talus_broadcaster_t *broadcaster = heal_broadcast(fixture, 0, fixture->bus);
    strcpy(origin, talus_broadcaster_origin(broadcaster));
    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
    assert_int_equal(talus_emit(broadcaster, &event, NULL), 0);
    assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), TALUS_ETIMEOUT);
    assert_null(fixture->broadcasters[0]);
    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
    assert_int_equal(delivery->reason, TALUS_GAP_ORIGIN_LOST);
    assert_string_equal(delivery->session, "s");
    assert_string_equal(delivery->origin, origin);
    assert_string_equal(strchr(delivery->after, '.'), ".0");
    assert_string_equal(strchr(delivery->first, '.'), ".3");
    wait_forgotten(fixture);
    assert_int_equal(heal_stats_of(fixture).gaps, 1);
}

// Nothing was emitted: nobody is waited for, and nobody is told of anything.
static void test_handover_of_nothing_is_quick(void **state)
{
    struct heal_fixture *fixture = *state;

    talus_subscriber_t *subscriber = heal_subscribe(fixture, fixture->bus);
    join_live(subscriber, "s");
    for (int i = 0; i < 20; i++) {
        heal_broadcast(fixture, 0, fixture->bus);
        assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), 0);
    }
    expect_nothing_more(fixture);
    assert_int_equal(talus_broadcaster_close(NULL), 0);
    assert_int_equal(talus_broadcaster_close(&fixture->broadcasters[0]), 0);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        for (int i = 0; i < LIVES; i++) {
            if (emit_one(argv[2]) != 0)
                return 1;
        }
        child_await();
        return 0;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, heal_set_up, heal_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_handover_short_lives_deliver),
        TEST(test_handover_says_what_it_could_not_do),
        TEST(test_handover_of_nothing_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
