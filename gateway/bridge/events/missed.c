// SPDX-License-Identifier: MIT
// Invariant: the last copy's end is the size of the frames.
#include "gateway/bridge/events/missed.h"

void bridge_missed_init(struct bridge_missed *missed, size_t max)
{
    tl_buffer_init(&missed->frames, max);
    tl_buffer_init(&missed->copies, SIZE_MAX); // a frame has some bytes
}

void bridge_missed_fini(struct bridge_missed *missed)
{
    tl_buffer_fini(&missed->frames);
    tl_buffer_fini(&missed->copies);
}

size_t bridge_missed_count(const struct bridge_missed *missed)
{
    return missed->copies.size / sizeof(struct sio_missed_copy);
}

size_t bridge_missed_size(const struct bridge_missed *missed)
{
    return missed->frames.capacity + missed->copies.capacity;
}

static const struct sio_missed_copy *copies_of(const struct bridge_missed *missed)
{
    return (const void *)missed->copies.bytes;
}

void bridge_missed_truncate(struct bridge_missed *missed, size_t count)
{
    tl_buffer_truncate(&missed->frames, count > 0 ? copies_of(missed)[count - 1].end : 0);
    tl_buffer_truncate(&missed->copies, count * sizeof(struct sio_missed_copy));
}

static bool add(struct bridge_missed *missed, const uint8_t *bytes, size_t size,
                struct sio_missed_copy copy)
{
    size_t before = bridge_missed_count(missed);
    if (missed->frames.size + size > CHUNK_BYTES_MAX)
        return false;
    copy.end = (uint32_t)(missed->frames.size + size);
    if (!tl_buffer_append(&missed->copies, &copy, sizeof copy))
        return false;
    if (tl_buffer_append(&missed->frames, bytes, size))
        return true;
    tl_buffer_truncate(&missed->copies, before * sizeof copy);
    return false;
}

bool bridge_missed_add(struct bridge_missed *missed, const struct bridge_encoded *encoded,
                       enum copy_kind kind)
{
    return add(missed, encoded->bytes, encoded->size,
               (struct sio_missed_copy){.index = encoded->index, .kind = kind});
}

bool bridge_missed_join(struct bridge_missed *missed, const struct bridge_missed *more)
{
    size_t before = bridge_missed_count(missed);
    uint32_t start = 0;
    for (size_t i = 0; i < bridge_missed_count(more); i++) {
        struct sio_missed_copy copy = copies_of(more)[i];
        if (!add(missed, more->frames.bytes + start, copy.end - start, copy)) {
            bridge_missed_truncate(missed, before);
            return false;
        }
        start = copies_of(more)[i].end;
    }
    return true;
}

struct sio_missed bridge_missed_view(const struct bridge_missed *missed)
{
    return (struct sio_missed){
        .bytes = missed->frames.bytes,
        .size = missed->frames.size,
        .copies = copies_of(missed),
        .count = bridge_missed_count(missed),
    };
}
