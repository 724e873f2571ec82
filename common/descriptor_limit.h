// SPDX-License-Identifier: MIT
// How many descriptors the process may have: by default 1,024, until it asks for more.
#ifndef TALUS_COMMON_DESCRIPTOR_LIMIT_H
#define TALUS_COMMON_DESCRIPTOR_LIMIT_H

#include <stdint.h>

// Raises the limit as far as the process may, and returns it. UINT64_MAX: there is none, or it is
// not known.
uint64_t tl_descriptor_limit_raise(void);

#endif
