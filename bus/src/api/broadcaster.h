// SPDX-License-Identifier: MIT
// What the other emitting parts of libtalus, and tests, ask of a broadcaster.
#ifndef TALUS__BROADCASTER_H
#define TALUS__BROADCASTER_H

#include <stddef.h>

#include <talus/broadcaster.h>

#include "bus/src/transport/publish.h"

// As talus_broadcaster_new, on a transport that the caller picks, with options that are valid.
int talus__broadcaster_new_on(talus_broadcaster_t **broadcaster,
                              const struct talus__publish_ops *ops, const char *endpoint,
                              const talus_broadcaster_options_t *options) TALUS_MUST_USE;

// The bound of an event's body, in bytes. Any thread.
size_t talus__broadcaster_max_body(const talus_broadcaster_t *broadcaster);

// Counts an event that was refused before it reached talus_emit. Any thread.
void talus__broadcaster_count_refusal(talus_broadcaster_t *broadcaster, int error);

#endif
