// SPDX-License-Identifier: MIT
// The check that every payload passes when it is emitted and when it is received. One pass, no
// allocation: what is beyond the depth bound is still walked for well-formedness, by counting
// instead of by a stack.
#include "bus/src/codec/payload.h"

#include <string.h>

#include <talus/error.h>

struct level {
    uint64_t left; // values of this container that are still to come
    bool is_map;
};

struct check {
    struct level levels[TALUS__DEPTH_LIMIT];
    unsigned depth;   // levels in use
    uint64_t pending; // values still to come, in all levels
    uint64_t bins;
    bool has_placeholder;
};

// Takes note of one value, which is a key if it stands at an even place of a map.
static void note(struct check *check, const struct talus__msgpack_value *value)
{
    bool is_key = false;
    check->pending--;
    if (check->depth > 0) {
        struct level *level = &check->levels[check->depth - 1];
        is_key = level->is_map && level->left % 2 == 0;
        level->left--;
    }
    int64_t seconds;
    uint32_t nanoseconds;
    if (value->kind == TALUS__MSGPACK_BIN ||
        (value->kind == TALUS__MSGPACK_EXT &&
         !talus__msgpack_timestamp(value, &seconds, &nanoseconds)))
        check->bins++;
    if (is_key && value->kind == TALUS__MSGPACK_STR && value->size == strlen("_placeholder") &&
        memcmp(value->as.bytes, "_placeholder", value->size) == 0)
        check->has_placeholder = true;
}

static void leave_full_levels(struct check *check)
{
    while (check->depth > 0 && check->levels[check->depth - 1].left == 0)
        check->depth--;
}

int talus__payload_read(struct talus__msgpack_reader *reader, const struct talus__limits *limits)
{
    struct check check; // the levels are not zeroed: only those in use are ever read
    check.depth = 0;
    check.pending = 1;
    check.bins = 0;
    check.has_placeholder = false;
    unsigned max_depth =
        limits->max_depth < TALUS__DEPTH_LIMIT ? limits->max_depth : TALUS__DEPTH_LIMIT;
    while (check.pending > 0) {
        struct talus__msgpack_value value;
        if (check.pending > talus__msgpack_remaining(reader) ||
            !talus__msgpack_read(reader, &value))
            return TALUS_EMSGPACK;
        note(&check, &value);
        if (value.kind == TALUS__MSGPACK_ARRAY || value.kind == TALUS__MSGPACK_MAP) {
            uint64_t children = talus__msgpack_children(&value);
            check.pending += children;
            if (check.depth == max_depth)
                return talus__msgpack_skip(reader, check.pending) ? TALUS_ETOODEEP : TALUS_EMSGPACK;
            check.levels[check.depth++] =
                (struct level){.left = children, .is_map = value.kind == TALUS__MSGPACK_MAP};
        }
        leave_full_levels(&check);
    }
    if (check.bins > limits->max_bin)
        return TALUS_ETOOMANYBIN;
    return check.bins > 0 && check.has_placeholder ? TALUS_EPLACEHOLDER : 0;
}

int talus__payload_check(const void *data, size_t size, const struct talus__limits *limits)
{
    struct talus__msgpack_reader reader = talus__msgpack_reader(data, size);
    int error = talus__payload_read(&reader, limits);
    return reader.at != reader.end ? TALUS_EMSGPACK : error;
}
