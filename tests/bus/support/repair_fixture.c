// SPDX-License-Identifier: MIT
// What the tests of gap repair share.
#include "tests/bus/support/repair_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bus/support/expect.h"

int repair_set_up(void **state)
{
    struct repair_fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    scratch_make(fixture->root);
    snprintf(fixture->bus, sizeof fixture->bus, "ipc://%s/bus/*", fixture->root);
    talus_broadcaster_options_init(&fixture->publishing);
    talus_subscriber_options_init(&fixture->options);
    fixture->options.live_timeout_ms = EXPECT_DEADLINE_MS;
    *state = fixture;
    return 0;
}

int repair_tear_down(void **state)
{
    struct repair_fixture *fixture = *state;

    if (fixture->child.pid)
        child_kill(&fixture->child);
    talus_subscriber_destroy(&fixture->subscriber);
    for (size_t i = 0; i < 2; i++)
        talus_broadcaster_destroy(&fixture->broadcasters[i]);
    tcp_proxy_stop(&fixture->proxy);
    scratch_remove(fixture->root);
    free(fixture);
    return 0;
}

talus_broadcaster_t *repair_broadcast(struct repair_fixture *fixture, size_t i,
                                      const char *endpoint)
{
    assert_int_equal(
        talus_broadcaster_new(&fixture->broadcasters[i], endpoint, &fixture->publishing), 0);
    return fixture->broadcasters[i];
}

talus_subscriber_t *repair_subscribe(struct repair_fixture *fixture, const char *endpoint)
{
    assert_int_equal(talus_subscriber_new(&fixture->subscriber, endpoint, &fixture->options), 0);
    return fixture->subscriber;
}

talus_subscriber_stats_t repair_stats_of(const struct repair_fixture *fixture)
{
    talus_subscriber_stats_t stats;

    talus_subscriber_stats(fixture->subscriber, &stats);
    return stats;
}

void repair_emit_sized(talus_broadcaster_t *broadcaster, const char *session, size_t size)
{
    static uint8_t data[5 + BIG] = {0xc6, 0, 0, BIG >> 8, BIG & 0xff};
    const talus_emit_t event = {.session = session,
                                .type = "t",
                                .data = size > 0 ? data : NULL,
                                .data_size = size > 0 ? sizeof data : 0};

    talus_error_t error = talus_emit(broadcaster, &event, NULL);
    if (error == TALUS_EQUEUEFULL) {
        assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
        error = talus_emit(broadcaster, &event, NULL);
    }
    assert_int_equal(error, 0);
}

void repair_emit(talus_broadcaster_t *broadcaster, const char *session)
{
    repair_emit_sized(broadcaster, session, 0);
}

void repair_flood(talus_broadcaster_t *broadcaster, const char *session, int count)
{
    for (int i = 0; i < count; i++)
        repair_emit_sized(broadcaster, session, BIG);
    assert_int_equal(talus_broadcaster_flush(broadcaster, EXPECT_DEADLINE_MS), 0);
}

void repair_set_tiny_queues(struct repair_fixture *fixture)
{
    fixture->publishing.send_high_water_mark = 5;
    fixture->options.receive_high_water_mark = 5;
    fixture->publishing.history_session_bytes = 256u << 20;
    fixture->publishing.history_bytes = 256u << 20;
}

void repair_expect_seqs(talus_subscriber_t *subscriber, uint64_t from, uint64_t upto)
{
    for (uint64_t seq = from; seq <= upto; seq++)
        assert_int_equal(expect_event(subscriber, NULL, NULL, NULL)->seq, seq);
}

int repair_port_of(const char *endpoint)
{
    return (int)strtol(strrchr(endpoint, ':') + 1, NULL, 10);
}
