// SPDX-License-Identifier: MIT
// The descriptor of a subscriber.
#include "bus/src/subscriber/wake.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <talus/error.h>

int talus__wake_add(struct talus__wake *wake, int fd, uint32_t source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
    return fd >= 0 ? epoll_ctl(wake->epoll, EPOLL_CTL_ADD, fd, &event) : -1;
}

int talus__wake_open(struct talus__wake *wake)
{
    wake->epoll = epoll_create1(EPOLL_CLOEXEC);
    wake->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    wake->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake->epoll < 0 || talus__wake_add(wake, wake->timer, TALUS__SOURCE_TIMER) != 0 ||
        talus__wake_add(wake, wake->event, TALUS__SOURCE_EVENT) != 0)
        return TALUS_ESYSTEM;
    return 0;
}

void talus__wake_close(struct talus__wake *wake)
{
    const int fds[] = {wake->event, wake->timer, wake->epoll};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

void talus__wake_set(struct talus__wake *wake)
{
    wake->has_more = true;
    if (wake->is_watched && !wake->is_set)
        wake->is_set = eventfd_write(wake->event, 1) == 0;
}

void talus__wake_clear(struct talus__wake *wake, bool is_knocked)
{
    eventfd_t count;

    wake->has_more = false;
    if (wake->is_set || is_knocked)
        wake->is_set = eventfd_read(wake->event, &count) != 0;
}

// The flag comes first: whoever wakes by the descriptor sees it. Whoever sees it before the
// descriptor is written wakes once more, for nothing.
void talus__wake_call(struct talus__wake *wake)
{
    int saved = errno;

    atomic_store_explicit(&wake->is_called, true, memory_order_seq_cst);
    eventfd_write(wake->event, 1); // fails only if it has been written 2^64 - 2 times unread
    errno = saved;
}

void talus__wake_at(struct talus__wake *wake, long long at)
{
    if (at == wake->armed_at)
        return;
    struct itimerspec timer = {.it_value = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000}};
    if (timerfd_settime(wake->timer, TFD_TIMER_ABSTIME, &timer, NULL) == 0)
        wake->armed_at = at;
}

void talus__wake_by(struct talus__wake *wake, long long at)
{
    if (at != 0 && (wake->armed_at == 0 || at < wake->armed_at))
        talus__wake_at(wake, at);
}
