// SPDX-License-Identifier: MIT
// The bus directory.
//
// Invariants: a lock file has a name only while, or after, it was locked by its owner. Only
// the holder of a lock file's lock removes it, and only after checking that the name still leads to
// the file that it holds. Looking never takes an exclusive lock, and opens for reading alone, so
// that it raises no event for those who watch.
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <talus/error.h>

#include "context.h"
#include "log.h"
#include "wire.h"

#define PUBLISHER_LOCK  ".pub.lock"
#define SUBSCRIBER_LOCK ".sub.lock"
#define PUBLISHER_DEAD  ".pub.dead"
#define LONGEST_SUFFIX  ".replay" // of a socket: see TALUS__DIRECTORY_PATH_MAX
#define MAKING_SUFFIX   8         // random characters of a lock file in the making
#define CLAIM_TRIES     64        // how often a dead one's file may be in the way of a claim
#define LEAVE_ALONE_S   10        // files in the making, and those of the dead

static int system_error(void)
{
    switch (errno) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP: // a symbolic link where none is followed
        return TALUS_EACCESS;
    case ENAMETOOLONG:
        return TALUS_EPATHTOOLONG;
    case ENOMEM:
        return TALUS_ENOMEM;
    default:
        return TALUS_ESYSTEM;
    }
}

// Root may use a user's bus, which the user named to it. Its own default is not named by anybody:
// somebody else's directory there is a trap.
static bool is_trusted(const char *path, uid_t owner)
{
    static const char own[] = "/tmp/talus-0";

    if (owner == geteuid() || owner == 0)
        return true;
    return geteuid() == 0 && strncmp(path, own, sizeof own - 1) != 0;
}

// Says why a directory is refused; the error code alone could mean many things.
static int refuse(const char *path, const char *why)
{
    talus__log(TALUS_LOG_ERROR, "bus directory %s is refused: %s", path, why);
    return TALUS_EACCESS;
}

// ---- Opening

// Gives a directory that we have made the mode that was asked for, whatever the umask is. By its
// descriptor: the path may lead elsewhere by now.
static int set_mode(const char *path, unsigned mode)
{
    struct stat status;
    int error = 0;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return system_error();
    if (fstat(fd, &status) != 0 || (status.st_uid == geteuid() && fchmod(fd, mode) != 0))
        error = system_error();
    close(fd);
    return error;
}

static int make_directory(char *path, unsigned mode)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, mode) != 0 && errno != EEXIST;
        *slash = '/';
        if (failed)
            return system_error();
    }
    if (mkdir(path, mode) != 0)
        return errno == EEXIST ? 0 : system_error();
    return set_mode(path, mode);
}

// Whoever may write to the parent can put another directory in our place, unless the sticky bit
// keeps him from it. A symbolic link is as good as its owner. A group may write to the parent if it
// may write to the directory itself.
static int check_parent(char *path, unsigned mode)
{
    struct stat status;
    char *slash = strrchr(path, '/');
    const char *parent = !slash ? "." : slash == path ? "/" : path;
    const char *why = NULL;

    if (slash && slash != path)
        *slash = '\0';
    int failed = lstat(parent, &status);
    bool is_link_trusted = !failed && is_trusted(path, status.st_uid);
    failed = failed || stat(parent, &status);
    if (slash && slash != path)
        *slash = '/';
    if (failed)
        return system_error();
    bool has_sticky = status.st_mode & S_ISVTX;
    if (!is_link_trusted || !is_trusted(path, status.st_uid))
        why = "the directory that it is in belongs to another user";
    else if ((status.st_mode & S_IWOTH) && !has_sticky)
        why = "everybody may write to the directory that it is in, which has no sticky bit";
    else if ((status.st_mode & S_IWGRP) && !has_sticky && !(mode & S_IWGRP))
        why = "the group may write to the directory that it is in, which has no sticky bit";
    return why ? refuse(path, why) : 0;
}

static int check_directory(const char *path, unsigned mode)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return system_error();
    if (!is_trusted(path, status.st_uid))
        return refuse(path, "it belongs to another user");
    if (stat(path, &status) != 0)
        return system_error();
    if (!S_ISDIR(status.st_mode)) {
        errno = ENOTDIR;
        return TALUS_ESYSTEM;
    }
    if (!is_trusted(path, status.st_uid))
        return refuse(path, "it belongs to another user");
    if (status.st_mode & S_IWOTH & ~(mode_t)mode)
        return refuse(path, "everybody may write to it");
    if (status.st_mode & S_IWGRP & ~(mode_t)mode)
        return refuse(path, "its group may write to it, and the mode that was asked for says no");
    return 0;
}

int talus__directory_open(const char *path, unsigned mode)
{
    if (strlen(path) > TALUS__DIRECTORY_PATH_MAX)
        return TALUS_EPATHTOOLONG;

    char *copy = strdup(path);
    if (!copy)
        return TALUS_ENOMEM;
    int error = make_directory(copy, mode);
    if (!error)
        error = check_parent(copy, mode);
    if (!error)
        error = check_directory(copy, mode);
    free(copy);
    return error;
}

// ---- Lock files

// Whether the open file is the one that the name leads to.
static bool is_current(int fd, int directory, const char *name)
{
    struct stat ours, theirs;

    return fstat(fd, &ours) == 0 && fstatat(directory, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

// Removes the sockets beside a publisher's lock file; `lock` ends with its suffix.
static void unlink_sockets(int directory, const char *lock)
{
    char path[PATH_MAX];
    size_t size = strlen(lock) - strlen(PUBLISHER_LOCK);

    if (size + strlen(LONGEST_SUFFIX) >= sizeof path)
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
    size_t size = strlen(name) - strlen(PUBLISHER_LOCK);

    if (!ends_with(name, PUBLISHER_LOCK) || size + sizeof PUBLISHER_DEAD > sizeof dead) {
        unlinkat(directory, name, 0);
        return;
    }
    unlink_sockets(directory, name);
    memcpy(dead, name, size);
    strcpy(dead + size, PUBLISHER_DEAD);
    // Last: until then, others can take over from us.
    if (renameat(directory, name, directory, dead) != 0)
        unlinkat(directory, name, 0);
}

// Whether somebody holds the lock file. One that nobody holds is removed.
static bool is_held(int directory, const char *name)
{
    struct stat status;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return errno == EACCES; // another user's: it cannot be asked
    bool held = false;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        held = false;
    else if (flock(fd, LOCK_SH | LOCK_NB) != 0)
        held = errno == EWOULDBLOCK;
    else if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_current(fd, directory, name))
        remove_left(directory, name);
    close(fd);
    return held;
}

// Whether the file was made or renamed a moment ago.
static bool is_young(const struct stat *status)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return status->st_ctim.tv_sec <= now.tv_sec &&
           now.tv_sec - status->st_ctim.tv_sec <= LEAVE_ALONE_S;
}

// Removes a file in the making, or one of the dead, once it was left alone long enough.
static void remove_old(int directory, const char *name)
{
    struct stat status;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && !is_young(&status))
        unlinkat(directory, name, 0);
}

struct making {
    const char *directory;
    const char *lock_path;
    mode_t mode;
    uid_t owner;
    gid_t group;
    talus__prepare_fn *prepare;
    void *arg;
};

// Locks the new file and makes it ready.
static int prepare_file(const struct making *making, int fd)
{
    if (fchmod(fd, making->mode) != 0)
        return -1;
    // What root makes in a user's directory is the user's.
    if (geteuid() == 0 && making->owner != 0 && fchown(fd, making->owner, making->group) != 0)
        return -1;
    while (flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR)
            return -1;
    }
    if (making->prepare)
        making->prepare(fd, making->arg);
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
    char name[MAKING_SUFFIX + 1], path[PATH_MAX];

    if (talus__random_name(name, MAKING_SUFFIX) != 0)
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
        if (is_held(AT_FDCWD, making->lock_path))
            break;
    }
    errno = EEXIST;
    return -1;
}

static int keep_claim(struct talus__claim *claim)
{
    int error = talus__close_in_child(claim->fd);
    if (error)
        return error;
    // The kernel may not tell of the closing of a file that was made without a name.
    claim->bell = open(claim->lock_path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (claim->bell >= 0 && talus__close_in_child(claim->bell) != 0) {
        close(claim->bell);
        claim->bell = -1;
    }
    return 0;
}

int talus__directory_claim_prepared(const char *path, enum talus__role role, const char *name,
                                    talus__prepare_fn *prepare, void *arg,
                                    struct talus__claim *claim)
{
    const char *suffix = role == TALUS__ROLE_PUBLISHER ? PUBLISHER_LOCK : SUBSCRIBER_LOCK;
    struct talus__claim made = {.fd = -1, .bell = -1};
    struct stat status;

    if (stat(path, &status) != 0)
        return system_error();
    if (asprintf(&made.lock_path, "%s/%s%s", path, name, suffix) < 0)
        return TALUS_ENOMEM;
    // Others who may enter the directory may look at the lock, too.
    const struct making making = {.directory = path,
                                  .lock_path = made.lock_path,
                                  .mode = 0600 | (status.st_mode & 0666),
                                  .owner = status.st_uid,
                                  .group = status.st_gid,
                                  .prepare = prepare,
                                  .arg = arg};
    made.fd = make_lock(&making);
    int error = made.fd >= 0 ? 0 : errno == EEXIST ? TALUS_EADDRINUSE : system_error();
    if (!error) {
        error = keep_claim(&made);
        if (error) {
            unlink(made.lock_path);
            close(made.fd);
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
    return claim->lock_path && is_current(claim->fd, AT_FDCWD, claim->lock_path);
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
            if (ends_with(claim->lock_path, PUBLISHER_LOCK))
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

bool talus__directory_has_lock(const char *path, const char *name)
{
    char file[PATH_MAX];

    // In this order, as the one becomes the other.
    return (write_lock_path(file, path, name, PUBLISHER_LOCK) && access(file, F_OK) == 0) ||
           (write_lock_path(file, path, name, PUBLISHER_DEAD) && access(file, F_OK) == 0);
}

static int open_ledger(const char *path, const char *name, const char *suffix)
{
    char file[PATH_MAX];

    if (!write_lock_path(file, path, name, suffix))
        return -1;
    return open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

int talus__directory_open_ledger(const char *path, const char *name)
{
    int fd = open_ledger(path, name, PUBLISHER_LOCK);
    return fd >= 0 || errno != ENOENT ? fd : open_ledger(path, name, PUBLISHER_DEAD);
}

int talus__directory_endpoint(const char *path, const char *name, const char *suffix, char *out,
                              size_t capacity)
{
    int size = snprintf(out, capacity, "ipc://%s/%s.%s", path, name, suffix);
    if (size < 0 || (size_t)size >= capacity ||
        (size_t)size - strlen("ipc://") > TALUS__SOCKET_PATH_MAX)
        return TALUS_EPATHTOOLONG;
    return 0;
}

// ---- Scanning

struct lock_name {
    enum talus__role role;
    bool is_making;
    bool is_dead;
    char owner[TALUS_ORIGIN_MAX + 1];
};

// Whether a file is a lock file, and whose.
static bool parse_lock_name(const char *file, struct lock_name *lock)
{
    const char *dot = strchr(file, '.');
    size_t size = dot ? (size_t)(dot - file) : 0;

    if (!dot || !talus__is_origin(file, size))
        return false;
    lock->is_dead = strcmp(dot, PUBLISHER_DEAD) == 0;
    if (lock->is_dead || strncmp(dot, PUBLISHER_LOCK, strlen(PUBLISHER_LOCK)) == 0) {
        lock->role = TALUS__ROLE_PUBLISHER;
        dot += strlen(PUBLISHER_LOCK);
    } else if (strncmp(dot, SUBSCRIBER_LOCK, strlen(SUBSCRIBER_LOCK)) == 0) {
        lock->role = TALUS__ROLE_SUBSCRIBER;
        dot += strlen(SUBSCRIBER_LOCK);
    } else {
        return false;
    }
    lock->is_making = *dot == '.' && strlen(dot) == 1 + MAKING_SUFFIX;
    memcpy(lock->owner, file, size);
    lock->owner[size] = '\0';
    return *dot == '\0' || lock->is_making;
}

int talus__directory_scan(const char *path, enum talus__role role, talus__directory_fn *fn,
                          void *arg)
{
    const struct dirent *entry;
    DIR *directory = opendir(path);

    if (!directory)
        return system_error();
    while (errno = 0, (entry = readdir(directory)) != NULL) {
        struct lock_name lock;
        if (!parse_lock_name(entry->d_name, &lock))
            continue;
        if (lock.is_making || lock.is_dead) {
            remove_old(dirfd(directory), entry->d_name);
            continue;
        }
        bool lives = is_held(dirfd(directory), entry->d_name);
        if (lives && lock.role == role && fn(lock.owner, arg) != 0) {
            errno = 0;
            break;
        }
    }
    int error = errno ? system_error() : 0;
    closedir(directory);
    return error;
}

// ---- Watching

int talus__directory_watch(const char *path)
{
    const uint32_t events = IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                            IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (watch >= 0 && inotify_add_watch(watch, path, events) < 0) {
        int saved = errno;
        close(watch);
        errno = saved;
        return -1;
    }
    return watch;
}

static void tell_of_publisher(const struct inotify_event *event, talus__directory_fn *fn, void *arg)
{
    struct lock_name lock;

    if ((event->mask & (IN_CREATE | IN_MOVED_TO)) && event->len > 0 &&
        parse_lock_name(event->name, &lock) && lock.role == TALUS__ROLE_PUBLISHER &&
        !lock.is_making && !lock.is_dead)
        fn(lock.owner, arg);
}

bool talus__directory_drain(int watch, talus__directory_fn *fn, void *arg)
{
    _Alignas(struct inotify_event) char events[4096];
    bool had_any = false;
    ssize_t size;

    while ((size = read(watch, events, sizeof events)) > 0) {
        had_any = true;
        for (const char *at = events; fn && at < events + size;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            tell_of_publisher(event, fn, arg);
            at += sizeof *event + event->len;
        }
    }
    return had_any;
}
