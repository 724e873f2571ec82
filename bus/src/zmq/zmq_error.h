// SPDX-License-Identifier: MIT
// Errors of ZeroMQ's bind and connect as ours.
#ifndef TALUS__ZMQ_ERROR_H
#define TALUS__ZMQ_ERROR_H

// What errno says after a failed zmq_bind, zmq_connect or zmq_setsockopt.
int talus__zmq_error(void);

#endif
