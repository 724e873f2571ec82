// SPDX-License-Identifier: MIT
// The broadcaster's sockets, the XPUB and the replay socket (ROUTER) beside it, and their options.
#ifndef TALUS__SOCKETS_H
#define TALUS__SOCKETS_H

#include <talus/broadcaster.h>

// Make the sockets with all their options. NULL: errno says why.
void *talus__xpub_open(void *context, const talus_broadcaster_options_t *options);
void *talus__router_open(void *context, const talus_broadcaster_options_t *options);

// Closes either; what it has still to send is sent for `linger_ms` more, or the least that is safe.
void talus__socket_close(void *socket, int linger_ms);

#endif
