// SPDX-License-Identifier: MIT
// Receiving: what is there is given; else one waits on everything at once. instance.h states the
// invariant of the descriptor.
//
// ZeroMQ's descriptor tells only that there is something to process, and tells it once. So the
// socket is always read until it is empty before anybody sleeps.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/subscriber/answers.h"
#include "bus/src/subscriber/instance.h"
#include "bus/src/subscriber/lost.h"
#include "bus/src/subscriber/receive.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/beats.h"

#define EVENTS_PER_TURN   16
#define MESSAGES_PER_TURN 1024   // taken before other descriptors get their turn
#define PULLED_MOST       100000 // by the guard at once, while the owner has to wait

// ---- The descriptor

void talus__raise(talus_subscriber_t *subscriber)
{
    subscriber->has_more = true;
    if (subscriber->is_watched && !subscriber->is_raised)
        subscriber->is_raised = eventfd_write(subscriber->wake, 1) == 0;
}

static void lower(talus_subscriber_t *subscriber)
{
    eventfd_t count;

    subscriber->has_more = false;
    if (subscriber->is_raised || subscriber->post.is_knocked)
        subscriber->is_raised = eventfd_read(subscriber->wake, &count) != 0;
    subscriber->post.is_knocked = false;
}

void talus__arm_timer(talus_subscriber_t *subscriber)
{
    long long at = talus__live_due(subscriber);

    at = talus__earlier(at, subscriber->peers.tend_at);
    at = talus__earlier(at, subscriber->askers.tend_at);
    at = talus__earlier(at, subscriber->heals.tend_at);
    at = talus__earlier(at, talus__lost_due(subscriber));
    at = talus__earlier(at, subscriber->beats_at);
    if (at == subscriber->armed_at)
        return;
    struct itimerspec timer = {.it_value = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000}};
    if (timerfd_settime(subscriber->timer, TFD_TIMER_ABSTIME, &timer, NULL) == 0)
        subscriber->armed_at = at;
}

static int add(int epoll, int fd, uint32_t source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = source};
    return fd >= 0 ? epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) : -1;
}

// ---- What the guard does

static bool is_empty(void *arg)
{
    const talus_subscriber_t *subscriber = arg;

    return subscriber->inbox.is_emptied && subscriber->askers.is_emptied;
}

static bool pull(void *arg)
{
    talus_subscriber_t *subscriber = arg;

    talus__inbox_pull(&subscriber->inbox, PULLED_MOST);
    bool has_answers = talus__askers_pull(&subscriber->askers, PULLED_MOST);
    bool has_connections = talus__monitor_pull(&subscriber->peers.monitor);
    return has_answers || has_connections || subscriber->inbox.count > 0;
}

static int post_open(talus_subscriber_t *subscriber, int fd)
{
    subscriber->post.wake = subscriber->wake;
    subscriber->post.is_empty = is_empty;
    subscriber->post.pull = pull;
    subscriber->post.beat = talus__heartbeat_send;
    subscriber->post.arg = subscriber;
    if (subscriber->wake < 0 || talus__guard_add(&subscriber->post) != 0)
        return -1;
    return talus__guard_watch(&subscriber->post, fd);
}

// ---- Opening and closing

int talus__descriptors_open(talus_subscriber_t *subscriber)
{
    int fd = -1;
    size_t size = sizeof fd;

    subscriber->epoll = epoll_create1(EPOLL_CLOEXEC);
    subscriber->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    subscriber->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (subscriber->epoll < 0 || zmq_getsockopt(subscriber->socket, ZMQ_FD, &fd, &size) != 0 ||
        add(subscriber->epoll, fd, SOURCE_SOCKET) != 0 || post_open(subscriber, fd) != 0 ||
        add(subscriber->epoll, subscriber->timer, SOURCE_TIMER) != 0 ||
        add(subscriber->epoll, subscriber->wake, SOURCE_WAKE) != 0)
        return TALUS_ESYSTEM;
    return 0;
}

void talus__descriptors_close(talus_subscriber_t *subscriber)
{
    const int fds[] = {subscriber->wake, subscriber->timer, subscriber->epoll};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

// ---- Waiting

// Waits, and does what descriptors and time ask for. `is_drained`: the socket was found empty.
// Returns how many descriptors had something to tell, or -1 with errno.
static int tend(talus_subscriber_t *subscriber, int timeout_ms, bool is_drained)
{
    struct epoll_event events[EVENTS_PER_TURN];
    uint64_t expirations;

    subscriber->untended = 0;
    talus__log_inboxes(subscriber);
    if (talus__monitor_has_backlog(&subscriber->peers.monitor))
        talus__peers_read_monitor(&subscriber->peers);
    if (is_drained)
        lower(subscriber);
    talus__arm_timer(subscriber);
    talus__leave(subscriber);
    int count = epoll_wait(subscriber->epoll, events, EVENTS_PER_TURN, timeout_ms);
    int saved = errno;
    talus__enter(subscriber);
    is_drained = is_drained && subscriber->inbox.count == 0;
    for (int i = 0; i < count; i++) {
        switch (events[i].data.u32) {
        case SOURCE_SOCKET:
        case SOURCE_WAKE:
            break; // the caller reads the socket anyway
        case SOURCE_TIMER:
            if (read(subscriber->timer, &expirations, sizeof expirations) > 0)
                subscriber->armed_at = 0;
            break;
        case TALUS__ASKERS_SOURCE:
            subscriber->askers.may_have_answers = true;
            break;
        default:
            talus__peers_on_event(&subscriber->peers, events[i].data.u32);
        }
    }
    if (count > 0) {
        subscriber->inbox.is_emptied = false; // connecting and disconnecting read the descriptor
        long long now = talus__monotonic_ms();
        talus__peers_tend(&subscriber->peers, now, is_drained);
        talus__beats_tend(subscriber, now, is_drained);
        talus__live_tend(subscriber, now);
        talus__askers_tend(&subscriber->askers, now);
        talus__heals_tend(subscriber, now);
        talus__lost_tend(subscriber, now, is_drained);
    }
    errno = saved;
    return count;
}

// What is left of a time-out that began when `*deadline` was first asked for.
static int time_left(int timeout_ms, long long *deadline)
{
    if (timeout_ms <= 0)
        return timeout_ms;
    long long now = talus__monotonic_ms();
    if (*deadline == 0)
        *deadline = now + timeout_ms;
    return *deadline > now ? (int)(*deadline - now) : 0;
}

static int timed_out(int why)
{
    errno = why;
    return TALUS_ETIMEOUT;
}

// What is due comes first; then answers and the socket's messages take turns, so that neither waits
// for ever.
static int take_next(talus_subscriber_t *subscriber)
{
    if (talus__live_take(subscriber) || talus__heal_take(subscriber) ||
        talus__recovery_take(subscriber))
        return TALUS__INTAKE_EVENT;
    subscriber->prefers_answers = !subscriber->prefers_answers;
    int taken = TALUS__INTAKE_EMPTY;
    if (subscriber->prefers_answers)
        taken = talus__take_answer(subscriber);
    if (taken == TALUS__INTAKE_EMPTY)
        taken = talus__take_message(subscriber);
    if (taken == TALUS__INTAKE_EMPTY && !subscriber->prefers_answers)
        taken = talus__take_answer(subscriber);
    return taken;
}

static int receive(talus_subscriber_t *subscriber, int timeout_ms,
                   const talus_delivery_t **delivery)
{
    long long deadline = 0;

    for (;;) {
        int taken = take_next(subscriber);
        if (taken < 0)
            return taken;
        if (taken == TALUS__INTAKE_EVENT) {
            // Raised also between two events, as the caller may go and watch the descriptor.
            talus__raise(subscriber);
            *delivery = &subscriber->delivery;
        }
        bool is_drained = taken == TALUS__INTAKE_EMPTY;
        if (is_drained || ++subscriber->untended >= MESSAGES_PER_TURN) {
            int left = time_left(timeout_ms, &deadline);
            int told = tend(subscriber, is_drained ? left : 0, is_drained);
            if (told < 0 && is_drained)
                return errno == EINTR ? timed_out(EINTR) : TALUS_ESYSTEM;
            if (taken != TALUS__INTAKE_EVENT && left == 0 && (told == 0 || !is_drained)) {
                if (!is_drained)
                    talus__raise(subscriber); // there may be more, but the time is over
                return timed_out(EAGAIN);
            }
        }
        if (taken == TALUS__INTAKE_EVENT)
            return 0;
    }
}

int talus_subscriber_receive(talus_subscriber_t *subscriber, int timeout_ms,
                             const talus_delivery_t **delivery)
{
    if (talus__is_forked(subscriber->generation))
        return TALUS_EFORKED;
    talus__enter(subscriber);
    int result = receive(subscriber, timeout_ms, delivery);
    talus__leave(subscriber);
    return result;
}
