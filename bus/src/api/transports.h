// SPDX-License-Identifier: MIT
// Which transport an endpoint is for: the one place of the library that knows them all.
#ifndef TALUS__TRANSPORTS_H
#define TALUS__TRANSPORTS_H

#include "bus/src/transport/publish.h"
#include "bus/src/transport/receive.h"

// The transport that publishes at the endpoint (as for talus_broadcaster_new; NULL: the default).
// Never NULL: what no transport knows is refused by the one that is given.
const struct talus__publish_ops *talus__publish_ops_of(const char *endpoint);

// The one that receives there (as for talus_subscriber_new; NULL: the default). Never NULL.
const struct talus__receive_ops *talus__receive_ops_of(const char *endpoint);

#endif
