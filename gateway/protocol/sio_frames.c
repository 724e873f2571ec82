// SPDX-License-Identifier: MIT
// Packets as WebSocket frames, in one pass: the JSON is written behind a gap for what stands before
// it (frame header, '4', packet head), and moved only if the header turns out longer or shorter
// than was guessed.
#include "gateway/protocol/sio_frames.h"

#include <string.h>

#include "gateway/protocol/ws.h"

enum {
    GUESSED_HEADER = 4, // of a payload of 126 to 65,535 bytes
    MARK_SIZE = 1,      // EIO_MESSAGE
};

// A text frame that is being written.
struct frame {
    struct tl_buffer *out;
    size_t start;
    size_t payload; // where it begins, behind the gap
};

static bool frame_begin(struct frame *frame, struct tl_buffer *out)
{
    static const char MARK = EIO_MESSAGE;
    frame->out = out;
    frame->start = out->size;
    frame->payload = frame->start + GUESSED_HEADER;
    if (!tl_buffer_reserve(out, GUESSED_HEADER + MARK_SIZE))
        return false;
    tl_buffer_commit(out, GUESSED_HEADER);
    return tl_buffer_append(out, &MARK, MARK_SIZE);
}

static bool frame_end(struct frame *frame)
{
    struct tl_buffer *out = frame->out;
    uint8_t header[WS_HEADER_MAX];
    size_t size = out->size - frame->payload;
    size_t header_size = ws_encode_header(header, WS_TEXT, size);
    if (header_size > GUESSED_HEADER && !tl_buffer_reserve(out, header_size - GUESSED_HEADER))
        return false;
    uint8_t *start = out->bytes + frame->start;
    if (header_size != GUESSED_HEADER)
        memmove(start + header_size, start + GUESSED_HEADER, size);
    memcpy(start, header, header_size);
    out->size = frame->start + header_size + size;
    return true;
}

static bool append_attachments(struct tl_buffer *out, const struct sio_attachment *attachments,
                               unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!ws_append_frame(out, WS_BINARY, attachments[i].bytes, attachments[i].size))
            return false;
    return true;
}

// A binary type without attachments is malformed to clients, and so are attachments that no binary
// type announced.
static enum sio_type type_for(enum sio_type type, unsigned attachment_count)
{
    switch (type) {
    case SIO_EVENT:
    case SIO_BINARY_EVENT:
        return attachment_count > 0 ? SIO_BINARY_EVENT : SIO_EVENT;
    case SIO_ACK:
    case SIO_BINARY_ACK:
        return attachment_count > 0 ? SIO_BINARY_ACK : SIO_ACK;
    default:
        return type;
    }
}

// The JSON of a packet: a value, or pieces of text.
struct content {
    const json_t *data;
    const struct sio_text *parts;
    unsigned part_count;
};

static bool append_content(struct tl_buffer *out, const struct content *content)
{
    if (content->data)
        return sio_encode_json(out, content->data);
    for (unsigned i = 0; i < content->part_count; i++)
        if (!tl_buffer_append(out, content->parts[i].text, content->parts[i].size))
            return false;
    return true;
}

static bool encode(struct tl_buffer *out, enum sio_type type, const char *nsp, int64_t id,
                   const struct content *content, const struct sio_attachment *attachments,
                   unsigned attachment_count)
{
    size_t before = out->size;
    struct frame frame;
    if (frame_begin(&frame, out) &&
        sio_encode_head(out, type_for(type, attachment_count), attachment_count, nsp, id) &&
        append_content(out, content) && frame_end(&frame) &&
        append_attachments(out, attachments, attachment_count))
        return true;
    tl_buffer_truncate(out, before);
    return false;
}

bool sio_frames_encode(struct tl_buffer *out, enum sio_type type, const char *nsp, int64_t id,
                       const json_t *data, const struct sio_attachment *attachments,
                       unsigned attachment_count)
{
    const struct content content = {.data = data};
    return encode(out, type, nsp, id, &content, attachments, attachment_count);
}

bool sio_frames_encode_text(struct tl_buffer *out, enum sio_type type, const char *nsp, int64_t id,
                            const struct sio_text *parts, unsigned part_count,
                            const struct sio_attachment *attachments, unsigned attachment_count)
{
    const struct content content = {.parts = parts, .part_count = part_count};
    return encode(out, type, nsp, id, &content, attachments, attachment_count);
}
