// SPDX-License-Identifier: MIT
// What the lock files of the bus directory and of plain ipc paths have in common.
#ifndef TALUS__LOCK_FILE_H
#define TALUS__LOCK_FILE_H

#include <stdbool.h>
#include <stdint.h>

// The error that errno stands for after a call on a file: TALUS_EACCESS, TALUS_EADDRINUSE (it is
// locked), TALUS_EPATHTOOLONG, TALUS_ENOMEM, else TALUS_ESYSTEM.
int talus__file_error(void);

// Whether the open file is the one that `name` in `directory` (AT_FDCWD: a path) leads to: its last
// holder may have removed it after it was opened, and then a lock on it keeps nobody out.
bool talus__is_current(int fd, int directory, const char *name);

// Whether the process may make a file of so many bytes (ulimit -f). To try ends it with SIGXFSZ.
bool talus__may_grow(uint64_t size);

#endif
