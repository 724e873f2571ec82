// SPDX-License-Identifier: MIT
// libtalus's own ZeroMQ context, which all objects of a process share, kept while anything uses it.
//
// A forked child starts with no context and no users: what the parent made is the parent's, and the
// child makes its own.
#ifndef TALUS__CONTEXT_H
#define TALUS__CONTEXT_H

// For those that take clocks, forks and names from here.
#include "bus/src/base/fork.h"
#include "common/clock.h"
#include "common/random.h"

// Returns the context with one more user, or NULL (errno says why). Any thread. Does not block.
void *talus__context_ref(void);

// One user less; the last one ends the context, and then waits for what closed sockets still have
// to send, as long as their linger allows. After a fork the child must not call it for what the
// parent made (see talus__is_forked). Any thread.
void talus__context_unref(void);

#endif
