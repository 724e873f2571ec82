// SPDX-License-Identifier: MIT
// What the tests of gap repair share: a bus directory of their own, a subscriber, broadcasters, a
// proxy and a child process; and ways to lose events for real. Everything that fails ends the test.
#ifndef TALUS_TESTS_REPAIR_FIXTURE_H
#define TALUS_TESTS_REPAIR_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include <talus.h>

#include "tests/bus/support/child.h"
#include "tests/bus/support/scratch.h"
#include "tests/bus/support/tcp_proxy.h"

#define ENDPOINT_MAX (SCRATCH_PATH_MAX + 64)
#define BIG          20000 // bytes of a payload: what a connection holds, a few of them fill
#define TCP          "tcp://127.0.0.1:*"

struct repair_fixture {
    char root[SCRATCH_PATH_MAX];
    char bus[ENDPOINT_MAX];
    talus_broadcaster_options_t publishing;
    talus_subscriber_options_t options;
    talus_subscriber_t *subscriber;
    talus_broadcaster_t *broadcasters[2];
    struct tcp_proxy proxy;
    struct child child;
};

int repair_set_up(void **state);
int repair_tear_down(void **state);

// Make broadcaster `i`, and the subscriber, with the fixture's options, which tests change before.
talus_broadcaster_t *repair_broadcast(struct repair_fixture *fixture, size_t i,
                                      const char *endpoint);
talus_subscriber_t *repair_subscribe(struct repair_fixture *fixture, const char *endpoint);

talus_subscriber_stats_t repair_stats_of(const struct repair_fixture *fixture);

// Emits an event without payload, or (size above 0) with one of BIG bytes.
void repair_emit(talus_broadcaster_t *broadcaster, const char *session);
void repair_emit_sized(talus_broadcaster_t *broadcaster, const char *session, size_t size);

// Makes queues so short, and histories so long, that a flood is lost and can be repaired.
void repair_set_tiny_queues(struct repair_fixture *fixture);

// Emits big events. A few hundred are more than the way to a subscriber that does not read can
// hold, so that some are lost.
void repair_flood(talus_broadcaster_t *broadcaster, const char *session, int count);

// The next deliveries are events with these seqs.
void repair_expect_seqs(talus_subscriber_t *subscriber, uint64_t from, uint64_t upto);

int repair_port_of(const char *endpoint);

#endif
