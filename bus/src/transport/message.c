// SPDX-License-Identifier: MIT
// Encoded events, shared by reference count.
#include "bus/src/transport/message.h"

#include <string.h>

#include <talus/error.h>

#include "bus/src/base/pool.h"
#include "bus/src/codec/body.h"

int talus__message_new(struct talus__message **out, const struct talus__message_parts *parts)
{
    uint8_t header[TALUS__BODY_HEADER_MAX];
    size_t seq_at, prev_at;
    size_t header_size = talus__body_encode_header(header, parts->origin, parts->ts, parts->except,
                                                   parts->except_size, &seq_at, &prev_at);
    if (parts->data_size > parts->max_body || header_size > parts->max_body - parts->data_size)
        return TALUS_ETOOLARGE;

    size_t topic_size = parts->session_size + 1 + parts->type_size;
    size_t body_size = header_size + parts->data_size;
    size_t capacity;
    struct talus__message *message =
        talus__pool_alloc(sizeof *message + topic_size + body_size, &capacity);
    if (!message)
        return TALUS_ENOMEM;
    message->capacity = (uint32_t)capacity;
    atomic_init(&message->refs, 1);
    message->session_size = (uint32_t)parts->session_size;
    message->topic_size = (uint32_t)topic_size;
    message->body_size = (uint32_t)body_size;
    message->seq_at = (uint32_t)seq_at;
    message->prev_at = (uint32_t)prev_at;
    message->cursors = 0;
    message->seq = 0;
    message->kept.session = NULL;

    uint8_t *at = message->bytes;
    memcpy(at, parts->session, parts->session_size);
    at += parts->session_size;
    *at++ = '/';
    memcpy(at, parts->type, parts->type_size);
    at += parts->type_size;
    memcpy(at, header, header_size);
    memcpy(at + header_size, parts->data, parts->data_size);
    *out = message;
    return 0;
}

void talus__message_ref(struct talus__message *message)
{
    atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
}

void talus__message_unref(struct talus__message *message)
{
    if (message && atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) == 1)
        talus__pool_free(message, message->capacity);
}

void talus__message_set_seq(struct talus__message *message, uint64_t seq)
{
    message->seq = seq;
    talus__body_patch(talus__message_body(message) + message->seq_at, seq);
}

void talus__message_set_prev(struct talus__message *message, uint64_t prev)
{
    talus__body_patch(talus__message_body(message) + message->prev_at, prev);
}
