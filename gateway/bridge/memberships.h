// SPDX-License-Identifier: MIT
// What a worker knows of its clients: their sessions, and what recovery needs. For the bridge's
// files on the workers' side.
#ifndef TALUS_GATEWAY_BRIDGE_MEMBERSHIPS_H
#define TALUS_GATEWAY_BRIDGE_MEMBERSHIPS_H

#include "gateway/bridge/internal.h"

struct membership {
    struct tl_list link; // of client->memberships
    struct tl_list waiting;
    bool is_joined;
    bool is_under_way;                  // a request of it is
    uint64_t joined;                    // index of the newest event of all when it joined
    bool is_since;                      // older ones were sent to it then
    struct bridge_exclusion *exclusion; // NULL: no event excluded the client
    char session[];
};

struct client {
    struct bridge_worker *worker;
    struct sio_socket *socket;
    struct tl_list memberships;
    unsigned membership_count;
    unsigned waiting_count;
    uint64_t connected;       // index of the newest event that the worker had given out then
    struct client_past *past; // NULL: nothing of it is known
};

// Rarely there.
struct client_past {
    struct bridge_log_position left;   // newest event of the sessions that it has left
    struct bridge_exclusion exclusion; // of the events for everybody
    uint64_t recovered;    // index up to which recovery gave it all that it was owed, or 0
    struct tl_list takers; // requests of the same client for recovery, on other connections
    int64_t since_until;   // loop time up to which joins bring what came after `stale`; 0: never
    bool is_unsure;        // up to then joins may miss something unknown
    char stale[TALUS_ID_MAX + 1];
};

// The record of a new socket, whose data it becomes. NULL: out of memory.
struct client *bridge__new_client(struct bridge_worker *worker, struct sio_socket *socket);
// Frees it with its memberships; its socket's data is NULL then. NULL-safe.
void bridge__free_client(struct client *client);

// NULL: it is in no such session, nor on its way.
struct membership *bridge__find_membership(const struct client *client, const char *session);
// NULL: out of memory.
struct membership *bridge__new_membership(struct client *client, const char *session);
// Frees it with what waits at it.
void bridge__free_membership(struct client *client, struct membership *membership);
// NULL: out of memory.
struct client_past *bridge__past_of(struct client *client);

// Notes that the client has left a session whose newest event that is. If memory is out, the client
// will not be recovered where that matters.
void bridge__note_left(struct client *client, const struct membership *membership,
                       const struct bridge_log_position *newest);
// Notes that an event excludes a client (`skip`).
void bridge__note_exclusion(struct bridge_worker *worker, const struct bridge_encoded *encoded);

#endif
