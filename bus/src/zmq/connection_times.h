// SPDX-License-Identifier: MIT
// The defaults by which a dead peer is noticed and a lost one found again, for all sockets.
//
// With these a peer that is stopped, or whose host is gone, is noticed within two seconds; a
// connection that is lost is made anew within one, unless the peer stays away for long.
#ifndef TALUS__CONNECTION_TIMES_H
#define TALUS__CONNECTION_TIMES_H

#define TALUS__HEARTBEAT_MS         500
#define TALUS__HEARTBEAT_TIMEOUT_MS 1500
#define TALUS__RECONNECT_MS         100
#define TALUS__RECONNECT_MAX_MS     5000 // a stale ipc endpoint costs 0.1 % of a core at 100 ms

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
