// SPDX-License-Identifier: MIT
// What a test expects a subscriber to deliver. Each of these waits with a deadline and ends the
// test when something else comes.
#ifndef TALUS_TESTS_EXPECT_H
#define TALUS_TESTS_EXPECT_H

#include <stdbool.h>

#include <talus/subscriber.h>

#define EXPECT_DEADLINE_MS 30000

// The next delivery is the LIVE of `session`, complete or not; gives it.
const talus_live_t *expect_live(talus_subscriber_t *subscriber, const char *session,
                                bool is_complete);

// The next delivery is the event `id`, of `session` and `type`; gives it. NULL: whatever it is.
const talus_event_t *expect_event(talus_subscriber_t *subscriber, const char *id,
                                  const char *session, const char *type);

// The next delivery is a gap of `session`, after and before these event ids; NULL: whatever they
// are.
const talus_gap_t *expect_gap(talus_subscriber_t *subscriber, const char *session,
                              const char *after, const char *first, talus_gap_reason_t reason);

// Joins, and the next delivery is LIVE and complete.
void join_live(talus_subscriber_t *subscriber, const char *session);

// Receives, dropping what comes, until `is_so` of the statistics holds.
void pump_until(talus_subscriber_t *subscriber,
                bool (*is_so)(const talus_subscriber_stats_t *stats, uint64_t value),
                uint64_t value);

// Lets time pass: between two looks at something, or where time is what is tested.
void pass_us(int us);
void pass_ms(int ms);

// For pump_until.
bool origins_are(const talus_subscriber_stats_t *stats, uint64_t value);

#endif
