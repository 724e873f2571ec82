// SPDX-License-Identifier: MIT
// The bus directory itself: who may use it, and what its sockets are called.
#include "bus/src/zmq/directory/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <talus/error.h>

#include "bus/src/base/log.h"
#include "bus/src/zmq/directory/lock_file.h"

#define LONGEST_SUFFIX ".replay" // of a socket: see TALUS__DIRECTORY_PATH_MAX

// Root may use a user's bus, which the user named to it. Its own default is not named by anybody:
// somebody else's directory there is a trap.
static bool is_trusted(const char *path, uid_t owner)
{
    static const char own[] = "/tmp/talus-0";
    const size_t size = sizeof own - 1;

    if (owner == geteuid() || owner == 0)
        return true;
    bool is_own = strncmp(path, own, size) == 0 && (path[size] == '\0' || path[size] == '/');
    return geteuid() == 0 && !is_own;
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
        return talus__file_error();
    if (fstat(fd, &status) != 0 || (status.st_uid == geteuid() && fchmod(fd, mode) != 0))
        error = talus__file_error();
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
            return talus__file_error();
    }
    if (mkdir(path, mode) != 0)
        return errno == EEXIST ? 0 : talus__file_error();
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
        return talus__file_error();
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
        return talus__file_error();
    if (!is_trusted(path, status.st_uid))
        return refuse(path, "it belongs to another user");
    if (stat(path, &status) != 0)
        return talus__file_error();
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

// ---- Sockets

// By its descriptor, as somebody may exchange what the path leads to.
static int share(int fd, const struct stat *directory, mode_t mode)
{
    char self[sizeof "/proc/self/fd/" + 3 * sizeof(int)];
    struct stat status;

    if (fstat(fd, &status) != 0)
        return talus__file_error();
    // With a second name it may be a socket of ours that has nothing to do with this bus.
    if (!S_ISSOCK(status.st_mode) || status.st_uid != geteuid() || status.st_nlink > 1)
        return TALUS_EACCESS;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    // Without /proc it cannot be done. Where only the user may enter, the mode does not matter.
    if (chmod(self, mode) != 0 && !(errno == ENOENT && (directory->st_mode & 0077) == 0))
        return talus__file_error();
    if (geteuid() == 0 && directory->st_uid != 0 &&
        fchownat(fd, "", directory->st_uid, directory->st_gid, AT_EMPTY_PATH) != 0)
        return talus__file_error();
    return 0;
}

int talus__directory_share_socket(const char *path, const char *socket, unsigned mode)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return talus__file_error();
    int fd = open(socket, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return talus__file_error();
    int error = share(fd, &status, mode & 0666);
    close(fd);
    if (error == TALUS_EACCESS)
        talus__log(TALUS_LOG_ERROR, "%s is not the socket that was bound there", socket);
    return error;
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
