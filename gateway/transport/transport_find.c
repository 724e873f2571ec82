// SPDX-License-Identifier: MIT
// The transports there are, by name.
#include <string.h>

#include "gateway/transport/polling.h"
#include "gateway/transport/websocket.h"

const struct transport_ops *transport_find(const char *name)
{
    static const struct transport_ops *const all[] = {&polling_ops, &websocket_ops};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
