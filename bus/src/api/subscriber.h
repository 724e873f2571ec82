// SPDX-License-Identifier: MIT
// What tests ask of a subscriber.
#ifndef TALUS__SUBSCRIBER_H
#define TALUS__SUBSCRIBER_H

#include <talus/subscriber.h>

#include "bus/src/transport/receive.h"

// As talus_subscriber_new, on a transport that the caller picks, with options that are valid.
int talus__subscriber_new_on(talus_subscriber_t **subscriber, const struct talus__receive_ops *ops,
                             const char *endpoint,
                             const talus_subscriber_options_t *options) TALUS_MUST_USE;

#endif
