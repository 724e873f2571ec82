// SPDX-License-Identifier: MIT
// Engine.IO packets and polling payloads. A packet borrows from what it was decoded from; only
// base64 and text that needs repair go through the caller's scratch buffer.
#include "gateway/protocol/eio.h"

#include <string.h>

#include "common/base64.h"
#include "common/utf8.h"
#include "gateway/protocol/ws.h"

enum { BASE64_MARK = 'b' };

static bool append_base64_decoded(struct tl_buffer *out, const uint8_t *text, size_t size)
{
    uint8_t *to = tl_buffer_reserve(out, tl_base64_decoded_max(size));
    if (!to)
        return false;
    tl_buffer_commit(out, tl_base64_decode_leniently((const char *)text, size, to));
    return true;
}

static int decode_base64_message(const uint8_t *bytes, size_t size, struct tl_buffer *scratch,
                                 struct eio_packet *packet)
{
    if (!append_base64_decoded(scratch, bytes + 1, size - 1))
        return -1;
    *packet = (struct eio_packet){
        .type = EIO_MESSAGE,
        .is_binary = true,
        .bytes = scratch->bytes,
        .size = scratch->size,
    };
    return 0;
}

int eio_decode_text(const uint8_t *bytes, size_t size, struct tl_buffer *scratch,
                    struct eio_packet *packet)
{
    tl_buffer_clear(scratch);
    if (size == 0)
        return -1;
    if (bytes[0] == BASE64_MARK)
        return decode_base64_message(bytes, size, scratch, packet);
    if (bytes[0] < EIO_OPEN || bytes[0] > EIO_NOOP)
        return -1;
    *packet = (struct eio_packet){
        .type = (enum eio_type)bytes[0],
        .bytes = bytes + 1,
        .size = size - 1,
    };
    return 0;
}

int eio_payload_next(const uint8_t *bytes, size_t size, size_t *position, struct tl_buffer *scratch,
                     struct eio_packet *packet)
{
    // One past the end: the packet before was the last. A payload without a byte is one empty
    // packet, and so is what follows a separator at the end.
    if (*position > size)
        return 0;
    size_t left = size - *position;
    const uint8_t *start = left > 0 ? bytes + *position : NULL;
    const uint8_t *separator = left > 0 ? memchr(start, EIO_SEPARATOR, left) : NULL;
    size_t packet_size = separator ? (size_t)(separator - start) : left;

    if (eio_decode_text(start, packet_size, scratch, packet) != 0)
        return -1;
    if (!packet->is_binary && !tl_utf8_is_valid(packet->bytes, packet->size)) {
        if (!tl_utf8_append_repaired(scratch, packet->bytes, packet->size))
            return -1;
        packet->bytes = scratch->bytes;
        packet->size = scratch->size;
    }
    *position += packet_size + 1;
    return 1;
}

static bool append_base64(struct tl_buffer *out, const uint8_t *bytes, size_t size)
{
    uint8_t *to =
        size <= SIZE_MAX / 2 ? tl_buffer_reserve(out, tl_base64_encoded_size(size)) : NULL;
    if (!to)
        return false;
    tl_buffer_commit(out, tl_base64_encode(bytes, size, (char *)to));
    return true;
}

bool eio_payload_append(struct tl_buffer *out, bool is_binary, const uint8_t *bytes, size_t size)
{
    size_t before = out->size;
    const char separator = EIO_SEPARATOR;
    const char mark = BASE64_MARK;
    bool is_done = (before == 0 || tl_buffer_append(out, &separator, 1)) &&
                   (is_binary ? tl_buffer_append(out, &mark, 1) && append_base64(out, bytes, size)
                              : tl_buffer_append(out, bytes, size));
    if (!is_done)
        tl_buffer_truncate(out, before);
    return is_done;
}

bool eio_frame_text(struct tl_buffer *out, enum eio_type type, const void *bytes, size_t size)
{
    uint8_t header[WS_HEADER_MAX];
    if (size > SIZE_MAX / 2)
        return false;
    size_t header_size = ws_encode_header(header, WS_TEXT, (uint64_t)size + 1);
    const uint8_t type_char = (uint8_t)type;
    if (!tl_buffer_reserve(out, header_size + 1 + size))
        return false;
    return tl_buffer_append(out, header, header_size) && tl_buffer_append(out, &type_char, 1) &&
           tl_buffer_append(out, bytes, size);
}

bool eio_encode_open(struct tl_buffer *out, const char *sid, bool can_upgrade,
                     unsigned ping_interval_ms, unsigned ping_timeout_ms, size_t max_payload)
{
    return tl_buffer_append_format(out,
                                   "0{\"sid\":\"%s\",\"upgrades\":[%s],\"pingInterval\":%u,"
                                   "\"pingTimeout\":%u,\"maxPayload\":%zu}",
                                   sid, can_upgrade ? "\"websocket\"" : "", ping_interval_ms,
                                   ping_timeout_ms, max_payload);
}
