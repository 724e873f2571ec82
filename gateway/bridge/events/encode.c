// SPDX-License-Identifier: MIT

#include "gateway/bridge/events/encode.h"

#include <stdlib.h>
#include <string.h>
#include <talus/error.h>
#include <talus/json.h>

#include "gateway/protocol/sio_frames.h"

#define JSON_MAX   ((size_t)64 << 20) // bytes of an event as JSON
#define JSON_FIRST ((size_t)8 << 10)  // bytes tried first
#define LITERAL(text)                                                                              \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

#define MEMORY_KEPT ((size_t)256 << 10) // bytes of memory kept between events

struct encoder {
    char *nsp;
    struct tl_buffer json;
    struct tl_buffer frames;
    struct sio_attachment attachments[SIO_MAX_ATTACHMENTS];
    unsigned attachment_count;
    bool has_too_many;
};

void bridge_encoded_ref(struct bridge_encoded *encoded)
{
    atomic_fetch_add_explicit(&encoded->refs, 1, memory_order_relaxed);
}

void bridge_encoded_unref(struct bridge_encoded *encoded)
{
    if (atomic_fetch_sub_explicit(&encoded->refs, 1, memory_order_acq_rel) == 1)
        free(encoded);
}

struct encoder *encoder_new(const char *nsp)
{
    struct encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return NULL;
    encoder->nsp = strdup(nsp);
    if (!encoder->nsp) {
        free(encoder);
        return NULL;
    }
    tl_buffer_init(&encoder->json, JSON_MAX);
    tl_buffer_init(&encoder->frames, JSON_MAX + ((size_t)4 << 10));
    return encoder;
}

void encoder_destroy(struct encoder **handle)
{
    struct encoder *encoder = *handle;
    if (!encoder)
        return;
    tl_buffer_fini(&encoder->json);
    tl_buffer_fini(&encoder->frames);
    free(encoder->nsp);
    free(encoder);
    *handle = NULL;
}

static void on_bin(const void *bytes, size_t size, void *arg)
{
    struct encoder *encoder = arg;
    if (encoder->attachment_count == SIO_MAX_ATTACHMENTS) {
        encoder->has_too_many = true;
        return;
    }
    encoder->attachments[encoder->attachment_count++] =
        (struct sio_attachment){.bytes = bytes, .size = size};
}

// Writes the payload as JSON into encoder->json, growing it once if need be.
static bool encode_json(struct encoder *encoder, const talus_event_t *event)
{
    size_t size = JSON_FIRST;
    for (;;) {
        tl_buffer_clear(&encoder->json);
        encoder->attachment_count = 0;
        encoder->has_too_many = false;
        char *at = (char *)tl_buffer_reserve(&encoder->json, size);
        if (!at)
            return false;
        size_t capacity = encoder->json.capacity;
        talus_error_t error =
            talus_json_encode(event->data, event->data_size, on_bin, encoder, at, capacity, &size);
        if (error == TALUS_OK) {
            tl_buffer_commit(&encoder->json, size);
            return !encoder->has_too_many;
        }
        if (error != TALUS_ETOOLARGE || size <= capacity)
            return false;
    }
}

// Makes the shared copy of what is in encoder->frames.
static struct bridge_encoded *take_frames(struct encoder *encoder, const char *session,
                                          const char *except)
{
    const struct tl_buffer *frames = &encoder->frames;
    struct bridge_encoded *encoded = malloc(sizeof *encoded + frames->size);
    if (!encoded)
        return NULL;
    atomic_init(&encoded->refs, 1);
    encoded->size = frames->size;
    encoded->index = 0;
    encoded->before.index = 0;
    encoded->gap_end[0] = '\0';
    strcpy(encoded->session, session);
    strcpy(encoded->except, except);
    memcpy(encoded->bytes, frames->bytes, frames->size);
    return encoded;
}

static void give_back_memory(struct encoder *encoder)
{
    if (encoder->json.capacity > MEMORY_KEPT)
        tl_buffer_fini(&encoder->json);
    if (encoder->frames.capacity > MEMORY_KEPT)
        tl_buffer_fini(&encoder->frames);
}

struct bridge_encoded *encoder_event(struct encoder *encoder, const talus_event_t *event)
{
    struct bridge_encoded *encoded = NULL;
    const bool has_id = event->id[0] != '\0';
    tl_buffer_clear(&encoder->frames);
    if (encode_json(encoder, event)) {
        // Types and ids are made of characters that stand for themselves in JSON.
        const struct sio_text parts[] = {
            LITERAL("[\""),          {event->type, strlen(event->type)},
            LITERAL("\","),          {(const char *)encoder->json.bytes, encoder->json.size},
            {",\"", has_id ? 2 : 0}, {event->id, strlen(event->id)},
            {"\"", has_id ? 1 : 0},  LITERAL("]"),
        };
        if (sio_frames_encode_text(&encoder->frames,
                                   encoder->attachment_count ? SIO_BINARY_EVENT : SIO_EVENT,
                                   encoder->nsp, SIO_NO_ID, parts, sizeof parts / sizeof *parts,
                                   encoder->attachments, encoder->attachment_count))
            encoded = take_frames(encoder, event->session, event->except);
    }
    give_back_memory(encoder);
    return encoded;
}

struct bridge_encoded *encoder_presence(struct encoder *encoder, const char *type,
                                        const char *session, const char *client)
{
    // Session ids and client ids are made of characters that stand for themselves in JSON.
    const struct sio_text parts[] = {
        LITERAL("[\""),
        {type, strlen(type)},
        LITERAL("\",{\"session_id\":\""),
        {session, strlen(session)},
        LITERAL("\",\"client_id\":\""),
        {client, strlen(client)},
        LITERAL("\"}]"),
    };
    tl_buffer_clear(&encoder->frames);
    if (!sio_frames_encode_text(&encoder->frames, SIO_EVENT, encoder->nsp, SIO_NO_ID, parts,
                                sizeof parts / sizeof *parts, NULL, 0))
        return NULL;
    return take_frames(encoder, session, "");
}

struct bridge_encoded *encoder_gap(struct encoder *encoder, const char *session,
                                   const talus_gap_t *gap)
{
    const char *reason = talus_gap_reason_name(gap->reason);
    // Session ids and event ids are made of characters that stand for themselves in JSON.
    const struct sio_text parts[] = {
        LITERAL("[\"gap\",{\"session_id\":\""),
        {session, strlen(session)},
        LITERAL("\",\"after\":\""),
        {gap->after, strlen(gap->after)},
        LITERAL("\",\"first\":\""),
        {gap->first, strlen(gap->first)},
        LITERAL("\",\"reason\":\""),
        {reason, strlen(reason)},
        LITERAL("\"}]"),
    };
    tl_buffer_clear(&encoder->frames);
    if (!sio_frames_encode_text(&encoder->frames, SIO_EVENT, encoder->nsp, SIO_NO_ID, parts,
                                sizeof parts / sizeof *parts, NULL, 0))
        return NULL;
    struct bridge_encoded *encoded = take_frames(encoder, session, "");
    if (encoded)
        strcpy(encoded->gap_end, gap->first);
    return encoded;
}
