// SPDX-License-Identifier: MIT
// Where a join goes on: the newest event of each publisher that the owner has.
#ifndef TALUS__SINCE_H
#define TALUS__SINCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <talus/topic.h>

struct talus__since_event {
    char origin[TALUS_ORIGIN_MAX + 1];
    uint64_t seq;
    uint64_t due; // what came up to this seq, or was told, before LIVE
    bool is_told; // whether a gap for want of the publisher was considered
};

struct talus__since {
    bool is_given_up; // "*" was joined: the owner was told UNKNOWN gaps instead
    size_t count;
    struct talus__since_event events[];
};

// NULL: there is none of that publisher.
static inline struct talus__since_event *talus__since_find(struct talus__since *since,
                                                           const char *origin)
{
    for (size_t i = 0; since && i < since->count; i++) {
        if (strcmp(since->events[i].origin, origin) == 0)
            return &since->events[i];
    }
    return NULL;
}

#endif
