// SPDX-License-Identifier: MIT
// The payload check as the body's decoder uses it, on a value among others.
#ifndef TALUS__PAYLOAD_H
#define TALUS__PAYLOAD_H

#include "bus/src/codec/event_limits.h"
#include "bus/src/codec/msgpack_reader.h"

// Reads one whole value and checks it as talus__payload_check does. After an error other than
// TALUS_EMSGPACK the reader stands behind the value.
int talus__payload_read(struct talus__msgpack_reader *reader, const struct talus__limits *limits);

#endif
