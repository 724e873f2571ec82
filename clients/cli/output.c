// SPDX-License-Identifier: MIT
// The descriptor stays blocking, since a terminal shares its flags with the shell. A pipe that
// polls as writable takes PIPE_BUF bytes without blocking, so no write is larger.
#include "clients/cli/output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "clients/cli/clock.h"
#include "clients/cli/report.h"

static output_result_t fail(void)
{
    report("cannot write to standard output: %s", strerror(errno));
    return OUTPUT_FAILED;
}

output_result_t output_write(const char *bytes, size_t size, int signals, double deadline)
{
    while (size > 0) {
        struct pollfd watched[] = {{.fd = STDOUT_FILENO, .events = POLLOUT},
                                   {.fd = signals, .events = POLLIN}};
        int ready = poll(watched, 2, deadline < 0 ? -1 : clock_left_ms(deadline));
        if (ready < 0 && errno != EINTR)
            return fail();
        if (ready < 0)
            continue;
        if (watched[0].revents == 0)
            return OUTPUT_STOPPED;
        ssize_t written = write(STDOUT_FILENO, bytes, size < PIPE_BUF ? size : PIPE_BUF);
        if (written < 0 && errno == EPIPE)
            return OUTPUT_CLOSED;
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return fail();
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return OUTPUT_WRITTEN;
}
