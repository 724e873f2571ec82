// SPDX-License-Identifier: MIT
// Session ids and event types: what is allowed in them (docs/protocol.md, "Topics").
#ifndef TALUS_TOPIC_H
#define TALUS_TOPIC_H

#include <stddef.h>

#include <talus/error.h>
#include <talus/export.h>

TALUS_BEGIN_DECLS

#define TALUS_SESSION_MAX 128 // bytes of a session id
#define TALUS_TYPE_MAX    64  // bytes of an event type
#define TALUS_ORIGIN_MAX  16  // characters of an origin
// The prefix of the origins of broadcasters that send only the presence of their clients
// (session-connected, session-disconnected), as gateways do. No other origin has it.
#define TALUS_PRESENCE_ORIGIN "gw00"
#define TALUS_ID_MAX          37 // characters of an event id: ORIGIN.SEQ
#define TALUS_EXCEPT_MAX      64 // bytes of a client id in `except`

// Checks a session id of `size` bytes. The empty id, which stands for everybody, is not one.
// Returns 0 or TALUS_ESESSION. Any thread. Does not block.
TALUS_API talus_error_t talus_session_check(const char *session, size_t size) TALUS_MUST_USE;

// Checks an event type of `size` bytes as an application may emit it.
// Returns 0; TALUS_ETYPE: malformed; TALUS_ERESERVED: the bus's own ($…), or a name that Socket.IO
// clients or the gateway treat as theirs. Any thread. Does not block.
TALUS_API talus_error_t talus_type_check(const char *type, size_t size) TALUS_MUST_USE;

TALUS_END_DECLS

#endif
