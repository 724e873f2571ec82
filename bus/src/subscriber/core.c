// SPDX-License-Identifier: MIT
// What the parts of a subscriber share.
#include "bus/src/subscriber/core.h"

#include "bus/src/base/log.h"

void talus__core_malformed(struct talus__core *core, const char *what, uint64_t count)
{
    unsigned long long held_back;

    core->stats.malformed += count;
    core->malformed_gate.held_back += count - 1;
    if (talus__may_log(&core->malformed_gate, &held_back))
        talus__log(TALUS_LOG_WARNING, "a message was dropped: %s (and %llu more)", what, held_back);
}
