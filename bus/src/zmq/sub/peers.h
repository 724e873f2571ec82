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

#include "bus/src/zmq/endpoint.h"
#include "bus/src/zmq/sub/peer_table.h"

struct talus__peers_options {
    void *context;
    void *socket;
    struct talus__presences *presences;
    int epoll;
    size_t max;
    unsigned mode;
};

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

// Does what is due, once tend_at is over. `is_drained`: the socket has nothing unread.
void talus__peers_tend(struct talus__peers *peers, long long now, bool is_drained);

#endif
