// SPDX-License-Identifier: MIT
#include "bus/src/zmq/pub/leave.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/zmq/zmq_handover.h"
#include "common/clock.h"

#define SLICE_MS     1 // between looks, at first; then twice as long each time
#define SLICE_MAX_MS 50

struct talus__leave {
    atomic_int owners; // the bus thread, and the message until ZeroMQ has released it
    void *socket;
    uint8_t body[];
};

static void unref(struct talus__leave *leave)
{
    if (atomic_fetch_sub_explicit(&leave->owners, 1, memory_order_acq_rel) == 1)
        free(leave);
}

static void on_released(void *data, void *leave)
{
    talus__zmq_acquire(data);
    unref(leave);
}

struct talus__leave *talus__leave_send(void *socket, const char *topic, size_t topic_size,
                                       const void *body, size_t body_size)
{
    struct talus__leave *leave = malloc(sizeof *leave + body_size);
    zmq_msg_t frame;

    if (!leave) {
        errno = ENOMEM;
        return NULL;
    }
    atomic_init(&leave->owners, 2);
    leave->socket = socket;
    memcpy(leave->body, body, body_size);
    if (zmq_msg_init_data(&frame, leave->body, body_size, on_released, leave) != 0) {
        free(leave);
        return NULL;
    }
    talus__zmq_release(zmq_msg_data(&frame));
    if (zmq_send(socket, topic, topic_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0 ||
        zmq_msg_send(&frame, socket, ZMQ_DONTWAIT) < 0) {
        int saved = errno;
        zmq_msg_close(&frame);
        unref(leave);
        errno = saved;
        return NULL;
    }
    return leave;
}

static bool is_released(const struct talus__leave *leave)
{
    return atomic_load_explicit(&leave->owners, memory_order_acquire) == 1;
}

void talus__leave_wait(struct talus__leave *leave, long long deadline)
{
    int fd, events;
    size_t fd_size = sizeof fd, events_size = sizeof events;
    int slice_ms = SLICE_MS;

    if (!leave)
        return;
    zmq_getsockopt(leave->socket, ZMQ_FD, &fd, &fd_size);
    while (!is_released(leave) && tl_monotonic_ms() < deadline) {
        // It lets go of the pipes of those that have left, and clears the descriptor.
        zmq_getsockopt(leave->socket, ZMQ_EVENTS, &events, &events_size);
        if (is_released(leave))
            break;
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, slice_ms);
        if (slice_ms < SLICE_MAX_MS)
            slice_ms *= 2;
    }
}

void talus__leave_free(struct talus__leave *leave)
{
    if (leave)
        unref(leave);
}
