// SPDX-License-Identifier: MIT
// The subscriber's acknowledgement.
#include "bus/src/zmq/sub/acknowledge.h"

#include <stdio.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/codec/wire.h"
#include "bus/src/zmq/sub/sub_socket.h"

static void change(struct talus__zmq_receive *receive, const struct talus__publisher *publisher,
                   int (*set)(void *socket, const char *topic, size_t size))
{
    char topic[sizeof TALUS__READY + TALUS__SUBSCRIBER_ID + 1 + TALUS_ORIGIN_MAX];
    int size =
        snprintf(topic, sizeof topic, TALUS__READY "%s/%s", receive->peers.id, publisher->name);
    int error = set(receive->socket, topic, (size_t)size);

    if (error)
        talus__log(TALUS_LOG_WARNING, "%s: %s", topic, talus_strerror(error));
}

void talus__acknowledge(struct talus__zmq_receive *receive, struct talus__publisher *publisher)
{
    struct talus__presence *presence = talus__presence_of(publisher);

    // After a reconnect ZeroMQ repeats the subscriptions in an order of its own. So that this one
    // comes last again, it is made again.
    if (presence->is_acknowledged)
        change(receive, publisher, talus__sub_unsubscribe);
    change(receive, publisher, talus__sub_subscribe);
    presence->is_acknowledged = true;
}

void talus__acknowledge_on_removed(struct talus__publisher *publisher, void *arg)
{
    if (talus__presence_of(publisher)->is_acknowledged)
        change(arg, publisher, talus__sub_unsubscribe);
    talus__presence_fini(publisher);
}
