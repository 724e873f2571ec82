// SPDX-License-Identifier: MIT
// Engine.IO protocol revision 4: packets and polling payloads. Pure.
#ifndef TALUS_GATEWAY_PROTOCOL_EIO_H
#define TALUS_GATEWAY_PROTOCOL_EIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define EIO_PROTOCOL  "4"
#define EIO_SEPARATOR '\x1e' // between packets of a polling payload

enum eio_type {
    EIO_OPEN = '0',
    EIO_CLOSE = '1',
    EIO_PING = '2',
    EIO_PONG = '3',
    EIO_MESSAGE = '4',
    EIO_UPGRADE = '5',
    EIO_NOOP = '6',
};

struct eio_packet {
    enum eio_type type;
    bool is_binary; // only messages
    const uint8_t *bytes;
    size_t size;
};

// Decodes the text of one packet (a WebSocket text message). A binary WebSocket message is a binary
// EIO_MESSAGE as it stands and needs no decoding. Text that starts with 'b' is a binary message in
// base64, on any transport: it is decoded into `scratch` (cleared at each call), from which the
// packet then borrows; else the packet borrows from `bytes`.
// Base64 is taken as Node takes it: either alphabet, padding optional, other characters skipped,
// the end at the first '='.
// Returns 0; -1: the text is empty or its type is unknown, or `scratch` cannot hold the bytes.
int eio_decode_text(const uint8_t *bytes, size_t size, struct tl_buffer *scratch,
                    struct eio_packet *packet);

// Walks a polling payload. `position` starts at 0. The packet borrows from `bytes` or, if it is
// binary or its text has to be repaired, from `scratch` (cleared at each call). Invalid UTF-8 is
// replaced by U+FFFD, as the reference does on this transport.
// Returns 1 with the next packet; 0 at the end; -1 if the payload is malformed there (as a payload
// without a byte is) or `scratch` cannot hold the bytes: the packets before it count, nothing
// behind it does.
int eio_payload_next(const uint8_t *bytes, size_t size, size_t *position, struct tl_buffer *scratch,
                     struct eio_packet *packet);

// Appends one packet to a polling payload, with the separator before it if `out` is not empty:
// text as it stands (`bytes` starts with the type character), binary as 'b' and base64.
// Returns false if the buffer's bound is met or memory is out; then nothing was appended.
bool eio_payload_append(struct tl_buffer *out, bool is_binary, const uint8_t *bytes, size_t size);

// Appends a WebSocket text frame that holds one packet: the type character and `size` bytes of
// UTF-8. Binary messages are frames of WS_BINARY with nothing before their bytes.
// Returns false if the buffer's bound is met or memory is out; then nothing was appended.
bool eio_frame_text(struct tl_buffer *out, enum eio_type type, const void *bytes, size_t size);

// Appends the open packet's text, `0{"sid":…,"upgrades":[…],"pingInterval":…,"pingTimeout":…,
// "maxPayload":…}`, with the members in the reference's order. Times are in milliseconds, the
// payload in bytes; `sid` is written as it stands. Returns false as above.
bool eio_encode_open(struct tl_buffer *out, const char *sid, bool can_upgrade,
                     unsigned ping_interval_ms, unsigned ping_timeout_ms, size_t max_payload);

#endif
