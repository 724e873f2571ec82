// SPDX-License-Identifier: MIT
// Socket.IO protocol revision 5: packets. Pure. Attachments travel as Engine.IO binary messages
// after the packet that announces them; joining the two is the decoder's work below.
//
// A decoder is used by one thread at a time; nothing here blocks.
#ifndef TALUS_GATEWAY_PROTOCOL_SIO_H
#define TALUS_GATEWAY_PROTOCOL_SIO_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buffer.h"

#define SIO_MAX_ATTACHMENTS 10  // as the reference's parser accepts
#define SIO_MAX_DEPTH       64  // nesting of inbound JSON
#define SIO_NAMESPACE_MAX   256 // bytes of an inbound namespace

enum sio_type {
    SIO_CONNECT = 0,
    SIO_DISCONNECT = 1,
    SIO_EVENT = 2,
    SIO_ACK = 3,
    SIO_CONNECT_ERROR = 4,
    SIO_BINARY_EVENT = 5,
    SIO_BINARY_ACK = 6,
};

#define SIO_NO_ID (-1)

// Bytes that belong to a place `{"_placeholder":true,"num":N}` in the data.
struct sio_attachment {
    const uint8_t *bytes;
    size_t size;
};

// A whole packet. `data` has the placeholders where they stood, each with the members
// `_placeholder` (true) and `num` (an integer below attachment_count) and no others; `attachments`
// the bytes by number. In a packet without attachments what looks like a placeholder is plain data.
struct sio_packet {
    enum sio_type type; // SIO_EVENT and SIO_ACK also for the binary kinds, which end with joining
    const char *nsp;    // NUL-terminated; "/" when the packet names none
    int64_t id;         // SIO_NO_ID: no acknowledgement asked
    json_t *data; // NULL: none, which is legal for every type. EVENT: an array with the name (a
                  // string or a number) first; ACK: an array; CONNECT: an object; CONNECT_ERROR: an
                  // object or a string; DISCONNECT: always NULL
    const struct sio_attachment *attachments;
    unsigned attachment_count;
};

// Joins packets and attachments. Owns memory only while a packet is being put together or held.
struct sio_decoder;

// `max_bytes`: of a packet's text and attachments together. NULL: out of memory.
struct sio_decoder *sio_decoder_new(size_t max_bytes);
// NULL-safe through the pointer, which is set to NULL.
void sio_decoder_destroy(struct sio_decoder **decoder);

enum sio_result {
    SIO_MORE = 0,   // attachments are still to come
    SIO_PACKET = 1, // *packet is whole; it borrows from the decoder until the next call
    SIO_ERROR = -1, // malformed: the reference closes the connection
};

// Feeds one Engine.IO message: text, or (is_binary) an attachment. Refuses what the reference
// refuses: unknown types, bad attachment counts, ids, JSON (see sio_json.h for the details), data
// of the wrong kind for the type, events whose name is no string or number or is reserved,
// attachments nobody announced, text while attachments are due, too many of them, placeholders out
// of range. Beyond that: SIO_MAX_DEPTH, SIO_NAMESPACE_MAX, `max_bytes`, ids beyond 64 bits, and
// NULs in namespaces and keys. Out of memory is an error too. An error is final for the decoder.
enum sio_result sio_decoder_feed(struct sio_decoder *decoder, bool is_binary, const uint8_t *bytes,
                                 size_t size, const struct sio_packet **packet);

// Whether an event may have this name, its array's first element: a number, or a string that is
// none of those that JavaScript clients and servers emit themselves. One that may not is malformed
// to the other side.
bool sio_is_event_name(const json_t *name);

// Appends the head of a packet's text: type, attachment count for binary types, namespace unless
// "/", id unless SIO_NO_ID; the JSON follows. False: the bound is met or memory is out; nothing was
// appended.
bool sio_encode_head(struct tl_buffer *out, enum sio_type type, unsigned attachment_count,
                     const char *nsp, int64_t id);

// Appends JSON text of `data`, compact, with the order of members kept, as JSON.stringify writes
// it. False: out of memory, the bound is met, or `data` cannot be written (NULL, a string that is
// no UTF-8, or nested more than 1,024 deep); nothing was appended.
bool sio_encode_json(struct tl_buffer *out, const json_t *data);

#endif
