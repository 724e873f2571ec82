// SPDX-License-Identifier: MIT
// When the kernel ends a tcp connection whose peer is gone, for all sockets.
#ifndef TALUS__CONNECTION_TIMES_H
#define TALUS__CONNECTION_TIMES_H

#include "bus/src/transport/times.h"

// No socket of ours has ZMTP heartbeats, and none that receives has a high-water mark: in libzmq
// 4.3.4 a heartbeat on a connection whose input rests, and that the peer has left, aborts the
// process (stream_engine_base.cpp, out_event). The bus has heartbeats of its own; that a host is
// gone is told by the kernel, within three seconds.
// Bytes that wait for so long, unconfirmed, or (Linux from 5.11 on) since the peer's process reads
// nothing: the connection is cut.
#define TALUS__TCP_MAXRT_MS 3000
#define TALUS__TCP_OPTIONS(is_on)                                                                  \
    {ZMQ_TCP_KEEPALIVE, (is_on) ? 1 : -1}, {ZMQ_TCP_KEEPALIVE_IDLE, (is_on) ? 1 : -1},             \
        {ZMQ_TCP_KEEPALIVE_INTVL, (is_on) ? 1 : -1}, {ZMQ_TCP_KEEPALIVE_CNT, (is_on) ? 2 : -1},    \
    {                                                                                              \
        ZMQ_TCP_MAXRT, (is_on) ? TALUS__TCP_MAXRT_MS : 0                                           \
    }

#endif
