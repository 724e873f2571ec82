// SPDX-License-Identifier: MIT
// Where the bench's clients connect to: a Socket.IO server on this machine.
#ifndef TALUS_CLI_BENCH_TARGET_H
#define TALUS_CLI_BENCH_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum { TARGET_PATH_MAX = 128 };

typedef struct target {
    struct sockaddr_storage address;
    socklen_t address_size;
    unsigned port;
    char host[128];             // as a Host header has it, with the port
    char path[TARGET_PATH_MAX]; // begins and ends with a slash
} target_t;

// Reads http://HOST[:PORT][/PATH]; HOST must be a loopback address. False: reported.
bool target_parse(target_t *target, const char *url);

// Begins to connect client `index`. One address has no more ports than its range of ephemeral ones,
// so clients beyond that come from 127.0.0.2 and so on (IPv4).
// Returns a non-blocking descriptor, or -1 with errno.
int target_connect(const target_t *target, size_t index);

#endif
