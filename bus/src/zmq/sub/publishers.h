// SPDX-License-Identifier: MIT
// The broadcasters that a subscriber knows: those that live in its bus directories, those that said
// hello over a connection, and those that were merely heard, such as plain PUB publishers.
//
// The last kind is kept in the order of last use, and the longest silent gives way when the table
// is full; the others stay until they are known to be gone, and nobody holds them.
#ifndef TALUS__PUBLISHERS_H
#define TALUS__PUBLISHERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <talus/topic.h>

#include "common/list.h"
#include "common/table.h"

#define TALUS__NO_CONNECTION (-1) // an inproc peer: it has no descriptor
#define TALUS__CONNECTIONS   4    // of one origin that are told apart

struct talus__replay_connection; // replay_client.h

struct talus__origin {
    struct tl_node node;
    struct tl_list used; // of origins->used, unless it is kept
    uint32_t slot;
    unsigned holders;  // who point at it, as long as it lives
    unsigned pins;     // who point at it, also when it is dead
    unsigned listed;   // in how many bus directories its lock is held
    bool was_listed;   // so its death shows
    bool is_connected; // said hello, and some connection of it is not known to be gone
    bool has_bye;      // it said that it ends
    bool is_departing; // neither listed nor connected since departed_at: to be told, or to return
    bool is_dead;      // it will not return: removed when nobody points at it
    bool is_plain;     // it has sent events and, in its time, no marker
    bool is_silent;    // connected, but a join's time ran out on it; until it is heard again
    bool is_ignored;   // options.ignore_origin
    bool is_waited;    // a join waits for its head
    bool speaks_heads; // it sent a marker: it is no plain publisher
    bool is_away;      // its beats stopped, until it is heard again
    bool is_told;      // … and that was told as a loss
    bool is_lost;      // it counts as lost until it is here again: it is no use asking it
    int beat_ms;       // between its beats; 0: it has sent none
    unsigned beats_missed;
    bool is_ready_topic;     // the subscription $ready/SUBSCRIBER/ORIGIN stands
    size_t connection_count; // those that its hellos came through
    int connections[TALUS__CONNECTIONS];
    long long departed_at; // on the monotonic clock in milliseconds; later if its reader stood
    unsigned stood;        // how often that was so
    uint64_t left_turn;    // of talus__origins.turn, when it departed
    char *named;           // owned: replay endpoints as its markers name them; NULL: none yet
    char *replay;          // owned: the one to ask; NULL: none
    struct talus__replay_connection *replay_connection; // NULL: none is open
    int ledger;                                         // the descriptor of its lock file; -1: none
    char name[TALUS_ORIGIN_MAX + 1];
};

// Whether its name says that it sends nothing but the presence of clients.
static inline bool talus__sends_presence_only(const struct talus__origin *origin)
{
    return strncmp(origin->name, TALUS_PRESENCE_ORIGIN, sizeof TALUS_PRESENCE_ORIGIN - 1) == 0;
}

// Stays valid to hold when the origin is gone, unlike a pointer.
struct talus__origin_ref {
    uint32_t slot;
    uint32_t generation;
};

struct talus__origin_slot {
    struct talus__origin *origin; // NULL: free
    uint32_t generation;          // counts the origins that were here
    uint32_t next_free;
};

struct talus__origins {
    struct tl_table table;
    struct talus__origin_slot *slots; // grows up to `max`
    size_t slot_count;
    size_t max;
    uint32_t first_free;
    struct tl_list used;          // in the order of last use, the oldest first
    struct talus__origin *recent; // the last one that was asked for
    size_t waited;                // those for which a join waits
    size_t departing;             // those that are
    long long looked_at;          // when these were last looked at
    uint64_t turn;     // counts departures and sessions that become live: which came first
    bool has_departed; // one is waited for no more; whoever acts on it clears it
    void (*on_remove)(struct talus__origin *origin, void *arg); // before it is freed
    void *arg;
    char ignored[TALUS_ORIGIN_MAX + 1];
};

// `ignored`: NULL or "" for none.
void talus__origins_init(struct talus__origins *origins, size_t max, const char *ignored);
void talus__origins_fini(struct talus__origins *origins);

// Finds the origin or adds it. NULL: memory is short, or `max` living ones are known already.
struct talus__origin *talus__origins_get(struct talus__origins *origins, const char *name,
                                         size_t size);

// NULL: it is not known.
struct talus__origin *talus__origins_find(const struct talus__origins *origins, const char *name,
                                          size_t size);

// NULL: it is gone.
struct talus__origin *talus__origins_at(const struct talus__origins *origins,
                                        struct talus__origin_ref ref);

struct talus__origin_ref talus__origin_refer(const struct talus__origins *origins,
                                             const struct talus__origin *origin);

// Keeps it, so that a pointer to it stays valid. Whoever lets go of it last removes it, unless
// something else keeps it: it is dead then and will not return, since new processes have new
// origins.
void talus__origin_hold(struct talus__origins *origins, struct talus__origin *origin);
void talus__origin_let_go(struct talus__origins *origins, struct talus__origin *origin);

// Keeps it while something of it is still to be told.
void talus__origin_pin(struct talus__origins *origins, struct talus__origin *origin);
void talus__origin_unpin(struct talus__origins *origins, struct talus__origin *origin);

// That it departed was acted upon.
void talus__origin_depart(struct talus__origins *origins, struct talus__origin *origin);

// It said that it ends: what its connection still brings is all.
void talus__origin_bid_farewell(struct talus__origins *origins, struct talus__origin *origin);

// A bus directory lists it, or no longer does.
void talus__origin_list(struct talus__origins *origins, struct talus__origin *origin);
void talus__origin_unlist(struct talus__origins *origins, struct talus__origin *origin);

// Whether it may be heard again: it neither ended nor lost the lock of a bus directory.
bool talus__origin_may_return(const struct talus__origin *origin);

// It was heard saying hello through a connection. Returns whether that is another one than before.
bool talus__origin_connect(struct talus__origins *origins, struct talus__origin *origin,
                           int connection);

// The connection with this descriptor is gone, and with it whoever was known through it.
void talus__origins_disconnect(struct talus__origins *origins, int connection);

// It sent a marker, and is waited for again if it had been silent or away.
void talus__origin_hear(struct talus__origins *origins, struct talus__origin *origin);

// Its beats stopped: as if its connection were lost, until it is heard again.
void talus__origin_go_away(struct talus__origins *origins, struct talus__origin *origin);

// It did not answer in time. One that a bus directory lists is waited for all the same.
void talus__origin_silence(struct talus__origins *origins, struct talus__origin *origin);

#endif
