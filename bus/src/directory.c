// SPDX-License-Identifier: MIT
// The bus directory.
//
// Invariants: a lock file has its final name only while, or after, it was locked by its owner. Only
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
#include <sys/un.h>
#include <unistd.h>

#include <talus/error.h>
#include <talus/topic.h>

#include "context.h"
#include "wire.h"

#define PUBLISHER_LOCK  ".pub.lock"
#define SUBSCRIBER_LOCK ".sub.lock"
#define LONGEST_SUFFIX  ".replay" // of a socket
#define MAKING_SUFFIX   8         // random characters of a lock file in the making
#define CLAIM_TRIES     64        // how often others may come between the steps of a claim
#define ADDRESS_MAX     (sizeof((struct sockaddr_un *)0)->sun_path - 1)

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

static bool is_trusted(uid_t owner)
{
    return owner == geteuid() || owner == 0;
}

// ---- Opening

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
    // Ours, and new: give it the mode that was asked for, whatever the umask is.
    return chmod(path, mode) == 0 ? 0 : system_error();
}

// Whoever may write to the parent can put another directory in our place, unless the sticky bit
// keeps him from it. A symbolic link is as good as its owner.
static int check_parent(char *path)
{
    struct stat status;
    char *slash = strrchr(path, '/');
    const char *parent = !slash ? "." : slash == path ? "/" : path;

    if (slash && slash != path)
        *slash = '\0';
    int failed = lstat(parent, &status);
    bool is_link_trusted = !failed && is_trusted(status.st_uid);
    failed = failed || stat(parent, &status);
    if (slash && slash != path)
        *slash = '/';
    if (failed)
        return system_error();
    bool is_open = (status.st_mode & S_IWOTH) && !(status.st_mode & S_ISVTX);
    return is_link_trusted && is_trusted(status.st_uid) && !is_open ? 0 : TALUS_EACCESS;
}

static int check_directory(const char *path, unsigned mode)
{
    struct stat status;

    if (lstat(path, &status) != 0)
        return system_error();
    if (!is_trusted(status.st_uid))
        return TALUS_EACCESS;
    if (stat(path, &status) != 0)
        return system_error();
    if (!S_ISDIR(status.st_mode)) {
        errno = ENOTDIR;
        return TALUS_ESYSTEM;
    }
    if (!is_trusted(status.st_uid) || (status.st_mode & (S_IWGRP | S_IWOTH) & ~(mode_t)mode))
        return TALUS_EACCESS;
    return 0;
}

int talus__directory_open(const char *path, unsigned mode)
{
    if (strlen(path) + 1 + TALUS_ORIGIN_MAX + strlen(LONGEST_SUFFIX) > ADDRESS_MAX)
        return TALUS_EPATHTOOLONG;

    char *copy = strdup(path);
    if (!copy)
        return TALUS_ENOMEM;
    int error = make_directory(copy, mode);
    if (!error)
        error = check_parent(copy);
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

// Whether somebody holds the lock file. One that nobody holds is removed.
static bool is_held(int directory, const char *name)
{
    struct stat status;
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return errno == EACCES; // another user's: it cannot be asked
    bool held = false;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        held = false;
    } else if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
        held = errno == EWOULDBLOCK;
    } else if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_current(fd, directory, name)) {
        if (ends_with(name, PUBLISHER_LOCK))
            unlink_sockets(directory, name);
        unlinkat(directory, name, 0); // last: until then, others can take over from us
    }
    close(fd);
    return held;
}

// Makes and locks a file of a passing name. Returns its descriptor, -1 with EAGAIN if somebody
// looked at it at the wrong moment, or -1.
static int make_locked(const char *path, mode_t mode)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    if (fchmod(fd, mode) == 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    int saved = errno == EWOULDBLOCK ? EAGAIN : errno;
    unlink(path);
    close(fd);
    errno = saved;
    return -1;
}

// One try at a claim. EAGAIN in errno with TALUS_ESYSTEM: somebody came between, try again.
static int try_claim(const char *lock_path, const char *making_path, mode_t mode, int *out)
{
    int fd = make_locked(making_path, mode);
    if (fd < 0)
        return system_error();
    if (link(making_path, lock_path) == 0) {
        unlink(making_path);
        *out = fd;
        return 0;
    }
    int saved = errno == ENOENT ? EAGAIN : errno; // ENOENT: taken for a dead one's, and removed
    unlink(making_path);
    close(fd);
    if (saved == EEXIST) {
        if (is_held(AT_FDCWD, lock_path))
            return TALUS_EADDRINUSE;
        saved = EAGAIN;
    }
    errno = saved;
    return system_error();
}

int talus__directory_claim(const char *path, enum talus__role role, const char *name,
                           struct talus__claim *claim)
{
    const char *suffix = role == TALUS__ROLE_PUBLISHER ? PUBLISHER_LOCK : SUBSCRIBER_LOCK;
    char *lock_path = NULL;
    char making_path[PATH_MAX];
    struct stat status;
    int error = TALUS_ESYSTEM;
    int fd = -1;

    if (stat(path, &status) != 0)
        return system_error();
    if (asprintf(&lock_path, "%s/%s%s", path, name, suffix) < 0)
        return TALUS_ENOMEM;
    // Others who may enter the directory may look at the lock, too.
    mode_t mode = 0600 | (status.st_mode & 0666);
    for (int i = 0; i < CLAIM_TRIES; i++) {
        char making[MAKING_SUFFIX + 1];
        error = talus__random_name(making, MAKING_SUFFIX);
        if (error)
            break;
        if ((size_t)snprintf(making_path, sizeof making_path, "%s.%s", lock_path, making) >=
            sizeof making_path) {
            error = TALUS_EPATHTOOLONG;
            break;
        }
        error = try_claim(lock_path, making_path, mode, &fd);
        if (error != TALUS_ESYSTEM || errno != EAGAIN)
            break;
    }
    if (!error && talus__close_in_child(fd) != 0) {
        unlink(lock_path);
        close(fd);
        error = TALUS_ENOMEM;
    }
    if (error) {
        free(lock_path);
        return error;
    }
    claim->lock_path = lock_path;
    claim->fd = fd;
    return 0;
}

bool talus__directory_holds(const struct talus__claim *claim)
{
    return claim->lock_path && is_current(claim->fd, AT_FDCWD, claim->lock_path);
}

void talus__directory_release(struct talus__claim *claim, bool is_forked)
{
    if (!claim->lock_path)
        return;
    if (!is_forked) { // else the fork closed the descriptor
        if (talus__directory_holds(claim)) {
            if (ends_with(claim->lock_path, PUBLISHER_LOCK))
                unlink_sockets(AT_FDCWD, claim->lock_path);
            unlink(claim->lock_path);
        }
        talus__forget_in_child(claim->fd);
        close(claim->fd);
    }
    free(claim->lock_path);
    claim->lock_path = NULL;
    claim->fd = -1;
}

int talus__directory_endpoint(const char *path, const char *name, const char *suffix, char *out,
                              size_t capacity)
{
    int size = snprintf(out, capacity, "ipc://%s/%s.%s", path, name, suffix);
    if (size < 0 || (size_t)size >= capacity || (size_t)size - strlen("ipc://") > ADDRESS_MAX)
        return TALUS_EPATHTOOLONG;
    return 0;
}

// ---- Scanning

struct lock_name {
    enum talus__role role;
    bool is_making;
    char owner[TALUS_ORIGIN_MAX + 1];
};

// Whether a file is a lock file, and whose.
static bool parse_lock_name(const char *file, struct lock_name *lock)
{
    const char *dot = strchr(file, '.');
    size_t size = dot ? (size_t)(dot - file) : 0;

    if (!dot || !talus__is_origin(file, size))
        return false;
    if (strncmp(dot, PUBLISHER_LOCK, strlen(PUBLISHER_LOCK)) == 0) {
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
        bool lives = is_held(dirfd(directory), entry->d_name) && !lock.is_making;
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
        !lock.is_making)
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
