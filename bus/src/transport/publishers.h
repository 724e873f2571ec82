// SPDX-License-Identifier: MIT
// The publishers that a subscriber knows. The subscriber owns the table; its transport says of each
// publisher whether it is there, and keeps bytes of its own behind it.
//
// A publisher of which the transport says nothing was merely heard. Such publishers are kept in the
// order of last use, and the one that was silent for longest gives way when the table is full. The
// others stay until they are known to be gone and nothing refers to them.
#ifndef TALUS__PUBLISHERS_H
#define TALUS__PUBLISHERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <talus/topic.h>

#include "common/list.h"
#include "common/table.h"

// What the transport knows of a publisher. All false at first.
struct talus__standing {
    bool is_held;   // it is there, may return, or the transport refers to it
    bool is_waited; // it is there, and joins wait for its high-water mark
    bool is_away;   // it was there and is silent: joins are incomplete without its mark
    bool is_missed; // the transport is to be told when an event of it comes (`heard`)
    bool is_lost;   // it counts as lost until it is there again: it is no use asking it
};

struct talus__publisher {
    struct tl_node node;
    struct tl_list used; // of talus__publishers.used, unless it is kept
    uint32_t slot;
    unsigned references; // strong ones: they keep it when it is dead, too
    bool is_kept;        // referenced, or held by the transport: on no list

    // The transport's; `standing` is changed by talus__publisher_set_standing() alone.
    struct talus__standing standing;
    bool is_dead;     // it will not return: removed when nothing keeps it
    bool sends_marks; // it has sent a high-water mark or the like: it is no plain publisher
    bool can_replay;  // it can be asked for events
    uint64_t left_at; // of talus__publishers.turn, when it went

    // The subscriber's.
    bool is_plain;   // it has sent events and, in its time, no mark; the transport clears it
    bool is_ignored; // options.ignore_origin

    char name[TALUS_ORIGIN_MAX + 1]; // its origin
};

// The transport's own bytes, zero at first.
static inline void *talus__publisher_state(struct talus__publisher *publisher)
{
    return publisher + 1;
}

// Whether its name says that it sends nothing but the presence of clients.
static inline bool talus__sends_presence_only(const struct talus__publisher *publisher)
{
    return strncmp(publisher->name, TALUS_PRESENCE_ORIGIN, sizeof TALUS_PRESENCE_ORIGIN - 1) == 0;
}

// Stays valid when the publisher is gone, unlike a pointer.
struct talus__publisher_weak_ref {
    uint32_t slot;
    uint32_t generation;
};

struct talus__publisher_slot {
    struct talus__publisher *publisher; // NULL: free
    uint32_t generation;                // counts the publishers that were here
    uint32_t next_free;
};

struct talus__publishers {
    struct tl_table table;
    struct talus__publisher_slot *slots; // grows up to `max`
    size_t slot_count;
    size_t max;
    size_t state_size; // bytes behind each publisher
    uint32_t first_free;
    struct tl_list used;             // in the order of last use, the oldest first
    struct talus__publisher *recent; // the last one that was asked for
    size_t waited;                   // those for which joins wait
    size_t away;                     // those that are
    uint64_t turn; // counts publishers that joins stop waiting for, and sessions that become live:
                   // which came first
    bool has_fewer_awaited; // joins wait for one less; who acts on it clears it
    void (*on_remove)(struct talus__publisher *publisher, void *arg); // the transport's; before it
    void *arg;                                                        // is freed
    char ignored[TALUS_ORIGIN_MAX + 1];
};

// `max`: publishers known at once; `ignored`: NULL or "" for none; `state_size`: bytes of the
// transport's own.
void talus__publishers_init(struct talus__publishers *publishers, size_t max, const char *ignored,
                            size_t state_size);

// The transport has ended what it has of each publisher.
void talus__publishers_fini(struct talus__publishers *publishers);

// Finds the publisher or adds it. NULL: memory is short, or `max` living ones are known already.
struct talus__publisher *talus__publishers_get(struct talus__publishers *publishers,
                                               const char *name, size_t size);

// NULL: it is not known.
struct talus__publisher *talus__publishers_find(const struct talus__publishers *publishers,
                                                const char *name, size_t size);

// NULL: it is gone.
struct talus__publisher *talus__publishers_at(const struct talus__publishers *publishers,
                                              struct talus__publisher_weak_ref ref);

struct talus__publisher_weak_ref
talus__publisher_weak_ref_of(const struct talus__publishers *publishers,
                             const struct talus__publisher *publisher);

// Keeps it while something of it is still to be told. The last unref removes it if it is dead.
void talus__publisher_ref(struct talus__publishers *publishers, struct talus__publisher *publisher);
void talus__publisher_unref(struct talus__publishers *publishers,
                            struct talus__publisher *publisher);

// For the transport: what it knows has changed.
void talus__publisher_set_standing(struct talus__publishers *publishers,
                                   struct talus__publisher *publisher,
                                   const struct talus__standing *standing);

// For the transport: removes it unless something keeps it.
void talus__publisher_drop(struct talus__publishers *publishers,
                           struct talus__publisher *publisher);

#endif
