// SPDX-License-Identifier: MIT
// What the parts of a subscriber share.
#include "bus/src/subscriber/core.h"

#include "bus/src/base/log.h"

static void log_malformed(struct talus__core *core, const char *what, uint64_t count)
{
    unsigned long long held_back;

    core->malformed_gate.held_back += count - 1;
    if (talus__may_log(&core->malformed_gate, &held_back))
        talus__log(TALUS_LOG_WARNING, "a message was dropped: %s (and %llu more)", what, held_back);
}

int talus__core_malformed(struct talus__core *core, const char *what)
{
    core->stats.malformed++;
    log_malformed(core, what, 1);
    return TALUS__TAKEN_HANDLED;
}

void talus__core_log_inboxes(struct talus__core *core)
{
    uint64_t found = talus__core_inboxes_malformed(core);

    if (found == core->malformed_found)
        return;
    log_malformed(core, "it does not have two frames", found - core->malformed_found);
    core->malformed_found = found;
}
