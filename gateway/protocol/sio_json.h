// SPDX-License-Identifier: MIT
// JSON text of clients into jansson's values, as JSON.parse would take it. Internal to the
// Socket.IO codec; the way back is sio_encode_json.
#ifndef TALUS_GATEWAY_PROTOCOL_SIO_JSON_H
#define TALUS_GATEWAY_PROTOCOL_SIO_JSON_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

// Parses a whole text of any JSON value. A new reference; NULL if it is malformed, nested deeper
// than SIO_MAX_DEPTH, has a NUL in a key (jansson cannot hold that), or memory is out.
//
// Where jansson refuses what JavaScript takes, the text is adapted first: integers beyond 64 bits
// become reals, numbers beyond the range of a double null (JSON.parse makes them Infinity, which
// JSON.stringify writes as null), and lone surrogates U+FFFD (which no UTF-8 could carry).
json_t *sio_json_parse(const uint8_t *text, size_t size);

#endif
