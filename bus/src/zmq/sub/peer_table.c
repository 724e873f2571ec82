// SPDX-License-Identifier: MIT
// The table of peers, and their connections.
#include "bus/src/zmq/sub/peer_table.h"

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bus/src/base/log.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/zmq_error.h"

#define ANEW_MS      6000   // libzmq itself has tried again by then, if it ever will
#define ANEW_MOST_MS 300000 // between later times

void talus__peers_tend_by(struct talus__peers *peers, long long at)
{
    if (at > 0 && (peers->tend_at == 0 || at < peers->tend_at))
        peers->tend_at = at;
}

// ---- Connections

int talus__peer_connect(void *socket, const char *endpoint)
{
    const int is_ipv6 = strchr(endpoint, '[') != NULL;

    if (zmq_setsockopt(socket, ZMQ_IPV6, &is_ipv6, sizeof is_ipv6) != 0 ||
        zmq_connect(socket, endpoint) != 0)
        return talus__zmq_error();
    return 0;
}

struct talus__peer *talus__peer_add(struct talus__peers *peers, const char *endpoint)
{
    size_t size = strlen(endpoint);
    struct talus__peer *peer = calloc(1, sizeof *peer + size + 1);

    if (!peer)
        return NULL;
    memcpy(peer->endpoint, endpoint, size);
    peer->node.name = peer->endpoint;
    peer->node.name_size = size;
    tl_table_insert(&peers->table, &peer->node);
    return peer;
}

static void on_connection(const struct talus__connection_event *event, void *arg)
{
    struct talus__peers *peers = arg;
    struct talus__peer *peer = (struct talus__peer *)tl_table_find(&peers->table, event->endpoint,
                                                                   strlen(event->endpoint));

    if (!event->is_up && event->fd >= 0)
        talus__presences_disconnect(peers->presences, event->fd);
    if (!peer)
        return;
    peer->is_linked = event->is_up;
    peer->lost_at = 0;
    if (event->is_up)
        return;
    peer->lost_at = tl_monotonic_ms();
    peer->anew_at = peer->lost_at + ANEW_MS;
    peer->wait_ms = ANEW_MS;
    talus__peers_tend_by(peers,
                         peer->gone_at ? peer->lost_at + TALUS__PEER_GONE_MS : peer->anew_at);
}

void talus__peers_read_monitor(struct talus__peers *peers)
{
    talus__monitor_read(&peers->monitor, on_connection, peers);
}

// By number, as the monitor names a host by its address.
bool talus__peers_are_linked(const struct talus__peers *peers, size_t *connections)
{
    size_t attached = 0, outgoing;

    for (const struct tl_node *node = tl_table_first(&peers->table); node;
         node = tl_table_next(&peers->table, node))
        attached += ((const struct talus__peer *)node)->is_attached;
    *connections = talus__monitor_count(&peers->monitor, &outgoing);
    return outgoing >= attached;
}

// libzmq gives up a connection for good when the other side breaks the protocol, an event beyond
// our largest message size included, and then does not say so. Connecting anew is always right.
void talus__peer_connect_anew(struct talus__peers *peers, struct talus__peer *peer, long long now)
{
    talus__log(TALUS_LOG_INFO, "%s has been away for %lld s: connecting anew", peer->endpoint,
               (now - peer->lost_at) / 1000);
    if (peer->is_attached)
        zmq_disconnect(peers->socket, peer->endpoint);
    peer->is_attached = talus__peer_connect(peers->socket, peer->endpoint) == 0;
    peer->wait_ms = peer->wait_ms * 2 < ANEW_MOST_MS ? peer->wait_ms * 2 : ANEW_MOST_MS;
    peer->anew_at = now + peer->wait_ms;
}

void talus__peers_each(struct talus__peers *peers, struct talus__bus_directory *directory,
                       long long now, talus__peer_fn *fn)
{
    struct tl_node *node = tl_table_first(&peers->table);

    while (node) {
        struct tl_node *next = tl_table_next(&peers->table, node); // as `fn` may remove the peer
        fn(peers, directory, (struct talus__peer *)node, now);
        node = next;
    }
}
