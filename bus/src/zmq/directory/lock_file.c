// SPDX-License-Identifier: MIT
// What lock files have in common.
#include "bus/src/zmq/directory/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <talus/error.h>

int talus__file_error(void)
{
    switch (errno) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP: // a symbolic link where none is followed
        return TALUS_EACCESS;
    case EWOULDBLOCK:
        return TALUS_EADDRINUSE;
    case ENAMETOOLONG:
        return TALUS_EPATHTOOLONG;
    case ENOMEM:
        return TALUS_ENOMEM;
    default:
        return TALUS_ESYSTEM;
    }
}

bool talus__is_current(int fd, int directory, const char *name)
{
    struct stat ours, theirs;

    return fstat(fd, &ours) == 0 && fstatat(directory, name, &theirs, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

bool talus__may_grow(uint64_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           size <= limit.rlim_cur;
}
