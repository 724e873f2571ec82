// SPDX-License-Identifier: MIT
// Addresses of listening sockets as people write them: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`.
#ifndef TALUS_GATEWAY_TRANSPORT_ADDRESS_H
#define TALUS_GATEWAY_TRANSPORT_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ADDRESS_HOST_MAX = 255, ADDRESS_TEXT_MAX = 300 };

struct address {
    bool is_unix;
    char host[ADDRESS_HOST_MAX + 1]; // without brackets
    char port[6];                    // digits
    struct sockaddr_un path;         // if is_unix
};

// Takes `text` apart. NULL on success, else what is wrong with it (a constant string).
const char *address_parse(const char *text, struct address *address);

// Writes a bound address in the same form.
void address_format(const struct sockaddr_storage *bound, char out[ADDRESS_TEXT_MAX]);

#endif
