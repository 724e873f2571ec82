// SPDX-License-Identifier: MIT
// Bus directories.
#include "bus/src/zmq/sub/bus_directories.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/zmq/context.h"

#define SOMEBODY       12    // characters of the name of one of which nothing is known
#define SECOND_LOOK_MS 100   // a dead one's lock is free a moment after its file was closed
#define LOOK_MS        500   // between scans of a directory whose watch does not tell all
#define REOPEN_MS      1000  // between tries to open a lost directory, or to find room
#define CLEAN_MS       12000 // until what a dead one left may be removed

struct scan {
    struct talus__peers *peers;
    struct talus__bus_directory *directory;
    bool has_left_out; // somebody for whom there was no room
};

// Known also if its heads never come.
static void name_replay(const struct talus__bus_directory *directory,
                        struct talus__publisher *publisher)
{
    char endpoint[TALUS__PEER_ENDPOINT_CAPACITY];

    if (!publisher->can_replay &&
        talus__directory_endpoint(directory->path, publisher->name, "replay", endpoint,
                                  sizeof endpoint) == 0)
        talus__presence_set_replay(publisher, strdup(endpoint));
}

// Keeps the ledger at hand for when it dies. Without a descriptor to spare, the next look tries
// again.
static void keep_ledger(const struct talus__bus_directory *directory,
                        struct talus__publisher *publisher)
{
    if (talus__presence_of(publisher)->has_ledger)
        return;
    int ledger = talus__directory_open_ledger(directory->path, publisher->name);
    if (ledger >= 0)
        talus__presence_keep_ledger(publisher, ledger);
}

// NULL: too many, or no memory. The next look tries again.
static struct talus__peer *add_listed(struct talus__peers *peers,
                                      struct talus__bus_directory *directory, const char *name,
                                      const char *endpoint)
{
    struct talus__peer *peer = NULL;
    struct talus__publisher *publisher = NULL;

    if (peers->listed_count < peers->max)
        publisher = talus__publishers_get(peers->presences->publishers, name, strlen(name));
    if (publisher)
        peer = talus__peer_add(peers, endpoint);
    if (!peer)
        return NULL;
    peer->directory = directory;
    peer->publisher = publisher;
    name_replay(directory, publisher);
    keep_ledger(directory, publisher);
    peers->listed_count++;
    talus__presence_ref(peers->presences, publisher);
    talus__presence_list(peers->presences, publisher);
    return peer;
}

// Called for each broadcaster that lives in the directory.
static int on_broadcaster(const char *name, void *arg)
{
    struct scan *scan = arg;
    struct talus__peers *peers = scan->peers;
    char endpoint[TALUS__PEER_ENDPOINT_CAPACITY];

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
    keep_ledger(scan->directory, peer->publisher);
    if (peer->gone_at) {
        peer->gone_at = 0;
        talus__presence_list(peers->presences, peer->publisher);
    }
    // Before the socket is there, a connect would fail, and be tried again only after a while.
    if (!peer->is_attached && access(endpoint + strlen("ipc://"), F_OK) == 0)
        peer->is_attached = talus__peer_connect(peers->socket, endpoint) == 0;
    return 0;
}

static bool is_listed_in(const struct talus__peer *peer,
                         const struct talus__bus_directory *directory)
{
    return peer->directory == directory && peer->gone_at == 0;
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
    talus__presence_unlist(peers->presences, peer->publisher);
    talus__peers_tend_by(peers, now + TALUS__PEER_GONE_MS);
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

void talus__bus_directory_close_watch(struct talus__bus_directory *directory)
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

    talus__peers_each(peers, directory, now, forget_seen);
    int error = talus__directory_scan(directory->path, TALUS__ROLE_PUBLISHER, on_broadcaster, &scan,
                                      &is_unsettled);
    if (error)
        return error;
    talus__peers_each(peers, directory, now, notice_gone);
    note_crowd(directory, scan.has_left_out);
    directory->look_at = directory->watch < 0 || is_unsettled ? now + LOOK_MS
                         : directory->is_crowded              ? now + REOPEN_MS
                                                              : 0;
    directory->look_at = tl_earlier(directory->look_at, directory->clean_at);
    talus__peers_tend_by(peers, directory->look_at);
    return 0;
}

// Makes the directory if it is missing, and takes our place in it. The claim comes before the first
// look: a broadcaster that starts meanwhile either is seen by us or sees us.
int talus__bus_directory_enter(struct talus__peers *peers, struct talus__bus_directory *directory)
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
    talus__bus_directory_close_watch(directory);
    int error = talus__bus_directory_enter(peers, directory);
    if (error) {
        talus__directory_release(&directory->claim, false);
        talus__bus_directory_close_watch(directory);
        if (!directory->is_broken)
            talus__log(TALUS_LOG_WARNING, "bus directory %s is lost: %s; trying on",
                       directory->path, talus_strerror(error));
        directory->look_at = now + REOPEN_MS;
        talus__peers_tend_by(peers, directory->look_at);
    } else {
        talus__log(TALUS_LOG_WARNING, "bus directory %s was lost and is open again",
                   directory->path);
    }
    directory->is_broken = error != 0;
}

void talus__bus_directory_tend(struct talus__peers *peers, struct talus__bus_directory *directory,
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
    char endpoint[TALUS__PEER_ENDPOINT_CAPACITY];

    if (talus__directory_endpoint(path, name, "pub", endpoint, sizeof endpoint) != 0 ||
        tl_table_find(&scan->peers->table, endpoint, strlen(endpoint)))
        return;
    // The ledger first: what is open stays when the file goes.
    int ledger = talus__directory_open_ledger(path, name);
    if (ledger < 0 && !has_died && !talus__directory_has_lock(path, name))
        return;
    struct talus__peer *peer = add_listed(scan->peers, scan->directory, name, endpoint);
    scan->has_left_out |= !peer;
    if (ledger < 0)
        return;
    if (peer && !talus__presence_of(peer->publisher)->has_ledger)
        talus__presence_keep_ledger(peer->publisher, ledger);
    else
        close(ledger);
}

// The watch could not keep all that happened: any number of broadcasters may have come, emitted and
// died. One of which nothing is known stands for them.
static void on_overflow(struct talus__peers *peers, const struct talus__bus_directory *directory)
{
    char name[SOMEBODY + 1];
    struct talus__publisher *publisher = NULL;

    peers->overflows++;
    talus__log(TALUS_LOG_WARNING,
               "%s: more happened than its watch keeps: broadcasters that came and died meanwhile "
               "are not known, so each session is told of a loss",
               directory->path);
    if (tl_random_name(name, SOMEBODY))
        publisher = talus__publishers_get(peers->presences->publishers, name, SOMEBODY);
    if (!publisher)
        return;
    talus__presence_list(peers->presences, publisher);
    talus__presence_unlist(peers->presences, publisher);
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
bool talus__bus_directory_drain(struct talus__peers *peers, struct talus__bus_directory *directory)
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
    talus__peers_tend_by(peers, directory->look_at);
    return true;
}
