// SPDX-License-Identifier: MIT
// The subscriptions: the sessions that a subscriber has joined, and its stream cursors, which say
// how far it is in each of them with each publisher.
//
// A session that is left stays for a moment (TALUS__LINGER_MS), with its subscription: if it is
// joined again meanwhile, markers that are still on their way could otherwise be taken for the
// answer to the new subscription, which would be called live too early.
#ifndef TALUS__SUBSCRIPTION_H
#define TALUS__SUBSCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/event.h>
#include <talus/topic.h>

#include "bus/src/subscriber/sequencer.h"
#include "bus/src/zmq/sub/publishers.h"
#include "common/table.h"

#define TALUS__LINGER_MS 1000

// The stream cursor: how far one is with the events that a publisher sent to a session.
struct talus__cursor {
    struct talus__stream stream;
    struct talus__origin_ref origin;
    // Known when the publisher is gone, too:
    uint32_t name_hash; // tells it from others
    bool is_presence;   // it sends nothing but presence
};

enum talus__joined_list {
    TALUS__LIST_NONE,
    TALUS__LIST_PENDING,  // waits for heads, until half of its time is over
    TALUS__LIST_ASKED,    // has asked for those that did not come, and waits until its deadline
    TALUS__LIST_ANNOUNCE, // a LIVE is due
    TALUS__LIST_LEFT,     // lingers, until its deadline
    TALUS__LIST_COUNT,
};

struct talus__joined {
    struct tl_node node;
    struct talus__joined *next; // on its list
    struct talus__joined *before;
    enum talus__joined_list list;
    bool is_live;       // LIVE was decided: a head that comes first now is of a new origin
    uint64_t live_turn; // … when, as talus__origins.turn counts
    bool is_complete;   // … and every known origin had answered
    long long deadline; // of the list, on the monotonic clock in milliseconds
    struct talus__cursor *cursors; // owned
    uint32_t cursor_count;
    uint32_t cursor_capacity;
    uint32_t recent;     // index of the cursor used last
    uint32_t answered;   // cursors that have a baseline
    uint64_t newest_seq; // the event last heard of; 0: none
    char newest_origin[TALUS_ORIGIN_MAX + 1];
    char name[]; // "" for everybody, "*" for everything
};

struct talus__joined_queue {
    struct talus__joined *first;
    struct talus__joined *last;
    size_t count;
};

struct talus__joined_set {
    struct tl_table table;
    struct talus__joined_queue lists[TALUS__LIST_COUNT]; // by deadline where there is one
    struct talus__joined *recent;                        // the last one that was asked for
    struct talus__joined *everything;                    // "*", if joined or lingering
};

void talus__joined_init(struct talus__joined_set *set);
void talus__joined_fini(struct talus__joined_set *set);

// NULL: there is none. Lingering ones are found, too.
struct talus__joined *talus__joined_find(struct talus__joined_set *set, const char *name,
                                         size_t size);

// Adds one that is not there yet, on no list. NULL: out of memory.
struct talus__joined *talus__joined_add(struct talus__joined_set *set, const char *name,
                                        size_t size);
void talus__joined_remove(struct talus__joined_set *set, struct talus__joined *joined);

// Moves it to the end of a list.
void talus__joined_move(struct talus__joined_set *set, struct talus__joined *joined,
                        enum talus__joined_list list);

static inline bool talus__joined_is_pending(const struct talus__joined *joined)
{
    return joined->list == TALUS__LIST_PENDING || joined->list == TALUS__LIST_ASKED;
}

static inline bool talus__joined_is_left(const struct talus__joined *joined)
{
    return joined->list == TALUS__LIST_LEFT;
}

// How many are joined: those that linger are not.
static inline size_t talus__joined_count(const struct talus__joined_set *set)
{
    return set->table.count - set->lists[TALUS__LIST_LEFT].count;
}

// ---- Stream cursors

// NULL: there is none.
struct talus__cursor *talus__cursor_find(struct talus__joined *joined,
                                         struct talus__origin_ref origin);

// Finds the cursor or adds one at 0. NULL: out of memory. Valid until the next call.
struct talus__cursor *talus__cursor_get(struct talus__joined *joined,
                                        const struct talus__origins *origins,
                                        struct talus__origin_ref origin);

// Whether the cursor is of the origin with that name, which may be gone.
bool talus__cursor_is_of(const struct talus__cursor *cursor, const char *origin);

// Whether every origin that is waited for has answered.
bool talus__joined_is_answered(struct talus__joined *joined, const struct talus__origins *origins);

// Whether it is joined and no other publisher has sent to it, as far as is known.
bool talus__joined_is_only_origin(struct talus__joined_set *set, const char *session,
                                  const char *origin);

// Notes the newest event heard of.
void talus__joined_note(struct talus__joined *joined, const struct talus__origin *origin,
                        uint64_t seq);

#endif
