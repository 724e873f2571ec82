// SPDX-License-Identifier: MIT
// Joins the text of Socket.IO packets with their attachments. Invariants: while `due` is not 0 the
// packet waits for that many attachments, and nothing else may come; `used` counts the bytes of the
// packet's text and attachments and never passes the bound.
#include <stdlib.h>
#include <string.h>

#include "gateway/protocol/sio.h"
#include "gateway/protocol/sio_json.h"

enum { KEPT_CAPACITY = 16384 };

struct sio_decoder {
    size_t max_bytes;
    size_t used;
    unsigned due;
    bool is_failed;
    struct sio_packet packet;
    struct tl_buffer bytes; // of all attachments, one after the other
    size_t sizes[SIO_MAX_ATTACHMENTS];
    struct sio_attachment attachments[SIO_MAX_ATTACHMENTS];
    char nsp[SIO_NAMESPACE_MAX + 1];
};

struct text {
    const char *at;
    const char *end;
};

struct sio_decoder *sio_decoder_new(size_t max_bytes)
{
    struct sio_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return NULL;
    decoder->max_bytes = max_bytes;
    tl_buffer_init(&decoder->bytes, max_bytes);
    return decoder;
}

static void forget_packet(struct sio_decoder *decoder)
{
    json_decref(decoder->packet.data);
    decoder->packet = (struct sio_packet){.id = SIO_NO_ID, .nsp = decoder->nsp};
    decoder->used = 0;
    decoder->due = 0;
    if (decoder->bytes.capacity > KEPT_CAPACITY)
        tl_buffer_fini(&decoder->bytes);
    tl_buffer_clear(&decoder->bytes);
}

void sio_decoder_destroy(struct sio_decoder **decoder)
{
    if (!*decoder)
        return;
    json_decref((*decoder)->packet.data);
    tl_buffer_fini(&(*decoder)->bytes);
    free(*decoder);
    *decoder = NULL;
}

// ---- The head of a packet's text

static bool is_digit(const struct text *text)
{
    return text->at < text->end && *text->at >= '0' && *text->at <= '9';
}

// Reads digits; false if there are none or the number passes `max`.
static bool read_decimal(struct text *text, int64_t max, int64_t *value)
{
    if (!is_digit(text))
        return false;
    for (*value = 0; is_digit(text); text->at++) {
        int digit = *text->at - '0';
        if (*value > (max - digit) / 10)
            return false;
        *value = *value * 10 + digit;
    }
    return true;
}

static bool read_type(struct text *text, enum sio_type *type)
{
    if (text->at == text->end || *text->at < '0' || *text->at > '6')
        return false;
    *type = (enum sio_type)(*text->at++ - '0');
    return true;
}

static bool read_attachment_count(struct text *text, unsigned *count)
{
    int64_t value;
    if (!read_decimal(text, SIO_MAX_ATTACHMENTS, &value) || value == 0 || text->at == text->end ||
        *text->at != '-')
        return false;
    text->at++;
    *count = (unsigned)value;
    return true;
}

// The name goes up to a comma, or to the end: `0/admin` connects as `0/admin,` does.
static bool read_namespace(struct text *text, char nsp[SIO_NAMESPACE_MAX + 1])
{
    if (text->at == text->end || *text->at != '/') {
        strcpy(nsp, "/");
        return true;
    }
    size_t left = (size_t)(text->end - text->at);
    const char *comma = memchr(text->at, ',', left);
    size_t size = comma ? (size_t)(comma - text->at) : left;
    if (size > SIO_NAMESPACE_MAX || memchr(text->at, '\0', size))
        return false;
    memcpy(nsp, text->at, size);
    nsp[size] = '\0';
    text->at += comma ? size + 1 : size;
    return true;
}

// ---- Its data

bool sio_is_event_name(const json_t *name)
{
    static const char *const RESERVED[] = {"connect",       "connect_error", "disconnect",
                                           "disconnecting", "newListener",   "removeListener"};
    if (!json_is_string(name))
        return json_is_number(name);
    for (size_t i = 0; i < sizeof RESERVED / sizeof *RESERVED; i++)
        if (json_string_length(name) == strlen(RESERVED[i]) &&
            strcmp(json_string_value(name), RESERVED[i]) == 0)
            return false;
    return true;
}

static bool is_data_valid(enum sio_type type, const json_t *data)
{
    switch (type) {
    case SIO_CONNECT:
        return json_is_object(data);
    case SIO_DISCONNECT:
        return false; // has none
    case SIO_EVENT:
    case SIO_BINARY_EVENT:
        return json_is_array(data) && sio_is_event_name(json_array_get(data, 0));
    case SIO_ACK:
    case SIO_BINARY_ACK:
        return json_is_array(data);
    case SIO_CONNECT_ERROR:
        return json_is_string(data) || json_is_object(data);
    }
    return false;
}

// Brings a placeholder into the one form that the header promises: no other members, an integer.
static bool normalize_placeholder(json_t *object, unsigned count)
{
    const json_t *num = json_object_get(object, "num");
    double value = json_number_value(num);
    if (!json_is_number(num) || value < 0 || value >= count || value != (unsigned)value)
        return false;
    if (json_is_integer(num) && json_object_size(object) == 2)
        return true;
    return json_object_clear(object) == 0 &&
           json_object_set_new(object, "_placeholder", json_true()) == 0 &&
           json_object_set_new(object, "num", json_integer((json_int_t)value)) == 0;
}

// Checks every placeholder in the data; the recursion is bounded by SIO_MAX_DEPTH.
static bool normalize_placeholders(json_t *value, unsigned count)
{
    if (json_is_object(value)) {
        if (json_is_true(json_object_get(value, "_placeholder")))
            return normalize_placeholder(value, count);
        const char *key;
        json_t *member;
        json_object_foreach(value, key,
                            member) if (!normalize_placeholders(member, count)) return false;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!normalize_placeholders(json_array_get(value, i), count))
            return false;
    return true;
}

// ---- Packets

static bool read_packet(struct sio_decoder *decoder, struct text text)
{
    struct sio_packet *packet = &decoder->packet;
    if (!read_type(&text, &packet->type))
        return false;
    bool is_binary = packet->type == SIO_BINARY_EVENT || packet->type == SIO_BINARY_ACK;
    if (is_binary && !read_attachment_count(&text, &decoder->due))
        return false;
    if (!read_namespace(&text, decoder->nsp))
        return false;
    if (is_digit(&text) && !read_decimal(&text, INT64_MAX, &packet->id))
        return false;
    if (text.at == text.end)
        return true; // legal for every type
    packet->data = sio_json_parse((const uint8_t *)text.at, (size_t)(text.end - text.at));
    return packet->data && is_data_valid(packet->type, packet->data);
}

static enum sio_result end_packet(struct sio_decoder *decoder)
{
    struct sio_packet *packet = &decoder->packet;
    const uint8_t *at = decoder->bytes.bytes;
    for (unsigned i = 0; i < packet->attachment_count; i++) {
        decoder->attachments[i].bytes = decoder->sizes[i] > 0 ? at : (const uint8_t *)"";
        decoder->attachments[i].size = decoder->sizes[i];
        if (decoder->sizes[i] > 0)
            at += decoder->sizes[i];
    }
    packet->attachments = decoder->attachments;
    if (packet->type == SIO_BINARY_EVENT)
        packet->type = SIO_EVENT;
    if (packet->type == SIO_BINARY_ACK)
        packet->type = SIO_ACK;
    return SIO_PACKET;
}

static enum sio_result feed_text(struct sio_decoder *decoder, const uint8_t *bytes, size_t size)
{
    if (decoder->due > 0)
        return SIO_ERROR;
    forget_packet(decoder);
    if (size == 0 || size > decoder->max_bytes)
        return SIO_ERROR;
    decoder->used = size;
    const char *text = (const char *)bytes;
    if (!read_packet(decoder, (struct text){text, text + size}))
        return SIO_ERROR;
    return decoder->due > 0 ? SIO_MORE : end_packet(decoder);
}

static enum sio_result feed_attachment(struct sio_decoder *decoder, const uint8_t *bytes,
                                       size_t size)
{
    struct sio_packet *packet = &decoder->packet;
    if (decoder->due == 0 || size > decoder->max_bytes - decoder->used ||
        !tl_buffer_append(&decoder->bytes, bytes, size))
        return SIO_ERROR;
    decoder->used += size;
    decoder->sizes[packet->attachment_count++] = size;
    if (--decoder->due > 0)
        return SIO_MORE;
    if (packet->data && !normalize_placeholders(packet->data, packet->attachment_count))
        return SIO_ERROR;
    return end_packet(decoder);
}

enum sio_result sio_decoder_feed(struct sio_decoder *decoder, bool is_binary, const uint8_t *bytes,
                                 size_t size, const struct sio_packet **packet)
{
    *packet = NULL;
    if (decoder->is_failed)
        return SIO_ERROR;
    enum sio_result result =
        is_binary ? feed_attachment(decoder, bytes, size) : feed_text(decoder, bytes, size);
    if (result == SIO_PACKET)
        *packet = &decoder->packet;
    if (result == SIO_ERROR) {
        forget_packet(decoder);
        decoder->is_failed = true;
    }
    return result;
}
