// SPDX-License-Identifier: MIT
// libtalus: domain events of live sessions over ZeroMQ.
//
// This is the one header a service includes. A service that tells makes a broadcaster
// (talus/broadcaster.h) and emits; one that listens makes a subscriber (talus/subscriber.h) and
// receives. What crosses the wire is written in docs/protocol.md.
//
// Conventions that hold for every function here:
//  - 0 is success, a negative TALUS_E… is an error (talus/error.h); results come back through
//    out-parameters, which are left alone when the call fails unless the text says otherwise.
//  - `const T *` borrows for the duration of the call; `T **` of a destroy function consumes and is
//    set to NULL.
//  - Strings are UTF-8 and NUL-terminated unless a length stands beside them.
//  - The library installs no signal handler and writes nothing to a descriptor that it did not
//    open; its log goes to the function set with talus_set_log (default: standard error, from
//    warnings up).
#ifndef TALUS_H
#define TALUS_H

#include <talus/broadcaster.h>
#include <talus/error.h>
#include <talus/event.h>
#include <talus/json.h>
#include <talus/log.h>
#include <talus/subscriber.h>
#include <talus/topic.h>
#include <talus/value.h>
#include <talus/version.h>

#endif
