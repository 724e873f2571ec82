// SPDX-License-Identifier: MIT
// A bounded set of names.
#include "bus/src/base/names.h"

#include <stdlib.h>
#include <string.h>

#include <talus/error.h>

struct name {
    struct tl_node node; // first, so that a node is its name
    char text[];
};

void talus__names_init(struct talus__names *names, size_t max)
{
    names->max = max;
    tl_table_init(&names->table);
}

static void ignore(const char *name, size_t size, void *arg)
{
    (void)name;
    (void)size;
    (void)arg;
}

void talus__names_fini(struct talus__names *names)
{
    talus__names_drain(names, ignore, NULL);
    tl_table_fini(&names->table);
}

int talus__names_add(struct talus__names *names, const char *text, size_t size, bool *is_new)
{
    *is_new = false;
    if (tl_table_find(&names->table, text, size))
        return 0;
    if (names->table.count >= names->max)
        return TALUS_ELIMIT;
    struct name *name = malloc(sizeof *name + size);
    if (!name)
        return TALUS_ENOMEM;
    memcpy(name->text, text, size);
    name->node.name = name->text;
    name->node.name_size = size;
    tl_table_insert(&names->table, &name->node);
    *is_new = true;
    return 0;
}

bool talus__names_remove(struct talus__names *names, const char *text, size_t size)
{
    struct tl_node *node = tl_table_find(&names->table, text, size);

    if (!node)
        return false;
    tl_table_remove(&names->table, node);
    free(node);
    return true;
}

bool talus__names_contain(const struct talus__names *names, const char *text, size_t size)
{
    return tl_table_find(&names->table, text, size) != NULL;
}

void talus__names_drain(struct talus__names *names,
                        void (*fn)(const char *name, size_t size, void *arg), void *arg)
{
    struct tl_node *node = tl_table_take_all(&names->table);

    while (node) {
        struct tl_node *next = node->next;
        fn(node->name, node->name_size, arg);
        free(node);
        node = next;
    }
}
