// SPDX-License-Identifier: MIT
// The check that every payload passes, at emit and where it is received.
#ifndef TALUS__PAYLOAD_H
#define TALUS__PAYLOAD_H

#include <stddef.h>

#include "bus/src/codec/event_limits.h"
#include "bus/src/codec/msgpack_reader.h"

// Checks that `data` is exactly one well-formed msgpack value within the limits (max_body is not
// looked at). A scalar has depth 0, a container one more than what is in it, at least 1. Strings
// need not be UTF-8. Returns 0; TALUS_EMSGPACK, which comes before the others; TALUS_ETOODEEP,
// TALUS_ETOOMANYBIN, TALUS_EPLACEHOLDER, in this order.
int talus__payload_check(const void *data, size_t size, const struct talus__limits *limits);

// Reads one whole value and checks it as talus__payload_check does. After an error other than
// TALUS_EMSGPACK the reader stands behind the value.
int talus__payload_read(struct talus__msgpack_reader *reader, const struct talus__limits *limits);

#endif
