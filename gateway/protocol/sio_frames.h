// SPDX-License-Identifier: MIT
// Whole Socket.IO packets as WebSocket frames: the form in which everything that goes to clients is
// kept, whatever their transport. A packet is one text frame (Engine.IO message: '4' and the
// packet's text), followed by one binary frame for each attachment. Pure.
#ifndef TALUS_GATEWAY_PROTOCOL_SIO_FRAMES_H
#define TALUS_GATEWAY_PROTOCOL_SIO_FRAMES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buffer.h"
#include "gateway/protocol/eio.h"
#include "gateway/protocol/sio.h"

// Appends a packet with `data` (NULL: none) as its JSON. EVENT and ACK become their binary kin by
// the caller. False: the buffer's bound is met, memory is out or `data` cannot be written; then
// nothing was appended.
bool sio_frames_encode(struct buffer *out, enum sio_type type, const char *nsp, int64_t id,
                       const json_t *data, const struct sio_attachment *attachments,
                       unsigned attachment_count);

// The same with JSON text that is given in `part_count` pieces, which are joined as they stand.
struct sio_text {
    const char *text;
    size_t size;
};
bool sio_frames_encode_text(struct buffer *out, enum sio_type type, const char *nsp, int64_t id,
                            const struct sio_text *parts, unsigned part_count,
                            const struct sio_attachment *attachments, unsigned attachment_count);

// Appends one Engine.IO packet as a WebSocket text frame: the type's character and `size` bytes.
bool eio_frame_text(struct buffer *out, enum eio_type type, const void *bytes, size_t size);

#endif
