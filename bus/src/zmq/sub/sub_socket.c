// SPDX-License-Identifier: MIT
// The SUB socket of a subscriber.
#include "bus/src/zmq/sub/sub_socket.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/codec/wire.h"
#include "bus/src/zmq/connection_times.h"

// docs/protocol.md, "Queues and connections", says why each option is as it is.
void *talus__sub_open(void *context, const talus_subscriber_options_t *options, int64_t message_max)
{
    const struct {
        int option;
        int value;
    } values[] = {
        {ZMQ_SNDHWM, 0}, // else subscriptions are lost
        {ZMQ_RCVHWM, 0}, // a stopped input can abort the process; the inbox has a bound
        {ZMQ_LINGER, 0},
        TALUS__TCP_OPTIONS(options->heartbeat_ms),
        {ZMQ_RECONNECT_IVL, options->reconnect_ms},
        {ZMQ_RECONNECT_IVL_MAX, options->reconnect_max_ms},
    };
    void *socket = zmq_socket(context, ZMQ_SUB);
    if (!socket)
        return NULL;
    int failed =
        zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &message_max, sizeof message_max) != 0 ||
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, TALUS__BUS_TOPIC, strlen(TALUS__BUS_TOPIC)) != 0;
    for (size_t i = 0; !failed && i < sizeof values / sizeof values[0]; i++)
        failed = zmq_setsockopt(socket, values[i].option, &values[i].value, sizeof values[i].value);
    if (failed) {
        int saved = errno;
        zmq_close(socket);
        errno = saved;
        return NULL;
    }
    return socket;
}

static enum talus__received drop_rest(struct talus__inbox *inbox, struct talus__frames *frames)
{
    while (zmq_msg_more(&frames->body)) {
        if (zmq_msg_recv(&frames->body, inbox->socket, ZMQ_DONTWAIT) < 0)
            break;
    }
    return TALUS__RECEIVED_MANY_FRAMES;
}

static enum talus__received receive_frames(struct talus__inbox *inbox, struct talus__frames *frames)
{
    if (zmq_msg_recv(&frames->topic, inbox->socket, ZMQ_DONTWAIT) < 0) {
        inbox->is_emptied = errno == EAGAIN;
        if (errno == EAGAIN)
            return TALUS__RECEIVED_EMPTY;
        return errno == EINTR ? TALUS__RECEIVED_INTERRUPTED : TALUS__RECEIVED_FAILED;
    }
    inbox->is_emptied = false;
    if (!zmq_msg_more(&frames->topic))
        return TALUS__RECEIVED_ONE_FRAME;
    talus__zmq_release(zmq_msg_data(&frames->body)); // of the message before
    // The frames of a message arrive together, so this neither waits nor fails for want of one.
    while (zmq_msg_recv(&frames->body, inbox->socket, ZMQ_DONTWAIT) < 0) {
        if (errno != EINTR)
            return TALUS__RECEIVED_FAILED;
    }
    talus__zmq_acquire(zmq_msg_data(&frames->body));
    return zmq_msg_more(&frames->body) ? drop_rest(inbox, frames) : TALUS__RECEIVED_MESSAGE;
}

enum talus__received talus__sub_receive(struct talus__inbox *inbox, struct talus__frames *frames,
                                        struct talus__source *source)
{
    if (inbox->count > 0) {
        talus__zmq_release(zmq_msg_data(&frames->body)); // of the message before
        talus__inbox_take(inbox, &frames->topic, &frames->body, source);
        return TALUS__RECEIVED_MESSAGE;
    }
    source->is_kept = false;
    return receive_frames(inbox, frames);
}

int talus__sub_connection(struct talus__frames *frames, const struct talus__source *source)
{
    return source->is_kept ? source->fd : zmq_msg_get(&frames->body, ZMQ_SRCFD);
}

const char *talus__sub_host(struct talus__frames *frames, const struct talus__source *source)
{
    if (source->is_kept)
        return *source->host ? source->host : NULL;
    return zmq_msg_gets(&frames->body, "Peer-Address");
}

static int error_of(int result)
{
    if (result == 0)
        return 0;
    return errno == ENOMEM ? TALUS_ENOMEM : TALUS_ESYSTEM;
}

int talus__sub_subscribe(void *socket, const char *topic, size_t size)
{
    return error_of(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic, size));
}

int talus__sub_unsubscribe(void *socket, const char *topic, size_t size)
{
    return error_of(zmq_setsockopt(socket, ZMQ_UNSUBSCRIBE, topic, size));
}

int talus__sub_descriptor(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;

    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}
