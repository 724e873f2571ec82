// SPDX-License-Identifier: MIT
// Which publishers are there: those that live in a bus directory, and those that said hello over a
// connection. One that is neither any more is absent: it returns, or is told to be lost
// (liveness.h).
#ifndef TALUS__PRESENCE_H
#define TALUS__PRESENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "bus/src/transport/publishers.h"

#define TALUS__NO_CONNECTION (-1) // an inproc peer: it has no descriptor
#define TALUS__CONNECTIONS   4    // of one publisher that are told apart

struct talus__replay_connection; // replay_client.h

// What ZeroMQ's transport keeps of each publisher, behind it.
struct talus__presence {
    unsigned references;  // strong ones: it is kept as long as it lives
    unsigned listed;      // in how many bus directories its lock is held
    bool was_listed;      // so its death shows
    bool is_connected;    // said hello, and some connection of it is not known to be gone
    bool has_left;        // it took leave
    bool is_absent;       // neither listed nor connected since absent_since
    bool is_silent;       // connected, but a join's time ran out on it; until it is heard again
    bool is_away;         // its heartbeats stopped, until it is heard again
    bool is_told;         // … and that was told as a loss
    bool is_lost;         // it was told as a loss, until it is here again
    bool is_acknowledged; // the subscription $ready/SUBSCRIBER/ORIGIN stands
    unsigned heartbeats_missed;
    int heartbeat_ms;        // between its heartbeats; 0: it has sent none
    size_t connection_count; // those that its hellos came through
    int connections[TALUS__CONNECTIONS];
    long long absent_since; // on the monotonic clock in milliseconds; later if its reader stood
    unsigned stood;         // how often that was so
    char *named;            // owned: replay endpoints as its marks name them; NULL: none yet
    char *replay;           // owned: the one to ask; NULL: none
    struct talus__replay_connection *replay_connection; // NULL: none is open
    bool has_ledger;
    int ledger; // the descriptor of its lock file
};

struct talus__presences {
    struct talus__publishers *publishers; // borrowed
    size_t absent;                        // those that are
    long long looked_at;                  // when these were last looked at
};

static inline struct talus__presence *talus__presence_of(struct talus__publisher *publisher)
{
    return talus__publisher_state(publisher);
}

// Frees what is kept of a publisher.
void talus__presence_fini(struct talus__publisher *publisher);

// Refers to it, so that it stays as long as it lives. Whoever gives up the last reference removes
// it, unless something else keeps it: it is dead then and will not return, since new processes have
// new origins.
void talus__presence_ref(struct talus__presences *presences, struct talus__publisher *publisher);
void talus__presence_unref(struct talus__presences *presences, struct talus__publisher *publisher);

// It is told to be lost from now on. Have a reference before.
void talus__presence_lose(struct talus__presences *presences, struct talus__publisher *publisher);

// Its absence was acted upon.
void talus__presence_end_absence(struct talus__presences *presences,
                                 struct talus__publisher *publisher);

// It took leave: what its connection still brings is all.
void talus__presence_leave(struct talus__presences *presences, struct talus__publisher *publisher);

// A bus directory lists it, or no longer does.
void talus__presence_list(struct talus__presences *presences, struct talus__publisher *publisher);
void talus__presence_unlist(struct talus__presences *presences, struct talus__publisher *publisher);

// Whether it may be heard again: it neither ended nor lost the lock of a bus directory.
bool talus__presence_may_return(const struct talus__presence *presence);

// It was heard saying hello through a connection. Returns whether that is another one than before.
bool talus__presence_connect(struct talus__presences *presences, struct talus__publisher *publisher,
                             int connection);

// The connection with this descriptor is gone, and with it whoever was known through it.
void talus__presences_disconnect(struct talus__presences *presences, int connection);

// It sent a mark or the like, and is waited for again if it had been silent or away.
void talus__presence_hear(struct talus__presences *presences, struct talus__publisher *publisher);

// Its heartbeats stopped: as if its connection were lost, until it is heard again.
void talus__presence_go_away(struct talus__presences *presences,
                             struct talus__publisher *publisher);

// It did not answer in time. One that a bus directory lists is waited for all the same.
void talus__presence_silence(struct talus__presences *presences,
                             struct talus__publisher *publisher);

// Sets where it is asked for events; NULL: nowhere. Takes over `replay`, made with malloc.
void talus__presence_set_replay(struct talus__publisher *publisher, char *replay);

// Keeps the descriptor of its ledger.
void talus__presence_keep_ledger(struct talus__publisher *publisher, int ledger);

#endif
