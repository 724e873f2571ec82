// SPDX-License-Identifier: MIT
// Watches. Invariants: a descriptor is in the epoll instance exactly while its watch watches for
// something (or until it is closed, after gw_watch_forget); no event of the batch that is still to
// be handled points to a watch that ended; the loop waits for the instance while it has watches.
#include "gateway/base/watch.h"

#include <errno.h>
#include <unistd.h>

#include "gateway/base/loop.h"

enum { BATCHES_PER_TURN = 4 }; // then the loop's other descriptors have their turn

void gw_watch_init(struct gw_watch *watch, struct gw_loop *loop, int fd,
                   void (*ready)(struct gw_watch *watch, uint32_t events))
{
    *watch = (struct gw_watch){.loop = loop, .fd = fd, .ready = ready};
}

static void count(struct gw_watches *watches, int change)
{
    watches->count += (unsigned)change;
    if (watches->count == 0)
        uv_unref((uv_handle_t *)&watches->poll);
    else
        uv_ref((uv_handle_t *)&watches->poll);
}

// What is still to be handled of the batch may name it.
static void drop_events(struct gw_watches *watches, const struct gw_watch *watch)
{
    for (int i = watches->batch_at + 1; i < watches->batch_size; i++)
        if (watches->batch[i].data.ptr == watch)
            watches->batch[i].data.ptr = NULL;
}

void gw_watch_forget(struct gw_watch *watch)
{
    struct gw_watches *watches = gw_loop_watches(watch->loop);
    if (watch->events == 0)
        return;
    watch->events = 0;
    drop_events(watches, watch);
    count(watches, -1);
}

int gw_watch_set(struct gw_watch *watch, uint32_t events)
{
    struct gw_watches *watches = gw_loop_watches(watch->loop);
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (events == watch->events)
        return 0;
    int operation = watch->events == 0 ? EPOLL_CTL_ADD
                    : events == 0      ? EPOLL_CTL_DEL
                                       : EPOLL_CTL_MOD;
    if (epoll_ctl(watches->fd, operation, watch->fd, &event) != 0)
        return errno;
    if (operation == EPOLL_CTL_DEL) {
        gw_watch_forget(watch);
        return 0;
    }
    if (operation == EPOLL_CTL_ADD)
        count(watches, 1);
    watch->events = events;
    return 0;
}

// ---- The loop's side

static void handle_batch(struct gw_watches *watches)
{
    for (watches->batch_at = 0; watches->batch_at < watches->batch_size; watches->batch_at++) {
        const struct epoll_event *event = &watches->batch[watches->batch_at];
        struct gw_watch *watch = event->data.ptr;
        if (!watch)
            continue;
        // An event of the batch may be older than a change of what is watched.
        uint32_t events = event->events & (watch->events | EPOLLERR | EPOLLHUP);
        if (events)
            watch->ready(watch, events);
    }
    watches->batch_size = 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct gw_watches *watches = poll->data;
    bool is_more = true;
    (void)status;
    (void)events;
    for (int i = 0; i < BATCHES_PER_TURN && is_more; i++) {
        int size = epoll_wait(watches->fd, watches->batch, GW_WATCH_BATCH, 0);
        watches->batch_size = size > 0 ? size : 0;
        is_more = size == GW_WATCH_BATCH;
        handle_batch(watches);
    }
}

static void on_closed(uv_handle_t *handle)
{
    const struct gw_watches *watches = handle->data;
    close(watches->fd);
}

int gw_watches_init(struct gw_watches *watches, uv_loop_t *uv)
{
    watches->count = 0;
    watches->batch_size = 0;
    watches->fd = epoll_create1(EPOLL_CLOEXEC);
    if (watches->fd < 0)
        return uv_translate_sys_error(errno);
    int result = uv_poll_init(uv, &watches->poll, watches->fd);
    if (result == 0)
        result = uv_poll_start(&watches->poll, UV_READABLE, on_poll);
    if (result != 0) {
        close(watches->fd);
        return result;
    }
    watches->poll.data = watches;
    uv_unref((uv_handle_t *)&watches->poll);
    return 0;
}

void gw_watches_close(struct gw_watches *watches)
{
    uv_close((uv_handle_t *)&watches->poll, on_closed);
}
