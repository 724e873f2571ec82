// SPDX-License-Identifier: MIT
// An intrusive, circular, doubly linked list. A link that is in no list points at itself.
#ifndef TALUS_COMMON_LIST_H
#define TALUS_COMMON_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct tl_list {
    struct tl_list *next;
    struct tl_list *prev;
};

#define TL_LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void tl_list_init(struct tl_list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool tl_list_is_empty(const struct tl_list *list)
{
    return list->next == list;
}

static inline void tl_list_append(struct tl_list *list, struct tl_list *link)
{
    link->next = list;
    link->prev = list->prev;
    list->prev->next = link;
    list->prev = link;
}

static inline void tl_list_remove(struct tl_list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    tl_list_init(link);
}

// Moves everything in `from` to the end of `to`, which may be empty.
static inline void tl_list_splice(struct tl_list *to, struct tl_list *from)
{
    if (tl_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    tl_list_init(from);
}

#endif
