// SPDX-License-Identifier: MIT
// Identifiers from the system's random source.
#ifndef TALUS_GATEWAY_BASE_RANDOM_H
#define TALUS_GATEWAY_BASE_RANDOM_H

#include <stdbool.h>

#define GW_ID_SIZE     20 // characters of an id: 15 random bytes in the URL-safe base64 alphabet
#define GW_ID_TAGS_MAX 64 // what one character can tell apart

// Writes an id and a NUL. False: the random source failed; no id was made.
bool gw_random_id(char out[GW_ID_SIZE + 1]);

// The same, with a `tag` below GW_ID_TAGS_MAX: it is hidden in the last character, mixed with the
// others, so that ids of one tag look as random as any; 114 bits are.
bool gw_random_id_tagged(char out[GW_ID_SIZE + 1], unsigned tag);
// The tag of an id; -1: the text is of another length or alphabet. (What is no tagged id has a tag
// by chance.)
int gw_id_tag(const char *id);

#endif
