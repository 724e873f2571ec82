// SPDX-License-Identifier: MIT
// Endpoint lists: `[@|>]ENDPOINT[,[@|>]ENDPOINT]…`, where `ipc://DIRECTORY/*` is a bus directory.
// Pure, but for reading the environment for the default.
//
// A comma always separates, so neither a directory nor a socket's path may contain one.
#ifndef TALUS__ENDPOINT_H
#define TALUS__ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

#define TALUS__ENDPOINTS_MAX     64   // endpoints in one list
#define TALUS__ENDPOINT_TEXT_MAX 1000 // bytes of one

enum talus__endpoint_kind {
    TALUS__ENDPOINT_DIRECTORY, // `text` is the directory's path
    TALUS__ENDPOINT_BIND,      // `text` is a ZeroMQ endpoint
    TALUS__ENDPOINT_CONNECT,
};

struct talus__endpoint {
    enum talus__endpoint_kind kind;
    char *text; // owned
};

struct talus__endpoints {
    struct talus__endpoint *items; // owned
    size_t count;
};

// Parses `list` (NULL: the default endpoint). `is_bound`: what an endpoint without a prefix is,
// and the side that this caller takes in a bus directory.
// Returns 0; TALUS_EENDPOINT: the list or one of its endpoints is empty, a transport other than
// tcp, ipc and inproc, a tcp endpoint without a port, a wildcard to connect to, a bus directory
// with the prefix of the other side, more than TALUS__ENDPOINTS_MAX, one longer than
// TALUS__ENDPOINT_TEXT_MAX; TALUS_EPATHTOOLONG: a path, or the sockets of a bus directory, does not
// fit into a Unix address; TALUS_ENOMEM. Nothing is to be freed after an error.
int talus__endpoints_parse(const char *list, bool is_bound, struct talus__endpoints *endpoints);

// Frees what a successful parse made. Safe on a zeroed struct.
void talus__endpoints_fini(struct talus__endpoints *endpoints);

#endif
