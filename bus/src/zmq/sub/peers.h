// SPDX-License-Identifier: MIT
// How a subscriber meets broadcasters: what it is bound and connected to, and the bus directories
// in which it looks for those that come and go.
//
// A broadcaster that leaves its directory is disconnected only when its connection is gone and what
// it had sent was read, since ZeroMQ throws away what is unread on a disconnect.
#ifndef TALUS__PEERS_H
#define TALUS__PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/codec/wire.h"
#include "bus/src/zmq/directory/directory.h"
#include "bus/src/zmq/directory/ipc_lock.h"
#include "bus/src/zmq/endpoint.h"
#include "bus/src/zmq/sub/monitor.h"
#include "bus/src/zmq/sub/publishers.h"
#include "common/table.h"

struct talus__bus_directory {
    char *path; // owned
    struct talus__claim claim;
    int watch;          // -1: none can be had, so it is scanned at times
    long long look_at;  // when to scan or to make good next; 0: when the watch says so
    long long clean_at; // when to remove what a dead one left; 0: nothing
    bool is_crowded;    // somebody in it had to be left out
    bool is_broken;     // it was lost and could not be opened again yet
};

struct talus__peers {
    void *socket; // SUB; borrowed
    struct talus__origins *origins;
    struct talus__monitor monitor;
    struct tl_table table; // struct talus__peer by endpoint
    struct talus__bus_directory *directories;
    size_t directory_count;
    struct talus__ipc_lock *locks; // of bound ipc sockets
    size_t lock_count;
    size_t max;            // peers of the directories
    size_t listed_count;   // of them there are
    uint64_t overflows;    // of watches
    size_t ungreeted;      // configured endpoints of which nobody was heard yet
    long long greet_until; // joins wait so long for them, at the beginning; 0: no more
    unsigned mode;         // of directories
    int epoll;             // where watches are added; borrowed
    long long tend_at;     // when talus__peers_tend has something to do; 0: nothing
    char *endpoint;        // talus_subscriber_endpoint
    char id[TALUS__SUBSCRIBER_ID + 1];
};

struct talus__peers_options {
    void *context;
    void *socket;
    struct talus__origins *origins;
    int epoll;
    size_t max;
    unsigned mode;
};

// The event data of what peers add to the epoll descriptor: the monitor, then one watch for each
// directory. Smaller numbers are the owner's.
#define TALUS__PEERS_MONITOR   8
#define TALUS__PEERS_DIRECTORY 16

// Claims a place in each directory, binds, connects, and looks for who is there already.
// Returns 0 or an error of talus_subscriber_new. Call talus__peers_fini after an error, too.
int talus__peers_init(struct talus__peers *peers, const struct talus__endpoints *endpoints,
                      const struct talus__peers_options *options);

// Before the socket is closed. With `is_forked` it frees memory and leaves the rest to the parent.
void talus__peers_fini(struct talus__peers *peers, bool is_forked);

// Takes note of the broadcasters that came and went by now. Returns whether there were such.
bool talus__peers_meet(struct talus__peers *peers);

// Something happened on the descriptor whose event data is `source`.
void talus__peers_on_event(struct talus__peers *peers, unsigned source);

// Whether each endpoint that is connected to has a connection, as of the last read of the monitor;
// gives the number of all connections, of bound endpoints too.
bool talus__peers_are_linked(const struct talus__peers *peers, size_t *connections);

// Reads the monitor now. To be called before judging whether a descriptor is up.
void talus__peers_read_monitor(struct talus__peers *peers);

// Does what is due, once tend_at is over. `is_drained`: the socket has nothing unread.
void talus__peers_tend(struct talus__peers *peers, long long now, bool is_drained);

#endif
