// SPDX-License-Identifier: MIT
// The WebSocket decoder: the same messages come out whole and in pieces, text is UTF-8, and what is
// encoded as a server's frame splits into itself. The first byte of the input says how long the
// pieces are.
#include <string.h>

#include "common/utf8.h"
#include "fuzz_check.h"
#include "gateway/protocol/ws.h"

enum { MAX_MESSAGE = 300 };

static void check_message(const struct ws_message *message)
{
    CHECK(message->size <= MAX_MESSAGE);
    if (message->opcode == WS_TEXT || message->opcode == WS_CLOSE)
        CHECK(tl_utf8_is_valid(message->bytes, message->size));
    if (message->opcode >= WS_CLOSE)
        CHECK(message->size <= 125);
}

static void check_server_frame(const struct ws_message *message)
{
    struct tl_buffer frame;
    enum ws_opcode opcode;
    const uint8_t *payload;
    size_t size;
    tl_buffer_init(&frame, MAX_MESSAGE + WS_HEADER_MAX);
    CHECK(ws_append_frame(&frame, message->opcode, message->bytes, message->size));
    CHECK(ws_split_server_frame(frame.bytes, frame.size, &opcode, &payload, &size) == frame.size);
    CHECK(opcode == message->opcode && size == message->size);
    CHECK(size == 0 || memcmp(payload, message->bytes, size) == 0);
    tl_buffer_fini(&frame);
}

// Feeds one piece until it is used up. False: the decoder failed.
static bool feed(struct ws_decoder *decoder, uint8_t *bytes, size_t size, struct tl_buffer *log)
{
    for (;;) {
        struct ws_message message = {0};
        size_t consumed;
        enum ws_result result = ws_decoder_feed(decoder, bytes, size, &consumed, &message);
        CHECK(consumed <= size);
        if (result == WS_MORE) {
            CHECK(consumed == size);
            return true;
        }
        CHECK(tl_buffer_append_format(log, "%d %u ", result,
                                      result == WS_ERROR ? decoder->error : message.opcode));
        if (result == WS_ERROR)
            return false;
        check_message(&message);
        check_server_frame(&message);
        CHECK(tl_buffer_append_format(log, "%u %zu ", message.close_code, message.size));
        CHECK(tl_buffer_append(log, message.bytes, message.size));
        bytes += consumed;
        size -= consumed;
    }
}

static void decode(const uint8_t *data, size_t size, size_t step, struct tl_buffer *log)
{
    struct ws_decoder decoder;
    bool is_good = true;
    ws_decoder_init(&decoder, MAX_MESSAGE);
    for (size_t at = 0; at < size && is_good;) {
        size_t piece = step < size - at ? step : size - at;
        uint8_t *bytes = malloc(piece); // decoding changes it in place
        CHECK(bytes != NULL);
        memcpy(bytes, data + at, piece);
        is_good = feed(&decoder, bytes, piece, log);
        free(bytes);
        at += piece;
    }
    ws_decoder_fini(&decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct tl_buffer whole;
    struct tl_buffer pieces;
    tl_buffer_init(&whole, SIZE_MAX / 2);
    tl_buffer_init(&pieces, SIZE_MAX / 2);
    decode(data + 1, size - 1, size, &whole);
    decode(data + 1, size - 1, 1 + data[0] % 32, &pieces);
    CHECK(whole.size == pieces.size);
    CHECK(whole.size == 0 || memcmp(whole.bytes, pieces.bytes, whole.size) == 0);
    tl_buffer_fini(&whole);
    tl_buffer_fini(&pieces);
    return 0;
}
