// SPDX-License-Identifier: MIT
// The bus directory: where broadcasters and subscribers of one host meet without a broker.
//
//   NAME.pub        the socket that broadcaster NAME (its origin) binds
//   NAME.replay     its replay socket
//   NAME.pub.lock   held (flock, exclusive) by the broadcaster while it lives
//   NAME.sub.lock   held by subscriber NAME while it lives
//
// Whoever finds a lock file that nobody holds removes it, and the sockets beside it, while holding
// its lock. A claim therefore checks, once it has the lock, that the file is still the one in the
// directory. The kernel frees the lock of a killed process and closes the file, which inotify tells
// the others at once.
#ifndef TALUS__DIRECTORY_H
#define TALUS__DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>

enum talus__role { TALUS__ROLE_PUBLISHER, TALUS__ROLE_SUBSCRIBER };

// Makes the directory (parents too, mode `mode`) if it is missing, and checks that it is a
// directory of the effective user or of root with no write permission for others beyond `mode`,
// and that socket names fit into a Unix address.
// Returns 0, TALUS_EACCESS, TALUS_EPATHTOOLONG, TALUS_ESYSTEM.
int talus__directory_open(const char *path, unsigned mode);

// A name in the directory, held.
struct talus__claim {
    char *lock_path; // owned
    int fd;          // -1: none
};

// Takes the lock file of `name`. Returns 0; TALUS_EADDRINUSE: somebody holds it; TALUS_EACCESS,
// TALUS_ENOMEM, TALUS_ESYSTEM.
int talus__directory_claim(const char *path, enum talus__role role, const char *name,
                           struct talus__claim *claim);

// Unlinks the lock file, and for a publisher its sockets, and frees the lock. In a forked child,
// say so with `is_forked`: then nothing is unlinked.
void talus__directory_release(struct talus__claim *claim, bool is_forked);

// Writes `ipc://PATH/NAME.pub` into `out`. Returns 0 or TALUS_EPATHTOOLONG.
int talus__directory_endpoint(const char *path, const char *name, const char *suffix, char *out,
                              size_t capacity);

// Calls `fn` for each one that lives in the directory with that role, removing what the dead left.
// `fn` returning non-zero ends the scan. Returns 0, TALUS_EACCESS or TALUS_ESYSTEM.
typedef int talus__directory_fn(const char *name, void *arg);
int talus__directory_scan(const char *path, enum talus__role role, talus__directory_fn *fn,
                          void *arg);

// Watches the directory: a descriptor, readable when something came or went. -1 on failure.
int talus__directory_watch(const char *path);

// Reads and drops what the watch has to tell; true if there was anything (then scan again).
bool talus__directory_drain(int watch);

#endif
