// SPDX-License-Identifier: MIT
// Descriptors of a loop that there are many of: sockets. They share one epoll instance, which libuv
// watches as one descriptor. A uv_poll_t for each would cost 160 bytes, and six system calls more
// from its opening to its end; libuv's own way stays right for the few others.
//
// All of it is for the loop's thread.
#ifndef TALUS_GATEWAY_BASE_FD_WATCHER_H
#define TALUS_GATEWAY_BASE_FD_WATCHER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

struct gw_loop;
struct gw_fd_watchers; // of one loop: gw_loop_fd_watchers

struct gw_fd_watcher {
    struct gw_fd_watchers *watchers;
    int fd;
    uint32_t events; // that are watched; 0: none
    // Runs in the input phase, as often as one of them is there. `events` may also have EPOLLERR
    // and EPOLLHUP. The watcher may be ended and freed in it.
    void (*ready)(struct gw_fd_watcher *watcher, uint32_t events);
};

void gw_fd_watcher_init(struct gw_fd_watcher *watcher, struct gw_fd_watchers *watchers, int fd,
                        void (*ready)(struct gw_fd_watcher *watcher, uint32_t events));

// Watches for `events` (EPOLLIN, EPOLLOUT, EPOLLRDHUP, level-triggered) from here on, and no
// others; 0: for none, not even errors. Returns 0, or an errno with what was watched unchanged:
// ENOMEM, ENOSPC (the system's limit of watches), EBADF, EPERM (not a descriptor that can be
// watched).
int gw_fd_watcher_set(struct gw_fd_watcher *watcher, uint32_t events);

// Instead of gw_fd_watcher_set(watch, 0), which is a system call, for those who close the
// descriptor next: that takes it out of the epoll instance, if no other descriptor refers to the
// same socket.
void gw_fd_watcher_forget(struct gw_fd_watcher *watcher);

// ---- For loop.c

enum { GW_FD_WATCHER_BATCH = 256 }; // events that are asked for at once

struct gw_fd_watchers {
    struct gw_loop *loop; // whose they are
    uv_poll_t poll;
    int fd;
    unsigned count; // of watchers that watch for something
    int batch_at;   // of `batch`, the event that is being handled
    int batch_size; // 0: none is
    struct epoll_event batch[GW_FD_WATCHER_BATCH];
};

// 0, or an error of libuv's.
int gw_fd_watchers_init(struct gw_fd_watchers *watchers, struct gw_loop *loop, uv_loop_t *uv);
// Begins the end; a few turns of libuv follow.
void gw_fd_watchers_close(struct gw_fd_watchers *watchers);

#endif
