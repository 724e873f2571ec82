// SPDX-License-Identifier: MIT
// A second process for a test.
#include "tests/bus/support/child.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEADLINE_MS 30000

extern char **environ;

void child_start(struct child *child, const char *role, const char *argument)
{
    int to[2], from[2];
    posix_spawn_file_actions_t actions;
    char self[] = "/proc/self/exe";
    char *copies[] = {strdup(role), strdup(argument)};
    char *argv[] = {self, copies[0], copies[1], NULL};

    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&child->pid, self, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    free(copies[0]);
    free(copies[1]);
    child->to = to[1];
    child->from = from[0];
}

void child_wait_said(struct child *child)
{
    struct pollfd item = {.fd = child->from, .events = POLLIN};
    char byte;

    assert_int_equal(poll(&item, 1, DEADLINE_MS), 1);
    assert_int_equal(read(child->from, &byte, 1), 1);
}

void child_tell(struct child *child)
{
    assert_int_equal(write(child->to, "g", 1), 1);
}

static int reap(struct child *child)
{
    int status = 0;

    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->to);
    close(child->from);
    child->pid = 0;
    return status;
}

void child_stop(struct child *child)
{
    int status;

    assert_int_equal(kill(child->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(child->pid, &status, WUNTRACED), child->pid);
    assert_true(WIFSTOPPED(status));
}

void child_continue(struct child *child)
{
    assert_int_equal(kill(child->pid, SIGCONT), 0);
}

void child_kill(struct child *child)
{
    assert_int_equal(kill(child->pid, SIGKILL), 0);
    reap(child);
}

void child_finish(struct child *child)
{
    child_tell(child);
    int status = reap(child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void child_say(void)
{
    if (write(STDOUT_FILENO, "d", 1) != 1)
        _exit(1);
}

void child_await(void)
{
    char byte;

    if (read(STDIN_FILENO, &byte, 1) != 1)
        _exit(1);
}
