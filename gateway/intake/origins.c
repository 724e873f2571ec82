// SPDX-License-Identifier: MIT
// Which broadcasters have sent to a session, as far as a join with `since` has to know: one event
// id says nothing of the events of others. See since.c.
#include <string.h>

#include "gateway/intake/event_id.h"
#include "gateway/intake/internal.h"

// Whether an id is of a gateway's broadcaster, which tells of nothing but presence.
bool intake__is_presence_id(const char *id)
{
    return strncmp(id, TALUS_PRESENCE_ORIGIN, sizeof TALUS_PRESENCE_ORIGIN - 1) == 0;
}

static bool is_presence_type(const char *type)
{
    return strcmp(type, talus_type_session_connected) == 0 ||
           strcmp(type, talus_type_session_disconnected) == 0;
}

bool intake__is_gateway_presence(const talus_event_t *event)
{
    return intake__is_presence_id(event->id) && is_presence_type(event->type);
}

void intake__origins_init(struct intake_origins *origins)
{
    *origins = (struct intake_origins){.others = UINT64_MAX};
}

static void hear(struct intake_origins *origins, const char *id, uint64_t index)
{
    size_t size = strcspn(id, ".");
    if (origins->first[0] == '\0' && size < sizeof origins->first)
        memcpy(origins->first, id, size); // the rest is zero
    else if (origins->others == UINT64_MAX && !event_id_is_of(id, origins->first))
        origins->others = index;
}

void intake__origins_begin(struct intake_origins *origins, const talus_delivery_t *live)
{
    if (live->newest[0] != '\0')
        hear(origins, live->newest, 0);
    if (!live->is_only_origin)
        origins->others = 0;
}

void intake__origins_note(struct intake_origins *origins, const talus_event_t *event,
                          uint64_t index)
{
    if (!intake__is_gateway_presence(event))
        hear(origins, event->id, index);
}

// Whether another one than that of an event id sent something before that index.
bool intake__has_others(const struct intake_origins *origins, const char *id, uint64_t index)
{
    return origins->others < index || (origins->first[0] && !event_id_is_of(id, origins->first));
}
