// SPDX-License-Identifier: MIT
// WebSocket frames in, messages out. Invariants:
// - A frame's payload is looked at only after its whole header passed every check, the bound on the
//   message included; so no more than that bound is ever allocated.
// - `message` holds the unmasked payload of the present message that came in earlier calls or
//   frames; a message that lies in one piece in the input never gets there.
// - The result does not depend on where the input was split.
#include <string.h>

#include "common/utf8.h"
#include "gateway/protocol/ws.h"

enum state {
    READING_HEAD,
    READING_PAYLOAD,
    AFTER_CLOSE, // everything that follows a close frame is dropped
    FAILED,
};

struct input {
    uint8_t *bytes;
    size_t size;
    size_t at;
};

void ws_decoder_init(struct ws_decoder *decoder, size_t max_message)
{
    memset(decoder, 0, sizeof *decoder);
    tl_buffer_init(&decoder->message, max_message);
}

void ws_decoder_fini(struct ws_decoder *decoder)
{
    tl_buffer_fini(&decoder->message);
}

static enum ws_result fail(struct ws_decoder *decoder, enum ws_close_code code)
{
    decoder->state = FAILED;
    decoder->error = (uint16_t)code;
    tl_buffer_fini(&decoder->message);
    return WS_ERROR;
}

static bool is_control(uint8_t opcode)
{
    return (opcode & 0x8) != 0;
}

// Moves bytes from the input until the head has `needed`.
static bool fill_head(struct ws_decoder *decoder, struct input *in, uint8_t needed)
{
    while (decoder->head_size < needed && in->at < in->size)
        decoder->head[decoder->head_size++] = in->bytes[in->at++];
    return decoder->head_size >= needed;
}

// The checks that the first two bytes allow.
static bool is_start_valid(const struct ws_decoder *decoder)
{
    bool is_final = (decoder->head[0] & 0x80) != 0;
    uint8_t opcode = decoder->head[0] & 0x0f;
    bool is_masked = (decoder->head[1] & 0x80) != 0;
    uint8_t length = decoder->head[1] & 0x7f;
    bool is_in_message = decoder->message_opcode != 0;

    if ((decoder->head[0] & 0x70) != 0 || !is_masked)
        return false;
    switch (opcode) {
    case WS_CONTINUATION:
        return is_in_message;
    case WS_TEXT:
    case WS_BINARY:
        return !is_in_message;
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        return is_final && length <= 125;
    default:
        return false;
    }
}

static uint8_t length_bytes(const struct ws_decoder *decoder)
{
    uint8_t length = decoder->head[1] & 0x7f;
    return length == 126 ? 2 : length == 127 ? 8 : 0;
}

// The payload length of a whole head; false if it is not written in the shortest form.
static bool read_length(const struct ws_decoder *decoder, uint64_t *length)
{
    uint8_t count = length_bytes(decoder);
    if (count == 0) {
        *length = decoder->head[1] & 0x7f;
        return true;
    }
    uint64_t value = 0;
    for (uint8_t i = 0; i < count; i++)
        value = value << 8 | decoder->head[2 + i];
    *length = value;
    return count == 2 ? value > 125 : value > UINT16_MAX && value <= INT64_MAX;
}

static enum ws_result read_head(struct ws_decoder *decoder, struct input *in)
{
    if (!fill_head(decoder, in, 2))
        return WS_MORE;
    if (!is_start_valid(decoder))
        return fail(decoder, WS_CLOSE_PROTOCOL);
    uint8_t head_size = 2 + length_bytes(decoder) + sizeof decoder->mask;
    if (!fill_head(decoder, in, head_size))
        return WS_MORE;

    uint64_t length;
    if (!read_length(decoder, &length))
        return fail(decoder, WS_CLOSE_PROTOCOL);
    decoder->opcode = decoder->head[0] & 0x0f;
    decoder->is_final = (decoder->head[0] & 0x80) != 0;
    if (!is_control(decoder->opcode)) {
        if (length > decoder->message.max - decoder->message.size)
            return fail(decoder, WS_CLOSE_TOO_BIG);
        if (decoder->opcode != WS_CONTINUATION) {
            decoder->message_opcode = decoder->opcode;
            decoder->utf8_state = TL_UTF8_START;
        }
    }
    memcpy(decoder->mask, decoder->head + head_size - sizeof decoder->mask, sizeof decoder->mask);
    decoder->frame_left = length;
    decoder->frame_offset = 0;
    decoder->control_size = 0;
    decoder->head_size = 0;
    decoder->state = READING_PAYLOAD;
    return WS_MORE;
}

static void unmask(uint8_t *bytes, size_t size, const uint8_t mask[4], uint64_t offset)
{
    uint8_t turned[sizeof(uint64_t)];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(offset + i) % 4];
    uint64_t key;
    memcpy(&key, turned, sizeof key);

    size_t at = 0;
    for (; size - at >= sizeof key; at += sizeof key) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        word ^= key;
        memcpy(bytes + at, &word, sizeof word);
    }
    for (size_t i = 0; at < size; at++, i++)
        bytes[at] ^= turned[i];
}

// The close codes that may be on the wire: those of RFC 6455, those registered since, and those of
// libraries and applications.
static bool is_close_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_result end_close(struct ws_decoder *decoder, struct ws_message *message)
{
    message->bytes = decoder->control;
    message->size = 0;
    message->close_code = WS_CLOSE_NO_STATUS;
    if (decoder->control_size > 0) {
        if (decoder->control_size == 1)
            return fail(decoder, WS_CLOSE_PROTOCOL);
        message->close_code = (uint16_t)(decoder->control[0] << 8 | decoder->control[1]);
        message->bytes = decoder->control + 2;
        message->size = decoder->control_size - 2u;
        if (!is_close_code_valid(message->close_code))
            return fail(decoder, WS_CLOSE_PROTOCOL);
        if (!tl_utf8_is_valid(message->bytes, message->size))
            return fail(decoder, WS_CLOSE_INVALID_TEXT);
    }
    tl_buffer_fini(&decoder->message); // what a close frame interrupts will not be finished
    decoder->state = AFTER_CLOSE;
    return WS_MESSAGE;
}

static enum ws_result read_control(struct ws_decoder *decoder, const uint8_t *part, size_t size,
                                   struct ws_message *message)
{
    memcpy(decoder->control + decoder->control_size, part, size);
    decoder->control_size += (uint8_t)size;
    if (decoder->frame_left > 0)
        return WS_MORE;
    decoder->state = READING_HEAD;
    *message = (struct ws_message){.opcode = decoder->opcode};
    if (decoder->opcode == WS_CLOSE)
        return end_close(decoder, message);
    message->bytes = decoder->control;
    message->size = decoder->control_size;
    return WS_MESSAGE;
}

static enum ws_result read_data(struct ws_decoder *decoder, const uint8_t *part, size_t size,
                                struct ws_message *message)
{
    bool is_text = decoder->message_opcode == WS_TEXT;
    if (is_text && !tl_utf8_feed(&decoder->utf8_state, part, size))
        return fail(decoder, WS_CLOSE_INVALID_TEXT);

    bool is_whole = decoder->frame_left == 0 && decoder->is_final;
    bool is_in_input = is_whole && decoder->message.size == 0;
    if (!is_in_input && !tl_buffer_append(&decoder->message, part, size))
        return fail(decoder, WS_CLOSE_INTERNAL);
    if (decoder->frame_left == 0)
        decoder->state = READING_HEAD;
    if (!is_whole)
        return WS_MORE;
    if (is_text && decoder->utf8_state != TL_UTF8_START)
        return fail(decoder, WS_CLOSE_INVALID_TEXT);

    *message = (struct ws_message){
        .opcode = decoder->message_opcode,
        .bytes = is_in_input ? part : decoder->message.bytes,
        .size = is_in_input ? size : decoder->message.size,
    };
    decoder->message_opcode = 0;
    decoder->is_handed_out = true;
    return WS_MESSAGE;
}

static enum ws_result read_payload(struct ws_decoder *decoder, struct input *in,
                                   struct ws_message *message)
{
    size_t size = in->size - in->at;
    if (size > decoder->frame_left)
        size = (size_t)decoder->frame_left;
    uint8_t *part = in->bytes + in->at;
    unmask(part, size, decoder->mask, decoder->frame_offset);
    in->at += size;
    decoder->frame_left -= size;
    decoder->frame_offset += size;
    return is_control(decoder->opcode) ? read_control(decoder, part, size, message)
                                       : read_data(decoder, part, size, message);
}

// A frame without payload ends with its header, so it needs no further byte.
static bool can_go_on(const struct ws_decoder *decoder, const struct input *in)
{
    return in->at < in->size || (decoder->state == READING_PAYLOAD && decoder->frame_left == 0);
}

enum ws_result ws_decoder_feed(struct ws_decoder *decoder, uint8_t *bytes, size_t size,
                               size_t *consumed, struct ws_message *message)
{
    *consumed = 0;
    if (decoder->state == FAILED)
        return WS_ERROR;
    if (decoder->state == AFTER_CLOSE) {
        *consumed = size;
        return WS_MORE;
    }
    if (decoder->is_handed_out) {
        tl_buffer_fini(&decoder->message);
        decoder->is_handed_out = false;
    }
    struct input in = {.bytes = bytes, .size = size};
    enum ws_result result = WS_MORE;
    while (result == WS_MORE && can_go_on(decoder, &in))
        result = decoder->state == READING_HEAD ? read_head(decoder, &in)
                                                : read_payload(decoder, &in, message);
    *consumed = in.at;
    return result;
}

bool ws_decoder_is_idle(const struct ws_decoder *decoder)
{
    return decoder->state == READING_HEAD && decoder->head_size == 0 &&
           decoder->message_opcode == 0;
}
