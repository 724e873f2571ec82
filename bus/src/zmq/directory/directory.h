// SPDX-License-Identifier: MIT
// The bus directory: where broadcasters and subscribers of one host meet without a broker.
//
//   NAME.pub          the socket that broadcaster NAME (its origin) binds
//   NAME.replay       its replay socket
//   NAME.pub.lock     held (flock, exclusive) by the broadcaster while it lives; has its ledger
//   NAME.pub.dead     the lock file of one that died, for a moment: others still read the ledger
//   NAME.sub.lock     held by subscriber NAME while it lives
//   NAME.….lock.XXXX  a lock file in the making, where the file system has no O_TMPFILE
//
// A lock file is locked before it has any name, and is not empty. So one that nobody holds was left
// behind by a dead process, without a doubt; whoever finds it removes it (a broadcaster's becomes
// NAME.pub.dead), and the sockets beside it, while holding its lock. The kernel frees the lock of a
// killed process and closes the file, which inotify tells the others at once: a moment before the
// lock is free, so whoever is told looks a second time a little later. Files in the making and
// files of the dead are left alone until they are ten seconds old.
//
// A process other than libtalus that takes part (another language, say) may create NAME.….lock,
// empty, and lock it afterwards, within ten seconds: until then it is left alone. It waits for the
// lock (those who look take it, shared, for a moment), then checks that the file is still the one
// in the directory, and starts over if not. Then it writes a byte, at least: of an empty file it
// cannot be told whether somebody died or has not begun.
//
// Nobody may write to a lock file once it is made. What root makes in a user's directory is the
// user's, but for the lock files, which the user may read.
#ifndef TALUS__DIRECTORY_H
#define TALUS__DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/un.h>

#include <talus/topic.h>

// The longest path, in bytes: that of the longest socket in it still fits into a Unix address.
#define TALUS__SOCKET_PATH_MAX (sizeof((struct sockaddr_un *)0)->sun_path - 1)
#define TALUS__DIRECTORY_PATH_MAX                                                                  \
    (TALUS__SOCKET_PATH_MAX - TALUS_ORIGIN_MAX - sizeof "/.replay" + 1)

enum talus__role { TALUS__ROLE_PUBLISHER, TALUS__ROLE_SUBSCRIBER };

// Makes the directory (parents too, mode `mode`) if it is missing, and checks that it is a
// directory of the effective user or of root (root itself may use anybody's) with no write
// permission for others beyond `mode`, that its parent is no place where somebody else could
// exchange it, and that socket names fit into a Unix address. What is refused is logged with its
// cause.
// Returns 0, TALUS_EACCESS, TALUS_EPATHTOOLONG, TALUS_ENOMEM, TALUS_ESYSTEM.
int talus__directory_open(const char *path, unsigned mode);

// A name in the directory, held.
struct talus__claim {
    char *lock_path; // owned
    int fd;          // -1: none
    int bell;        // a second descriptor, whose closing inotify tells; -1: none
};

// Takes the lock file of `name`. Returns 0; TALUS_EADDRINUSE: somebody holds it; TALUS_EACCESS,
// TALUS_ENOMEM, TALUS_ESYSTEM.
int talus__directory_claim(const char *path, enum talus__role role, const char *name,
                           struct talus__claim *claim);

// The same; `prepare` (may be NULL) gets the file, locked and empty, before it has its name.
typedef void talus__prepare_fn(int fd, void *arg);
int talus__directory_claim_prepared(const char *path, enum talus__role role, const char *name,
                                    talus__prepare_fn *prepare, void *arg,
                                    struct talus__claim *claim);

// Whether the lock file is still in the directory: it is not when somebody deleted or moved it or
// the whole directory, and then nobody finds the claimant any more.
bool talus__directory_holds(const struct talus__claim *claim);

// Unlinks the lock file, and for a publisher its sockets, if they are still the claimant's, and
// frees the lock. In a forked child, say so with `is_forked`: then nothing is unlinked. Does
// nothing to a claim without a lock_path.
void talus__directory_release(struct talus__claim *claim, bool is_forked);

// Frees the lock and leaves the files behind, as a process that dies does.
void talus__directory_abandon(struct talus__claim *claim);

// Whether a broadcaster's lock file is there, or what it left when it died. False: it ended in good
// order, or never was there: it is no file, or nobody has locked it yet.
bool talus__directory_has_lock(const char *path, const char *name);

// Opens the ledger in the lock file of a broadcaster for reading, also if it died a moment ago. -1:
// there is no file (errno ENOENT: it ended in good order), no ledger in it (ENODATA), or it cannot
// be opened.
int talus__directory_open_ledger(const char *path, const char *name);

// Gives the socket of that path, which the caller has just bound in the directory, the mode and, in
// a user's directory that root uses, the owner. What is there but is no socket of the caller's (its
// maker exchanged it) is left alone. Returns 0, TALUS_EACCESS, TALUS_ESYSTEM.
int talus__directory_share_socket(const char *path, const char *socket, unsigned mode);

// Writes `ipc://PATH/NAME.SUFFIX` into `out`. Returns 0 or TALUS_EPATHTOOLONG.
int talus__directory_endpoint(const char *path, const char *name, const char *suffix, char *out,
                              size_t capacity);

// Calls `fn` for each one that lives in the directory with that role, removing what the dead left,
// of either role. `fn` returning non-zero ends the scan. `is_unsettled` (may be NULL) tells whether
// there are files that somebody may still lock: nothing tells when, so look again.
// Returns 0; TALUS_EACCESS, TALUS_ENOMEM, TALUS_ESYSTEM (errno ENOENT: there is no such directory).
typedef int talus__directory_fn(const char *name, void *arg);
int talus__directory_scan(const char *path, enum talus__role role, talus__directory_fn *fn,
                          void *arg, bool *is_unsettled);

// Watches the directory: a descriptor, readable when something came or went, the directory itself
// included. -1 on failure: errno EMFILE or ENOSPC say that the user has too many watches.
int talus__directory_watch(const char *path);

enum talus__directory_news {
    TALUS__NEWS_CAME, // a broadcaster came; it may be gone by now, so that no scan finds it
    TALUS__NEWS_CAME_AND_DIED, // one that came since the last time did not end in good order
    TALUS__NEWS_LOST,          // more happened than the watch can keep; the name is ""
};

typedef void talus__directory_news_fn(enum talus__directory_news news, const char *name, void *arg);

// Reads what the watch has to tell; true if there was anything (then scan again). `fn` is called
// for what a scan cannot find any more; NULL if that does not matter.
bool talus__directory_drain(int watch, talus__directory_news_fn *fn, void *arg);

#endif
