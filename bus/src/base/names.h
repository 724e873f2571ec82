// SPDX-License-Identifier: MIT
// A bounded set of names.
#ifndef TALUS__NAMES_H
#define TALUS__NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/table.h"

struct talus__names {
    struct tl_table table;
    size_t max;
};

void talus__names_init(struct talus__names *names, size_t max);
void talus__names_fini(struct talus__names *names);

// Returns 0, also when it is there already (then `is_new` is false); TALUS_ELIMIT; TALUS_ENOMEM.
int talus__names_add(struct talus__names *names, const char *name, size_t size, bool *is_new);

// Returns whether it was there.
bool talus__names_remove(struct talus__names *names, const char *name, size_t size);

bool talus__names_contain(const struct talus__names *names, const char *name, size_t size);

static inline size_t talus__names_count(const struct talus__names *names)
{
    return names->table.count;
}

// Empties the set, giving each name once, in no order.
void talus__names_drain(struct talus__names *names,
                        void (*fn)(const char *name, size_t size, void *arg), void *arg);

#endif
