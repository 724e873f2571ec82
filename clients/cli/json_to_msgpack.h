// SPDX-License-Identifier: MIT
// JSON text as one msgpack value, the way `talus tap` writes them: members keep their order,
// integers stay integers, and an object whose only member is "base64" with a text becomes `bin`.
// Pure: no descriptor, no clock.
#ifndef TALUS_CLI_JSON_TO_MSGPACK_H
#define TALUS_CLI_JSON_TO_MSGPACK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buffer.h"

enum { JSON_DEPTH_MAX = 64, JSON_ERROR_SIZE = 256 };

// Converts exactly one JSON value (of any kind) of `size` bytes; white space around it is allowed.
// `out`: initialised; receives the value in place of what it had.
// Returns true; false with what is wrong, for people, in `error`: no JSON, a duplicate key, an
// integer beyond 64 bits signed, base64 that is none, nested deeper than JSON_DEPTH_MAX, larger
// than out->max, no memory.
bool json_to_msgpack(const char *json, size_t size, struct tl_buffer *out,
                     char error[JSON_ERROR_SIZE]);

#endif
