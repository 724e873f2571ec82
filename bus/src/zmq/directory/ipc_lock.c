// SPDX-License-Identifier: MIT
// The right to bind a plain `ipc://PATH`.
#include "bus/src/zmq/directory/ipc_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/base/fork.h"
#include "bus/src/zmq/directory/lock_file.h"

#define SCHEME "ipc://"
#define TRIES  64 // how often the lock file may vanish between opening and locking it

static int open_locked(const char *path, int *out)
{
    for (int i = 0; i < TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return talus__file_error();
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            int error = talus__file_error();
            close(fd);
            return error;
        }
        if (talus__is_current(fd, AT_FDCWD, path)) {
            *out = fd;
            return 0;
        }
        close(fd);
    }
    return TALUS_EADDRINUSE;
}

// Whether somebody listens at `path` without holding our lock: a program that is not talus.
static int check_unused(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;

    if (lstat(path, &status) != 0)
        return errno == ENOENT ? 0 : talus__file_error();
    if (!S_ISSOCK(status.st_mode))
        return TALUS_EADDRINUSE; // libzmq would delete the file
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return TALUS_ESYSTEM;
    memcpy(address.sun_path, path, strlen(path) + 1);
    bool is_refused =
        connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 && errno != EAGAIN;
    close(fd);
    return is_refused ? 0 : TALUS_EADDRINUSE;
}

static int fill(struct talus__ipc_lock *lock, const char *path)
{
    lock->socket_path = strdup(path);
    if (!lock->socket_path || asprintf(&lock->lock_path, "%s.lock", path) < 0) {
        lock->lock_path = NULL;
        return TALUS_ENOMEM;
    }
    int error = open_locked(lock->lock_path, &lock->fd);
    if (error)
        return error;
    error = talus__close_in_child(lock->fd);
    if (error) {
        unlink(lock->lock_path);
        close(lock->fd);
        lock->fd = -1;
    }
    return error;
}

static void free_paths(struct talus__ipc_lock *lock)
{
    free(lock->socket_path);
    free(lock->lock_path);
    lock->socket_path = NULL;
    lock->lock_path = NULL;
}

static void let_go(struct talus__ipc_lock *lock)
{
    unlink(lock->lock_path);
    talus__forget_in_child(lock->fd);
    close(lock->fd);
    lock->fd = -1;
}

int talus__ipc_lock_take(struct talus__ipc_lock *lock, const char *endpoint)
{
    *lock = (struct talus__ipc_lock){.fd = -1};
    if (strncmp(endpoint, SCHEME, strlen(SCHEME)) != 0)
        return 0;
    const char *path = endpoint + strlen(SCHEME);
    if (path[0] == '@' || strcmp(path, "*") == 0)
        return 0;
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return TALUS_EPATHTOOLONG;

    int error = fill(lock, path);
    if (!error) {
        error = check_unused(path);
        if (error)
            let_go(lock);
    }
    if (error)
        free_paths(lock);
    return error;
}

void talus__ipc_lock_release(struct talus__ipc_lock *lock, bool is_forked)
{
    if (!lock->socket_path)
        return;
    if (!is_forked) { // else the descriptor was closed in the fork
        unlink(lock->socket_path);
        let_go(lock);
    }
    free_paths(lock);
}
