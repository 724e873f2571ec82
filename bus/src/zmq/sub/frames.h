// SPDX-License-Identifier: MIT
// A message of the bus as it was received: counted bytes of a topic and a body, whose memory is
// ZeroMQ's. Who holds it sees bytes only.
#ifndef TALUS__FRAMES_H
#define TALUS__FRAMES_H

#include <stddef.h>
#include <zmq.h>

#include "bus/src/zmq/zmq_handover.h"

struct talus__frames {
    zmq_msg_t topic;
    zmq_msg_t body;
};

static inline void talus__frames_init(struct talus__frames *frames)
{
    zmq_msg_init(&frames->topic);
    zmq_msg_init(&frames->body);
}

// Lets go of the bytes.
static inline void talus__frames_fini(struct talus__frames *frames)
{
    talus__zmq_release(zmq_msg_data(&frames->body));
    zmq_msg_close(&frames->topic);
    zmq_msg_close(&frames->body);
}

static inline const void *talus__frames_topic(struct talus__frames *frames)
{
    return zmq_msg_data(&frames->topic);
}

static inline size_t talus__frames_topic_size(const struct talus__frames *frames)
{
    return zmq_msg_size(&frames->topic);
}

static inline const void *talus__frames_body(struct talus__frames *frames)
{
    return zmq_msg_data(&frames->body);
}

static inline size_t talus__frames_body_size(const struct talus__frames *frames)
{
    return zmq_msg_size(&frames->body);
}

#endif
