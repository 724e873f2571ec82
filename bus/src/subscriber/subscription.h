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
#include "bus/src/subscriber/since.h"
#include "bus/src/transport/publishers.h"
#include "common/table.h"

#define TALUS__LINGER_MS 1000

// The stream cursor: how far one is with the events that a publisher sent to a session.
struct talus__stream_cursor {
    struct talus__stream stream;
    struct talus__publisher_weak_ref publisher;
    // Known when the publisher is gone, too:
    uint32_t name_hash; // tells it from others: the lower half of its node's hash
    bool is_presence;   // it sends nothing but presence
};

enum talus__subscription_list {
    TALUS__LIST_NONE,
    TALUS__LIST_PENDING,     // waits for marks, until half of its time is over
    TALUS__LIST_REQUESTED,   // has requested those that did not come, and waits until its deadline
    TALUS__LIST_CATCHING_UP, // live, but what came since the owner's events comes first
    TALUS__LIST_ANNOUNCE,    // a LIVE is due
    TALUS__LIST_LEFT,        // lingers, until its deadline
    TALUS__LIST_COUNT,
};

struct talus__subscription {
    struct tl_node node;
    struct talus__subscription *next; // on its list
    struct talus__subscription *before;
    enum talus__subscription_list list;
    bool is_live;       // LIVE was decided: a mark that comes first now is of a new publisher
    uint64_t live_turn; // … when, as talus__publishers.turn counts
    bool is_complete;   // … and every known publisher had answered
    long long deadline; // of the list, on the monotonic clock in milliseconds
    struct talus__stream_cursor *cursors; // owned
    uint32_t cursor_count;
    uint32_t cursor_capacity;
    uint32_t recent;            // index of the cursor used last
    uint32_t answered;          // cursors that have a baseline
    struct talus__since *since; // owned: the events that the owner has; NULL: none are owed
    uint64_t newest_seq;        // the event last heard of; 0: none
    char newest_origin[TALUS_ORIGIN_MAX + 1];
    char name[]; // "" for everybody, "*" for everything
};

struct talus__subscription_queue {
    struct talus__subscription *first;
    struct talus__subscription *last;
    size_t count;
};

struct talus__subscriptions {
    struct tl_table table;
    struct talus__subscription_queue lists[TALUS__LIST_COUNT]; // by deadline where there is one
    struct talus__subscription *recent;                        // the last one that was asked for
    struct talus__subscription *everything;                    // "*", if joined or lingering
};

void talus__subscriptions_init(struct talus__subscriptions *set);
void talus__subscriptions_fini(struct talus__subscriptions *set);

// NULL: there is none. Lingering ones are found, too.
struct talus__subscription *talus__subscriptions_find(struct talus__subscriptions *set,
                                                      const char *name, size_t size);

// Adds one that is not there yet, on no list. NULL: out of memory.
struct talus__subscription *talus__subscriptions_add(struct talus__subscriptions *set,
                                                     const char *name, size_t size);
void talus__subscriptions_remove(struct talus__subscriptions *set,
                                 struct talus__subscription *subscription);

// Moves it to the end of a list.
void talus__subscriptions_move(struct talus__subscriptions *set,
                               struct talus__subscription *subscription,
                               enum talus__subscription_list list);

static inline bool talus__subscription_is_pending(const struct talus__subscription *subscription)
{
    return subscription->list == TALUS__LIST_PENDING || subscription->list == TALUS__LIST_REQUESTED;
}

static inline bool talus__subscription_is_left(const struct talus__subscription *subscription)
{
    return subscription->list == TALUS__LIST_LEFT;
}

// How many are joined: those that linger are not.
static inline size_t talus__subscriptions_count(const struct talus__subscriptions *set)
{
    return set->table.count - set->lists[TALUS__LIST_LEFT].count;
}

// ---- Stream cursors

// NULL: there is none.
struct talus__stream_cursor *talus__stream_cursor_find(struct talus__subscription *subscription,
                                                       struct talus__publisher_weak_ref publisher);

// Finds the cursor or adds one, at the owner's event of that publisher or at 0. NULL: out of
// memory. Valid until the next call.
struct talus__stream_cursor *talus__stream_cursor_get(struct talus__subscription *subscription,
                                                      const struct talus__publishers *publishers,
                                                      struct talus__publisher_weak_ref publisher);

// Whether the cursor is of the publisher with that name. If the publisher is gone, the hash of its
// name decides; its key is secret, so nobody can choose a name that collides.
bool talus__stream_cursor_is_of(const struct talus__stream_cursor *cursor,
                                const struct talus__publishers *publishers, const char *origin);

// Whether every publisher that is waited for has answered.
bool talus__subscription_is_answered(struct talus__subscription *subscription,
                                     const struct talus__publishers *publishers);

// Whether it is joined and no other publisher has sent to it, as far as is known.
bool talus__subscriptions_is_only_origin(struct talus__subscriptions *set,
                                         const struct talus__publishers *publishers,
                                         const char *session, const char *origin);

// Notes the newest event heard of.
void talus__subscription_note(struct talus__subscription *subscription,
                              const struct talus__publisher *publisher, uint64_t seq);

#endif
