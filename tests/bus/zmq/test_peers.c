// SPDX-License-Identifier: MIT
// How long a subscriber keeps what it knows of broadcasters, and what it makes of connections that
// come late, go, and come back under another name.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include <talus/broadcaster.h>
#include <talus/error.h>
#include <talus/subscriber.h>

#include "bus/src/subscriber/instance.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/instance.h"
#include "tests/bus/support/expect.h"
#include "tests/bus/support/raw_publisher.h"
#include "tests/bus/support/scratch.h"

#define ENDPOINTS_MAX 1024

struct fixture {
    char root[SCRATCH_PATH_MAX];
    talus_subscriber_options_t options;
    talus_subscriber_t *subscriber;
    talus_broadcaster_t *broadcaster;
    struct raw_publisher raw;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    scratch_make(fixture->root);
    talus_subscriber_options_init(&fixture->options);
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    talus_subscriber_destroy(&fixture->subscriber);
    talus_broadcaster_destroy(&fixture->broadcaster);
    if (fixture->raw.socket)
        raw_publisher_close(&fixture->raw);
    scratch_remove(fixture->root);
    free(fixture);
    return 0;
}

static talus_subscriber_stats_t stats_of(const struct fixture *fixture)
{
    talus_subscriber_stats_t stats;

    talus_subscriber_stats(fixture->subscriber, &stats);
    return stats;
}

static void subscribe(struct fixture *fixture, const char *endpoint)
{
    assert_int_equal(talus_subscriber_new(&fixture->subscriber, endpoint, &fixture->options), 0);
}

static void broadcast(struct fixture *fixture, const char *endpoint)
{
    assert_int_equal(talus_broadcaster_new(&fixture->broadcaster, endpoint, NULL), 0);
}

static void bind_raw(struct fixture *fixture, int type, const char *endpoint)
{
    raw_publisher_open(&fixture->raw, type, "origin01", NULL);
    raw_publisher_bind(&fixture->raw, endpoint);
}

// Gives `done` its chance until the deadline, receiving meanwhile.
static void receive_until(struct fixture *fixture, bool (*done)(struct fixture *fixture))
{
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;
    const talus_delivery_t *delivery;

    while (!done(fixture)) {
        assert_true(tl_monotonic_ms() < deadline);
        talus_error_t error = talus_subscriber_receive(fixture->subscriber, 20, &delivery);
        assert_true(error == 0 || error == TALUS_ETIMEOUT);
    }
}

// ---- Broadcasters that end

static bool is_peer_forgotten(struct fixture *fixture)
{
    uint8_t body[256];
    size_t size = raw_encode(body, "plain001", 1, 0, "\x80", 1);

    raw_publish_frames(&fixture->raw, "s/a", body, size);
    return talus__zmq_receive_of(fixture->subscriber->core.transport)->peers.listed_count == 0;
}

static bool is_stranger_known(struct fixture *fixture)
{
    is_peer_forgotten(fixture);
    return stats_of(fixture).duplicates > 0; // of an origin that has no place, all are new
}

// A stranger who fills the table of origins must not get the place of one that has just ended, as
// long as its connection is still looked after.
static void test_subscriber_peers_place_of_one_that_ended_is_kept(void **state)
{
    struct fixture *fixture = *state;
    char endpoints[ENDPOINTS_MAX];

    snprintf(endpoints, sizeof endpoints, "ipc://%s/bus/*", fixture->root);
    broadcast(fixture, endpoints);
    bind_raw(fixture, ZMQ_PUB, NULL);
    snprintf(endpoints, sizeof endpoints, "ipc://%s/bus/*,%s", fixture->root,
             fixture->raw.endpoint);
    fixture->options.max_origins = 1;
    fixture->options.live_timeout_ms = 100;
    subscribe(fixture, endpoints);
    assert_int_equal(talus_subscriber_join(fixture->subscriber, "s"), 0);
    pump_until(fixture->subscriber, origins_are, 1);
    talus_broadcaster_destroy(&fixture->broadcaster);
    receive_until(fixture, is_peer_forgotten);
    receive_until(fixture, is_stranger_known);
    assert_int_equal(stats_of(fixture).origins, 1);
}

static void test_subscriber_peers_broadcaster_of_two_directories_ends(void **state)
{
    struct fixture *fixture = *state;
    char endpoints[ENDPOINTS_MAX];

    snprintf(endpoints, sizeof endpoints, "ipc://%s/one/*,ipc://%s/two/*", fixture->root,
             fixture->root);
    broadcast(fixture, endpoints);
    subscribe(fixture, endpoints);
    join_live(fixture->subscriber, "s");
    assert_int_equal(stats_of(fixture).origins, 1);
    talus_broadcaster_destroy(&fixture->broadcaster);
    pump_until(fixture->subscriber, origins_are, 0);
    join_live(fixture->subscriber, "t");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_subscriber_peers_place_of_one_that_ended_is_kept),
        TEST(test_subscriber_peers_broadcaster_of_two_directories_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
