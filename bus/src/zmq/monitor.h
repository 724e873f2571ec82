// SPDX-License-Identifier: MIT
// What ZeroMQ tells about a socket's connections: which came about, which are gone.
//
// The owner of the socket reads the monitor, too; while it stands still, the guard does, into a
// backlog. Its queue has no bound, since a full one would hold up ZeroMQ's own thread.
#ifndef TALUS__MONITOR_H
#define TALUS__MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/zmq/backlog.h"

struct talus__connection_event {
    bool is_up;           // else it is gone
    int fd;               // the connection's descriptor, which a later one may have again
    const char *endpoint; // where we connected to, or what we are bound to
};

typedef void talus__connection_fn(const struct talus__connection_event *event, void *arg);

struct talus__monitor {
    void *watched; // the socket; borrowed
    void *socket;
    uint64_t *up;       // owned: a bit for each descriptor that is a connection now
    uint64_t *outgoing; // owned: … that this side has made
    size_t words;
    struct talus__backlog backlog;
};

// Starts to watch `socket`, before it binds or connects. `name` is unique in the process.
// Returns 0, TALUS_ENOMEM or TALUS_ESYSTEM.
int talus__monitor_open(struct talus__monitor *monitor, void *context, void *socket,
                        const char *name);

// Before `socket` is closed. Frees memory only with `is_forked`.
void talus__monitor_close(struct talus__monitor *monitor, bool is_forked);

// The descriptor to wait on, edge-triggered as ZeroMQ's are: read the monitor whenever it fires.
int talus__monitor_descriptor(const struct talus__monitor *monitor);

// Reads all that there is, the backlog first. Does not block.
void talus__monitor_read(struct talus__monitor *monitor, talus__connection_fn *fn, void *arg);

// For the guard: reads all that there is into the backlog. Returns whether that has something.
bool talus__monitor_pull(struct talus__monitor *monitor);

static inline bool talus__monitor_has_backlog(const struct talus__monitor *monitor)
{
    return monitor->backlog.first != NULL;
}

// Whether the descriptor is a connection, as of the last read.
bool talus__monitor_is_up(const struct talus__monitor *monitor, int fd);

// How many connections there are, as of the last read, and how many of them this side has made.
size_t talus__monitor_count(const struct talus__monitor *monitor, size_t *outgoing);

// Whether the other sides have taken all that was sent through them: ipc peers by reading it, the
// hosts of tcp peers by confirming it.
bool talus__monitor_is_quiet(const struct talus__monitor *monitor);

// The transport of a connection by its descriptor (negative: none): "ipc", "tcp" or "inproc".
const char *talus__transport_of(int fd);

#endif
