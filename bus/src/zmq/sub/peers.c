// SPDX-License-Identifier: MIT
// Meeting broadcasters.
//
// Invariants: a directory's peer is in the table from the scan that first saw it until it is
// disconnected; it refers to its publisher, which it lists exactly while `gone_at` is 0. Nothing is
// disconnected unless the socket was drained after the connection was gone.
#include "bus/src/zmq/sub/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/zmq/context.h"
#include "bus/src/zmq/sub/bus_directories.h"
#include "bus/src/zmq/zmq_error.h"

#define GREET_MS 300 // for connections to come about

// ---- The owner's calls

void talus__peers_on_event(struct talus__peers *peers, unsigned source)
{
    if (source == TALUS__PEERS_MONITOR)
        talus__peers_read_monitor(peers);
    else
        talus__bus_directory_drain(peers, &peers->directories[source - TALUS__PEERS_DIRECTORY]);
}

bool talus__peers_meet(struct talus__peers *peers)
{
    bool has_changed = false;

    for (size_t i = 0; i < peers->directory_count; i++) {
        if (peers->directories[i].watch >= 0)
            has_changed |= talus__bus_directory_drain(peers, &peers->directories[i]);
    }
    return has_changed;
}

static void remove_peer(struct talus__peers *peers, struct talus__peer *peer)
{
    if (peer->is_attached)
        zmq_disconnect(peers->socket, peer->endpoint);
    talus__presence_unref(peers->presences, peer->publisher);
    tl_table_remove(&peers->table, &peer->node);
    peers->listed_count--;
    free(peer);
}

static void tend_peer(struct talus__peers *peers, struct talus__bus_directory *directory,
                      struct talus__peer *peer, long long now)
{
    (void)directory;
    if (peer->gone_at) {
        if (peer->is_linked)
            return; // off the list, but it still talks to us
        long long since = peer->lost_at > peer->gone_at ? peer->lost_at : peer->gone_at;
        if (now >= since + TALUS__PEER_GONE_MS)
            remove_peer(peers, peer);
        else
            talus__peers_tend_by(peers, since + TALUS__PEER_GONE_MS);
    } else if (peer->lost_at) {
        if (now >= peer->anew_at)
            talus__peer_connect_anew(peers, peer, now);
        talus__peers_tend_by(peers, peer->anew_at);
    }
}

void talus__peers_tend(struct talus__peers *peers, long long now, bool is_drained)
{
    if (peers->tend_at == 0 || now < peers->tend_at)
        return;
    peers->tend_at = 0;
    for (size_t i = 0; i < peers->directory_count; i++) {
        struct talus__bus_directory *directory = &peers->directories[i];
        if (directory->look_at && now >= directory->look_at)
            talus__bus_directory_tend(peers, directory, now);
        talus__peers_tend_by(peers, directory->look_at);
    }
    if (is_drained)
        talus__peers_each(peers, NULL, now, tend_peer);
    else
        talus__peers_tend_by(peers, now + TALUS__PEER_GONE_MS);
}

// ---- Beginning and end

static int bind_socket(struct talus__peers *peers, const char *endpoint, char *resolved,
                       size_t capacity)
{
    const int is_ipv6 = strchr(endpoint, '[') != NULL;
    int error = talus__ipc_lock_take(&peers->locks[peers->lock_count], endpoint);

    if (error)
        return error;
    peers->lock_count++;
    if (zmq_setsockopt(peers->socket, ZMQ_IPV6, &is_ipv6, sizeof is_ipv6) != 0 ||
        zmq_bind(peers->socket, endpoint) != 0 ||
        zmq_getsockopt(peers->socket, ZMQ_LAST_ENDPOINT, resolved, &capacity) != 0)
        return talus__zmq_error();
    return 0;
}

static int connect_configured(struct talus__peers *peers, const char *endpoint)
{
    if (tl_table_find(&peers->table, endpoint, strlen(endpoint)))
        return 0; // given twice
    int error = talus__peer_connect(peers->socket, endpoint);
    if (error)
        return error;
    struct talus__peer *peer = talus__peer_add(peers, endpoint);
    if (!peer)
        return TALUS_ENOMEM;
    peer->is_attached = true;
    peers->ungreeted++;
    peers->greet_until = tl_monotonic_ms() + GREET_MS;
    return 0;
}

static int enter_new(struct talus__peers *peers, const char *path)
{
    struct talus__bus_directory *directory = &peers->directories[peers->directory_count];

    *directory = (struct talus__bus_directory){
        .path = strdup(path), .claim = {.fd = -1, .bell = -1}, .watch = -1};
    if (!directory->path)
        return TALUS_ENOMEM;
    peers->directory_count++;
    return talus__bus_directory_enter(peers, directory);
}

static int append_endpoint(struct talus__peers *peers, const char *endpoint)
{
    char *text = NULL;

    if (!peers->endpoint)
        text = strdup(endpoint);
    else if ((text = malloc(strlen(peers->endpoint) + strlen(endpoint) + 2)))
        stpcpy(stpcpy(stpcpy(text, peers->endpoint), ","), endpoint);
    if (!text)
        return TALUS_ENOMEM;
    free(peers->endpoint);
    peers->endpoint = text;
    return 0;
}

static int attach(struct talus__peers *peers, const struct talus__endpoint *endpoint)
{
    char text[TALUS__PEER_ENDPOINT_CAPACITY];
    int error = TALUS_EENDPOINT;

    _Static_assert(sizeof text > TALUS__ENDPOINT_TEXT_MAX + sizeof "ipc:///*", "room for each");
    strcpy(text, endpoint->text);
    switch (endpoint->kind) {
    case TALUS__ENDPOINT_DIRECTORY:
        stpcpy(stpcpy(stpcpy(text, "ipc://"), endpoint->text), "/*");
        error = enter_new(peers, endpoint->text);
        break;
    case TALUS__ENDPOINT_BIND:
        error = bind_socket(peers, endpoint->text, text, sizeof text);
        break;
    case TALUS__ENDPOINT_CONNECT:
        error = connect_configured(peers, endpoint->text);
        break;
    }
    return error ? error : append_endpoint(peers, text);
}

int talus__peers_init(struct talus__peers *peers, const struct talus__endpoints *endpoints,
                      const struct talus__peers_options *options)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = TALUS__PEERS_MONITOR};

    *peers = (struct talus__peers){.socket = options->socket,
                                   .presences = options->presences,
                                   .epoll = options->epoll,
                                   .max = options->max,
                                   .mode = options->mode};
    tl_table_init(&peers->table);
    if (!tl_random_name(peers->id, TALUS__SUBSCRIBER_ID))
        return TALUS_ESYSTEM;
    peers->directories = calloc(endpoints->count, sizeof *peers->directories);
    peers->locks = calloc(endpoints->count, sizeof *peers->locks);
    if (!peers->directories || !peers->locks)
        return TALUS_ENOMEM;
    int error = talus__monitor_open(&peers->monitor, options->context, options->socket, peers->id);
    if (error)
        return error;
    int fd = talus__monitor_descriptor(&peers->monitor);
    if (fd < 0 || epoll_ctl(peers->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return TALUS_ESYSTEM;
    for (size_t i = 0; !error && i < endpoints->count; i++)
        error = attach(peers, &endpoints->items[i]);
    return error;
}

void talus__peers_fini(struct talus__peers *peers, bool is_forked)
{
    for (size_t i = 0; i < peers->directory_count; i++) {
        talus__directory_release(&peers->directories[i].claim, is_forked);
        talus__bus_directory_close_watch(&peers->directories[i]);
        free(peers->directories[i].path);
    }
    for (size_t i = 0; i < peers->lock_count; i++)
        talus__ipc_lock_release(&peers->locks[i], is_forked);
    if (peers->table.buckets) {
        struct tl_node *node = tl_table_take_all(&peers->table);
        while (node) {
            struct tl_node *next = node->next;
            free(node);
            node = next;
        }
    }
    tl_table_fini(&peers->table);
    talus__monitor_close(&peers->monitor, is_forked);
    free(peers->directories);
    free(peers->locks);
    free(peers->endpoint);
}
