// SPDX-License-Identifier: MIT
// Descriptor watchers: what is told of a descriptor, and what is not any more.
#include "gateway/base/fd_watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/loop.h"
#include "tests/common/cmocka_all.h"

enum { MANY = 2 * GW_FD_WATCHER_BATCH + 1 };

struct peer {
    struct gw_fd_watcher watcher; // of one end
    int other;                    // the other end
    int count;                    // of calls
    uint32_t events;              // of the last one
    struct peer *ends;            // in the call: this one's watcher
};

static struct gw_loop *loop;

static int setup(void **state)
{
    (void)state;
    loop = gw_loop_new();
    return loop ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    gw_loop_destroy(&loop);
    return 0;
}

static void on_ready(struct gw_fd_watcher *watcher, uint32_t events)
{
    struct peer *peer = TL_LIST_ENTRY(watcher, struct peer, watcher);
    peer->count++;
    peer->events = events;
    if (peer->ends)
        assert_int_equal(gw_fd_watcher_set(&peer->ends->watcher, 0), 0);
}

static void open_peer(struct peer *peer)
{
    int fds[2];
    memset(peer, 0, sizeof *peer);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    peer->other = fds[1];
    gw_fd_watcher_init(&peer->watcher, gw_loop_fd_watchers(loop), fds[0], on_ready);
}

static void close_peer(struct peer *peer)
{
    gw_fd_watcher_forget(&peer->watcher);
    close(peer->watcher.fd);
    close(peer->other);
}

static void send_byte(struct peer *peer)
{
    assert_int_equal(write(peer->other, "x", 1), 1);
}

static void test_only_what_is_watched_is_told(void **state)
{
    struct peer peer;
    (void)state;
    open_peer(&peer);
    send_byte(&peer);
    gw_loop_turn(loop, false);
    assert_int_equal(peer.count, 0);

    assert_int_equal(gw_fd_watcher_set(&peer.watcher, EPOLLIN), 0);
    gw_loop_turn(loop, true);
    gw_loop_turn(loop, true); // as often as it is there
    assert_int_equal(peer.count, 2);
    assert_int_equal(peer.events, EPOLLIN);

    assert_int_equal(gw_fd_watcher_set(&peer.watcher, EPOLLOUT | EPOLLRDHUP), 0);
    gw_loop_turn(loop, true);
    assert_int_equal(peer.count, 3);
    assert_int_equal(peer.events, EPOLLOUT);
    shutdown(peer.other, SHUT_WR);
    gw_loop_turn(loop, true);
    assert_int_equal(peer.events, EPOLLOUT | EPOLLRDHUP);

    assert_int_equal(gw_fd_watcher_set(&peer.watcher, 0), 0);
    gw_loop_turn(loop, false);
    assert_int_equal(peer.count, 4);
    close_peer(&peer);
}

static void test_nothing_watched_hides_even_a_hangup(void **state)
{
    struct peer peer;
    (void)state;
    open_peer(&peer);
    assert_int_equal(gw_fd_watcher_set(&peer.watcher, EPOLLIN), 0);
    assert_int_equal(gw_fd_watcher_set(&peer.watcher, 0), 0);
    shutdown(peer.other, SHUT_RDWR);
    gw_loop_turn(loop, false);
    assert_int_equal(peer.count, 0);
    assert_int_equal(gw_fd_watcher_set(&peer.watcher, EPOLLRDHUP), 0);
    gw_loop_turn(loop, true);
    assert_int_equal(peer.events, EPOLLRDHUP | EPOLLHUP);
    close_peer(&peer);
}

static void test_loop_is_alive_while_something_is_watched(void **state)
{
    struct peer peer;
    (void)state;
    open_peer(&peer);
    assert_false(gw_loop_turn(loop, false));
    assert_int_equal(gw_fd_watcher_set(&peer.watcher, EPOLLIN), 0);
    assert_true(gw_loop_turn(loop, false));
    close_peer(&peer);
    assert_false(gw_loop_turn(loop, false));
}

// Each of the two is ready, and the one that is handled first ends the other.
static void test_fd_watcher_that_ended_hears_nothing_of_the_same_wait(void **state)
{
    struct peer one, two;
    (void)state;
    open_peer(&one);
    open_peer(&two);
    one.ends = &two;
    two.ends = &one;
    send_byte(&one);
    send_byte(&two);
    assert_int_equal(gw_fd_watcher_set(&one.watcher, EPOLLIN), 0);
    assert_int_equal(gw_fd_watcher_set(&two.watcher, EPOLLIN), 0);
    gw_loop_turn(loop, true);
    assert_int_equal(one.count + two.count, 1);
    close_peer(&one);
    close_peer(&two);
}

static void test_many_are_told_in_one_turn(void **state)
{
    struct peer *peers = calloc(MANY, sizeof *peers);
    (void)state;
    assert_non_null(peers);
    for (int i = 0; i < MANY; i++) {
        open_peer(&peers[i]);
        send_byte(&peers[i]);
        assert_int_equal(gw_fd_watcher_set(&peers[i].watcher, EPOLLIN), 0);
    }
    gw_loop_turn(loop, true);
    for (int i = 0; i < MANY; i++) {
        assert_true(peers[i].count > 0);
        close_peer(&peers[i]);
    }
    free(peers);
}

static void test_what_cannot_be_watched_is_an_error(void **state)
{
    struct peer peer;
    int fds[2];
    (void)state;
    open_peer(&peer);
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    close(fds[1]);
    gw_fd_watcher_init(&peer.watcher, gw_loop_fd_watchers(loop), fds[0], on_ready);
    assert_int_equal(gw_fd_watcher_set(&peer.watcher, EPOLLIN), EBADF);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    gw_fd_watcher_init(&peer.watcher, gw_loop_fd_watchers(loop), file, on_ready);
    assert_int_equal(gw_fd_watcher_set(&peer.watcher, EPOLLIN), EPERM);
    assert_int_equal(peer.watcher.events, 0);
    assert_false(gw_loop_turn(loop, false));
    close_peer(&peer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

// MANY peers take more descriptors than a shell's usual 1,024.
static int raise_limit(void **state)
{
    struct rlimit limit;
    (void)state;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_what_is_watched_is_told),
        TEST(test_nothing_watched_hides_even_a_hangup),
        TEST(test_loop_is_alive_while_something_is_watched),
        TEST(test_fd_watcher_that_ended_hears_nothing_of_the_same_wait),
        TEST(test_many_are_told_in_one_turn),
        TEST(test_what_cannot_be_watched_is_an_error),
    };
    return cmocka_run_group_tests(tests, raise_limit, NULL);
}
