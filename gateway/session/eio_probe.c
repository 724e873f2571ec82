// SPDX-License-Identifier: MIT
// The transport that a session may move to, as the session knows it: its end. How it comes and what
// it says is in eio_upgrade.c.
#include <stdlib.h>

#include "gateway/session/eio_internal.h"

void eio__upgrade_free(struct eio_upgrade *upgrade)
{
    upgrade->session->upgrade = NULL;
    gw_deadline_stop(&upgrade->timeout);
    gw_deadline_stop(&upgrade->release);
    free(upgrade);
}

void eio__upgrade_abandon(struct eio_session *session)
{
    if (!session->upgrade)
        return;
    struct transport *transport = session->upgrade->transport;
    eio__upgrade_free(session->upgrade);
    transport->ops->drop(transport);
}

bool eio__upgrade_is_probed(const struct eio_session *session)
{
    return session->upgrade && gw_deadline_is_started(&session->upgrade->release);
}
