// SPDX-License-Identifier: MIT
// Engine.IO packets and polling payloads. A packet borrows from what it was decoded from; only
// base64 and text that needs repair go through the caller's scratch buffer.
#include "gateway/protocol/eio.h"

#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

#include "common/utf8.h"
#include "gateway/protocol/ws.h"

enum { BASE64_MARK = 'b', NO_DIGIT = -1 };

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return NO_DIGIT;
}

// Decodes what libcrypto would refuse too; see the header. Six bits that are left over at the end
// make no byte and are dropped.
static bool append_base64_decoded(struct tl_buffer *out, const uint8_t *text, size_t size)
{
    uint8_t *to = tl_buffer_reserve(out, size / 4 * 3 + size % 4);
    if (!to)
        return false;
    size_t count = 0;
    uint32_t bits = 0;
    unsigned bit_count = 0;
    for (size_t at = 0; at < size && text[at] != '='; at++) {
        int digit = base64_digit(text[at]);
        if (digit == NO_DIGIT)
            continue;
        bits = bits << 6 | (uint32_t)digit;
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            to[count++] = (uint8_t)(bits >> bit_count);
        }
    }
    tl_buffer_commit(out, count);
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
    if (size > INT_MAX / 2)
        return false;
    size_t text_size = (size + 2) / 3 * 4;
    uint8_t *to = tl_buffer_reserve(out, text_size + 1); // libcrypto ends it with a NUL
    if (!to)
        return false;
    EVP_EncodeBlock(to, bytes, (int)size);
    tl_buffer_commit(out, text_size);
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
