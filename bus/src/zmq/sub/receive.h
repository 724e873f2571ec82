// SPDX-License-Identifier: MIT
// ZeroMQ as a transport that receives.
#ifndef TALUS__ZMQ_RECEIVE_H
#define TALUS__ZMQ_RECEIVE_H

#include "bus/src/transport/receive.h"

extern const struct talus__receive_ops talus__zmq_receive_ops;

#endif
