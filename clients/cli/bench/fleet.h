// SPDX-License-Identifier: MIT
// The bench's clients: all of them on one epoll, each a Socket.IO client that connects, joins its
// room, answers pings, and reads events.
//
// Client I is in room I modulo the number of rooms. One thread; nothing here blocks but fleet_turn.
#ifndef TALUS_CLI_BENCH_FLEET_H
#define TALUS_CLI_BENCH_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients/cli/bench/emitter.h"
#include "clients/cli/bench/histogram.h"
#include "clients/cli/bench/order.h"
#include "clients/cli/bench/packet.h"
#include "clients/cli/bench/target.h"

typedef enum client_state {
    CLIENT_ABSENT,
    CLIENT_CONNECTING, // TCP
    CLIENT_OPENING,    // the transport, up to Engine.IO's open packet
    CLIENT_ENTERING,   // the namespace
    CLIENT_JOINING,    // its room
    CLIENT_LIVE,
    CLIENT_GONE, // the server closed it, or it broke
} client_state_t;

enum { CLIENT_OUTBOX_MAX = 256, CLIENT_SID_MAX = 64, CLIENT_REASON_MAX = 256 };

typedef struct client {
    int descriptor;
    client_state_t state;
    uint32_t index;
    uint32_t stash_size;
    char *stash; // what was read of a frame or response that is not whole; NULL: nothing
    order_t order;
    struct poller *poller; // polling alone
} client_t;

typedef struct fleet fleet_t;

// A transport, which nothing above it asks about.
typedef struct transport {
    const char *name;
    // Begins: TCP is connected. False: failed (fleet_fail was called).
    bool (*start)(fleet_t *fleet, client_t *client);
    // Takes bytes of the server. Returns how many were consumed: the rest comes again with more;
    // -1: failed (fleet_fail was called).
    ptrdiff_t (*consume)(fleet_t *fleet, client_t *client, const char *bytes, size_t size);
    // Sends one packet, at once or with the next request. False: failed.
    bool (*send)(fleet_t *fleet, client_t *client, const char *packet, size_t size);
    void (*fini)(client_t *client);
} transport_t;

extern const transport_t websocket_transport;
extern const transport_t polling_transport;

// What the clients read, all in all.
typedef struct fleet_counts {
    size_t live, gone;
    uint64_t events;   // of the bench
    uint64_t in_place; // of them, those that came in order and once
    uint64_t others;   // packets of other kinds, or of somebody else's events
    uint64_t bytes;    // off the sockets
    uint64_t reads;
} fleet_counts_t;

struct fleet {
    const target_t *target;
    const transport_t *transport;
    const emitter_plan_t *plan;
    const emitter_t *emitter; // its clock
    packet_format_t format;
    int epoll;
    client_t *clients;
    size_t client_count, started, pending; // pending: connecting or joining
    fleet_counts_t counts;
    histogram_t latency;            // nanoseconds, of events emitted at `measure_from` or later
    uint64_t measure_from;          // as an event's time; UINT64_MAX: nothing is measured yet
    uint64_t now;                   // when the bytes at hand were read, on the same clock
    char reason[CLIENT_REASON_MAX]; // why the first client that failed did
    char *buffer;
};

// Borrows its arguments. `name`: the namespace; `origin`: of the events' ids. Raises the limit of
// descriptors as far as it may be. False: reported, and there is nothing to fini.
bool fleet_init(fleet_t *fleet, const target_t *target, const transport_t *transport,
                const emitter_plan_t *plan, const emitter_t *emitter, const char *name,
                const char *origin);
void fleet_fini(fleet_t *fleet);

// Starts clients that have not been yet, as long as few enough are on their way.
void fleet_connect_more(fleet_t *fleet);

// Waits for something to read, at most `timeout_ms`, and reads it; a bounded number of clients a
// turn. Returns false if the epoll itself fails (reported).
bool fleet_turn(fleet_t *fleet, int timeout_ms);

// For transports.
void fleet_on_packet(fleet_t *fleet, client_t *client, const char *text, size_t size);
// Gives up on a client. The first reason is kept.
void fleet_fail(fleet_t *fleet, client_t *client, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Writes a whole request or frame: they are small, and a socket that cannot take one is broken.
bool fleet_write(fleet_t *fleet, client_t *client, const char *bytes, size_t size);

#endif
