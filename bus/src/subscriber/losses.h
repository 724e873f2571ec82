// SPDX-License-Identifier: MIT
// What is told when a publisher is lost. Where the transport knows what it had sent, each joined
// session is told exactly what it misses. Else each session that it has sent to is told that
// something may be missing.
#ifndef TALUS__LOSSES_H
#define TALUS__LOSSES_H

#include "bus/src/subscriber/gap_repair.h"

// talus__receive_owner.on_lost.
void talus__losses_tell(struct talus__gap_repair *repairs, const struct talus__loss *loss);

#endif
