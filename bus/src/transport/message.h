// SPDX-License-Identifier: MIT
// An encoded event on its way to the subscribers: topic and body in one allocation, shared by
// reference count between whoever holds it (the emit queue, the transport while it is unsent, the
// history).
//
// Until it is queued it belongs to one thread; in the queue to nobody; then to the bus thread,
// which writes `prev` before the first send. After that its bytes never change; `kept` stays the
// bus thread's.
#ifndef TALUS__MESSAGE_H
#define TALUS__MESSAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <talus/broadcaster.h>

struct talus__session;

// Its place in the broadcaster's history, which so needs no memory of its own.
struct talus__kept {
    struct talus__session *session; // NULL: it is not in the history
    struct talus__message *newer;   // of all that are kept
    struct talus__message *older;
    struct talus__message *next; // the next newer one of its session
    union {
        long long at;          // when it was sent, on the monotonic clock in milliseconds
        uint64_t session_hash; // by the journal's key, until then
    };
};

struct talus__message {
    atomic_uint refs;
    uint32_t session_size; // the session begins the topic
    uint32_t topic_size;
    uint32_t body_size;
    uint32_t seq_at; // offsets into the body of the integers that are patched
    uint32_t prev_at;
    uint32_t capacity; // of the whole block, for the pool
    uint32_t cursors;  // replays that come to it next
    uint64_t seq;
    struct talus__kept kept;
    uint8_t bytes[]; // the topic, then the body
};

// The bytes that are encoded for an emit: lengths known, everything checked by the caller.
struct talus__message_parts {
    const char *origin;
    const char *session;
    size_t session_size;
    const char *type;
    size_t type_size;
    const char *except; // NULL: none
    size_t except_size;
    const void *data;
    size_t data_size;
    uint64_t ts;
    size_t max_body; // bytes
};

// Encodes an event, with one reference, its seq and prev still 0.
// Returns 0; TALUS_ETOOLARGE: the body would exceed max_body; TALUS_ENOMEM.
int talus__message_new(struct talus__message **message, const struct talus__message_parts *parts);

void talus__message_ref(struct talus__message *message);

// NULL-safe. Any thread.
void talus__message_unref(struct talus__message *message);

void talus__message_set_seq(struct talus__message *message, uint64_t seq);
void talus__message_set_prev(struct talus__message *message, uint64_t prev);

static inline const char *talus__message_topic(const struct talus__message *message)
{
    return (const char *)message->bytes;
}

static inline uint8_t *talus__message_body(struct talus__message *message)
{
    return message->bytes + message->topic_size;
}

// What it counts for in the queue's bound of bytes.
static inline size_t talus__message_size(const struct talus__message *message)
{
    return (size_t)message->topic_size + message->body_size;
}

#endif
