// SPDX-License-Identifier: MIT
// Receiving: waits on everything at once, and dispatches what comes.
#ifndef TALUS__RECEIVE_H
#define TALUS__RECEIVE_H

#include "bus/src/subscriber/instance.h"

// Opens the descriptors, and has them and the guard watch the socket, which is there already.
// Returns 0 or TALUS_ESYSTEM. Call talus__wake_close after an error, too.
int talus__descriptors_open(talus_subscriber_t *subscriber);

// Binding and connecting may have read what the descriptors told: the first call of receive looks.
void talus__receive_begin(talus_subscriber_t *subscriber);

// talus_subscriber_receive, for the post's holder.
int talus__receive(talus_subscriber_t *subscriber, int timeout_ms,
                   const talus_delivery_t **delivery);

#endif
