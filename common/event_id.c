// SPDX-License-Identifier: MIT
#include "common/event_id.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/number.h"

bool tl_is_origin(const char *text, size_t size)
{
    if (size < TL_ORIGIN_MIN || size > TL_ORIGIN_MAX)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9')))
            return false;
    return true;
}

size_t tl_event_id_split(const char *id, uint64_t *seq)
{
    size_t origin = strcspn(id, ".");
    if (id[origin] != '.' || !tl_is_origin(id, origin))
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

size_t tl_event_id_write(char to[TL_EVENT_ID_MAX + 1], const char *origin, size_t origin_size,
                         uint64_t seq)
{
    memcpy(to, origin, origin_size);
    to[origin_size] = '.';
    size_t size = origin_size + 1 + tl_format_unsigned(seq, to + origin_size + 1);
    to[size] = '\0';
    return size;
}

void tl_event_id_format(char to[TL_EVENT_ID_MAX + 1], const char *like, uint64_t seq)
{
    tl_event_id_write(to, like, strcspn(like, "."), seq);
}

bool tl_event_id_is_of(const char *id, const char *like)
{
    size_t size = strcspn(like, ".");
    return strncmp(id, like, size) == 0 && id[size] == '.';
}
