// SPDX-License-Identifier: MIT
// HTTP long-polling: the client fetches packets with GET, which waits until there are some, and
// sends packets with POST.
#ifndef TALUS_GATEWAY_TRANSPORT_POLLING_H
#define TALUS_GATEWAY_TRANSPORT_POLLING_H

#include "gateway/transport/transport.h"

extern const struct transport_ops polling_ops;

#endif
