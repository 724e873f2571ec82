// SPDX-License-Identifier: MIT
#include "clients/cli/lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_CAPACITY = 64 << 10 };

void lines_init(lines_t *lines, int descriptor, size_t max)
{
    *lines = (lines_t){.descriptor = descriptor, .max = max};
}

void lines_fini(lines_t *lines)
{
    free(lines->bytes);
    lines->bytes = NULL;
}

// Makes room behind what is there. One byte more than a line may have: its end. Not a tl_buffer:
// what is read leaves at the front, and the bound is a line's, not the buffer's.
static bool make_room(lines_t *lines)
{
    if (lines->begin > 0)
        memmove(lines->bytes, lines->bytes + lines->begin, lines->end - lines->begin);
    lines->end -= lines->begin;
    lines->begin = 0;
    if (lines->end < lines->capacity)
        return true;
    size_t capacity = lines->capacity ? lines->capacity * 2 : FIRST_CAPACITY;
    if (capacity > lines->max + 1)
        capacity = lines->max + 1;
    char *bytes = realloc(lines->bytes, capacity);
    if (!bytes)
        return false;
    lines->bytes = bytes;
    lines->capacity = capacity;
    return true;
}

// Reads once. Returns LINES_LINE for "look again".
static lines_result_t fill(lines_t *lines, int signals)
{
    struct pollfd watched[] = {{.fd = lines->descriptor, .events = POLLIN},
                               {.fd = signals, .events = POLLIN}};
    int ready = poll(watched, 2, -1);
    if (ready < 0)
        return errno == EINTR ? LINES_LINE : LINES_FAILED;
    if (watched[1].revents)
        return LINES_STOPPED;
    ssize_t size = read(lines->descriptor, lines->bytes + lines->end, lines->capacity - lines->end);
    if (size < 0)
        return errno == EINTR || errno == EAGAIN ? LINES_LINE : LINES_FAILED;
    lines->end += (size_t)size;
    lines->is_at_end = size == 0;
    return LINES_LINE;
}

// Finds a whole line in what was read.
static bool take(lines_t *lines, const char **line, size_t *size)
{
    if (lines->begin == lines->end)
        return false;
    const char *start = lines->bytes + lines->begin;
    size_t available = lines->end - lines->begin;
    const char *line_end = memchr(start + lines->scanned, '\n', available - lines->scanned);
    if (!line_end && !lines->is_at_end) {
        lines->scanned = available;
        return false;
    }
    *line = start;
    *size = line_end ? (size_t)(line_end - start) : available;
    lines->begin += *size + (line_end != NULL);
    lines->scanned = 0;
    return true;
}

lines_result_t lines_next(lines_t *lines, int signals, const char **line, size_t *size)
{
    for (;;) {
        if (take(lines, line, size)) {
            if (!lines->is_skipping) {
                lines->number++;
                return LINES_LINE;
            }
            lines->is_skipping = false;
            continue;
        }
        if (lines->is_at_end)
            return LINES_END;
        if (lines->end - lines->begin > lines->max) {
            bool is_first = !lines->is_skipping;
            lines->begin = lines->end = lines->scanned = 0;
            lines->is_skipping = true;
            lines->number += is_first;
            if (is_first)
                return LINES_TOO_LONG;
        }
        if (!make_room(lines)) {
            errno = ENOMEM;
            return LINES_FAILED;
        }
        lines_result_t result = fill(lines, signals);
        if (result != LINES_LINE)
            return result;
    }
}
