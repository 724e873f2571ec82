// SPDX-License-Identifier: MIT
// The lock beside a plain ipc path.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/zmq/directory/ipc_lock.h"
#include "tests/bus/support/scratch.h"

static char directory[SCRATCH_PATH_MAX];
static char path[SCRATCH_PATH_MAX];
static char endpoint[SCRATCH_PATH_MAX + 8];

static int setup(void **state)
{
    (void)state;
    scratch_make(directory);
    scratch_join(path, directory, "s");
    snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(directory);
    return 0;
}

static void listen_at(const char *where, int *fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, where, strlen(where) + 1);
    assert_int_equal(bind(*fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(*fd, 1), 0);
}

static void test_ipc_lock_refuses_the_second(void **state)
{
    (void)state;
    struct talus__ipc_lock first, second;
    int fd;

    assert_int_equal(talus__ipc_lock_take(&first, endpoint), 0);
    assert_int_equal(talus__ipc_lock_take(&second, endpoint), TALUS_EADDRINUSE);
    assert_int_equal(scratch_count(directory), 1); // the lock, still
    listen_at(path, &fd);
    assert_int_equal(talus__ipc_lock_take(&second, endpoint), TALUS_EADDRINUSE);
    close(fd);
    talus__ipc_lock_release(&second, false); // nothing is held: nothing happens
    assert_int_equal(scratch_count(directory), 2);
    talus__ipc_lock_release(&first, false);
    assert_int_equal(scratch_count(directory), 0);
    assert_int_equal(talus__ipc_lock_take(&second, endpoint), 0);
    talus__ipc_lock_release(&second, false);
}

static void test_ipc_lock_takes_over_from_the_dead(void **state)
{
    (void)state;
    struct talus__ipc_lock lock;
    int ready[2];
    char byte;

    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct talus__ipc_lock own;
        int fd;
        if (talus__ipc_lock_take(&own, endpoint) == 0) {
            listen_at(path, &fd);
            if (write(ready[1], "r", 1) == 1)
                pause();
        }
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(talus__ipc_lock_take(&lock, endpoint), TALUS_EADDRINUSE);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(scratch_count(directory), 2); // what the dead left
    assert_int_equal(talus__ipc_lock_take(&lock, endpoint), 0);
    talus__ipc_lock_release(&lock, false);
    assert_int_equal(scratch_count(directory), 0);
    close(ready[0]);
    close(ready[1]);
}

static void test_ipc_lock_respects_a_listener_without_lock(void **state)
{
    (void)state;
    struct talus__ipc_lock lock;
    int fd;

    listen_at(path, &fd);
    assert_int_equal(talus__ipc_lock_take(&lock, endpoint), TALUS_EADDRINUSE);
    assert_int_equal(scratch_count(directory), 1); // its socket; no lock file of ours
    close(fd);
    assert_int_equal(talus__ipc_lock_take(&lock, endpoint), 0); // a dead socket
    talus__ipc_lock_release(&lock, false);
}

static void test_ipc_lock_spares_what_is_no_socket(void **state)
{
    (void)state;
    struct talus__ipc_lock lock;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(talus__ipc_lock_take(&lock, endpoint), TALUS_EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(scratch_count(directory), 1);
}

static void test_ipc_lock_errors(void **state)
{
    (void)state;
    struct talus__ipc_lock lock;
    char text[2 * SCRATCH_PATH_MAX];

    memset(text, 'a', sizeof text);
    memcpy(text, "ipc:///", 7);
    text[sizeof text - 1] = '\0';
    assert_int_equal(talus__ipc_lock_take(&lock, text), TALUS_EPATHTOOLONG);
    snprintf(text, sizeof text, "ipc://%s/none/s", directory);
    assert_int_equal(talus__ipc_lock_take(&lock, text), TALUS_ESYSTEM);
}

static void test_ipc_lock_ignores_what_needs_none(void **state)
{
    (void)state;
    const char *endpoints[] = {"tcp://127.0.0.1:*", "inproc://x", "ipc://*", "ipc://@abstract"};

    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        struct talus__ipc_lock lock;
        assert_int_equal(talus__ipc_lock_take(&lock, endpoints[i]), 0);
        assert_null(lock.socket_path);
        talus__ipc_lock_release(&lock, false);
    }
}

static void test_ipc_lock_child_leaves_it_to_the_parent(void **state)
{
    (void)state;
    struct talus__ipc_lock lock, other;

    assert_int_equal(talus__ipc_lock_take(&lock, endpoint), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        talus__ipc_lock_release(&lock, true);
        pause(); // a child that lives on holds no lock
        _exit(0);
    }
    assert_int_equal(talus__ipc_lock_take(&other, endpoint), TALUS_EADDRINUSE);
    talus__ipc_lock_release(&lock, false);
    assert_int_equal(talus__ipc_lock_take(&other, endpoint), 0);
    talus__ipc_lock_release(&other, false);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ipc_lock_refuses_the_second),
        TEST(test_ipc_lock_takes_over_from_the_dead),
        TEST(test_ipc_lock_respects_a_listener_without_lock),
        TEST(test_ipc_lock_spares_what_is_no_socket),
        TEST(test_ipc_lock_errors),
        TEST(test_ipc_lock_ignores_what_needs_none),
        TEST(test_ipc_lock_child_leaves_it_to_the_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
