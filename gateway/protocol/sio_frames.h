// SPDX-License-Identifier: MIT
// Whole Socket.IO packets as WebSocket frames: the form in which everything that goes to clients is
// kept, whatever their transport (those of bare Engine.IO packets are made by eio_frame_text and
// ws_append_frame). A packet is one text frame (Engine.IO message: '4' and the
// packet's text), followed by one binary frame for each attachment. Pure.
#ifndef TALUS_GATEWAY_PROTOCOL_SIO_FRAMES_H
#define TALUS_GATEWAY_PROTOCOL_SIO_FRAMES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"
#include "gateway/protocol/eio.h"
#include "gateway/protocol/sio.h"

// Appends a packet with `data` (NULL: none) as its JSON, in which placeholders stand where the
// attachments belong. EVENT and ACK become their binary kin if there are attachments, and the other
// way round. False: the buffer's bound is met, memory is out or `data` cannot be written; then
// nothing was appended. The bound should leave 2 bytes more than the frames take.
bool sio_frames_encode(struct tl_buffer *out, enum sio_type type, const char *nsp, int64_t id,
                       const json_t *data, const struct sio_attachment *attachments,
                       unsigned attachment_count);

// The same with JSON text (UTF-8, not checked) that is given in `part_count` pieces, which are
// joined as they stand.
struct sio_text {
    const char *text;
    size_t size;
};
bool sio_frames_encode_text(struct tl_buffer *out, enum sio_type type, const char *nsp, int64_t id,
                            const struct sio_text *parts, unsigned part_count,
                            const struct sio_attachment *attachments, unsigned attachment_count);

#endif
