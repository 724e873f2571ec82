// SPDX-License-Identifier: MIT
// Open replays.
#include "bus/src/subscriber/open_replay.h"

#include <stdlib.h>
#include <string.h>

struct talus__open_replay *talus__open_replay_new(const char *session, uint64_t after)
{
    size_t size = strlen(session) + 1;
    struct talus__open_replay *replay = calloc(1, sizeof *replay + size);

    if (!replay)
        return NULL;
    memcpy(replay->session, session, size);
    replay->request.session = replay->session;
    replay->since = replay->request.after = after;
    return replay;
}
