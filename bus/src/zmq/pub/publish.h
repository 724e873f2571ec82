// SPDX-License-Identifier: MIT
// ZeroMQ as a transport for publishing: an XPUB socket, a ROUTER beside it for replays, and their
// places in bus directories.
#ifndef TALUS__ZMQ_PUBLISH_H
#define TALUS__ZMQ_PUBLISH_H

#include "bus/src/transport/publish.h"

extern const struct talus__publish_ops talus__zmq_publish_ops;

#endif
