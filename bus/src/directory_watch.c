// SPDX-License-Identifier: MIT
// Looking into the bus directory, and watching it.
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <talus/topic.h>

#include "directory_lock.h"
#include "lock_file.h"
#include "wire.h"

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
    lock->is_dead = strcmp(dot, TALUS__PUBLISHER_DEAD) == 0;
    if (lock->is_dead || strncmp(dot, TALUS__PUBLISHER_LOCK, strlen(TALUS__PUBLISHER_LOCK)) == 0) {
        lock->role = TALUS__ROLE_PUBLISHER;
        dot += strlen(TALUS__PUBLISHER_LOCK);
    } else if (strncmp(dot, TALUS__SUBSCRIBER_LOCK, strlen(TALUS__SUBSCRIBER_LOCK)) == 0) {
        lock->role = TALUS__ROLE_SUBSCRIBER;
        dot += strlen(TALUS__SUBSCRIBER_LOCK);
    } else {
        return false;
    }
    lock->is_making = *dot == '.' && strlen(dot) == 1 + TALUS__MAKING_SUFFIX;
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
        return talus__file_error();
    while (errno = 0, (entry = readdir(directory)) != NULL) {
        struct lock_name lock;
        if (!parse_lock_name(entry->d_name, &lock))
            continue;
        if (lock.is_making || lock.is_dead) {
            talus__lock_remove_old(dirfd(directory), entry->d_name);
            continue;
        }
        bool lives = talus__lock_is_held(dirfd(directory), entry->d_name);
        if (lives && lock.role == role && fn(lock.owner, arg) != 0) {
            errno = 0;
            break;
        }
    }
    int error = errno ? talus__file_error() : 0;
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
