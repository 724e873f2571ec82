// SPDX-License-Identifier: MIT
// Listening sockets: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`.
//
// When the process is out of descriptors, new connections are taken and closed at once (with a
// descriptor kept for that), so that their clients get an answer instead of waiting in the backlog;
// where not even that is possible, accepting pauses for a moment. Both are counted and logged, the
// log at a bounded rate.
#ifndef TALUS_GATEWAY_TRANSPORT_LISTENER_H
#define TALUS_GATEWAY_TRANSPORT_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/base/loop.h"
#include "gateway/base/metrics.h"

struct listener;

// Takes a new connection; `fd` is non-blocking, close-on-exec, TCP_NODELAY where that applies, and
// belongs to the callee. It may close the listener.
typedef void listener_accept_fn(int fd, void *arg);

// Binds and listens. `address` as above; a HOST may be a name (looking it up blocks), of whose
// addresses the first that can be bound is taken; port 0 picks a free one. A Unix socket's stale
// file is removed if no process listens on it. NULL on failure, with a text for people in `error`,
// of `error_size` bytes: "cannot listen on 127.0.0.1:80: permission denied".
struct listener *listener_open(struct gw_loop *loop, struct gw_metrics *metrics,
                               const char *address, listener_accept_fn *on_accept, void *arg,
                               char *error, size_t error_size);

// The same, for listeners on other loops to join. The address must be free: whoever else listens
// on it, sharing or not, is an error.
struct listener *listener_open_shared(struct gw_loop *loop, struct gw_metrics *metrics,
                                      const char *address, listener_accept_fn *on_accept, void *arg,
                                      char *error, size_t error_size);

// One more listener, on a loop of its own, where `first` (from listener_open_shared) listens. The
// kernel spreads connections over all of them, each with a socket of its own (SO_REUSEPORT); for a
// Unix socket, or where the kernel will not have that, they take turns on one socket. To be called
// before any of the loops runs; each is closed on its own loop. Errors as above.
struct listener *listener_join(struct gw_loop *loop, struct gw_metrics *metrics,
                               const struct listener *first, listener_accept_fn *on_accept,
                               void *arg, char *error, size_t error_size);

// Stops listening, removes a Unix socket's file (if it is still its own), frees the listener and
// nulls the pointer; NULL-safe. Connections that were accepted live on.
void listener_close(struct listener **listener);

// Where it listens, the chosen port included: `127.0.0.1:3000`, `[::1]:3000`, `unix:PATH`. Lives as
// long as the listener.
const char *listener_address(const struct listener *listener);

#endif
