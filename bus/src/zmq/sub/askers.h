// SPDX-License-Identifier: MIT
// Asks broadcasters for what did not come: a DEALER socket for each that is being asked.
//
// A broadcaster answers the requests of one socket in order, so the answer that arrives is that of
// the first ask. One that does not answer for ASK_MS is asked again over a new connection, since a
// request may have been lost with the old one; what it says no more for `timeout_ms` has failed.
// What their answers make wait for a slow owner has one bound over all askers; what does not fit is
// asked for again when the owner has taken what did.
#ifndef TALUS__ASKERS_H
#define TALUS__ASKERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/subscriber.h>

#include "bus/src/subscriber/origins.h"
#include "bus/src/zmq/sub/guard.h"
#include "bus/src/zmq/sub/inbox.h"

struct talus__heal;

enum talus__ask_kind {
    TALUS__ASK_HEAL,    // the events that a heal waits for
    TALUS__ASK_RECOVER, // talus_subscriber_recover
    TALUS__ASK_HEADS,   // heads that did not come
};

struct talus__ask {
    struct talus__ask *next; // of the same broadcaster
    enum talus__ask_kind kind;
    struct talus__heal *heal; // HEAL; NULL: nobody waits for it any more
    uint64_t request;         // RECOVER
    uint64_t since;           // HEAL, RECOVER: where it began
    uint64_t after;           // … and the newest event that came
    uint64_t gap_after;       // RECOVER: events after this one …
    uint64_t gap_first;       // … and before this one are missing; 0: none is
    uint64_t stream;          // RECOVER: when it began, the session's deliveries were to go on …
    bool has_stream;          // … after this one, if at all
    size_t heads;             // HEADS: how many are asked for …
    size_t heads_left;        // … and have not come
    const char *session;      // HEAL, RECOVER: NUL-terminated
    size_t size;              // HEADS: bytes of the encoded request
    uint8_t bytes[];          // the session, or the request
};

struct talus__asker {
    struct talus__asker *next;
    struct talus__asker *before;
    struct talus__origin *origin; // pinned
    void *socket;                 // NULL: to be opened
    struct talus__inbox inbox;    // of `socket`
    int fd;                       // its descriptor, watched while it is open
    struct talus__ask *first;     // the one being answered
    struct talus__ask *last;
    struct talus__ask *unsent; // the first that was not sent yet
    size_t sent;               // how many were
    long long progress_at;     // when it answered last, or was first asked
    long long asked_at;        // … or asked again
};

// What befalls an ask. It is not on its asker any more, and freed afterwards.
typedef void talus__ask_failed_fn(struct talus__ask *ask, struct talus__origin *origin, void *arg);

struct talus__askers {
    void *context;
    struct talus__origins *origins;
    int epoll;
    struct talus__asker *first;
    struct talus__asker *last;
    struct talus__inbox_bound waiting; // of the inboxes
    size_t count;
    size_t open_asks;
    bool may_have_answers;
    bool is_emptied;          // no socket has an answer, as far as is known
    struct talus__post *post; // borrowed
    long long tend_at;        // when talus__askers_tend has something to do; 0: nothing
    size_t max_message;
    const talus_subscriber_options_t *options; // the times; borrowed
    talus__ask_failed_fn *on_failed;
    void *arg;
    talus_subscriber_stats_t *stats;
};

// The event data of what askers add to the epoll descriptor.
#define TALUS__ASKERS_SOURCE 9u

// Everything is set but the lists and the bound. Closes sockets and frees asks, without on_failed.
void talus__askers_fini(struct talus__askers *askers, bool is_forked);

// Make an ask, to be given to talus__askers_ask. NULL: out of memory.
struct talus__ask *talus__ask_new(enum talus__ask_kind kind, const char *session, uint64_t after);
struct talus__ask *talus__ask_heads_new(const char *const *sessions, size_t count);

// Asks the origin, which has a `replay`. Consumes the ask.
// Returns 0; TALUS_ENOMEM, TALUS_ELIMIT: the ask is freed.
int talus__askers_ask(struct talus__askers *askers, struct talus__origin *origin,
                      struct talus__ask *ask);

// Receives one frame pair of some answer. Returns the asker that it is of; NULL: there is none now.
// The frames are initialised; a message that has not two frames is counted and passed over.
struct talus__asker *talus__askers_receive(struct talus__askers *askers, zmq_msg_t *topic,
                                           zmq_msg_t *body, struct talus__source *source);

// For the guard: takes in what has come, up to `most` messages of all askers together, of which
// each has its share. Returns whether there is something to receive.
bool talus__askers_pull(struct talus__askers *askers, size_t most);

// The first ask is answered: takes it off, to be freed by the caller.
struct talus__ask *talus__asker_take(struct talus__askers *askers, struct talus__asker *asker);

// The answers make no sense, or a part of them is lost: asks anew over another connection.
void talus__asker_reset(struct talus__askers *askers, struct talus__asker *asker);

// Asks again and gives up, as time goes on.
void talus__askers_tend(struct talus__askers *askers, long long now);

// The origin is gone for good: its asks fail.
void talus__askers_give_up(struct talus__askers *askers, struct talus__origin *origin);

// Chooses from the replay endpoints that a marker names (comma-separated) the one to ask: of the
// transport by which the marker came ("tcp", "ipc", "inproc"), else the first that can be reached;
// a wildcard host becomes `host` (NULL: none). Returns whether there is one.
bool talus__replay_choose(const char *named, size_t size, const char *transport, const char *host,
                          char *out, size_t capacity);

#endif
