// SPDX-License-Identifier: MIT
// The broadcaster's sockets. Their options were chosen by experiment: libzmq's defaults lose
// events.
#include "bus/src/zmq/pub/sockets.h"

#include <errno.h>
#include <zmq.h>

#include "bus/src/codec/request.h"
#include "bus/src/zmq/connection_times.h"

#define INBOUND_MAX     8192 // bytes: subscriptions and the handshake are far smaller
#define LEAST_LINGER_MS 100  // closing with none can abort the process (libzmq 4.3.4)

struct socket_option {
    int option;
    int value;
};

static int safe_linger(int linger_ms)
{
    return linger_ms > LEAST_LINGER_MS ? linger_ms : LEAST_LINGER_MS;
}

bool talus__socket_has_more(void *socket)
{
    int more = 0;
    size_t size = sizeof more;

    return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

void talus__socket_close(void *socket, int linger_ms)
{
    const int linger = safe_linger(linger_ms);

    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_close(socket);
}

static void *open_socket(void *context, int type, int64_t inbound_max,
                         const struct socket_option *values, size_t count)
{
    void *socket = zmq_socket(context, type);
    if (!socket)
        return NULL;
    int failed = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &inbound_max, sizeof inbound_max);
    for (size_t i = 0; !failed && i < count; i++)
        failed = zmq_setsockopt(socket, values[i].option, &values[i].value, sizeof values[i].value);
    if (failed) {
        int saved = errno;
        talus__socket_close(socket, 0);
        errno = saved;
        return NULL;
    }
    return socket;
}

void *talus__xpub_open(void *context, const talus_broadcaster_options_t *options)
{
    const struct socket_option values[] = {
        {ZMQ_XPUB_VERBOSE, 1}, // each subscription is answered, not only a topic's first
        {ZMQ_RCVHWM, 0},       // else subscriptions are lost
        {ZMQ_SNDHWM, options->send_high_water_mark},
        // The pipe of a subscriber that dies lingers by what held when the socket was bound, and
        // what nobody reads any more holds up the end of the context for so long. Closing sets
        // another, for the pipes of those that live.
        {ZMQ_LINGER, LEAST_LINGER_MS},
        {ZMQ_IMMEDIATE, 1}, // nothing is kept for a subscriber that is gone
        TALUS__TCP_OPTIONS(options->heartbeat_ms),
        {ZMQ_RECONNECT_IVL, options->reconnect_ms},
        {ZMQ_RECONNECT_IVL_MAX, options->reconnect_max_ms},
    };
    return open_socket(context, ZMQ_XPUB, INBOUND_MAX, values, sizeof values / sizeof values[0]);
}

void *talus__router_open(void *context, const talus_broadcaster_options_t *options)
{
    const struct socket_option values[] = {
        {ZMQ_ROUTER_MANDATORY, 1}, // a full queue and a lost client are told
        {ZMQ_RCVHWM, 0}, // a stopped input can abort the process; replay.c bounds what is open
        {ZMQ_SNDHWM, options->replay_high_water_mark},
        {ZMQ_LINGER, LEAST_LINGER_MS},
        TALUS__TCP_OPTIONS(options->heartbeat_ms),
    };
    return open_socket(context, ZMQ_ROUTER, TALUS__REQUEST_MAX, values,
                       sizeof values / sizeof values[0]);
}
