// SPDX-License-Identifier: MIT
// Sends an event's two frames.
#include "bus/src/zmq/pub/send.h"

#include <errno.h>
#include <zmq.h>

#include "bus/src/zmq/zmq_handover.h"

static void on_body_sent(void *data, void *message)
{
    talus__zmq_acquire(data);
    talus__message_unref(message);
}

int talus__send_message(void *socket, struct talus__message *message)
{
    zmq_msg_t body;

    if (zmq_msg_init_data(&body, talus__message_body(message), message->body_size, on_body_sent,
                          message) != 0) {
        talus__message_unref(message);
        return -1;
    }
    if (zmq_send(socket, talus__message_topic(message), message->topic_size,
                 ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        goto fail;
    talus__zmq_release(zmq_msg_data(&body));
    if (zmq_msg_send(&body, socket, ZMQ_DONTWAIT) < 0)
        goto fail;
    return 0;

fail:;
    int saved = errno;
    zmq_msg_close(&body);
    errno = saved;
    return -1;
}
