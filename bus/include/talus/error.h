// SPDX-License-Identifier: MIT
// Every error that libtalus returns, with its name and text, in one table.
#ifndef TALUS_ERROR_H
#define TALUS_ERROR_H

#include <talus/export.h>

TALUS_BEGIN_DECLS

// X(name, number, text). Numbers of errors that are gone are not used again: -13, -20.
#define TALUS_ERROR_MAP(X)                                                                         \
    X(NOMEM, -1, "out of memory")                                                                  \
    X(INVAL, -2, "an argument is not valid")                                                       \
    X(SESSION, -3, "the session id is not valid (1 to 128 of A-Z a-z 0-9 . _ : @ -)")              \
    X(TYPE, -4, "the event type is not valid (1 to 64 of A-Z a-z 0-9 . _ : -)")                    \
    X(RESERVED, -5, "the event type is reserved")                                                  \
    X(MSGPACK, -6, "the payload is not well-formed msgpack")                                       \
    X(TOOLARGE, -7, "the event is larger than the bound")                                          \
    X(TOODEEP, -8, "the payload is nested deeper than the bound")                                  \
    X(TOOMANYBIN, -9, "the payload has more binary values than the bound")                         \
    X(PLACEHOLDER, -10, "the payload has binary values and a map key named _placeholder")          \
    X(QUEUEFULL, -11, "the emit queue is full")                                                    \
    X(FORKED, -12, "this object belongs to the parent process")                                    \
    X(TIMEOUT, -14, "the time ran out")                                                            \
    X(ENDPOINT, -15, "the endpoint is malformed")                                                  \
    X(PATHTOOLONG, -16, "the bus directory's path is too long for a Unix socket")                  \
    X(ADDRINUSE, -17, "the address is in use")                                                     \
    X(ACCESS, -18, "permission denied, or the bus directory belongs to somebody else")             \
    X(SYSTEM, -19, "a system call failed (see errno)")                                             \
    X(NOTFOUND, -21, "no such thing")                                                              \
    X(LIMIT, -22, "a bound on the number of such things is reached")                               \
    X(NOSUBSCRIBER, -23, "no subscriber came in time")                                             \
    X(ADDRNOTAVAIL, -24, "this host does not have that address or network interface")              \
    X(WOKEN, -25, "another thread asked for the call to return")                                   \
    X(EXIST, -26, "there is one already")

#define TALUS_ERROR_ENUM(name, number, text) TALUS_E##name = (number),

// What every function returns that can fail: 0 (TALUS_OK) or one of the negative numbers above.
// Later versions may add some, so a `switch` needs a default. A number never changes its meaning.
typedef enum talus_error { TALUS_OK = 0, TALUS_ERROR_MAP(TALUS_ERROR_ENUM) } talus_error_t;

#undef TALUS_ERROR_ENUM

// The text of an error, for people. `error`: any number, such as an exit status that was one; any
// other number gives "unknown error". The text is static. Any thread. Does not block.
TALUS_API const char *talus_strerror(int error);

// The name of an error, such as "TALUS_EQUEUEFULL", for logs and counters. `error`: any number;
// "TALUS_OK" for 0, "TALUS_EUNKNOWN" for any other number. The text is static. Any thread. Does not
// block.
TALUS_API const char *talus_error_name(int error);

TALUS_END_DECLS

#endif
