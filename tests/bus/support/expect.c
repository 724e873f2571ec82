// SPDX-License-Identifier: MIT
// What a test expects a subscriber to deliver.
#include "tests/bus/support/expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include <talus/error.h>

#include "bus/src/zmq/context.h"

static const talus_delivery_t *next(talus_subscriber_t *subscriber)
{
    const talus_delivery_t *delivery;

    assert_int_equal(talus_subscriber_receive(subscriber, EXPECT_DEADLINE_MS, &delivery), 0);
    return delivery;
}

const talus_live_t *expect_live(talus_subscriber_t *subscriber, const char *session,
                                bool is_complete)
{
    const talus_delivery_t *delivery = next(subscriber);

    assert_int_equal(delivery->kind, TALUS_DELIVERY_LIVE);
    assert_string_equal(delivery->session, session);
    assert_non_null(delivery->live.newest);
    assert_int_equal(delivery->live.complete, is_complete);
    return &delivery->live;
}

const talus_event_t *expect_event(talus_subscriber_t *subscriber, const char *id,
                                  const char *session, const char *type)
{
    const talus_delivery_t *delivery = next(subscriber);

    assert_int_equal(delivery->kind, TALUS_DELIVERY_EVENT);
    assert_non_null(delivery->event);
    if (id)
        assert_string_equal(delivery->event->id, id);
    if (session)
        assert_string_equal(delivery->event->session, session);
    if (type)
        assert_string_equal(delivery->event->type, type);
    assert_string_equal(delivery->session, delivery->event->session);
    return delivery->event;
}

const talus_gap_t *expect_gap(talus_subscriber_t *subscriber, const char *session,
                              const char *after, const char *first, talus_gap_reason_t reason)
{
    const talus_delivery_t *delivery = next(subscriber);

    assert_int_equal(delivery->kind, TALUS_DELIVERY_GAP);
    assert_string_equal(delivery->session, session);
    if (after)
        assert_string_equal(delivery->gap.after, after);
    if (first)
        assert_string_equal(delivery->gap.first, first);
    assert_int_equal(delivery->gap.reason, reason);
    return &delivery->gap;
}

void join_live(talus_subscriber_t *subscriber, const char *session)
{
    assert_int_equal(talus_subscriber_join(subscriber, session), 0);
    expect_live(subscriber, session, true);
}

void pump_until(talus_subscriber_t *subscriber,
                bool (*is_so)(const talus_subscriber_stats_t *stats, uint64_t value),
                uint64_t value)
{
    const talus_delivery_t *delivery;
    talus_subscriber_stats_t stats;
    long long deadline = tl_monotonic_ms() + EXPECT_DEADLINE_MS;

    for (talus_subscriber_stats(subscriber, &stats); !is_so(&stats, value);
         talus_subscriber_stats(subscriber, &stats)) {
        assert_true(tl_monotonic_ms() < deadline);
        talus_error_t error = talus_subscriber_receive(subscriber, 20, &delivery);
        assert_true(error == 0 || error == TALUS_ETIMEOUT);
    }
}

bool origins_are(const talus_subscriber_stats_t *stats, uint64_t value)
{
    return stats->origins == value;
}

void pass_us(int us)
{
    const struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L};

    nanosleep(&time, NULL);
}

void pass_ms(int ms)
{
    pass_us(ms * 1000);
}
