// SPDX-License-Identifier: MIT
// The known publishers.
//
// Invariants: a publisher is on the list of last use exactly if it is not kept. `waited` and `away`
// count those whose standing says so. A slot's generation differs for each publisher that was in
// it.
#include "bus/src/transport/publishers.h"

#include <assert.h>
#include <stdlib.h>

#define NO_SLOT     UINT32_MAX
#define FIRST_SLOTS 16

void talus__publishers_init(struct talus__publishers *publishers, size_t max, const char *ignored,
                            size_t state_size)
{
    memset(publishers, 0, sizeof *publishers);
    publishers->max = max;
    publishers->state_size = state_size;
    publishers->first_free = NO_SLOT;
    tl_list_init(&publishers->used);
    if (ignored)
        strncpy(publishers->ignored, ignored, TALUS_ORIGIN_MAX);
    tl_table_init(&publishers->table);
}

void talus__publishers_fini(struct talus__publishers *publishers)
{
    for (size_t i = 0; i < publishers->slot_count; i++)
        free(publishers->slots[i].publisher);
    free(publishers->slots);
    tl_table_fini(&publishers->table);
}

// ---- The order of last use

// Makes it the one that was used last; also where it was not in the order.
static void use(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    tl_list_remove(&publisher->used);
    tl_list_append(&publishers->used, &publisher->used);
}

// Brings its place in the order up to date.
static void update_kept(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    bool is_kept = publisher->references > 0 || publisher->standing.is_held;

    if (is_kept && !publisher->is_kept)
        tl_list_remove(&publisher->used);
    else if (!is_kept && publisher->is_kept)
        use(publishers, publisher);
    publisher->is_kept = is_kept;
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

static void remove_publisher(struct talus__publishers *publishers,
                             struct talus__publisher *publisher)
{
    assert(!publisher->is_kept);
    if (publishers->on_remove)
        publishers->on_remove(publisher, publishers->arg);
    if (publishers->recent == publisher)
        publishers->recent = NULL;
    tl_list_remove(&publisher->used);
    tl_table_remove(&publishers->table, &publisher->node);
    free_slot(publishers, publisher->slot);
    free(publisher);
}

static struct talus__publisher *add(struct talus__publishers *publishers, const char *name,
                                    size_t size)
{
    if (publishers->table.count >= publishers->max) {
        if (tl_list_is_empty(&publishers->used))
            return NULL;
        remove_publisher(publishers,
                         TL_LIST_ENTRY(publishers->used.next, struct talus__publisher, used));
    }
    struct talus__publisher *publisher = calloc(1, sizeof *publisher + publishers->state_size);
    if (!publisher)
        return NULL;
    publisher->slot = take_slot(publishers);
    if (publisher->slot == NO_SLOT) {
        free(publisher);
        return NULL;
    }
    memcpy(publisher->name, name, size);
    publisher->is_ignored = strcmp(publisher->name, publishers->ignored) == 0;
    publisher->node.name = publisher->name;
    publisher->node.name_size = size;
    publishers->slots[publisher->slot].publisher = publisher;
    tl_table_insert(&publishers->table, &publisher->node);
    tl_list_init(&publisher->used);
    use(publishers, publisher);
    return publisher;
}

struct talus__publisher *talus__publishers_get(struct talus__publishers *publishers,
                                               const char *name, size_t size)
{
    struct talus__publisher *publisher = publishers->recent;

    if (publisher && publisher->node.name_size == size && memcmp(publisher->name, name, size) == 0)
        return publisher;
    publisher = (struct talus__publisher *)tl_table_find(&publishers->table, name, size);
    if (!publisher) {
        publisher = add(publishers, name, size);
    } else if (!publisher->is_kept) {
        use(publishers, publisher);
    }
    publishers->recent = publisher;
    return publisher;
}

struct talus__publisher *talus__publishers_find(const struct talus__publishers *publishers,
                                                const char *name, size_t size)
{
    return (struct talus__publisher *)tl_table_find(&publishers->table, name, size);
}

struct talus__publisher *talus__publishers_at(const struct talus__publishers *publishers,
                                              struct talus__publisher_weak_ref ref)
{
    const struct talus__publisher_slot *slot = &publishers->slots[ref.slot];
    return slot->generation == ref.generation ? slot->publisher : NULL;
}

struct talus__publisher_weak_ref
talus__publisher_weak_ref_of(const struct talus__publishers *publishers,
                             const struct talus__publisher *publisher)
{
    return (struct talus__publisher_weak_ref){
        .slot = publisher->slot, .generation = publishers->slots[publisher->slot].generation};
}

// ---- What keeps a publisher

void talus__publisher_drop(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    if (!publisher->is_kept)
        remove_publisher(publishers, publisher);
}

void talus__publisher_ref(struct talus__publishers *publishers, struct talus__publisher *publisher)
{
    publisher->references++;
    update_kept(publishers, publisher);
}

void talus__publisher_unref(struct talus__publishers *publishers,
                            struct talus__publisher *publisher)
{
    publisher->references--;
    update_kept(publishers, publisher);
    if (publisher->is_dead)
        talus__publisher_drop(publishers, publisher);
}

static size_t recount(size_t count, bool was, bool is)
{
    return count - was + is;
}

void talus__publisher_set_standing(struct talus__publishers *publishers,
                                   struct talus__publisher *publisher,
                                   const struct talus__standing *standing)
{
    const struct talus__standing before = publisher->standing;

    publisher->standing = *standing;
    publishers->waited = recount(publishers->waited, before.is_waited, standing->is_waited);
    publishers->away = recount(publishers->away, before.is_away, standing->is_away);
    publishers->has_fewer_awaited |= before.is_waited && !standing->is_waited;
    update_kept(publishers, publisher);
}
