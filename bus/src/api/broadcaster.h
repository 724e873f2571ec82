// SPDX-License-Identifier: MIT
// What the other emitting parts of libtalus ask of a broadcaster.
#ifndef TALUS__BROADCASTER_H
#define TALUS__BROADCASTER_H

#include <stddef.h>

#include <talus/broadcaster.h>

// The bound of an event's body, in bytes. Any thread.
size_t talus__broadcaster_max_body(const talus_broadcaster_t *broadcaster);

// Counts an event that was refused before it reached talus_emit. Any thread.
void talus__broadcaster_count_refusal(talus_broadcaster_t *broadcaster, int error);

#endif
