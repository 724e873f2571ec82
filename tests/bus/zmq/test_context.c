// SPDX-License-Identifier: MIT
// The shared context, forks, names and clocks.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "bus/src/zmq/context.h"

// Runs `check` in a forked child and gives its result, 0 to 255.
static int in_child(int (*check)(void *arg), void *arg)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(check(arg));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_context_is_shared_while_used(void **state)
{
    (void)state;
    void *first = talus__context_ref();
    void *second = talus__context_ref();

    assert_non_null(first);
    assert_ptr_equal(first, second);
    void *bound = zmq_socket(first, ZMQ_PAIR);
    void *connected = zmq_socket(second, ZMQ_PAIR);
    assert_int_equal(zmq_bind(bound, "inproc://shared"), 0);
    assert_int_equal(zmq_connect(connected, "inproc://shared"), 0);
    zmq_close(bound);
    zmq_close(connected);
    talus__context_unref();
    void *socket = zmq_socket(first, ZMQ_PAIR); // one user is left
    assert_non_null(socket);
    zmq_close(socket);
    talus__context_unref();

    assert_non_null(talus__context_ref());
    talus__context_unref();
}

static int check_generation(void *arg)
{
    unsigned generation = *(unsigned *)arg;

    return talus__is_forked(generation) && !talus__is_forked(talus__fork_generation()) ? 0 : 1;
}

static void test_context_fork_is_noticed(void **state)
{
    (void)state;
    unsigned generation = talus__fork_generation();

    assert_false(talus__is_forked(generation));
    assert_int_equal(in_child(check_generation, &generation), 0);
    assert_false(talus__is_forked(generation));
}

static int check_own_context(void *parents)
{
    void *own = talus__context_ref();

    if (!own || own == parents)
        return 1;
    talus__context_unref();
    return 0;
}

static void test_context_forked_child_makes_its_own(void **state)
{
    (void)state;
    void *context = talus__context_ref();

    assert_int_equal(in_child(check_own_context, context), 0);
    void *socket = zmq_socket(context, ZMQ_PAIR);
    assert_non_null(socket);
    zmq_close(socket);
    talus__context_unref();
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

static int check_descriptors(void *arg)
{
    const int *fds = arg;

    for (int i = 0; i < 16; i++) {
        if (is_open(fds[i]) != (i % 4 == 0))
            return i + 1;
    }
    return 0;
}

static void test_context_closes_descriptors_in_child(void **state)
{
    (void)state;
    int fds[16];

    for (int i = 0; i < 16; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
        assert_int_equal(talus__close_in_child(fds[i]), 0);
    }
    for (int i = 0; i < 16; i += 4)
        talus__forget_in_child(fds[i]);
    assert_int_equal(in_child(check_descriptors, fds), 0);
    for (int i = 0; i < 16; i++) {
        assert_true(is_open(fds[i]));
        talus__forget_in_child(fds[i]); // also one that is not on the list
        close(fds[i]);
    }
}

static void test_context_random_names(void **state)
{
    (void)state;
    bool seen[256] = {false};
    char name[17], other[17];

    for (int i = 0; i < 1000; i++) {
        assert_true(tl_random_name(name, 16));
        assert_int_equal(strlen(name), 16);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789"), 16);
        for (int k = 0; k < 16; k++)
            seen[(unsigned char)name[k]] = true;
    }
    int letters = 0;
    for (int i = 0; i < 256; i++)
        letters += seen[i];
    assert_int_equal(letters, 36);
    assert_true(tl_random_name(other, 16));
    assert_string_not_equal(name, other);
}

static void test_context_clocks(void **state)
{
    (void)state;
    assert_true(tl_now_us() > 1600000000ull * 1000000ull); // microseconds, of this century
    long long before = tl_monotonic_ms();
    assert_true(tl_monotonic_ms() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_context_is_shared_while_used),
        cmocka_unit_test(test_context_fork_is_noticed),
        cmocka_unit_test(test_context_forked_child_makes_its_own),
        cmocka_unit_test(test_context_closes_descriptors_in_child),
        cmocka_unit_test(test_context_random_names),
        cmocka_unit_test(test_context_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
