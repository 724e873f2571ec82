// SPDX-License-Identifier: MIT
// A broadcaster whose bus thread stands still while somebody floods its replay socket, sends a PING
// and goes. A high-water mark at that socket would bound the requests that wait in ZeroMQ, but then
// the PING waits behind them, and libzmq 4.3.4 aborts the process when it answers it to a peer that
// is gone by then: so there is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <talus.h>

#include "bus/src/zmq/context.h"
#include "tests/bus/support/raw_replay_client.h"
#include "tests/bus/support/raw_subscriber.h"
#include "tests/bus/support/stalled_log.h"
#include "tests/bus/support/zmtp.h"

#define FLOOD 5000

static void find_replay(const talus_broadcaster_t *broadcaster, char out[TALUS__REPLAY_MAX + 1])
{
    struct raw_subscriber raw = {0};

    raw_open(&raw, NULL);
    raw_connect(&raw, talus_broadcaster_endpoint(broadcaster));
    raw_subscribe(&raw, "$bus/");
    raw_expect_head(&raw, "$bus/$hello");
    memcpy(out, raw.head.replay, raw.head.replay_size);
    out[raw.head.replay_size] = '\0';
    raw_close(&raw);
}

static void wait_requests(const talus_broadcaster_t *broadcaster, uint64_t count)
{
    long long deadline = tl_monotonic_ms() + RAW_DEADLINE_MS;
    talus_broadcaster_stats_t stats;

    do {
        assert_true(tl_monotonic_ms() < deadline);
        sched_yield();
        talus_broadcaster_stats(broadcaster, &stats);
    } while (stats.replay_requests < count);
}

// Closes so that the other side has an error at once.
static void reset(int fd)
{
    const struct linger now = {.l_onoff = 1};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(fd);
}

static void test_a_flood_and_a_ping_at_a_stopped_bus_thread(void **state)
{
    static const unsigned char request[] = {0, 3, 'b', 'a', 'd'};
    talus_broadcaster_t *broadcaster;
    char replay[TALUS__REPLAY_MAX + 1];
    struct raw_replay_client client = {0};

    (void)state;
    stalled_log_open();
    assert_int_equal(talus_broadcaster_new(&broadcaster, "tcp://127.0.0.1:*", NULL), 0);
    find_replay(broadcaster, replay);
    int fd = zmtp_connect((int)strtol(strrchr(replay, ':') + 1, NULL, 10), "DEALER");
    stalled_log_hold("was refused");
    zmtp_send(fd, request, sizeof request);
    stalled_log_wait_held(); // the bus thread
    for (int i = 1; i < FLOOD; i++)
        zmtp_send(fd, request, sizeof request);
    zmtp_ping(fd);
    zmtp_expect_pong(fd); // ZeroMQ has read all before it: the input does not rest
    reset(fd);
    stalled_log_release();
    // It lives, has read what came of the flood, and serves others.
    raw_replay_client_open(&client, replay, NULL, 1000);
    raw_replay_client_ask(&client, "s", 0, 0);
    raw_replay_client_expect_end(&client, "s/$end", 1, 0, true);
    wait_requests(broadcaster, 2);
    raw_replay_client_close(&client);
    talus_broadcaster_destroy(&broadcaster);
    stalled_log_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_and_a_ping_at_a_stopped_bus_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
