// SPDX-License-Identifier: MIT
// The socket monitor.
#include "bus/src/zmq/monitor.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <zmq.h>

#include <talus/error.h>

#define EVENTS       (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED)
#define EVENT_SIZE   6 // bytes: the event (16 bits) and its value (32 bits)
#define ENDPOINT_MAX TALUS__BACKLOG_ENDPOINT
#define FD_MOST      (1 << 24)
#define WORD_BITS    64

int talus__monitor_open(struct talus__monitor *monitor, void *context, void *socket,
                        const char *name)
{
    char endpoint[128];
    const int unbounded = 0, no_linger = 0;

    *monitor = (struct talus__monitor){.watched = socket};
    snprintf(endpoint, sizeof endpoint, "inproc://talus-monitor-%s", name);
    if (zmq_socket_monitor(socket, endpoint, EVENTS) != 0)
        return errno == ENOMEM ? TALUS_ENOMEM : TALUS_ESYSTEM;
    monitor->socket = zmq_socket(context, ZMQ_PAIR);
    if (monitor->socket &&
        zmq_setsockopt(monitor->socket, ZMQ_RCVHWM, &unbounded, sizeof unbounded) == 0 &&
        zmq_setsockopt(monitor->socket, ZMQ_LINGER, &no_linger, sizeof no_linger) == 0 &&
        zmq_connect(monitor->socket, endpoint) == 0)
        return 0;
    int saved = errno;
    talus__monitor_close(monitor, false);
    errno = saved;
    return saved == ENOMEM ? TALUS_ENOMEM : TALUS_ESYSTEM;
}

void talus__monitor_close(struct talus__monitor *monitor, bool is_forked)
{
    if (!is_forked && monitor->watched) {
        zmq_socket_monitor(monitor->watched, NULL, 0);
        if (monitor->socket)
            zmq_close(monitor->socket);
    }
    free(monitor->up);
    free(monitor->outgoing);
    talus__backlog_fini(&monitor->backlog);
    *monitor = (struct talus__monitor){0};
}

int talus__monitor_descriptor(const struct talus__monitor *monitor)
{
    int fd = -1;
    size_t size = sizeof fd;

    return zmq_getsockopt(monitor->socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

static bool grow(uint64_t **bits, size_t from, size_t to)
{
    uint64_t *grown = realloc(*bits, to * sizeof *grown);

    if (!grown)
        return false;
    memset(grown + from, 0, (to - from) * sizeof *grown);
    *bits = grown;
    return true;
}

static void set_bit(uint64_t *word, uint64_t bit, bool is_set)
{
    *word = is_set ? *word | bit : *word & ~bit;
}

static void set_up(struct talus__monitor *monitor, int fd, bool is_up, bool is_outgoing)
{
    if (fd < 0 || fd >= FD_MOST)
        return;
    size_t word = (size_t)fd / WORD_BITS;
    uint64_t bit = (uint64_t)1 << (fd % WORD_BITS);

    if (word >= monitor->words) {
        // Without memory the connection counts as gone: nobody waits for it.
        if (!is_up || !grow(&monitor->up, monitor->words, word + 1) ||
            !grow(&monitor->outgoing, monitor->words, word + 1))
            return;
        monitor->words = word + 1;
    }
    set_bit(&monitor->up[word], bit, is_up);
    set_bit(&monitor->outgoing[word], bit, is_outgoing);
}

bool talus__monitor_is_up(const struct talus__monitor *monitor, int fd)
{
    if (fd < 0 || (size_t)fd / WORD_BITS >= monitor->words)
        return false;
    return monitor->up[fd / WORD_BITS] >> (fd % WORD_BITS) & 1;
}

size_t talus__monitor_count(const struct talus__monitor *monitor, size_t *outgoing)
{
    size_t count = 0;

    *outgoing = 0;
    for (size_t i = 0; i < monitor->words; i++) {
        count += (size_t)__builtin_popcountll(monitor->up[i]);
        *outgoing += (size_t)__builtin_popcountll(monitor->outgoing[i]);
    }
    return count;
}

bool talus__monitor_is_quiet(const struct talus__monitor *monitor)
{
    for (size_t i = 0; i < monitor->words; i++) {
        for (uint64_t left = monitor->up[i]; left; left &= left - 1) {
            int fd = (int)(i * WORD_BITS) + __builtin_ctzll(left);
            int bytes = 0;
            // An error: it is closed by now, and what was for it is gone.
            if (ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0)
                return false;
        }
    }
    return true;
}

struct event {
    uint16_t kind;
    int32_t fd;
    char endpoint[ENDPOINT_MAX];
};

// Receives the next event. False: there is none now.
static bool receive(struct talus__monitor *monitor, struct event *event)
{
    uint8_t frame[EVENT_SIZE];

    for (;;) {
        int size = zmq_recv(monitor->socket, frame, sizeof frame, ZMQ_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return false;
        int endpoint_size =
            zmq_recv(monitor->socket, event->endpoint, sizeof event->endpoint, ZMQ_DONTWAIT);
        if (size != EVENT_SIZE || endpoint_size < 0)
            continue;
        if ((size_t)endpoint_size >= sizeof event->endpoint)
            endpoint_size = sizeof event->endpoint - 1;
        event->endpoint[endpoint_size] = '\0';
        memcpy(&event->kind, frame, sizeof event->kind);
        memcpy(&event->fd, frame + sizeof event->kind, sizeof event->fd);
        return true;
    }
}

static void tell(struct talus__monitor *monitor, uint16_t kind, int fd, const char *endpoint,
                 talus__connection_fn *fn, void *arg)
{
    struct talus__connection_event event = {
        .is_up = kind != ZMQ_EVENT_DISCONNECTED, .fd = fd, .endpoint = endpoint};

    set_up(monitor, event.fd, event.is_up, kind == ZMQ_EVENT_CONNECTED);
    fn(&event, arg);
}

void talus__monitor_read(struct talus__monitor *monitor, talus__connection_fn *fn, void *arg)
{
    struct talus__backlog_entry *entry;
    struct event event;

    while ((entry = talus__backlog_take(&monitor->backlog))) {
        if (entry->has_ended)
            tell(monitor, ZMQ_EVENT_DISCONNECTED, entry->fd, entry->endpoint, fn, arg);
        if (entry->kind != ZMQ_EVENT_DISCONNECTED)
            tell(monitor, entry->kind, entry->fd, entry->endpoint, fn, arg);
        free(entry);
    }
    while (receive(monitor, &event))
        tell(monitor, event.kind, event.fd, event.endpoint, fn, arg);
}

bool talus__monitor_pull(struct talus__monitor *monitor)
{
    struct event event;

    // Without memory it waits in the queue.
    while (talus__backlog_reserve(&monitor->backlog) && receive(monitor, &event))
        talus__backlog_add(&monitor->backlog, event.fd, event.endpoint, event.kind,
                           event.kind == ZMQ_EVENT_DISCONNECTED);
    return talus__monitor_has_backlog(monitor);
}

const char *talus__transport_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof address;

    if (fd < 0)
        return "inproc";
    if (getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.ss_family == AF_UNIX)
        return "ipc";
    return "tcp";
}
