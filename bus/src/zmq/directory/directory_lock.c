// SPDX-License-Identifier: MIT
// The lock files of the bus directory.
//
// Invariants: a lock file of ours has a name only while, or after, it was locked by its owner, and
// is never empty. Only the holder of a lock file's lock removes it, and only after checking that
// the name still leads to the file that it holds. Whoever looks opens for reading alone, so that it
// raises no event for those who watch, and takes the lock shared; exclusively, without waiting,
// only to remove a file that nobody holds.
//
// A broadcaster maps its lock file (ledger_writer.c), and a mapped file that is truncated ends the
// process with SIGBUS. So nobody may write to a lock file once it is made, not even its owner's
// other processes; the descriptors of the holder were open before.
#include "bus/src/zmq/directory/directory_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/base/fork.h"
#include "bus/src/codec/ledger.h"
#include "bus/src/zmq/directory/directory.h"
#include "bus/src/zmq/directory/lock_file.h"
#include "common/random.h"

#define CLAIM_TRIES   64 // how often a dead one's file may be in the way of a claim
#define LEAVE_ALONE_S 10 // files in the making, and those of the dead

// Removes the sockets beside a publisher's lock file; `lock` ends with its suffix.
static void unlink_sockets(int directory, const char *lock)
{
    char path[PATH_MAX];
    size_t size = strlen(lock) - strlen(TALUS__PUBLISHER_LOCK);

    if (size + strlen(".replay") >= sizeof path)
        return;
    memcpy(path, lock, size);
    strcpy(path + size, ".pub");
    unlinkat(directory, path, 0);
    strcpy(path + size, ".replay");
    unlinkat(directory, path, 0);
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t size = strlen(text), suffix_size = strlen(suffix);
    return size >= suffix_size && strcmp(text + size - suffix_size, suffix) == 0;
}

// Removes what its owner left behind; its lock is held.
static void remove_left(int directory, const char *name)
{
    char dead[NAME_MAX + PATH_MAX];
    size_t size = strlen(name) - strlen(TALUS__PUBLISHER_LOCK);

    if (!ends_with(name, TALUS__PUBLISHER_LOCK) ||
        size + sizeof TALUS__PUBLISHER_DEAD > sizeof dead) {
        unlinkat(directory, name, 0);
        return;
    }
    unlink_sockets(directory, name);
    memcpy(dead, name, size);
    strcpy(dead + size, TALUS__PUBLISHER_DEAD);
    // Last: until then, others can take over from us.
    if (renameat(directory, name, directory, dead) != 0)
        unlinkat(directory, name, 0);
}

// Whether the file was made or renamed a moment ago, or will have been, as the clock was set back.
static bool is_young(const struct stat *status)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return llabs((long long)now.tv_sec - (long long)status->st_ctim.tv_sec) <= LEAVE_ALONE_S;
}

// Opens what may be a lock file, without waiting for anybody and without an event. -1: it cannot be
// had, or it is no regular file (errno EINVAL).
static int open_lock(int directory, const char *name, struct stat *status)
{
    // First of all, as to open another kind of file may do something.
    if (fstatat(directory, name, status, AT_SYMLINK_NOFOLLOW) != 0)
        return -1;
    if (!S_ISREG(status->st_mode)) {
        errno = EINVAL;
        return -1;
    }
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, status) != 0 || !S_ISREG(status->st_mode))) {
        close(fd);
        fd = -1;
        errno = EINVAL;
    }
    if (fd < 0 && (errno == ELOOP || errno == ENXIO)) // exchanged meanwhile
        errno = EINVAL;
    return fd;
}

// Who has the open file. Its state is judged by what it is like now: the lock is asked last.
static enum talus__lock_state state_of(int fd, const struct stat *status)
{
    bool may_be_new = status->st_size == 0 && is_young(status);

    if (flock(fd, LOCK_SH | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? TALUS__LOCK_HELD : TALUS__LOCK_NONE;
    return may_be_new ? TALUS__LOCK_UNSETTLED : TALUS__LOCK_LEFT;
}

enum talus__lock_state talus__lock_look(int directory, const char *name)
{
    struct stat status;
    int fd = open_lock(directory, name, &status);

    // One that cannot be asked (another user's; no descriptor to spare) counts as living.
    if (fd < 0)
        return errno == ENOENT || errno == EINVAL ? TALUS__LOCK_NONE : TALUS__LOCK_HELD;
    enum talus__lock_state state = state_of(fd, &status);
    if (state == TALUS__LOCK_LEFT && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        talus__is_current(fd, directory, name))
        remove_left(directory, name);
    close(fd);
    return state;
}

// The same for the file of a name that is to be claimed: it is in the way also if it is new. Who
// locks a file of a new process's name checks afterwards that it is still there.
static bool is_taken(const char *path)
{
    struct stat status;
    int fd = open_lock(AT_FDCWD, path, &status);

    if (fd < 0)
        return errno != ENOENT;
    enum talus__lock_state state = state_of(fd, &status);
    if (state != TALUS__LOCK_HELD && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        talus__is_current(fd, AT_FDCWD, path))
        remove_left(AT_FDCWD, path);
    close(fd);
    return state == TALUS__LOCK_HELD;
}

void talus__lock_remove_old(int directory, const char *name)
{
    struct stat status;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !is_young(&status))
        unlinkat(directory, name, 0);
}

struct making {
    const char *directory;
    const char *lock_path;
    mode_t mode; // for reading
    talus__prepare_fn *prepare;
    void *arg;
};

// Locks the new file and makes it ready. Its owner may write to it for a moment more: keep_claim
// has to open it by its name.
static int prepare_file(const struct making *making, int fd)
{
    struct stat status;

    if (fchmod(fd, making->mode | S_IWUSR) != 0)
        return -1;
    while (flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR)
            return -1;
    }
    if (making->prepare)
        making->prepare(fd, making->arg);
    // An empty file would look like one that another program is about to lock. A byte that is not
    // written takes no space on a full file system.
    if (fstat(fd, &status) == 0 && status.st_size == 0 && talus__may_grow(1) &&
        ftruncate(fd, 1) != 0)
        return -1;
    return 0;
}

// Makes a file without a name, and gives it its name when it is locked. Returns its descriptor or
// -1.
static int make_nameless(const struct making *making)
{
    char self[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
    int fd = open(making->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    if (prepare_file(making, fd) == 0 &&
        linkat(AT_FDCWD, self, AT_FDCWD, making->lock_path, AT_SYMLINK_FOLLOW) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

// The same with a passing name, which others leave alone for a while.
static int make_named(const struct making *making)
{
    char name[TALUS__MAKING_SUFFIX + 1], path[PATH_MAX];

    if (!tl_random_name(name, TALUS__MAKING_SUFFIX))
        return -1;
    if ((size_t)snprintf(path, sizeof path, "%s.%s", making->lock_path, name) >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    int failed = prepare_file(making, fd) != 0 || link(path, making->lock_path) != 0;
    int saved = errno;
    unlink(path);
    if (!failed)
        return fd;
    close(fd);
    errno = saved;
    return -1;
}

// Returns the descriptor of the claimed file, or -1.
static int make_lock(const struct making *making)
{
    for (int i = 0; i < CLAIM_TRIES; i++) {
        int fd = make_nameless(making);
        // No O_TMPFILE here, or no /proc (ENOENT: then the directory is missing, or the name is).
        if (fd < 0 &&
            (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL || errno == ENOENT))
            fd = make_named(making);
        if (fd >= 0 || errno != EEXIST)
            return fd;
        if (is_taken(making->lock_path))
            break;
    }
    errno = EEXIST;
    return -1;
}

static void close_claim(struct talus__claim *claim)
{
    if (claim->bell >= 0) {
        talus__forget_in_child(claim->bell);
        close(claim->bell);
    }
    talus__forget_in_child(claim->fd);
    close(claim->fd);
}

static int keep_claim(struct talus__claim *claim, mode_t mode)
{
    int error = talus__close_in_child(claim->fd);
    if (error)
        return error;
    // The kernel may not tell of the closing of a file that was made without a name.
    claim->bell = open(claim->lock_path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (claim->bell >= 0 && talus__close_in_child(claim->bell) != 0) {
        close(claim->bell);
        claim->bell = -1;
    }
    return fchmod(claim->fd, mode) == 0 ? 0 : talus__file_error();
}

// Who may look at a lock file: its owner, and the others that may look into the directory. What
// root makes in a user's directory stays root's, so that nobody can write to it; the user reads it.
static mode_t mode_of(const struct stat *directory)
{
    mode_t mode = S_IRUSR | (directory->st_mode & (S_IRGRP | S_IROTH));
    bool is_users = geteuid() == 0 && directory->st_uid != 0;

    return is_users ? mode | S_IRGRP | S_IROTH : mode;
}

int talus__directory_claim_prepared(const char *path, enum talus__role role, const char *name,
                                    talus__prepare_fn *prepare, void *arg,
                                    struct talus__claim *claim)
{
    const char *suffix =
        role == TALUS__ROLE_PUBLISHER ? TALUS__PUBLISHER_LOCK : TALUS__SUBSCRIBER_LOCK;
    struct talus__claim made = {.fd = -1, .bell = -1};
    struct stat status;

    if (stat(path, &status) != 0)
        return talus__file_error();
    if (asprintf(&made.lock_path, "%s/%s%s", path, name, suffix) < 0)
        return TALUS_ENOMEM;
    const struct making making = {.directory = path,
                                  .lock_path = made.lock_path,
                                  .mode = mode_of(&status),
                                  .prepare = prepare,
                                  .arg = arg};
    made.fd = make_lock(&making);
    int error = made.fd >= 0 ? 0 : errno == EEXIST ? TALUS_EADDRINUSE : talus__file_error();
    if (!error) {
        error = keep_claim(&made, making.mode);
        if (error) {
            unlink(made.lock_path);
            close_claim(&made);
        }
    }
    if (error) {
        free(made.lock_path);
        return error;
    }
    *claim = made;
    return 0;
}

int talus__directory_claim(const char *path, enum talus__role role, const char *name,
                           struct talus__claim *claim)
{
    return talus__directory_claim_prepared(path, role, name, NULL, NULL, claim);
}

bool talus__directory_holds(const struct talus__claim *claim)
{
    return claim->lock_path && talus__is_current(claim->fd, AT_FDCWD, claim->lock_path);
}

static void free_claim(struct talus__claim *claim)
{
    free(claim->lock_path);
    *claim = (struct talus__claim){.fd = -1, .bell = -1};
}

void talus__directory_release(struct talus__claim *claim, bool is_forked)
{
    if (!claim->lock_path)
        return;
    if (!is_forked) { // else the fork closed the descriptors
        if (talus__directory_holds(claim)) {
            if (ends_with(claim->lock_path, TALUS__PUBLISHER_LOCK))
                unlink_sockets(AT_FDCWD, claim->lock_path);
            unlink(claim->lock_path);
        }
        close_claim(claim);
    }
    free_claim(claim);
}

void talus__directory_abandon(struct talus__claim *claim)
{
    if (!claim->lock_path)
        return;
    close_claim(claim);
    free_claim(claim);
}

// Writes the path of the lock file, or of what the dead one left.
static bool write_lock_path(char out[PATH_MAX], const char *path, const char *name,
                            const char *suffix)
{
    return (size_t)snprintf(out, PATH_MAX, "%s/%s%s", path, name, suffix) < PATH_MAX;
}

// Whether the lock file is a broadcaster's, living or dead.
static bool is_locked_once(const char *file)
{
    struct stat status;
    int fd = open_lock(AT_FDCWD, file, &status);

    if (fd < 0) // it is there, but cannot be asked
        return errno != ENOENT && errno != EINVAL;
    enum talus__lock_state state = state_of(fd, &status);
    close(fd);
    return state == TALUS__LOCK_HELD || state == TALUS__LOCK_LEFT;
}

bool talus__directory_has_lock(const char *path, const char *name)
{
    char file[PATH_MAX];
    struct stat status;

    // In this order, as the one becomes the other.
    if (write_lock_path(file, path, name, TALUS__PUBLISHER_LOCK) && is_locked_once(file))
        return true;
    return write_lock_path(file, path, name, TALUS__PUBLISHER_DEAD) && lstat(file, &status) == 0 &&
           S_ISREG(status.st_mode);
}

// A file without a ledger is no help, and would keep that of another directory from being found.
static int open_ledger(const char *path, const char *name, const char *suffix)
{
    char file[PATH_MAX];
    struct stat status;
    uint64_t magic = 0;

    if (!write_lock_path(file, path, name, suffix))
        return -1;
    int fd = open_lock(AT_FDCWD, file, &status);
    if (fd >= 0 && (pread(fd, &magic, sizeof magic, 0) != (ssize_t)sizeof magic ||
                    magic != TALUS__LEDGER_MAGIC)) {
        close(fd);
        errno = ENODATA;
        return -1;
    }
    return fd;
}

int talus__directory_open_ledger(const char *path, const char *name)
{
    int fd = open_ledger(path, name, TALUS__PUBLISHER_LOCK);
    return fd >= 0 || errno != ENOENT ? fd : open_ledger(path, name, TALUS__PUBLISHER_DEAD);
}
