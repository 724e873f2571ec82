// SPDX-License-Identifier: MIT
// Which broadcasters have sent to a session, as far as a join with `since` needs it: one event id
// says nothing about the events of others. See catch_up.c.
#include <string.h>

#include "common/event_id.h"
#include "gateway/bridge/internal.h"

// Whether an id is of a gateway's broadcaster, which tells of nothing but presence.
bool bridge__is_presence_id(const char *id)
{
    return strncmp(id, TALUS_PRESENCE_ORIGIN, sizeof TALUS_PRESENCE_ORIGIN - 1) == 0;
}

static bool is_presence_type(const char *type)
{
    return strcmp(type, talus_type_session_connected) == 0 ||
           strcmp(type, talus_type_session_disconnected) == 0;
}

bool bridge__is_gateway_presence(const talus_event_t *event)
{
    return bridge__is_presence_id(event->id) && is_presence_type(event->type);
}

void bridge__origins_init(struct bridge_origins *origins)
{
    *origins = (struct bridge_origins){.others = UINT64_MAX};
}

static void hear(struct bridge_origins *origins, const char *id, uint64_t index)
{
    size_t size = strcspn(id, ".");
    if (origins->first[0] == '\0' && size < sizeof origins->first)
        memcpy(origins->first, id, size); // the rest is zero
    else if (origins->others == UINT64_MAX && !tl_event_id_is_of(id, origins->first))
        origins->others = index;
}

void bridge__origins_begin(struct bridge_origins *origins, const talus_live_t *live)
{
    if (live->newest[0] != '\0')
        hear(origins, live->newest, 0);
    if (!live->is_only_origin)
        origins->others = 0;
}

void bridge__origins_note(struct bridge_origins *origins, const talus_event_t *event,
                          uint64_t index)
{
    if (!bridge__is_gateway_presence(event))
        hear(origins, event->id, index);
}

// Whether a broadcaster other than that of an event id sent something before that index.
bool bridge__has_others(const struct bridge_origins *origins, const char *id, uint64_t index)
{
    return origins->others < index || (origins->first[0] && !tl_event_id_is_of(id, origins->first));
}
