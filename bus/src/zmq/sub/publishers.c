// SPDX-License-Identifier: MIT
// The known broadcasters.
//
// Invariants: a publisher is on the list of last use exactly if it is not kept: neither listed, nor
// connected, nor held. `waited` counts those whose is_waited is set, which update() alone does. A
// slot's generation differs for each publisher that was in it.
#include "bus/src/zmq/sub/publishers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/zmq/context.h"

#define NO_SLOT     UINT32_MAX
#define FIRST_SLOTS 16

int talus__publishers_init(struct talus__publishers *publishers, size_t max, const char *ignored)
{
    memset(publishers, 0, sizeof *publishers);
    publishers->max = max;
    publishers->first_free = NO_SLOT;
    if (ignored)
        strncpy(publishers->ignored, ignored, TALUS_ORIGIN_MAX);
    return talus__table_init(&publishers->table);
}

static void free_origin(struct talus__publisher *publisher)
{
    free(publisher->named);
    free(publisher->replay);
    if (publisher->ledger >= 0)
        close(publisher->ledger);
    free(publisher);
}

void talus__publishers_fini(struct talus__publishers *publishers)
{
    for (size_t i = 0; i < publishers->slot_count; i++) {
        if (publishers->slots[i].publisher)
            free_origin(publishers->slots[i].publisher);
    }
    free(publishers->slots);
    talus__table_fini(&publishers->table);
}

// ---- The order of last use

static void unlink_used(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    if (publisher->newer)
        publisher->newer->older = publisher->older;
    else
        publishers->newest = publisher->older;
    if (publisher->older)
        publisher->older->newer = publisher->newer;
    else
        publishers->oldest = publisher->newer;
    publisher->newer = NULL;
    publisher->older = NULL;
}

static void link_used(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    publisher->newer = NULL;
    publisher->older = publishers->newest;
    if (publishers->newest)
        publishers->newest->newer = publisher;
    else
        publishers->oldest = publisher;
    publishers->newest = publisher;
}

static bool is_kept(const struct talus__publisher *publisher)
{
    return publisher->listed > 0 || publisher->is_connected || publisher->holders > 0 ||
           publisher->pins > 0 || publisher->is_departing;
}

static bool is_here(const struct talus__publisher *publisher)
{
    return (publisher->listed > 0 || publisher->is_connected) && !publisher->is_away;
}

// Brings what follows from a publisher's state up to date; `was_kept` is from before the change.
static void update(struct talus__publishers *publishers, struct talus__publisher *publisher,
                   bool was_kept)
{
    if (is_here(publisher)) {
        publisher->is_lost = false;
        if (publisher->is_departing)
            publishers->departing--;
        publisher->is_departing = false;
    }
    bool kept = is_kept(publisher);
    bool waited = !publisher->is_ignored && is_here(publisher) &&
                  (publisher->listed > 0 || !publisher->is_silent);

    if (kept && !was_kept)
        unlink_used(publishers, publisher);
    else if (!kept && was_kept)
        link_used(publishers, publisher);
    if (waited && !publisher->is_waited) {
        publishers->waited++;
    } else if (!waited && publisher->is_waited) {
        publishers->waited--;
        publishers->has_departed = true;
    }
    publisher->is_waited = waited;
}

// ---- The table

static uint32_t take_slot(struct talus__publishers *publishers)
{
    if (publishers->first_free == NO_SLOT) {
        size_t count = publishers->slot_count ? publishers->slot_count * 2 : FIRST_SLOTS;
        if (count > publishers->max)
            count = publishers->max;
        if (count == publishers->slot_count)
            return NO_SLOT;
        struct talus__publisher_slot *slots = realloc(publishers->slots, count * sizeof *slots);
        if (!slots)
            return NO_SLOT;
        for (size_t i = count; i-- > publishers->slot_count;) {
            slots[i] = (struct talus__publisher_slot){.next_free = publishers->first_free};
            publishers->first_free = (uint32_t)i;
        }
        publishers->slots = slots;
        publishers->slot_count = count;
    }
    uint32_t slot = publishers->first_free;
    publishers->first_free = publishers->slots[slot].next_free;
    return slot;
}

static void free_slot(struct talus__publishers *publishers, uint32_t slot)
{
    publishers->slots[slot].publisher = NULL;
    publishers->slots[slot].generation++;
    publishers->slots[slot].next_free = publishers->first_free;
    publishers->first_free = slot;
}

static void remove_origin(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    assert(!is_kept(publisher));
    if (publishers->on_remove)
        publishers->on_remove(publisher, publishers->arg);
    if (publishers->recent == publisher)
        publishers->recent = NULL;
    unlink_used(publishers, publisher);
    talus__table_remove(&publishers->table, &publisher->node);
    free_slot(publishers, publisher->slot);
    free_origin(publisher);
}

static struct talus__publisher *add(struct talus__publishers *publishers, const char *name,
                                    size_t size)
{
    if (publishers->table.count >= publishers->max) {
        if (!publishers->oldest)
            return NULL;
        remove_origin(publishers, publishers->oldest);
    }
    struct talus__publisher *publisher = calloc(1, sizeof *publisher);
    if (!publisher)
        return NULL;
    publisher->slot = take_slot(publishers);
    if (publisher->slot == NO_SLOT) {
        free(publisher);
        return NULL;
    }
    publisher->ledger = -1;
    memcpy(publisher->name, name, size);
    publisher->is_ignored = strcmp(publisher->name, publishers->ignored) == 0;
    publisher->node.name = publisher->name;
    publisher->node.name_size = size;
    publishers->slots[publisher->slot].publisher = publisher;
    talus__table_insert(&publishers->table, &publisher->node);
    link_used(publishers, publisher);
    return publisher;
}

struct talus__publisher *talus__publishers_get(struct talus__publishers *publishers,
                                               const char *name, size_t size)
{
    struct talus__publisher *publisher = publishers->recent;

    if (publisher && publisher->node.name_size == size && memcmp(publisher->name, name, size) == 0)
        return publisher;
    publisher = (struct talus__publisher *)talus__table_find(&publishers->table, name, size);
    if (!publisher) {
        publisher = add(publishers, name, size);
    } else if (!is_kept(publisher)) {
        unlink_used(publishers, publisher);
        link_used(publishers, publisher);
    }
    publishers->recent = publisher;
    return publisher;
}

struct talus__publisher *talus__publishers_find(const struct talus__publishers *publishers,
                                                const char *name, size_t size)
{
    return (struct talus__publisher *)talus__table_find(&publishers->table, name, size);
}

struct talus__publisher *talus__publishers_at(const struct talus__publishers *publishers,
                                              struct talus__publisher_ref ref)
{
    const struct talus__publisher_slot *slot = &publishers->slots[ref.slot];
    return slot->generation == ref.generation ? slot->publisher : NULL;
}

struct talus__publisher_ref talus__publisher_refer(const struct talus__publishers *publishers,
                                                   const struct talus__publisher *publisher)
{
    return (struct talus__publisher_ref){
        .slot = publisher->slot, .generation = publishers->slots[publisher->slot].generation};
}

void talus__publisher_hold(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    bool was_kept = is_kept(publisher);
    publisher->holders++;
    update(publishers, publisher, was_kept);
}

void talus__publisher_let_go(struct talus__publishers *publishers,
                             struct talus__publisher *publisher)
{
    publisher->holders--;
    update(publishers, publisher, true);
    if (!is_kept(publisher))
        remove_origin(publishers, publisher);
}

void talus__publisher_pin(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    bool was_kept = is_kept(publisher);
    publisher->pins++;
    update(publishers, publisher, was_kept);
}

void talus__publisher_unpin(struct talus__publishers *publishers,
                            struct talus__publisher *publisher)
{
    publisher->pins--;
    update(publishers, publisher, true);
    if (!is_kept(publisher) && publisher->is_dead)
        remove_origin(publishers, publisher);
}

// ---- What becomes known of a publisher

// It will not come back: its lock is free, or it said so.
static bool is_gone_for_good(const struct talus__publisher *publisher)
{
    return (publisher->was_listed && publisher->listed == 0) || publisher->has_bye;
}

bool talus__publisher_may_return(const struct talus__publisher *publisher)
{
    return !is_gone_for_good(publisher);
}

// It was here, and is not any more.
static void begin_departing(struct talus__publishers *publishers,
                            struct talus__publisher *publisher)
{
    if (is_here(publisher) || publisher->is_departing || publisher->is_ignored)
        return;
    // It stood still, and that was told: nothing is new, unless it is dead by now and a ledger says
    // what it has emitted since.
    bool is_final = is_gone_for_good(publisher);
    if (publisher->is_told && !(is_final && publisher->ledger >= 0)) {
        publisher->is_dead = is_final;
        return;
    }
    publisher->is_departing = true;
    publisher->departed_at = talus__monotonic_ms();
    publisher->left_turn = ++publishers->turn;
    publisher->stood = 0;
    publishers->departing++;
}

void talus__publisher_depart(struct talus__publishers *publishers,
                             struct talus__publisher *publisher)
{
    if (!publisher->is_departing)
        return;
    publisher->is_departing = false;
    publishers->departing--;
    publisher->is_dead = is_gone_for_good(publisher);
    publisher->is_told = publisher->is_away;
    update(publishers, publisher, true);
    if (!is_kept(publisher) && publisher->is_dead)
        remove_origin(publishers, publisher);
}

void talus__publisher_bid_farewell(struct talus__publishers *publishers,
                                   struct talus__publisher *publisher)
{
    bool was_kept = is_kept(publisher);
    bool was_connected = publisher->is_connected;

    publisher->has_bye = true;
    publisher->is_connected = false;
    publisher->connection_count = 0;
    if (was_connected)
        begin_departing(publishers, publisher);
    update(publishers, publisher, was_kept);
}

void talus__publisher_list(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    bool was_kept = is_kept(publisher);
    publisher->listed++;
    publisher->was_listed = true;
    update(publishers, publisher, was_kept);
}

void talus__publisher_unlist(struct talus__publishers *publishers,
                             struct talus__publisher *publisher)
{
    bool was_kept = is_kept(publisher);
    publisher->listed--;
    begin_departing(publishers, publisher);
    update(publishers, publisher, was_kept);
}

bool talus__publisher_connect(struct talus__publishers *publishers,
                              struct talus__publisher *publisher, int connection)
{
    bool was_kept = is_kept(publisher);
    bool is_other = true;

    for (size_t i = 0; i < publisher->connection_count; i++)
        is_other &= publisher->connections[i] != connection;
    if (is_other && publisher->connection_count == TALUS__CONNECTIONS)
        publisher->connection_count--;
    if (is_other)
        publisher->connections[publisher->connection_count++] = connection;
    publisher->is_connected = true;
    update(publishers, publisher, was_kept);
    return is_other;
}

static void lose_connection(struct talus__publishers *publishers,
                            struct talus__publisher *publisher, int connection)
{
    size_t kept = 0;

    for (size_t i = 0; i < publisher->connection_count; i++) {
        if (publisher->connections[i] != connection)
            publisher->connections[kept++] = publisher->connections[i];
    }
    bool is_lost = kept < publisher->connection_count && kept == 0;
    publisher->connection_count = kept;
    if (!is_lost)
        return;
    publisher->is_connected = false;
    begin_departing(publishers, publisher);
    update(publishers, publisher, true);
}

void talus__publishers_disconnect(struct talus__publishers *publishers, int connection)
{
    for (size_t i = 0; i < publishers->slot_count; i++) {
        struct talus__publisher *publisher = publishers->slots[i].publisher;
        if (publisher && publisher->is_connected)
            lose_connection(publishers, publisher, connection);
    }
}

void talus__publisher_hear(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    publisher->sends_marks = true;
    publisher->is_plain = false;
    publisher->beats_missed = 0;
    if (publisher->is_silent || publisher->is_away) {
        publisher->is_silent = false;
        publisher->is_away = false;
        publisher->is_told = false;
        update(publishers, publisher, is_kept(publisher));
    }
}

void talus__publisher_silence(struct talus__publishers *publishers,
                              struct talus__publisher *publisher)
{
    publisher->is_silent = true;
    update(publishers, publisher, is_kept(publisher));
}

void talus__publisher_go_away(struct talus__publishers *publishers,
                              struct talus__publisher *publisher)
{
    bool was_kept = is_kept(publisher);

    publisher->is_away = true;
    begin_departing(publishers, publisher);
    update(publishers, publisher, was_kept);
}
