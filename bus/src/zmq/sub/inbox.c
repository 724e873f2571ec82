// SPDX-License-Identifier: MIT
// The ring of messages that wait for their owner.
#include "bus/src/zmq/sub/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus/src/base/probes.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/zmq_handover.h"

#define FIRST_CAPACITY 64
#define COPIED_MOST    8192 // bytes of a frame; libzmq allocates a larger one by itself
#define INLINE_MOST    33   // bytes of a frame that libzmq keeps in zmq_msg_t
#define APART_MOST     300  // bytes between two bodies that libzmq has received together: a topic
#define USED_LEAST     2048 // bytes of a receive buffer (8 KiB) that messages use who may keep it

static void count_one(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static struct talus__inbox_slot *slot_at(const struct talus__inbox *inbox, size_t index)
{
    return &inbox->slots[(inbox->first + index) & (inbox->capacity - 1)];
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

void talus__frame_keep(zmq_msg_t *kept, zmq_msg_t *frame)
{
    size_t size = zmq_msg_size(frame);
    bool is_copied = size > INLINE_MOST && size < COPIED_MOST;

    if (is_copied && zmq_msg_init_size(kept, size) != 0) {
        zmq_msg_init(kept); // as the failed call left it half made
        is_copied = false;
    }
    if (!is_copied) {
        zmq_msg_move(kept, frame);
        return;
    }
    memcpy(zmq_msg_data(kept), zmq_msg_data(frame), size);
    talus__zmq_release(zmq_msg_data(frame));
    zmq_msg_close(frame);
    zmq_msg_init(frame);
}

void talus__inbox_fini(struct talus__inbox *inbox)
{
    for (size_t i = 0; i < inbox->count; i++) {
        struct talus__inbox_slot *slot = slot_at(inbox, i);
        close_message(&slot->topic, &slot->body);
        free(slot->host);
    }
    inbox->bound->bytes -= inbox->bytes;
    inbox->count = inbox->copied = inbox->bytes = 0;
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
        struct talus__inbox_slot *from = slot_at(inbox, i);
        zmq_msg_init(&slots[i].topic);
        zmq_msg_init(&slots[i].body);
        zmq_msg_move(&slots[i].topic, &from->topic);
        zmq_msg_move(&slots[i].body, &from->body);
        slots[i].fd = from->fd;
        slots[i].host = from->host;
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
    const struct talus__inbox_bound *bound = inbox->bound;
    bool is_more = is_marker && !inbox->is_stream;
    size_t bytes = bound->max_bytes + (is_more ? bound->max_bytes / 4 : 0);
    size_t messages = inbox->max_messages + (is_more ? inbox->max_messages / 4 + 1 : 0);

    // So that it can get on, an inbox may have one message, however large (the socket bounds it),
    // unless the others use all there is.
    if (inbox->count == 0 && bound->bytes < bound->max_bytes)
        return true;
    return (inbox->max_messages == 0 || inbox->count < messages) &&
           (bound->bytes + size <= bytes || inbox->bytes + size <= inbox->least_bytes);
}

static size_t size_of(zmq_msg_t *topic, zmq_msg_t *body)
{
    return zmq_msg_size(topic) + zmq_msg_size(body) + TALUS__INBOX_OVERHEAD;
}

static void drop(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body)
{
    TALUS__PROBE3(drop, zmq_msg_data(topic), zmq_msg_size(topic), zmq_msg_size(body));
    count_one(&inbox->bound->dropped);
    inbox->is_cut = inbox->is_stream;
    close_message(topic, body);
}

// Only markers name a way back, for which the peer's address is needed.
static char *host_of(zmq_msg_t *body, bool is_marker)
{
    const char *host = is_marker ? zmq_msg_gets(body, "Peer-Address") : NULL;

    return host && strlen(host) <= TALUS__HOST_MAX ? strdup(host) : NULL;
}

static void put(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body)
{
    size_t size = size_of(topic, body);
    bool is_of_bus = is_marker(topic);

    if (inbox->is_cut || !has_room(inbox, size, is_of_bus) ||
        (inbox->count == inbox->capacity && !grow(inbox))) {
        drop(inbox, topic, body);
        return;
    }
    struct talus__inbox_slot *slot = slot_at(inbox, inbox->count);
    slot->fd = zmq_msg_get(body, ZMQ_SRCFD);
    slot->host = host_of(body, is_of_bus);
    zmq_msg_init(&slot->topic);
    zmq_msg_init(&slot->body);
    zmq_msg_move(&slot->topic, topic);
    zmq_msg_move(&slot->body, body);
    inbox->count++;
    if (inbox->peak < inbox->count)
        inbox->peak = inbox->count;
    inbox->bytes += size;
    inbox->bound->bytes += size;
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

static void copy_frame(zmq_msg_t *frame)
{
    zmq_msg_t copy;

    zmq_msg_init(&copy);
    talus__frame_keep(&copy, frame);
    zmq_msg_move(frame, &copy);
    zmq_msg_close(&copy);
}

// Whether the next message's body follows this one in the same receive buffer.
static bool is_followed(zmq_msg_t *body, zmq_msg_t *next)
{
    const char *end = (const char *)zmq_msg_data(body) + zmq_msg_size(body);
    const char *begin = zmq_msg_data(next);

    return begin >= end && (size_t)(begin - end) <= APART_MOST;
}

// The end of the messages that follow one another in one receive buffer, from this one on; adds the
// bytes that they use of it.
static size_t end_of_run(const struct talus__inbox *inbox, size_t index, size_t *bytes)
{
    do
        *bytes += zmq_msg_size(&slot_at(inbox, index)->body);
    while (++index < inbox->count &&
           is_followed(&slot_at(inbox, index - 1)->body, &slot_at(inbox, index)->body));
    return index;
}

void talus__inbox_keep(struct talus__inbox *inbox)
{
    while (inbox->copied < inbox->count) {
        size_t bytes = 0;
        size_t end = end_of_run(inbox, inbox->copied, &bytes);
        for (; inbox->copied < end; inbox->copied++) {
            struct talus__inbox_slot *slot = slot_at(inbox, inbox->copied);
            if (bytes >= USED_LEAST || slot->fd < 0)
                continue;
            copy_frame(&slot->topic);
            copy_frame(&slot->body);
        }
    }
}

void talus__inbox_pull(struct talus__inbox *inbox, size_t most)
{
    talus__inbox_keep(inbox); // it was there before
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
        count_one(&inbox->bound->malformed);
    }
    inbox->is_emptied = false;
}

// The ring is empty. It keeps its size while that is used, as a large ring is dear to make.
static void rest(struct talus__inbox *inbox)
{
    if (inbox->capacity > FIRST_CAPACITY && inbox->peak < inbox->capacity / 8)
        free_slots(inbox);
    inbox->peak = 0;
}

static void take_source(struct talus__inbox_slot *slot, struct talus__source *source)
{
    source->is_kept = true;
    source->fd = slot->fd;
    strcpy(source->host, slot->host ? slot->host : "");
    free(slot->host);
}

void talus__inbox_take(struct talus__inbox *inbox, zmq_msg_t *topic, zmq_msg_t *body,
                       struct talus__source *source)
{
    struct talus__inbox_slot *slot = &inbox->slots[inbox->first];
    size_t size = size_of(&slot->topic, &slot->body);

    inbox->bytes -= size;
    inbox->bound->bytes -= size;
    take_source(slot, source);
    zmq_msg_move(topic, &slot->topic);
    zmq_msg_move(body, &slot->body);
    zmq_msg_close(&slot->topic);
    zmq_msg_close(&slot->body);
    inbox->first = (inbox->first + 1) & (inbox->capacity - 1);
    if (inbox->copied > 0)
        inbox->copied--;
    if (--inbox->count == 0)
        rest(inbox);
}
