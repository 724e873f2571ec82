// SPDX-License-Identifier: MIT
// Receiving: waits on everything at once, and dispatches what comes.
#ifndef TALUS__RECEIVE_H
#define TALUS__RECEIVE_H

#include "bus/src/subscriber/instance.h"

// What the transport tells of is for the subscriber.
void talus__receive_own(talus_subscriber_t *subscriber);

// Opening the transport may have read what the descriptors told: the first call of receive looks.
void talus__receive_begin(talus_subscriber_t *subscriber);

// talus_subscriber_receive, for the transport's holder.
int talus__receive(talus_subscriber_t *subscriber, int timeout_ms,
                   const talus_delivery_t **delivery);

#endif
