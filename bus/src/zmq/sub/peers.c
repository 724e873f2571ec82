// SPDX-License-Identifier: MIT
// Meeting broadcasters.
//
// Invariants: a directory's peer is in the table from the scan that first saw it until it is
// disconnected; it holds its origin, which it lists exactly while `gone_at` is 0. Nothing is
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
#include "bus/src/zmq/zmq_error.h"

#define ENDPOINT_CAPACITY 1024
#define SOMEBODY          12     // characters of the name of one of which nothing is known
#define GREET_MS          300    // for connections to come about
#define SECOND_LOOK_MS    100    // a dead one's lock is free a moment after its file was closed
#define LOOK_MS           500    // between scans of a directory whose watch does not tell all
#define REOPEN_MS         1000   // between tries to open a lost directory, or to find room
#define CLEAN_MS          12000  // until what a dead one left may be removed
#define GONE_MS           500    // for what a dead one had sent to arrive
#define ANEW_MS           6000   // libzmq itself has tried again by then, if it ever will
#define ANEW_MOST_MS      300000 // between later times

struct talus__peer {
    struct tl_node node;                    // by endpoint
    struct talus__bus_directory *directory; // NULL: it was configured
    struct talus__origin *origin;           // of a directory's; held
    bool is_attached;                       // connected to, as far as we are concerned
    bool is_linked;                         // there is a connection
    bool is_seen;                           // by the scan that is going on
    long long gone_at;                      // when its lock was first found missing; 0: it lives
    long long lost_at; // when its connection was lost; 0: it is there, or never was
    long long anew_at; // when to connect anew, while it is lost
    long long wait_ms; // until the time after that
    char endpoint[];
};

static void tend_by(struct talus__peers *peers, long long at)
{
    if (at > 0 && (peers->tend_at == 0 || at < peers->tend_at))
        peers->tend_at = at;
}

// ---- Connections

static int connect_socket(void *socket, const char *endpoint)
{
    const int is_ipv6 = strchr(endpoint, '[') != NULL;

    if (zmq_setsockopt(socket, ZMQ_IPV6, &is_ipv6, sizeof is_ipv6) != 0 ||
        zmq_connect(socket, endpoint) != 0)
        return talus__zmq_error();
    return 0;
}

static struct talus__peer *add_peer(struct talus__peers *peers, const char *endpoint)
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
        talus__origins_disconnect(peers->origins, event->fd);
    if (!peer)
        return;
    peer->is_linked = event->is_up;
    peer->lost_at = 0;
    if (event->is_up)
        return;
    peer->lost_at = tl_monotonic_ms();
    peer->anew_at = peer->lost_at + ANEW_MS;
    peer->wait_ms = ANEW_MS;
    tend_by(peers, peer->gone_at ? peer->lost_at + GONE_MS : peer->anew_at);
}

void talus__peers_read_monitor(struct talus__peers *peers)
{
    talus__monitor_read(&peers->monitor, on_connection, peers);
}

// By number, as the monitor names a host by its address.
bool talus__peers_are_linked(const struct talus__peers *peers, size_t *connections)
{
    size_t attached = 0, outgoing;

    for (size_t i = 0; i <= peers->table.mask; i++) {
        for (const struct tl_node *node = peers->table.buckets[i]; node; node = node->next)
            attached += ((const struct talus__peer *)node)->is_attached;
    }
    *connections = talus__monitor_count(&peers->monitor, &outgoing);
    return outgoing >= attached;
}

// libzmq gives up a connection for good when the other side breaks the protocol, an event beyond
// our largest message size included, and then does not say so. Connecting anew is always right.
static void connect_anew(struct talus__peers *peers, struct talus__peer *peer, long long now)
{
    talus__log(TALUS_LOG_INFO, "%s has been away for %lld s: connecting anew", peer->endpoint,
               (now - peer->lost_at) / 1000);
    if (peer->is_attached)
        zmq_disconnect(peers->socket, peer->endpoint);
    peer->is_attached = connect_socket(peers->socket, peer->endpoint) == 0;
    peer->wait_ms = peer->wait_ms * 2 < ANEW_MOST_MS ? peer->wait_ms * 2 : ANEW_MOST_MS;
    peer->anew_at = now + peer->wait_ms;
}

// ---- Bus directories

struct scan {
    struct talus__peers *peers;
    struct talus__bus_directory *directory;
    bool has_left_out; // somebody for whom there was no room
};

// Known also if its heads never come.
static void name_replay(const struct talus__bus_directory *directory, struct talus__origin *origin)
{
    char endpoint[ENDPOINT_CAPACITY];

    if (!origin->replay && talus__directory_endpoint(directory->path, origin->name, "replay",
                                                     endpoint, sizeof endpoint) == 0)
        origin->replay = strdup(endpoint);
}

// Keeps the ledger at hand for when it dies. Without a descriptor to spare, the next look tries
// again.
static void keep_ledger(const struct talus__bus_directory *directory, struct talus__origin *origin)
{
    if (origin->ledger < 0)
        origin->ledger = talus__directory_open_ledger(directory->path, origin->name);
}

// NULL: too many, or no memory. The next look tries again.
static struct talus__peer *add_listed(struct talus__peers *peers,
                                      struct talus__bus_directory *directory, const char *name,
                                      const char *endpoint)
{
    struct talus__peer *peer = NULL;
    struct talus__origin *origin = NULL;

    if (peers->listed_count < peers->max)
        origin = talus__origins_get(peers->origins, name, strlen(name));
    if (origin)
        peer = add_peer(peers, endpoint);
    if (!peer)
        return NULL;
    peer->directory = directory;
    peer->origin = origin;
    name_replay(directory, origin);
    keep_ledger(directory, origin);
    peers->listed_count++;
    talus__origin_hold(peers->origins, origin);
    talus__origin_list(peers->origins, origin);
    return peer;
}

// Called for each broadcaster that lives in the directory.
static int on_broadcaster(const char *name, void *arg)
{
    struct scan *scan = arg;
    struct talus__peers *peers = scan->peers;
    char endpoint[ENDPOINT_CAPACITY];

    if (talus__directory_endpoint(scan->directory->path, name, "pub", endpoint, sizeof endpoint))
        return 0;
    struct talus__peer *peer =
        (struct talus__peer *)tl_table_find(&peers->table, endpoint, strlen(endpoint));
    if (!peer) {
        peer = add_listed(peers, scan->directory, name, endpoint);
        scan->has_left_out |= !peer;
        if (!peer)
            return 0;
    }
    peer->is_seen = true;
    keep_ledger(scan->directory, peer->origin);
    if (peer->gone_at) {
        peer->gone_at = 0;
        talus__origin_list(peers->origins, peer->origin);
    }
    // Before the socket is there, a connect would fail, and be tried again only after a while.
    if (!peer->is_attached && access(endpoint + strlen("ipc://"), F_OK) == 0)
        peer->is_attached = connect_socket(peers->socket, endpoint) == 0;
    return 0;
}

static bool is_listed_in(const struct talus__peer *peer,
                         const struct talus__bus_directory *directory)
{
    return peer->directory == directory && peer->gone_at == 0;
}

static void for_each_peer(struct talus__peers *peers, struct talus__bus_directory *directory,
                          long long now,
                          void (*fn)(struct talus__peers *, struct talus__bus_directory *,
                                     struct talus__peer *, long long))
{
    for (size_t i = 0; i <= peers->table.mask; i++) {
        struct tl_node *node = peers->table.buckets[i];
        while (node) {
            struct tl_node *next = node->next; // as `fn` may remove the peer
            fn(peers, directory, (struct talus__peer *)node, now);
            node = next;
        }
    }
}

static void forget_seen(struct talus__peers *peers, struct talus__bus_directory *directory,
                        struct talus__peer *peer, long long now)
{
    (void)peers, (void)directory, (void)now;
    peer->is_seen = false;
}

static void notice_gone(struct talus__peers *peers, struct talus__bus_directory *directory,
                        struct talus__peer *peer, long long now)
{
    if (!is_listed_in(peer, directory) || peer->is_seen)
        return;
    peer->gone_at = now;
    if (directory->clean_at == 0)
        directory->clean_at = now + CLEAN_MS;
    talus__origin_unlist(peers->origins, peer->origin);
    tend_by(peers, now + GONE_MS);
}

static int watch_directory(struct talus__peers *peers, struct talus__bus_directory *directory)
{
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u32 = TALUS__PEERS_DIRECTORY +
                                            (unsigned)(directory - peers->directories)};

    directory->watch = talus__directory_watch(directory->path);
    if (directory->watch < 0) {
        if (errno != EMFILE && errno != ENOSPC)
            return TALUS_ESYSTEM;
        talus__log(TALUS_LOG_WARNING, "%s cannot be watched (%s): looking there every %d ms",
                   directory->path, strerror(errno), LOOK_MS);
        return 0;
    }
    return epoll_ctl(peers->epoll, EPOLL_CTL_ADD, directory->watch, &event) == 0 ? 0
                                                                                 : TALUS_ESYSTEM;
}

static void close_watch(struct talus__bus_directory *directory)
{
    if (directory->watch >= 0)
        close(directory->watch);
    directory->watch = -1;
}

static void note_crowd(struct talus__bus_directory *directory, bool has_left_out)
{
    if (has_left_out && !directory->is_crowded)
        talus__log(TALUS_LOG_WARNING, "%s: broadcasters are left out: too many, or no memory",
                   directory->path);
    directory->is_crowded = has_left_out;
}

// Looks who is there, and says when to look again if nothing tells. TALUS_ESYSTEM: the directory
// cannot be read.
static int look(struct talus__peers *peers, struct talus__bus_directory *directory, long long now)
{
    struct scan scan = {.peers = peers, .directory = directory};
    bool is_unsettled;

    for_each_peer(peers, directory, now, forget_seen);
    int error = talus__directory_scan(directory->path, TALUS__ROLE_PUBLISHER, on_broadcaster, &scan,
                                      &is_unsettled);
    if (error)
        return error;
    for_each_peer(peers, directory, now, notice_gone);
    note_crowd(directory, scan.has_left_out);
    directory->look_at = directory->watch < 0 || is_unsettled ? now + LOOK_MS
                         : directory->is_crowded              ? now + REOPEN_MS
                                                              : 0;
    directory->look_at = tl_earlier(directory->look_at, directory->clean_at);
    tend_by(peers, directory->look_at);
    return 0;
}

// Makes the directory if it is missing, and takes our place in it. The claim comes before the first
// look: a broadcaster that starts meanwhile either is seen by us or sees us.
static int enter(struct talus__peers *peers, struct talus__bus_directory *directory)
{
    int error = talus__directory_open(directory->path, peers->mode);
    if (!error)
        error = talus__directory_claim(directory->path, TALUS__ROLE_SUBSCRIBER, peers->id,
                                       &directory->claim);
    if (!error)
        error = watch_directory(peers, directory);
    if (!error)
        error = look(peers, directory, tl_monotonic_ms());
    return error;
}

// The directory, or our lock file in it, was deleted or moved away. Connections that exist stay.
static void enter_again(struct talus__peers *peers, struct talus__bus_directory *directory,
                        long long now)
{
    talus__directory_release(&directory->claim, false);
    close_watch(directory);
    int error = enter(peers, directory);
    if (error) {
        talus__directory_release(&directory->claim, false);
        close_watch(directory);
        if (!directory->is_broken)
            talus__log(TALUS_LOG_WARNING, "bus directory %s is lost: %s; trying on",
                       directory->path, talus_strerror(error));
        directory->look_at = now + REOPEN_MS;
        tend_by(peers, directory->look_at);
    } else {
        talus__log(TALUS_LOG_WARNING, "bus directory %s was lost and is open again",
                   directory->path);
    }
    directory->is_broken = error != 0;
}

static void tend_directory(struct talus__peers *peers, struct talus__bus_directory *directory,
                           long long now)
{
    directory->look_at = 0;
    if (directory->clean_at && now >= directory->clean_at)
        directory->clean_at = 0; // this look removes what the dead left
    if (directory->is_broken || !talus__directory_holds(&directory->claim) ||
        look(peers, directory, now) != 0)
        enter_again(peers, directory, now);
}

// A broadcaster came since the last look. If it has died meanwhile, the look will miss it like any
// other that is gone, so that what it emitted is told to be lost. One that left nothing behind
// ended in good order, and had handed over all that it emitted, unless it is known to have died:
// its file may have been removed since.
static void on_newcomer(struct scan *scan, const char *name, bool has_died)
{
    const char *path = scan->directory->path;
    char endpoint[ENDPOINT_CAPACITY];

    if (talus__directory_endpoint(path, name, "pub", endpoint, sizeof endpoint) != 0 ||
        tl_table_find(&scan->peers->table, endpoint, strlen(endpoint)))
        return;
    // The ledger first: what is open stays when the file goes.
    int ledger = talus__directory_open_ledger(path, name);
    if (ledger < 0 && !has_died && !talus__directory_has_lock(path, name))
        return;
    struct talus__peer *peer = add_listed(scan->peers, scan->directory, name, endpoint);
    scan->has_left_out |= !peer;
    if (peer && peer->origin->ledger < 0)
        peer->origin->ledger = ledger;
    else if (ledger >= 0)
        close(ledger);
}

// The watch could not keep all that happened: any number of broadcasters may have come, emitted and
// died. One of which nothing is known stands for them.
static void on_overflow(struct talus__peers *peers, const struct talus__bus_directory *directory)
{
    char name[SOMEBODY + 1];
    struct talus__origin *origin = NULL;

    peers->overflows++;
    talus__log(TALUS_LOG_WARNING,
               "%s: more happened than its watch keeps: broadcasters that came and died meanwhile "
               "are not known, so each session is told of a loss",
               directory->path);
    if (tl_random_name(name, SOMEBODY))
        origin = talus__origins_get(peers->origins, name, SOMEBODY);
    if (!origin)
        return;
    talus__origin_list(peers->origins, origin);
    talus__origin_unlist(peers->origins, origin);
}

static void on_news(enum talus__directory_news news, const char *name, void *arg)
{
    struct scan *scan = arg;

    if (news == TALUS__NEWS_LOST)
        on_overflow(scan->peers, scan->directory);
    else
        on_newcomer(scan, name, news == TALUS__NEWS_CAME_AND_DIED);
}

// Returns whether anything had changed.
static bool on_watch(struct talus__peers *peers, struct talus__bus_directory *directory)
{
    long long now = tl_monotonic_ms();
    struct scan scan = {.peers = peers, .directory = directory};

    if (!talus__directory_drain(directory->watch, on_news, &scan))
        return false;
    note_crowd(directory, scan.has_left_out);
    // Whoever removes the whole directory is let finish before we make it again.
    if (talus__directory_holds(&directory->claim))
        look(peers, directory, now);
    directory->look_at = now + SECOND_LOOK_MS;
    tend_by(peers, directory->look_at);
    return true;
}

// ---- The owner's calls

void talus__peers_on_event(struct talus__peers *peers, unsigned source)
{
    if (source == TALUS__PEERS_MONITOR)
        talus__peers_read_monitor(peers);
    else
        on_watch(peers, &peers->directories[source - TALUS__PEERS_DIRECTORY]);
}

bool talus__peers_meet(struct talus__peers *peers)
{
    bool has_changed = false;

    for (size_t i = 0; i < peers->directory_count; i++) {
        if (peers->directories[i].watch >= 0)
            has_changed |= on_watch(peers, &peers->directories[i]);
    }
    return has_changed;
}

static void remove_peer(struct talus__peers *peers, struct talus__peer *peer)
{
    if (peer->is_attached)
        zmq_disconnect(peers->socket, peer->endpoint);
    talus__origin_let_go(peers->origins, peer->origin);
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
        if (now >= since + GONE_MS)
            remove_peer(peers, peer);
        else
            tend_by(peers, since + GONE_MS);
    } else if (peer->lost_at) {
        if (now >= peer->anew_at)
            connect_anew(peers, peer, now);
        tend_by(peers, peer->anew_at);
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
            tend_directory(peers, directory, now);
        tend_by(peers, directory->look_at);
    }
    if (is_drained)
        for_each_peer(peers, NULL, now, tend_peer);
    else
        tend_by(peers, now + GONE_MS);
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
    int error = connect_socket(peers->socket, endpoint);
    if (error)
        return error;
    struct talus__peer *peer = add_peer(peers, endpoint);
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
    return enter(peers, directory);
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
    char text[ENDPOINT_CAPACITY];
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
                                   .origins = options->origins,
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
        close_watch(&peers->directories[i]);
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
