// SPDX-License-Identifier: MIT
// WebSocket frames out, and the values of the opening handshake. A server's frames are unmasked and
// ours are always final, so the same bytes serve every client.
#include <openssl/evp.h>
#include <string.h>

#include "common/base64.h"
#include "common/utf8.h"
#include "gateway/protocol/ws.h"

#define HANDSHAKE_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3

enum { KEY_LENGTH = 24, CLOSE_REASON_MAX = 123 };

size_t ws_encode_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t payload_size)
{
    out[0] = (uint8_t)(0x80 | opcode);
    if (payload_size <= 125) {
        out[1] = (uint8_t)payload_size;
        return 2;
    }
    unsigned count = payload_size <= UINT16_MAX ? 2 : 8;
    out[1] = count == 2 ? 126 : 127;
    for (unsigned i = 0; i < count; i++)
        out[2 + i] = (uint8_t)(payload_size >> 8 * (count - 1 - i));
    return 2 + count;
}

bool ws_append_frame(struct tl_buffer *out, enum ws_opcode opcode, const void *payload, size_t size)
{
    uint8_t header[WS_HEADER_MAX];
    size_t header_size = ws_encode_header(header, opcode, size);
    if (size > SIZE_MAX - header_size || !tl_buffer_reserve(out, header_size + size))
        return false;
    return tl_buffer_append(out, header, header_size) && tl_buffer_append(out, payload, size);
}

size_t ws_encode_close(uint8_t out[WS_CLOSE_FRAME_MAX], uint16_t code, const char *reason)
{
    if (code == WS_CLOSE_NO_STATUS)
        return ws_encode_header(out, WS_CLOSE, 0);
    size_t reason_size = reason ? tl_utf8_cut(reason, CLOSE_REASON_MAX) : 0;
    uint8_t header[WS_HEADER_MAX];
    size_t at = ws_encode_header(header, WS_CLOSE, 2 + reason_size);
    memcpy(out, header, at);
    out[at++] = (uint8_t)(code >> 8);
    out[at++] = (uint8_t)code;
    if (reason_size > 0)
        memcpy(out + at, reason, reason_size);
    return at + reason_size;
}

size_t ws_split_server_frame(const uint8_t *bytes, size_t size, enum ws_opcode *opcode,
                             const uint8_t **payload, size_t *payload_size)
{
    if (size < 2)
        return 0;
    uint64_t length = bytes[1] & 0x7f;
    unsigned count = length == 126 ? 2 : length == 127 ? 8 : 0;
    size_t header_size = 2 + count;
    if (size < header_size)
        return 0;
    if (count > 0) {
        length = 0;
        for (unsigned i = 0; i < count; i++)
            length = length << 8 | bytes[2 + i];
    }
    if (length > size - header_size)
        return 0;
    *opcode = bytes[0] & 0x0f;
    *payload = bytes + header_size;
    *payload_size = (size_t)length;
    return header_size + (size_t)length;
}

bool ws_is_key(const char *key)
{
    if (strnlen(key, KEY_LENGTH + 1) != KEY_LENGTH)
        return false;
    for (size_t i = 0; i < KEY_LENGTH - 2; i++)
        if (tl_base64_value(key[i]) < 0)
            return false;
    return key[KEY_LENGTH - 2] == '=' && key[KEY_LENGTH - 1] == '=';
}

bool ws_accept(const char *key, char out[WS_ACCEPT_SIZE])
{
    char text[KEY_LENGTH + sizeof HANDSHAKE_GUID];
    size_t key_size = strnlen(key, KEY_LENGTH);
    memcpy(text, key, key_size);
    memcpy(text + key_size, HANDSHAKE_GUID, sizeof HANDSHAKE_GUID - 1);

    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;
    out[0] = '\0';
    if (!EVP_Digest(text, key_size + sizeof HANDSHAKE_GUID - 1, digest, &digest_size, EVP_sha1(),
                    NULL))
        return false;
    out[tl_base64_encode(digest, digest_size, out)] = '\0';
    return true;
}
