// SPDX-License-Identifier: MIT
// The bounds of an event, checked at emit and again when it is received.
#ifndef TALUS__EVENT_LIMITS_H
#define TALUS__EVENT_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define TALUS__MAX_BODY    1000000u // bytes, default
#define TALUS__MAX_DEPTH   32u      // default nesting of a payload
#define TALUS__DEPTH_LIMIT 64u      // the most that may be configured; more is taken as this
#define TALUS__MAX_BIN     10u      // official clients refuse more attachments

// The highest seq of an event. The one after it is no event's, so that a gap can end before it.
#define TALUS__SEQ_MAX (UINT64_MAX - 1)

struct talus__limits {
    size_t max_body;    // bytes of the whole body
    unsigned max_depth; // containers within containers of the payload
    unsigned max_bin;   // `bin` values (and extensions that become attachments) of the payload
};

#endif
