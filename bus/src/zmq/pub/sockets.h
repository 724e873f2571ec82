// SPDX-License-Identifier: MIT
// The broadcaster's sockets, the XPUB and the replay socket (ROUTER) beside it, and their options.
#ifndef TALUS__SOCKETS_H
#define TALUS__SOCKETS_H

#include <stdbool.h>

#include <talus/broadcaster.h>

// Make the sockets with all their options. NULL: errno says why.
void *talus__xpub_open(void *context, const talus_broadcaster_options_t *options);
void *talus__router_open(void *context, const talus_broadcaster_options_t *options);

// Whether the frame that was received last is not its message's last one.
bool talus__socket_has_more(void *socket);

// Closes either; what it has still to send is sent for `linger_ms` more, or the least that is safe.
void talus__socket_close(void *socket, int linger_ms);

#endif
