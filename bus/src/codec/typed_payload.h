// SPDX-License-Identifier: MIT
// Encodes the payload of a typed event: the map {session_id, fields…} in the table's order.
#ifndef TALUS__TYPED_PAYLOAD_H
#define TALUS__TYPED_PAYLOAD_H

#include <stddef.h>

#include <talus/value.h>

#include "bus/src/codec/pack_buffer.h"

struct talus__typed_field {
    const char *name;
    unsigned types; // TALUS__IS of those that the value may have
    talus_value_t value;
};

#define TALUS__IS(type) (1u << (type))
#define TALUS__IS_TEXT  TALUS__IS(TALUS_STR)
#define TALUS__IS_OPT   (TALUS__IS(TALUS_STR) | TALUS__IS(TALUS_NIL))
#define TALUS__IS_BOOL  TALUS__IS(TALUS_BOOL)
#define TALUS__IS_ANY   (TALUS__IS(TALUS_MSGPACK + 1) - 1)

// Returns 0; TALUS_ESESSION: `session_id` is NULL or empty; TALUS_EINVAL: a value's type is
// none that its field may have, or its pointer is NULL with a size; TALUS_EMSGPACK: a
// TALUS_MSGPACK value is not exactly one well-formed value; TALUS_ETOOLARGE: the buffer's bound;
// TALUS_ENOMEM. Depth and the other bounds of a payload are for the emit to check.
int talus__typed_payload_encode(struct talus__pack_buffer *buffer, const char *session_id,
                                const struct talus__typed_field *fields, size_t count);

#endif
