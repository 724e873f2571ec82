// SPDX-License-Identifier: MIT
// Looking into the bus directory, and watching it.
#include "bus/src/zmq/directory/directory.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <talus/topic.h>

#include "bus/src/codec/wire.h"
#include "bus/src/zmq/directory/directory_lock.h"
#include "bus/src/zmq/directory/lock_file.h"

#define FIRST_NEWCOMERS 8

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

    if (!dot || !tl_is_origin(file, size))
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
                          void *arg, bool *is_unsettled)
{
    const struct dirent *entry;
    DIR *directory = opendir(path);

    if (is_unsettled)
        *is_unsettled = false;

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
        enum talus__lock_state state = talus__lock_look(dirfd(directory), entry->d_name);
        if (is_unsettled && state == TALUS__LOCK_UNSETTLED && lock.role == role)
            *is_unsettled = true;
        if (state == TALUS__LOCK_HELD && lock.role == role && fn(lock.owner, arg) != 0) {
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

// The broadcasters that came in what is drained now.
struct newcomers {
    char (*names)[TALUS_ORIGIN_MAX + 1]; // owned
    size_t count;
    size_t capacity;
    bool is_incomplete; // no memory: any may have come
};

static void add_newcomer(struct newcomers *newcomers, const char *name)
{
    if (newcomers->count == newcomers->capacity) {
        size_t capacity = newcomers->capacity ? newcomers->capacity * 2 : FIRST_NEWCOMERS;
        void *names = realloc(newcomers->names, capacity * sizeof *newcomers->names);
        if (!names) {
            newcomers->is_incomplete = true;
            return;
        }
        newcomers->names = names;
        newcomers->capacity = capacity;
    }
    strcpy(newcomers->names[newcomers->count++], name);
}

static bool has_come(const struct newcomers *newcomers, const char *name)
{
    for (size_t i = newcomers->count; i-- > 0;) {
        if (strcmp(newcomers->names[i], name) == 0)
            return true;
    }
    return newcomers->is_incomplete;
}

struct drain {
    talus__directory_news_fn *fn;
    void *arg;
    struct newcomers newcomers;
};

static void tell(struct drain *drain, const struct inotify_event *event)
{
    struct lock_name lock;

    if (event->mask & IN_Q_OVERFLOW) {
        drain->newcomers.is_incomplete = true;
        drain->fn(TALUS__NEWS_LOST, "", drain->arg);
    }
    if (!(event->mask & (IN_CREATE | IN_MOVED_TO)) || event->len == 0 ||
        !parse_lock_name(event->name, &lock) || lock.role != TALUS__ROLE_PUBLISHER ||
        lock.is_making)
        return;
    if (!lock.is_dead) {
        add_newcomer(&drain->newcomers, lock.owner);
        drain->fn(TALUS__NEWS_CAME, lock.owner, drain->arg);
    } else if (has_come(&drain->newcomers, lock.owner)) {
        drain->fn(TALUS__NEWS_CAME_AND_DIED, lock.owner, drain->arg);
    }
}

bool talus__directory_drain(int watch, talus__directory_news_fn *fn, void *arg)
{
    _Alignas(struct inotify_event) char events[4096];
    struct drain drain = {.fn = fn, .arg = arg};
    bool had_any = false;
    ssize_t size;

    while ((size = read(watch, events, sizeof events)) > 0) {
        had_any = true;
        for (const char *at = events; fn && at < events + size;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            tell(&drain, event);
            at += sizeof *event + event->len;
        }
    }
    free(drain.newcomers.names);
    return had_any;
}
