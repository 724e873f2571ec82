// SPDX-License-Identifier: MIT
#include "gateway/intake/event_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t event_id_split(const char *id, uint64_t *seq)
{
    const char *dot = strchr(id, '.');
    if (!dot || dot[1] < '0' || dot[1] > '9')
        return 0;
    char *end;
    *seq = strtoull(dot + 1, &end, 10);
    return *end == '\0' ? (size_t)(dot - id) : 0;
}

void event_id_format(char to[TALUS_ID_MAX + 1], const char *like, uint64_t seq)
{
    snprintf(to, TALUS_ID_MAX + 1, "%.*s.%" PRIu64, (int)strcspn(like, "."), like, seq);
}

bool event_id_is_of(const char *id, const char *like)
{
    size_t size = strcspn(like, ".");
    return strncmp(id, like, size) == 0 && id[size] == '.';
}
