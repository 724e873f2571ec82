// SPDX-License-Identifier: MIT
// The defaults by which a dead peer is noticed and a lost one found again, on either side of a bus.
//
// With these a peer that is stopped, or whose host is gone, is noticed within two seconds; a
// connection that is lost is made anew within one, unless the peer stays away for long.
#ifndef TALUS__TIMES_H
#define TALUS__TIMES_H

#define TALUS__HEARTBEAT_MS         500
#define TALUS__HEARTBEAT_TIMEOUT_MS 1500
#define TALUS__RECONNECT_MS         100
#define TALUS__RECONNECT_MAX_MS     5000 // a stale ipc endpoint costs 0.1 % of a core at 100 ms

#endif
