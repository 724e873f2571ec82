// SPDX-License-Identifier: MIT
// Answers those who missed events: a ROUTER socket beside the XPUB, the bus thread's alone.
//
// Requests of one client are answered in order; the clients take turns, and a turn of the bus
// thread does a bounded amount for them, so none of them holds up the emitters or another. A client
// that does not read stands still alone, and is dropped after a while. Everything is bounded:
// clients, requests of each, and bytes of all requests; what is beyond is counted and not answered.
#ifndef TALUS__REPLAY_H
#define TALUS__REPLAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/src/transport/publish.h"
#include "common/table.h"

#define TALUS__REPLAY_CLIENTS  1024               // with open requests
#define TALUS__REPLAY_REQUESTS 64                 // of one client, open at once
#define TALUS__REPLAY_BYTES    ((size_t)16 << 20) // that all open requests take

struct talus__replay_client;

struct talus__replay {
    void *socket; // ROUTER; NULL: there is none
    // It was found empty and nothing was sent since: its descriptor tells of what comes. Whoever
    // saw that clears this.
    bool is_drained;
    const char *origin;
    const char *endpoint; // what heads name; "" where there is none
    const struct talus__publish_source *source;
    const uint64_t *newest; // seq of the newest event that was sent
    long long stall_ms;     // a client that reads nothing for so long is dropped

    struct tl_table clients;           // those with open requests, by their identity
    struct talus__replay_client *turn; // a ring; whose turn it is
    size_t request_bytes;
    long long retry_at; // when those that stand still are tried again; 0: none does

    _Atomic uint64_t requests;
    _Atomic uint64_t refused; // requests that are none, or beyond a bound
    _Atomic uint64_t events;  // sent
    _Atomic uint64_t stalled; // clients dropped
};

// Everything but the socket, its endpoint and `newest` is the caller's to set before.
void talus__replay_init(struct talus__replay *replay);

// Drops open requests, with their cursors. Does not close the socket.
void talus__replay_fini(struct talus__replay *replay);

// Reads requests, and does some of what is open. Returns whether there is more that can be done
// at once. `now`: monotonic clock, milliseconds.
bool talus__replay_run(struct talus__replay *replay, long long now);

#endif
