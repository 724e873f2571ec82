// SPDX-License-Identifier: MIT
// The WebSocket protocol (RFC 6455), server side: frames in, messages out, and the other way.
// Pure. No extension is negotiated, so reserved bits must be zero.
//
// A decoder belongs to one connection and one thread; nothing here blocks.
#ifndef TALUS_GATEWAY_PROTOCOL_WS_H
#define TALUS_GATEWAY_PROTOCOL_WS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xa,
};

// Close codes of RFC 6455 section 7.4.1 that we send or must tell apart.
enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NO_STATUS = 1005, // never on the wire: a close frame without a code
    WS_CLOSE_ABNORMAL = 1006,  // never on the wire: the connection ended without a close frame
    WS_CLOSE_INVALID_TEXT = 1007,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011, // memory was out
};

// A whole message or control frame. `bytes` borrows from the input or the decoder until the next
// call with it.
struct ws_message {
    enum ws_opcode opcode; // WS_TEXT, WS_BINARY, WS_CLOSE, WS_PING or WS_PONG
    const uint8_t *bytes;  // WS_CLOSE: the reason
    size_t size;
    uint16_t close_code; // WS_CLOSE: as received, WS_CLOSE_NO_STATUS if the frame had none
};

enum ws_result {
    WS_MORE = 0,    // all bytes were consumed; more are needed
    WS_MESSAGE = 1, // a message; call again with the rest of the bytes
    WS_ERROR = -1,  // the connection must be closed with ws_decoder.error (a ws_close_code)
};

// Small enough to be embedded; owns memory only while a message is incomplete or handed out. All
// members but `error` are the decoder's own.
struct ws_decoder {
    struct tl_buffer message; // payload of an incomplete message; its maximum is the message bound
    uint64_t frame_left;      // payload bytes of the present frame that are still to come
    uint64_t frame_offset;    // payload bytes of the present frame seen so far (for the mask)
    uint32_t utf8_state;      // of the validator, across frames of a text message
    uint16_t error;           // a ws_close_code after WS_ERROR
    uint8_t head[14];         // of the present frame, while it is incomplete
    uint8_t head_size;
    uint8_t mask[4];
    uint8_t opcode;         // of the present frame
    uint8_t message_opcode; // of the message that fragments belong to; 0: none
    uint8_t state;
    bool is_final;
    bool is_handed_out;   // `message` was given to the caller and is freed by the next call
    uint8_t control[125]; // payload of an incomplete control frame
    uint8_t control_size;
};

// `max_message`: bytes of a message's payload; more is WS_CLOSE_TOO_BIG before it is allocated, as
// soon as a frame's header tells.
void ws_decoder_init(struct ws_decoder *decoder, size_t max_message);
void ws_decoder_fini(struct ws_decoder *decoder);

// Feeds bytes, which are unmasked in place; *consumed says how many were used. Call it until it
// returns WS_MORE: the last call, perhaps with `size` 0, frees the message before. A whole message
// in one frame that lies in `bytes` as a whole is not copied.
//
// Every check of RFC 6455 for a server is made: masks demanded, reserved bits and opcodes refused,
// control frames whole and of 125 bytes at most, minimal length encoding, continuation order,
// UTF-8 of text and close reasons, valid close codes. After a close frame everything is consumed
// and dropped; after an error the same error comes again.
enum ws_result ws_decoder_feed(struct ws_decoder *decoder, uint8_t *bytes, size_t size,
                               size_t *consumed, struct ws_message *message);

// Whether the decoder, after WS_MORE, is between two messages: a fresh one would do as well.
bool ws_decoder_is_idle(const struct ws_decoder *decoder);

#define WS_HEADER_MAX 10 // a server's frames have no mask

// Writes an unmasked, final frame's header; returns its size, 2 to WS_HEADER_MAX.
size_t ws_encode_header(uint8_t out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t payload_size);

// Appends a whole unmasked, final frame. False: the buffer's bound is met or memory is out; nothing
// was appended.
bool ws_append_frame(struct tl_buffer *out, enum ws_opcode opcode, const void *payload,
                     size_t size);

#define WS_CLOSE_FRAME_MAX 127

// Writes a whole close frame (header, code, reason cut at 123 bytes, between characters) into
// `out`; with WS_CLOSE_NO_STATUS a frame without a code. `reason` is UTF-8; NULL or "": none.
// Returns its size.
size_t ws_encode_close(uint8_t out[WS_CLOSE_FRAME_MAX], uint16_t code, const char *reason);

// Splits the first frame of encoded server frames (what the functions above wrote). For those who
// store frames and need the payloads back. Returns the size of header and payload together, 0 if
// `size` bytes do not hold a whole frame.
size_t ws_split_server_frame(const uint8_t *bytes, size_t size, enum ws_opcode *opcode,
                             const uint8_t **payload, size_t *payload_size);

// Whether `key` is a valid Sec-WebSocket-Key (base64 of 16 bytes).
bool ws_is_key(const char *key);

#define WS_ACCEPT_SIZE 29

// Writes Sec-WebSocket-Accept for `key`, NUL-terminated (28 characters). False: libcrypto had no
// memory; `out` is then "".
bool ws_accept(const char *key, char out[WS_ACCEPT_SIZE]);

#endif
