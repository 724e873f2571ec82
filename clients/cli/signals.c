// SPDX-License-Identifier: MIT
#include "clients/cli/signals.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clients/cli/report.h"

// A blocked signal reaches a signalfd even where nohup or a shell's & had it ignored.
static void add_unless_ignored(sigset_t *set, int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(set, number);
}

int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    add_unless_ignored(&set, SIGINT);
    add_unless_ignored(&set, SIGTERM);
    add_unless_ignored(&set, SIGHUP);
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor < 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
        report("cannot watch for signals: %s", strerror(errno));
        signals_close(descriptor);
        return -1;
    }
    return descriptor;
}

bool signals_pending(int descriptor)
{
    struct pollfd poll_fd = {.fd = descriptor, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

void signals_close(int descriptor)
{
    struct signalfd_siginfo consumed;
    sigset_t set;
    if (descriptor < 0)
        return;
    while (read(descriptor, &consumed, sizeof(consumed)) > 0)
        continue;
    close(descriptor);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
