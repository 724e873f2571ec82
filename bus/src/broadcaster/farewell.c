// SPDX-License-Identifier: MIT
#include "farewell.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "context.h"
#include "zmq_handover.h"

#define SLICE_MS     1 // between looks, at first; then twice as long each time
#define SLICE_MAX_MS 50

struct talus__farewell {
    atomic_int owners; // the bus thread, and the message until ZeroMQ has released it
    void *socket;
    uint8_t body[];
};

static void unref(struct talus__farewell *farewell)
{
    if (atomic_fetch_sub_explicit(&farewell->owners, 1, memory_order_acq_rel) == 1)
        free(farewell);
}

static void on_released(void *data, void *farewell)
{
    talus__zmq_acquire(data);
    unref(farewell);
}

struct talus__farewell *talus__farewell_send(void *socket, const char *topic, size_t topic_size,
                                             const void *body, size_t body_size)
{
    struct talus__farewell *farewell = malloc(sizeof *farewell + body_size);
    zmq_msg_t frame;

    if (!farewell) {
        errno = ENOMEM;
        return NULL;
    }
    atomic_init(&farewell->owners, 2);
    farewell->socket = socket;
    memcpy(farewell->body, body, body_size);
    if (zmq_msg_init_data(&frame, farewell->body, body_size, on_released, farewell) != 0) {
        free(farewell);
        return NULL;
    }
    talus__zmq_release(zmq_msg_data(&frame));
    if (zmq_send(socket, topic, topic_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_msg_send(&frame, socket, ZMQ_DONTWAIT) < 0) {
        int saved = errno;
        zmq_msg_close(&frame);
        unref(farewell);
        errno = saved;
        return NULL;
    }
    return farewell;
}

static bool is_released(const struct talus__farewell *farewell)
{
    return atomic_load_explicit(&farewell->owners, memory_order_acquire) == 1;
}

void talus__farewell_wait(struct talus__farewell *farewell, long long deadline)
{
    int fd, events;
    size_t fd_size = sizeof fd, events_size = sizeof events;
    int slice_ms = SLICE_MS;

    if (!farewell)
        return;
    zmq_getsockopt(farewell->socket, ZMQ_FD, &fd, &fd_size);
    while (!is_released(farewell) && talus__monotonic_ms() < deadline) {
        // It lets go of the pipes of those that have left, and clears the descriptor.
        zmq_getsockopt(farewell->socket, ZMQ_EVENTS, &events, &events_size);
        if (is_released(farewell))
            break;
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, slice_ms);
        if (slice_ms < SLICE_MAX_MS)
            slice_ms *= 2;
    }
}

void talus__farewell_free(struct talus__farewell *farewell)
{
    if (farewell)
        unref(farewell);
}
