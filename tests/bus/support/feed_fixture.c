// SPDX-License-Identifier: MIT
// What the tests of a subscriber on a transport in memory share.
#include "tests/bus/support/feed_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>

#include <talus/error.h>

#include "tests/bus/support/expect.h"

int feed_set_up(void **state)
{
    static struct feed_fixture fixture;

    feed_begin();
    fixture = (struct feed_fixture){0};
    talus_subscriber_options_init(&fixture.options);
    fixture.options.live_timeout_ms = 100;
    fixture.options.head_wait_ms = 20;
    fixture.options.repair_timeout_ms = 100;
    *state = &fixture;
    return 0;
}

int feed_tear_down(void **state)
{
    struct feed_fixture *fixture = *state;

    talus_subscriber_destroy(&fixture->subscriber);
    feed_check();
    return 0;
}

talus_subscriber_t *feed_subscribe(struct feed_fixture *fixture)
{
    assert_int_equal(feed_open(&fixture->subscriber, &fixture->options), 0);
    return fixture->subscriber;
}

talus_subscriber_stats_t feed_stats(const struct feed_fixture *fixture)
{
    talus_subscriber_stats_t stats;

    talus_subscriber_stats(fixture->subscriber, &stats);
    return stats;
}

void feed_expect_nothing(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, 0, &delivery), TALUS_ETIMEOUT);
}

void feed_expect_seqs(talus_subscriber_t *subscriber, const char *origin, uint64_t from,
                      uint64_t upto)
{
    for (uint64_t seq = from; seq <= upto; seq++) {
        char id[TALUS_ID_MAX + 1];
        snprintf(id, sizeof id, "%s.%" PRIu64, origin, seq);
        expect_event(subscriber, id, NULL, NULL);
    }
}

talus_subscriber_t *feed_join(struct feed_fixture *fixture, const char *session,
                              struct feed_publisher **publisher)
{
    talus_subscriber_t *subscriber = feed_subscribe(fixture);

    *publisher = feed_publisher(FEED_ORIGIN);
    feed_expect_nothing(subscriber); // it is known
    join_live(subscriber, session);
    return subscriber;
}

void feed_lose_many(struct feed_publisher *publisher, const char *session, int count)
{
    for (int i = 0; i < count; i++)
        feed_lose(publisher, session);
}
