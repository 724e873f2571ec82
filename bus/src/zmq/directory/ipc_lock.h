// SPDX-License-Identifier: MIT
// The right to bind a plain `ipc://PATH`: libzmq removes whatever file is at PATH and binds anew,
// so without a lock a second process would silently steal a live socket.
//
// PATH.lock is held (flock, exclusive) while the socket is bound; the kernel frees it when the
// process dies. Only its holder removes PATH and PATH.lock.
#ifndef TALUS__IPC_LOCK_H
#define TALUS__IPC_LOCK_H

#include <stdbool.h>

struct talus__ipc_lock {
    char *socket_path; // owned; NULL: nothing is held
    char *lock_path;   // owned
    int fd;
};

// Takes the lock for a ZeroMQ endpoint that is about to be bound. Does nothing, successfully, for
// those that need none: other transports, `ipc://*`, and abstract names (`ipc://@NAME`).
// Returns 0; TALUS_EADDRINUSE: somebody holds the lock, or listens at PATH without one, or PATH is
// no socket; TALUS_EPATHTOOLONG; TALUS_EACCESS; TALUS_ENOMEM; TALUS_ESYSTEM.
int talus__ipc_lock_take(struct talus__ipc_lock *lock, const char *endpoint);

// Removes the socket and the lock file and frees the lock; nothing if none is held. In a forked
// child, say so with `is_forked`: then nothing is removed.
void talus__ipc_lock_release(struct talus__ipc_lock *lock, bool is_forked);

#endif
