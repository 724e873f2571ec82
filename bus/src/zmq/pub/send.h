// SPDX-License-Identifier: MIT
// Sends an event's two frames without copying the body.
#ifndef TALUS__SEND_H
#define TALUS__SEND_H

#include "bus/src/transport/message.h"

// Consumes the reference, which ZeroMQ holds until the last peer has the event. Does not block.
// Returns 0 or -1 with errno.
int talus__send_message(void *socket, struct talus__message *message);

#endif
