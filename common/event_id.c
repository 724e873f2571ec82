// SPDX-License-Identifier: MIT
#include "common/event_id.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORIGIN_MIN 8

size_t tl_event_id_split(const char *id, uint64_t *seq)
{
    size_t origin = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (origin < ORIGIN_MIN || origin > TL_ORIGIN_MAX || id[origin] != '.')
        return 0;
    const char *number = id + origin + 1;
    size_t digits = strspn(number, "0123456789");
    if (digits == 0 || number[digits] != '\0' || (digits > 1 && number[0] == '0'))
        return 0;
    errno = 0;
    uint64_t value = strtoull(number, NULL, 10);
    if (errno != 0)
        return 0;
    *seq = value;
    return origin;
}

bool tl_event_id_check(const char *text, size_t size)
{
    uint64_t seq;
    return strlen(text) == size && tl_event_id_split(text, &seq) > 0;
}

void tl_event_id_format(char to[TL_EVENT_ID_MAX + 1], const char *like, uint64_t seq)
{
    snprintf(to, TL_EVENT_ID_MAX + 1, "%.*s.%" PRIu64, (int)strcspn(like, "."), like, seq);
}

bool tl_event_id_is_of(const char *id, const char *like)
{
    size_t size = strcspn(like, ".");
    return strncmp(id, like, size) == 0 && id[size] == '.';
}
