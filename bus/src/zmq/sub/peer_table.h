// SPDX-License-Identifier: MIT
// The peers of a subscriber's SUB socket: what it is connected to, and how each connection fares.
#ifndef TALUS__PEER_TABLE_H
#define TALUS__PEER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/codec/wire.h"
#include "bus/src/zmq/directory/directory.h"
#include "bus/src/zmq/directory/ipc_lock.h"
#include "bus/src/zmq/monitor.h"
#include "bus/src/zmq/sub/presence.h"
#include "common/table.h"

#define TALUS__PEER_ENDPOINT_CAPACITY 1024
#define TALUS__PEER_GONE_MS           500 // for what a dead one had sent to arrive

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
    struct talus__presences *presences;
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

struct talus__peer {
    struct tl_node node;                    // by endpoint
    struct talus__bus_directory *directory; // NULL: it was configured
    struct talus__publisher *publisher;     // of a directory's; referred to
    bool is_attached;                       // connected to, as far as we are concerned
    bool is_linked;                         // there is a connection
    bool is_seen;                           // by the scan that is going on
    long long gone_at;                      // when its lock was first found missing; 0: it lives
    long long lost_at; // when its connection was lost; 0: it is there, or never was
    long long anew_at; // when to connect anew, while it is lost
    long long wait_ms; // until the time after that
    char endpoint[];
};

// The event data of what peers add to the epoll descriptor: the monitor, then one watch for each
// directory. Smaller numbers are the owner's.
#define TALUS__PEERS_MONITOR   8
#define TALUS__PEERS_DIRECTORY 16

// Has talus__peers_tend called at `at` or earlier; 0: not for this.
void talus__peers_tend_by(struct talus__peers *peers, long long at);

// Connects a socket to an endpoint. Returns 0 or an error.
int talus__peer_connect(void *socket, const char *endpoint);

// Adds a peer that is not there yet. NULL: out of memory.
struct talus__peer *talus__peer_add(struct talus__peers *peers, const char *endpoint);

// Connects to a peer once more that has been away for long.
void talus__peer_connect_anew(struct talus__peers *peers, struct talus__peer *peer, long long now);

// Calls `fn` for each peer, which it may remove.
typedef void talus__peer_fn(struct talus__peers *peers, struct talus__bus_directory *directory,
                            struct talus__peer *peer, long long now);
void talus__peers_each(struct talus__peers *peers, struct talus__bus_directory *directory,
                       long long now, talus__peer_fn *fn);

// Reads the monitor now. To be called before judging whether a descriptor is up.
void talus__peers_read_monitor(struct talus__peers *peers);

// Whether each endpoint that is connected to has a connection, as of the last read of the monitor;
// gives the number of all connections, of bound endpoints too.
bool talus__peers_are_linked(const struct talus__peers *peers, size_t *connections);

#endif
