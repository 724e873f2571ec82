// SPDX-License-Identifier: MIT
// Listening sockets on uv_poll, with accept4 of our own: a bounded batch a turn.
//
// Invariants: the socket is open until listener_close, the memory until libuv has let go of the
// handle. `reserve` is a descriptor that stands for the one more which shedding a connection takes;
// -1 while it could not be had.
#include "gateway/transport/listener.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/transport/address.h"

enum {
    BACKLOG = 4096, // the kernel takes net.core.somaxconn if that is less
    ACCEPTS_PER_TURN = 64,
    PAUSE_MS = 100,
    LOG_EVERY_MS = 10000,
};

struct listener {
    uv_poll_t poll;
    struct gw_loop *loop;
    struct gw_metrics *metrics;
    listener_accept_fn *on_accept;
    void *arg;
    struct gw_deadline_queue pauses;
    struct gw_deadline pause;
    struct gw_deadline_queue silences;
    struct gw_deadline silence; // started: a failure was logged a moment ago
    uint64_t unlogged;          // failures since then
    int fd;
    int reserve;
    bool is_unix;
    bool has_joined; // another listener, whose file a Unix socket's is
    bool is_closed;
    dev_t device; // of a Unix socket's file
    ino_t inode;
    char address[ADDRESS_TEXT_MAX];
};

// ---- Errors

// Writes "cannot listen on ADDRESS: TEXT" with TEXT in lower case; returns -1.
static int fail(char *error, size_t size, const char *address, const char *text)
{
    snprintf(error, size, "cannot listen on %s: %c%s", address, tolower((unsigned char)text[0]),
             text + 1);
    return -1;
}

// ---- Binding

enum sharing {
    ALONE,
    FIRST, // others may join
    JOINING,
};

static const char *text_of(int reason)
{
    return reason == EADDRNOTAVAIL ? "this host does not have that address" : strerror(reason);
}

static bool share_port(int fd)
{
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
}

static int open_socket(int family, enum sharing sharing)
{
    int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || family == AF_UNIX)
        return fd;
    // Linux hands TCP_NODELAY down to what is accepted: a system call less for each.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        (sharing != JOINING || share_port(fd)))
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

// A listening socket, or -1 and errno. The first of several shares its port only once it is bound:
// so binding it fails if another process is there, even one that shares. Where the kernel has no
// sharing, those that join find out.
static int bind_to(const struct sockaddr *address, socklen_t size, enum sharing sharing)
{
    int fd = open_socket(address->sa_family, sharing);
    if (fd < 0)
        return -1;
    if (bind(fd, address, size) == 0) {
        if (sharing == FIRST && address->sa_family != AF_UNIX)
            share_port(fd);
        if (listen(fd, BACKLOG) == 0)
            return fd;
    }
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static int bind_host(const struct address *address, enum sharing sharing, const char *text,
                     char *error, size_t error_size)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    struct addrinfo *found = NULL;
    int result = getaddrinfo(address->host, address->port, &hints, &found);
    if (result != 0)
        return fail(error, error_size, text,
                    result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
    int fd = -1;
    int reason = 0; // of the first address, which is the preferred one
    for (struct addrinfo *at = found; at && fd < 0; at = at->ai_next) {
        fd = bind_to(at->ai_addr, at->ai_addrlen, sharing);
        if (fd < 0 && reason == 0)
            reason = errno;
    }
    freeaddrinfo(found);
    return fd >= 0 ? fd : fail(error, error_size, text, text_of(reason));
}

// Whether the path is a socket without a listener.
static bool is_stale(const struct sockaddr_un *path)
{
    struct stat status;
    if (lstat(path->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    int result = connect(fd, (const struct sockaddr *)path, sizeof *path);
    bool is_refused = result != 0 && errno == ECONNREFUSED;
    close(fd);
    return is_refused;
}

static int bind_path(const struct address *address, const char *text, char *error,
                     size_t error_size)
{
    const struct sockaddr *path = (const struct sockaddr *)&address->path;
    int fd = bind_to(path, sizeof address->path, ALONE);
    if (fd < 0 && errno == EADDRINUSE && is_stale(&address->path) &&
        unlink(address->path.sun_path) == 0)
        fd = bind_to(path, sizeof address->path, ALONE);
    return fd >= 0 ? fd : fail(error, error_size, text, strerror(errno));
}

static int bind_text(const char *text, enum sharing sharing, char *error, size_t error_size)
{
    struct address address;
    const char *wrong = address_parse(text, &address);
    if (wrong)
        return fail(error, error_size, text, wrong);
    return address.is_unix ? bind_path(&address, text, error, error_size)
                           : bind_host(&address, sharing, text, error, error_size);
}

// ---- Accepting

// One line now, then none for a while, then one with the number of those that were left out.
static void note_failure(struct listener *listener, int reason)
{
    gw_metric_add(listener->metrics, GW_ACCEPT_FAILED, 1);
    if (gw_deadline_is_started(&listener->silence)) {
        listener->unlogged++;
        return;
    }
    gw_log(GW_LOG_WARNING, "listener", "%s: a connection was not accepted: %s", listener->address,
           strerror(reason));
    gw_deadline_start(&listener->silences, &listener->silence);
}

static void on_silence_over(struct gw_deadline *deadline)
{
    struct listener *listener = TL_LIST_ENTRY(deadline, struct listener, silence);
    if (listener->unlogged > 0)
        gw_log(GW_LOG_WARNING, "listener", "%s: %llu more connections were not accepted",
               listener->address, (unsigned long long)listener->unlogged);
    listener->unlogged = 0;
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void pause_accepting(struct listener *listener)
{
    uv_poll_stop(&listener->poll);
    gw_deadline_start(&listener->pauses, &listener->pause);
}

static void on_pause_over(struct gw_deadline *deadline)
{
    struct listener *listener = TL_LIST_ENTRY(deadline, struct listener, pause);
    if (listener->reserve < 0)
        listener->reserve = open_reserve();
    uv_poll_start(&listener->poll, UV_READABLE, on_connection);
}

// Takes a connection with the reserved descriptor and closes it. Returns 0, or the error: EAGAIN if
// there is none, which accept4 does not tell while it lacks a descriptor.
static int shed_one(struct listener *listener)
{
    if (listener->reserve < 0)
        return EMFILE;
    close(listener->reserve);
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int result = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    listener->reserve = open_reserve();
    return result;
}

// Whether the batch may go on after accept4 failed with `reason`.
static bool handle_failure(struct listener *listener, int reason)
{
    bool is_short_of_descriptors = reason == EMFILE || reason == ENFILE;
    int result = is_short_of_descriptors ? shed_one(listener) : reason;
    switch (result) {
    case EAGAIN:
        return false;
    case 0:
        note_failure(listener, reason);
        return true;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        note_failure(listener, reason);
        pause_accepting(listener);
        return false;
    default: // errors of that one connection, which is gone
        return true;
    }
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN && !listener->is_closed; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (!handle_failure(listener, errno))
                return;
            continue;
        }
        gw_metric_add(listener->metrics, GW_CONNECTIONS_TOTAL, 1);
        listener->on_accept(fd, listener->arg);
    }
}

// ---- Life

static void note_address(struct listener *listener)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof bound;
    struct stat status;
    getsockname(listener->fd, (struct sockaddr *)&bound, &size);
    address_format(&bound, listener->address);
    listener->is_unix = bound.ss_family == AF_UNIX;
    if (listener->is_unix && !listener->has_joined &&
        lstat(listener->address + strlen("unix:"), &status) == 0) {
        listener->device = status.st_dev;
        listener->inode = status.st_ino;
    }
}

static bool watcher(struct listener *listener)
{
    listener->poll.data = listener;
    if (uv_poll_init(gw_loop_uv(listener->loop), &listener->poll, listener->fd) != 0)
        return false;
    gw_deadline_queue_init(&listener->pauses, listener->loop, PAUSE_MS);
    gw_deadline_init(&listener->pause, on_pause_over);
    gw_deadline_queue_init(&listener->silences, listener->loop, LOG_EVERY_MS);
    gw_deadline_init(&listener->silence, on_silence_over);
    listener->reserve = open_reserve();
    uv_poll_start(&listener->poll, UV_READABLE, on_connection);
    return true;
}

static void remove_file(const struct listener *listener)
{
    const char *path = listener->address + strlen("unix:");
    struct stat status;
    if (listener->is_unix && !listener->has_joined && lstat(path, &status) == 0 &&
        status.st_dev == listener->device && status.st_ino == listener->inode)
        unlink(path);
}

// Takes over `fd`, a listening socket; -1: an error was told already.
static struct listener *new_listener(int fd, bool has_joined, struct gw_loop *loop,
                                     struct gw_metrics *metrics, const char *address,
                                     listener_accept_fn *on_accept, void *arg, char *error,
                                     size_t error_size)
{
    if (fd < 0)
        return NULL;
    struct listener *listener = calloc(1, sizeof *listener);
    if (!listener) {
        fail(error, error_size, address, "out of memory");
        close(fd);
        return NULL;
    }
    listener->loop = loop;
    listener->metrics = metrics;
    listener->on_accept = on_accept;
    listener->arg = arg;
    listener->fd = fd;
    listener->has_joined = has_joined;
    note_address(listener);
    if (!watcher(listener)) {
        fail(error, error_size, address, "out of memory");
        remove_file(listener);
        close(fd);
        free(listener);
        return NULL;
    }
    return listener;
}

struct listener *listener_open(struct gw_loop *loop, struct gw_metrics *metrics,
                               const char *address, listener_accept_fn *on_accept, void *arg,
                               char *error, size_t error_size)
{
    return new_listener(bind_text(address, ALONE, error, error_size), false, loop, metrics, address,
                        on_accept, arg, error, error_size);
}

struct listener *listener_open_shared(struct gw_loop *loop, struct gw_metrics *metrics,
                                      const char *address, listener_accept_fn *on_accept, void *arg,
                                      char *error, size_t error_size)
{
    return new_listener(bind_text(address, FIRST, error, error_size), false, loop, metrics, address,
                        on_accept, arg, error, error_size);
}

static int open_same(const struct listener *first, char *error, size_t error_size)
{
    int fd = fcntl(first->fd, F_DUPFD_CLOEXEC, 0);
    return fd >= 0 ? fd : fail(error, error_size, first->address, strerror(errno));
}

struct listener *listener_join(struct gw_loop *loop, struct gw_metrics *metrics,
                               const struct listener *first, listener_accept_fn *on_accept,
                               void *arg, char *error, size_t error_size)
{
    int fd = first->is_unix ? -1 : bind_text(first->address, JOINING, error, error_size);
    if (fd < 0)
        fd = open_same(first, error, error_size);
    return new_listener(fd, true, loop, metrics, first->address, on_accept, arg, error, error_size);
}

static void on_unwatched(uv_handle_t *handle)
{
    free(handle->data);
}

void listener_close(struct listener **listener_pointer)
{
    struct listener *listener = *listener_pointer;
    *listener_pointer = NULL;
    if (!listener)
        return;
    listener->is_closed = true;
    gw_deadline_queue_fini(&listener->pauses);
    gw_deadline_queue_fini(&listener->silences);
    uv_close((uv_handle_t *)&listener->poll, on_unwatched);
    remove_file(listener);
    close(listener->fd);
    if (listener->reserve >= 0)
        close(listener->reserve);
}

const char *listener_address(const struct listener *listener)
{
    return listener->address;
}
