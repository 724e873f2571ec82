// SPDX-License-Identifier: MIT
// Which transport an endpoint is for. There is one: ZeroMQ.
#include "bus/src/api/transports.h"

#include "bus/src/zmq/pub/publish.h"
#include "bus/src/zmq/sub/receive.h"

const struct talus__publish_ops *talus__publish_ops_of(const char *endpoint)
{
    (void)endpoint;
    return &talus__zmq_publish_ops;
}

const struct talus__receive_ops *talus__receive_ops_of(const char *endpoint)
{
    (void)endpoint;
    return &talus__zmq_receive_ops;
}
