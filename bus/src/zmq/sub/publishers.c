// SPDX-License-Identifier: MIT
// The known broadcasters.
//
// Invariants: an origin is on the list of last use exactly if it is not kept: neither listed, nor
// connected, nor held. `waited` counts those whose is_waited is set, which update() alone does. A
// slot's generation differs for each origin that was in it.
#include "bus/src/zmq/sub/publishers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/zmq/context.h"

#define NO_SLOT     UINT32_MAX
#define FIRST_SLOTS 16

void talus__origins_init(struct talus__origins *origins, size_t max, const char *ignored)
{
    memset(origins, 0, sizeof *origins);
    origins->max = max;
    origins->first_free = NO_SLOT;
    tl_list_init(&origins->used);
    if (ignored)
        strncpy(origins->ignored, ignored, TALUS_ORIGIN_MAX);
    tl_table_init(&origins->table);
}

static void free_origin(struct talus__origin *origin)
{
    free(origin->named);
    free(origin->replay);
    if (origin->ledger >= 0)
        close(origin->ledger);
    free(origin);
}

void talus__origins_fini(struct talus__origins *origins)
{
    for (size_t i = 0; i < origins->slot_count; i++) {
        if (origins->slots[i].origin)
            free_origin(origins->slots[i].origin);
    }
    free(origins->slots);
    tl_table_fini(&origins->table);
}

// ---- The order of last use

// Makes it the one that was used last; also where it was not in the order.
static void use(struct talus__origins *origins, struct talus__origin *origin)
{
    tl_list_remove(&origin->used);
    tl_list_append(&origins->used, &origin->used);
}

static bool is_kept(const struct talus__origin *origin)
{
    return origin->listed > 0 || origin->is_connected || origin->holders > 0 || origin->pins > 0 ||
           origin->is_departing;
}

static bool is_here(const struct talus__origin *origin)
{
    return (origin->listed > 0 || origin->is_connected) && !origin->is_away;
}

// Brings what follows from an origin's state up to date; `was_kept` is from before the change.
static void update(struct talus__origins *origins, struct talus__origin *origin, bool was_kept)
{
    if (is_here(origin)) {
        origin->is_lost = false;
        if (origin->is_departing)
            origins->departing--;
        origin->is_departing = false;
    }
    bool kept = is_kept(origin);
    bool waited =
        !origin->is_ignored && is_here(origin) && (origin->listed > 0 || !origin->is_silent);

    if (kept && !was_kept)
        tl_list_remove(&origin->used);
    else if (!kept && was_kept)
        use(origins, origin);
    if (waited && !origin->is_waited) {
        origins->waited++;
    } else if (!waited && origin->is_waited) {
        origins->waited--;
        origins->has_departed = true;
    }
    origin->is_waited = waited;
}

// ---- The table

static uint32_t take_slot(struct talus__origins *origins)
{
    if (origins->first_free == NO_SLOT) {
        size_t count = origins->slot_count ? origins->slot_count * 2 : FIRST_SLOTS;
        if (count > origins->max)
            count = origins->max;
        if (count == origins->slot_count)
            return NO_SLOT;
        struct talus__origin_slot *slots = realloc(origins->slots, count * sizeof *slots);
        if (!slots)
            return NO_SLOT;
        for (size_t i = count; i-- > origins->slot_count;) {
            slots[i] = (struct talus__origin_slot){.next_free = origins->first_free};
            origins->first_free = (uint32_t)i;
        }
        origins->slots = slots;
        origins->slot_count = count;
    }
    uint32_t slot = origins->first_free;
    origins->first_free = origins->slots[slot].next_free;
    return slot;
}

static void free_slot(struct talus__origins *origins, uint32_t slot)
{
    origins->slots[slot].origin = NULL;
    origins->slots[slot].generation++;
    origins->slots[slot].next_free = origins->first_free;
    origins->first_free = slot;
}

static void remove_origin(struct talus__origins *origins, struct talus__origin *origin)
{
    assert(!is_kept(origin));
    if (origins->on_remove)
        origins->on_remove(origin, origins->arg);
    if (origins->recent == origin)
        origins->recent = NULL;
    tl_list_remove(&origin->used);
    tl_table_remove(&origins->table, &origin->node);
    free_slot(origins, origin->slot);
    free_origin(origin);
}

static struct talus__origin *add(struct talus__origins *origins, const char *name, size_t size)
{
    if (origins->table.count >= origins->max) {
        if (tl_list_is_empty(&origins->used))
            return NULL;
        remove_origin(origins, TL_LIST_ENTRY(origins->used.next, struct talus__origin, used));
    }
    struct talus__origin *origin = calloc(1, sizeof *origin);
    if (!origin)
        return NULL;
    origin->slot = take_slot(origins);
    if (origin->slot == NO_SLOT) {
        free(origin);
        return NULL;
    }
    origin->ledger = -1;
    memcpy(origin->name, name, size);
    origin->is_ignored = strcmp(origin->name, origins->ignored) == 0;
    origin->node.name = origin->name;
    origin->node.name_size = size;
    origins->slots[origin->slot].origin = origin;
    tl_table_insert(&origins->table, &origin->node);
    tl_list_init(&origin->used);
    use(origins, origin);
    return origin;
}

struct talus__origin *talus__origins_get(struct talus__origins *origins, const char *name,
                                         size_t size)
{
    struct talus__origin *origin = origins->recent;

    if (origin && origin->node.name_size == size && memcmp(origin->name, name, size) == 0)
        return origin;
    origin = (struct talus__origin *)tl_table_find(&origins->table, name, size);
    if (!origin) {
        origin = add(origins, name, size);
    } else if (!is_kept(origin)) {
        use(origins, origin);
    }
    origins->recent = origin;
    return origin;
}

struct talus__origin *talus__origins_find(const struct talus__origins *origins, const char *name,
                                          size_t size)
{
    return (struct talus__origin *)tl_table_find(&origins->table, name, size);
}

struct talus__origin *talus__origins_at(const struct talus__origins *origins,
                                        struct talus__origin_ref ref)
{
    const struct talus__origin_slot *slot = &origins->slots[ref.slot];
    return slot->generation == ref.generation ? slot->origin : NULL;
}

struct talus__origin_ref talus__origin_refer(const struct talus__origins *origins,
                                             const struct talus__origin *origin)
{
    return (struct talus__origin_ref){.slot = origin->slot,
                                      .generation = origins->slots[origin->slot].generation};
}

void talus__origin_hold(struct talus__origins *origins, struct talus__origin *origin)
{
    bool was_kept = is_kept(origin);
    origin->holders++;
    update(origins, origin, was_kept);
}

void talus__origin_let_go(struct talus__origins *origins, struct talus__origin *origin)
{
    origin->holders--;
    update(origins, origin, true);
    if (!is_kept(origin))
        remove_origin(origins, origin);
}

void talus__origin_pin(struct talus__origins *origins, struct talus__origin *origin)
{
    bool was_kept = is_kept(origin);
    origin->pins++;
    update(origins, origin, was_kept);
}

void talus__origin_unpin(struct talus__origins *origins, struct talus__origin *origin)
{
    origin->pins--;
    update(origins, origin, true);
    if (!is_kept(origin) && origin->is_dead)
        remove_origin(origins, origin);
}

// ---- What becomes known of an origin

// It will not come back: its lock is free, or it said so.
static bool is_gone_for_good(const struct talus__origin *origin)
{
    return (origin->was_listed && origin->listed == 0) || origin->has_bye;
}

bool talus__origin_may_return(const struct talus__origin *origin)
{
    return !is_gone_for_good(origin);
}

// It was here, and is not any more.
static void begin_departing(struct talus__origins *origins, struct talus__origin *origin)
{
    if (is_here(origin) || origin->is_departing || origin->is_ignored)
        return;
    // It stood still, and that was told: nothing is new, unless it is dead by now and a ledger says
    // what it has emitted since.
    bool is_final = is_gone_for_good(origin);
    if (origin->is_told && !(is_final && origin->ledger >= 0)) {
        origin->is_dead = is_final;
        return;
    }
    origin->is_departing = true;
    origin->departed_at = tl_monotonic_ms();
    origin->left_turn = ++origins->turn;
    origin->stood = 0;
    origins->departing++;
}

void talus__origin_depart(struct talus__origins *origins, struct talus__origin *origin)
{
    if (!origin->is_departing)
        return;
    origin->is_departing = false;
    origins->departing--;
    origin->is_dead = is_gone_for_good(origin);
    origin->is_told = origin->is_away;
    update(origins, origin, true);
    if (!is_kept(origin) && origin->is_dead)
        remove_origin(origins, origin);
}

void talus__origin_bid_farewell(struct talus__origins *origins, struct talus__origin *origin)
{
    bool was_kept = is_kept(origin);
    bool was_connected = origin->is_connected;

    origin->has_bye = true;
    origin->is_connected = false;
    origin->connection_count = 0;
    if (was_connected)
        begin_departing(origins, origin);
    update(origins, origin, was_kept);
}

void talus__origin_list(struct talus__origins *origins, struct talus__origin *origin)
{
    bool was_kept = is_kept(origin);
    origin->listed++;
    origin->was_listed = true;
    update(origins, origin, was_kept);
}

void talus__origin_unlist(struct talus__origins *origins, struct talus__origin *origin)
{
    bool was_kept = is_kept(origin);
    origin->listed--;
    begin_departing(origins, origin);
    update(origins, origin, was_kept);
}

bool talus__origin_connect(struct talus__origins *origins, struct talus__origin *origin,
                           int connection)
{
    bool was_kept = is_kept(origin);
    bool is_other = true;

    for (size_t i = 0; i < origin->connection_count; i++)
        is_other &= origin->connections[i] != connection;
    if (is_other && origin->connection_count == TALUS__CONNECTIONS)
        origin->connection_count--;
    if (is_other)
        origin->connections[origin->connection_count++] = connection;
    origin->is_connected = true;
    update(origins, origin, was_kept);
    return is_other;
}

static void lose_connection(struct talus__origins *origins, struct talus__origin *origin,
                            int connection)
{
    size_t kept = 0;

    for (size_t i = 0; i < origin->connection_count; i++) {
        if (origin->connections[i] != connection)
            origin->connections[kept++] = origin->connections[i];
    }
    bool is_lost = kept < origin->connection_count && kept == 0;
    origin->connection_count = kept;
    if (!is_lost)
        return;
    origin->is_connected = false;
    begin_departing(origins, origin);
    update(origins, origin, true);
}

void talus__origins_disconnect(struct talus__origins *origins, int connection)
{
    for (size_t i = 0; i < origins->slot_count; i++) {
        struct talus__origin *origin = origins->slots[i].origin;
        if (origin && origin->is_connected)
            lose_connection(origins, origin, connection);
    }
}

void talus__origin_hear(struct talus__origins *origins, struct talus__origin *origin)
{
    origin->speaks_heads = true;
    origin->is_plain = false;
    origin->beats_missed = 0;
    if (origin->is_silent || origin->is_away) {
        origin->is_silent = false;
        origin->is_away = false;
        origin->is_told = false;
        update(origins, origin, is_kept(origin));
    }
}

void talus__origin_silence(struct talus__origins *origins, struct talus__origin *origin)
{
    origin->is_silent = true;
    update(origins, origin, is_kept(origin));
}

void talus__origin_go_away(struct talus__origins *origins, struct talus__origin *origin)
{
    bool was_kept = is_kept(origin);

    origin->is_away = true;
    begin_departing(origins, origin);
    update(origins, origin, was_kept);
}
