// SPDX-License-Identifier: MIT
// The ring of messages that wait for their owner.
#include "inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "zmq_handover.h"

#define FIRST_CAPACITY 64

static void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void close_message(zmq_msg_t *topic, zmq_msg_t *body)
{
    talus__zmq_release(zmq_msg_data(body));
    zmq_msg_close(topic);
    zmq_msg_close(body);
}

static void free_slots(struct talus__inbox *inbox)
{
    free(inbox->slots);
    inbox->slots = NULL;
    inbox->capacity = inbox->first = 0;
}

void talus__inbox_fini(struct talus__inbox *inbox)
{
    for (size_t i = 0; i < inbox->count; i++) {
        struct talus__inbox_slot *slot = &inbox->slots[(inbox->first + i) & (inbox->capacity - 1)];
        close_message(&slot->topic, &slot->body);
    }
    inbox->count = inbox->bytes = 0;
    free_slots(inbox);
}

// The messages are copied byte by byte: ZeroMQ's own vectors of messages do the same.
static bool grow(struct talus__inbox *inbox)
{
    size_t capacity = inbox->capacity ? inbox->capacity * 2 : FIRST_CAPACITY;
    struct talus__inbox_slot *slots = malloc(capacity * sizeof *slots);

    if (!slots)
        return false;
    for (size_t i = 0; i < inbox->count; i++) {
        struct talus__inbox_slot *from = &inbox->slots[(inbox->first + i) & (inbox->capacity - 1)];
        zmq_msg_init(&slots[i].topic);
        zmq_msg_init(&slots[i].body);
        zmq_msg_move(&slots[i].topic, &from->topic);
        zmq_msg_move(&slots[i].body, &from->body);
    }
    free(inbox->slots);
    inbox->slots = slots;
    inbox->capacity = capacity;
    inbox->first = 0;
    return true;
}

// SESSION/$…, or a control topic.
static bool is_marker(zmq_msg_t *topic)
{
    const char *text = zmq_msg_data(topic);
    size_t size = zmq_msg_size(topic);
    const char *slash = size > 0 ? memchr(text, '/', size) : NULL;

    return size > 0 && (text[0] == '$' || (slash && slash + 1 < text + size && slash[1] == '$'));
}

static bool has_room(const struct talus__inbox *inbox, size_t size, bool is_marker)
{
    size_t bytes = inbox->max_bytes + (is_marker ? inbox->max_bytes / 4 : 0);
    size_t messages = inbox->max_messages + (is_marker ? inbox->max_messages / 4 + 1 : 0);

    // A message alone is always taken, however large: the socket bounds it.
    return inbox->count == 0 ||
           ((inbox->max_messages == 0 || inbox->count < messages) && inbox->bytes + size <= bytes);
}

static size_t size_of(zmq_msg_t *topic, zmq_msg_t *body)
{
    return zmq_msg_size(topic) + zmq_msg_size(body) + TALUS__INBOX_OVERHEAD;
}

static void put(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body)
{
    size_t size = size_of(topic, body);

    if (!has_room(inbox, size, is_marker(topic)) ||
        (inbox->count == inbox->capacity && !grow(inbox))) {
        count_one(&inbox->dropped);
        inbox->has_dropped = true;
        close_message(topic, body);
        return;
    }
    struct talus__inbox_slot *slot =
        &inbox->slots[(inbox->first + inbox->count) & (inbox->capacity - 1)];
    zmq_msg_init(&slot->topic);
    zmq_msg_init(&slot->body);
    zmq_msg_move(&slot->topic, topic);
    zmq_msg_move(&slot->body, body);
    inbox->count++;
    inbox->bytes += size;
    zmq_msg_close(topic);
    zmq_msg_close(body);
}

// Reads one message. Returns whether there was one; it is in the frames if it has two.
static bool read_pair(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body, bool *is_pair)
{
    while (zmq_msg_recv(topic, inbox->socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR)
            return false;
    }
    *is_pair = zmq_msg_more(topic);
    bool is_more = *is_pair;
    for (int frames = 1; is_more; frames++) {
        // The frames of a message arrive together.
        while (zmq_msg_recv(body, inbox->socket, ZMQ_DONTWAIT) < 0) {
            if (errno != EINTR)
                return false;
        }
        is_more = zmq_msg_more(body);
        *is_pair = frames == 1 && !is_more;
    }
    talus__zmq_acquire(zmq_msg_data(body));
    return true;
}

void talus__inbox_pull(struct talus__inbox *inbox, size_t most)
{
    for (size_t read = 0; read < most; read++) {
        zmq_msg_t topic, body;
        bool is_pair = false;
        zmq_msg_init(&topic);
        zmq_msg_init(&body);
        bool has_message = read_pair(inbox, &topic, &body, &is_pair);
        if (has_message && is_pair) {
            put(inbox, &topic, &body);
            continue;
        }
        close_message(&topic, &body);
        if (!has_message) {
            inbox->is_emptied = true;
            return;
        }
        count_one(&inbox->malformed);
    }
    inbox->is_emptied = false;
}

void talus__inbox_take(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body)
{
    struct talus__inbox_slot *slot = &inbox->slots[inbox->first];

    inbox->bytes -= size_of(&slot->topic, &slot->body);
    zmq_msg_move(topic, &slot->topic);
    zmq_msg_move(body, &slot->body);
    zmq_msg_close(&slot->topic);
    zmq_msg_close(&slot->body);
    inbox->first = (inbox->first + 1) & (inbox->capacity - 1);
    if (--inbox->count == 0 && inbox->capacity > FIRST_CAPACITY)
        free_slots(inbox);
}
