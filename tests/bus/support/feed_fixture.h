// SPDX-License-Identifier: MIT
// What the tests of a subscriber on a transport in memory share.
#ifndef TALUS_TESTS_FEED_FIXTURE_H
#define TALUS_TESTS_FEED_FIXTURE_H

#include <talus/subscriber.h>

#include "tests/bus/support/memory_receive.h"

#define FEED_ORIGIN "alpha000"

struct feed_fixture {
    talus_subscriber_options_t options; // short times; tests change them before feed_subscribe
    talus_subscriber_t *subscriber;
};

// Of cmocka; the fixture is the state.
int feed_set_up(void **state);
int feed_tear_down(void **state);

talus_subscriber_t *feed_subscribe(struct feed_fixture *fixture);

talus_subscriber_stats_t feed_stats(const struct feed_fixture *fixture);

// All that came is taken, and there is nothing to deliver.
void feed_expect_nothing(talus_subscriber_t *subscriber);

// The next deliveries are the events of the publisher with these seqs.
void feed_expect_seqs(talus_subscriber_t *subscriber, const char *origin, uint64_t from,
                      uint64_t upto);

// Makes a subscriber that has joined `session`, and FEED_ORIGIN, a publisher that it knows.
talus_subscriber_t *feed_join(struct feed_fixture *fixture, const char *session,
                              struct feed_publisher **publisher);

void feed_lose_many(struct feed_publisher *publisher, const char *session, int count);

#endif
