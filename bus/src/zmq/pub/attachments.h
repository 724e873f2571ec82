// SPDX-License-Identifier: MIT
// The endpoints that the broadcaster's sockets are attached to, with the files that this takes.
#ifndef TALUS__ATTACHMENTS_H
#define TALUS__ATTACHMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "bus/src/zmq/directory/directory.h"
#include "bus/src/zmq/directory/ipc_lock.h"
#include "bus/src/zmq/endpoint.h"
#include "bus/src/zmq/pub/ledger_writer.h"

// One endpoint that the socket is bound or connected to.
struct talus__attachment {
    char *endpoint;              // owned: what others connect to, or what it connected to
    char *directory;             // owned; NULL: not on a bus directory
    struct talus__claim claim;   // of its name in the directory
    struct talus__ipc_lock lock; // for a plain ipc path
    struct talus__ipc_lock replay_lock;
};

struct talus__attachments {
    struct talus__attachment *items; // owned
    size_t count;
    struct talus__ipc_lock *replay_locks; // owned: of configured replay endpoints
    size_t replay_lock_count;
    char *replay; // owned: where the replay socket is bound, as heads name it; "" for nowhere
};

struct talus__attach_options {
    void *socket; // XPUB
    void *router; // NULL: no replay socket
    const char *origin;
    const char *replay; // where to bind the router; NULL: beside what is bound
    unsigned directory_mode;
    struct talus__ledger_writer *ledger; // made in the first bus directory's lock file
    size_t queue_events;                 // for the ledger
};

// Attaches the sockets to each endpoint.
// Returns 0, or an error of talus_broadcaster_new; then nothing is to be released.
int talus__attach(struct talus__attachments *attachments, const struct talus__endpoints *endpoints,
                  const struct talus__attach_options *options);

// All endpoints, comma-separated, to be freed by the caller; NULL: no memory.
char *talus__attachments_text(const struct talus__attachments *attachments);

// Leaves the lock files in bus directories behind, unlocked: others then read in the ledger what
// they have missed. After the socket was closed; talus__detach follows.
void talus__attachments_abandon(struct talus__attachments *attachments);

// Removes the files. After the socket was closed, as others take it for dead by them.
void talus__detach(struct talus__attachments *attachments, bool is_forked);

#endif
