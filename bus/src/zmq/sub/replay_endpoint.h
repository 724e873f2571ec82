// SPDX-License-Identifier: MIT
// Which of the replay endpoints that a publisher names is asked.
#ifndef TALUS__REPLAY_ENDPOINT_H
#define TALUS__REPLAY_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

// Chooses from the replay endpoints that a marker names (comma-separated) the one to request: of
// the transport by which the marker came ("tcp", "ipc", "inproc"), else the first that can be
// reached; a wildcard host becomes `host` (NULL: none). Returns whether there is one.
bool talus__replay_choose(const char *named, size_t size, const char *transport, const char *host,
                          char *out, size_t capacity);

#endif
