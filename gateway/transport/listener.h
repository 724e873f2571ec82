// SPDX-License-Identifier: MIT
// Listening sockets: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`.
#ifndef TALUS_GATEWAY_TRANSPORT_LISTENER_H
#define TALUS_GATEWAY_TRANSPORT_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/loop.h"
#include "gateway/base/metrics.h"

struct listener;

// Takes a new connection; `fd` is non-blocking, close-on-exec, TCP_NODELAY where that applies, and
// belongs to the callee.
typedef void listener_accept_fn(int fd, void *arg);

// Binds and listens. `address` as above; a HOST may be a name. A Unix socket's stale file is
// removed if nobody listens on it. NULL on failure, with a text for people in `error`, of
// `error_size` bytes.
struct listener *listener_open(struct gw_loop *loop, struct gw_metrics *metrics,
                               const char *address, listener_accept_fn *on_accept, void *arg,
                               char *error, size_t error_size);

// Stops listening, removes a Unix socket's file, frees it. NULL-safe.
void listener_close(struct listener **listener);

// Where it listens, the chosen port included: `127.0.0.1:3000`, `[::1]:3000`, `unix:PATH`. Lives as
// long as the listener.
const char *listener_address(const struct listener *listener);

#endif
