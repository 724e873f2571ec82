// SPDX-License-Identifier: MIT
// Errors of ZeroMQ's bind and connect as ours.
#include "bus/src/zmq/zmq_error.h"

#include <errno.h>
#include <zmq.h>

#include <talus/error.h>

int talus__zmq_error(void)
{
    switch (errno) {
    case EADDRINUSE:
        return TALUS_EADDRINUSE;
    case EACCES:
    case EPERM:
        return TALUS_EACCESS;
    case ENAMETOOLONG:
        return TALUS_EPATHTOOLONG;
    case EADDRNOTAVAIL:
    case ENODEV: // a host that is no address and no interface
        return TALUS_EADDRNOTAVAIL;
    case EINVAL:
    case EPROTONOSUPPORT:
    case ENOCOMPATPROTO:
        return TALUS_EENDPOINT;
    case ENOMEM:
        return TALUS_ENOMEM;
    default:
        return TALUS_ESYSTEM;
    }
}
