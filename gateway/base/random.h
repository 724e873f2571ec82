// SPDX-License-Identifier: MIT
// Identifiers from the system's random source.
#ifndef TALUS_GATEWAY_BASE_RANDOM_H
#define TALUS_GATEWAY_BASE_RANDOM_H

#include <stdbool.h>

#define GW_ID_SIZE 20 // characters of an id: 15 random bytes in the URL-safe base64 alphabet

// Writes an id and a NUL. False: the random source failed; no id was made.
bool gw_random_id(char out[GW_ID_SIZE + 1]);

#endif
