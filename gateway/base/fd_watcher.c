// SPDX-License-Identifier: MIT
// Watchers of descriptors. Invariants: a descriptor is in the epoll instance exactly while its
// watcher watches for something (or until it is closed, after gw_fd_watcher_forget); no event of
// the batch that is still to be handled points to a watcher that ended; the loop waits for the
// instance while it has watchers.
#include "gateway/base/fd_watcher.h"

#include <errno.h>
#include <unistd.h>

enum { BATCHES_PER_TURN = 4 }; // then the loop's other descriptors have their turn

void gw_fd_watcher_init(struct gw_fd_watcher *watcher, struct gw_fd_watchers *watchers, int fd,
                        void (*ready)(struct gw_fd_watcher *watcher, uint32_t events))
{
    *watcher = (struct gw_fd_watcher){.watchers = watchers, .fd = fd, .ready = ready};
}

static void count(struct gw_fd_watchers *watchers, int change)
{
    watchers->count += (unsigned)change;
    if (watchers->count == 0)
        uv_unref((uv_handle_t *)&watchers->poll);
    else
        uv_ref((uv_handle_t *)&watchers->poll);
}

// What is still to be handled of the batch may name it.
static void drop_events(struct gw_fd_watchers *watchers, const struct gw_fd_watcher *watcher)
{
    for (int i = watchers->batch_at + 1; i < watchers->batch_size; i++)
        if (watchers->batch[i].data.ptr == watcher)
            watchers->batch[i].data.ptr = NULL;
}

void gw_fd_watcher_forget(struct gw_fd_watcher *watcher)
{
    struct gw_fd_watchers *watchers = watcher->watchers;
    if (watcher->events == 0)
        return;
    watcher->events = 0;
    drop_events(watchers, watcher);
    count(watchers, -1);
}

int gw_fd_watcher_set(struct gw_fd_watcher *watcher, uint32_t events)
{
    struct gw_fd_watchers *watchers = watcher->watchers;
    struct epoll_event event = {.events = events, .data.ptr = watcher};
    if (events == watcher->events)
        return 0;
    int operation = watcher->events == 0 ? EPOLL_CTL_ADD
                    : events == 0        ? EPOLL_CTL_DEL
                                         : EPOLL_CTL_MOD;
    if (epoll_ctl(watchers->fd, operation, watcher->fd, &event) != 0)
        return errno;
    if (operation == EPOLL_CTL_DEL) {
        gw_fd_watcher_forget(watcher);
        return 0;
    }
    if (operation == EPOLL_CTL_ADD)
        count(watchers, 1);
    watcher->events = events;
    return 0;
}

// ---- The loop's side

static void handle_batch(struct gw_fd_watchers *watchers)
{
    for (watchers->batch_at = 0; watchers->batch_at < watchers->batch_size; watchers->batch_at++) {
        const struct epoll_event *event = &watchers->batch[watchers->batch_at];
        struct gw_fd_watcher *watcher = event->data.ptr;
        if (!watcher)
            continue;
        // An event of the batch may be older than a change of what is watched.
        uint32_t events = event->events & (watcher->events | EPOLLERR | EPOLLHUP);
        if (events)
            watcher->ready(watcher, events);
    }
    watchers->batch_size = 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct gw_fd_watchers *watchers = poll->data;
    bool is_more = true;
    (void)status;
    (void)events;
    for (int i = 0; i < BATCHES_PER_TURN && is_more; i++) {
        int size = epoll_wait(watchers->fd, watchers->batch, GW_FD_WATCHER_BATCH, 0);
        watchers->batch_size = size > 0 ? size : 0;
        is_more = size == GW_FD_WATCHER_BATCH;
        handle_batch(watchers);
    }
}

static void on_closed(uv_handle_t *handle)
{
    const struct gw_fd_watchers *watchers = handle->data;
    close(watchers->fd);
}

int gw_fd_watchers_init(struct gw_fd_watchers *watchers, struct gw_loop *loop, uv_loop_t *uv)
{
    watchers->loop = loop;
    watchers->count = 0;
    watchers->batch_size = 0;
    watchers->fd = epoll_create1(EPOLL_CLOEXEC);
    if (watchers->fd < 0)
        return uv_translate_sys_error(errno);
    int result = uv_poll_init(uv, &watchers->poll, watchers->fd);
    if (result == 0)
        result = uv_poll_start(&watchers->poll, UV_READABLE, on_poll);
    if (result != 0) {
        close(watchers->fd);
        return result;
    }
    watchers->poll.data = watchers;
    uv_unref((uv_handle_t *)&watchers->poll);
    return 0;
}

void gw_fd_watchers_close(struct gw_fd_watchers *watchers)
{
    uv_close((uv_handle_t *)&watchers->poll, on_closed);
}
