// SPDX-License-Identifier: MIT
// Files of ledgers.
#include "bus/src/zmq/directory/ledger_file.h"

#include <unistd.h>

static bool read_file(void *arg, uint64_t offset, void *out, size_t size)
{
    return pread((int)(intptr_t)arg, out, size, (off_t)offset) == (ssize_t)size;
}

int talus__ledger_open_file(struct talus__ledger *ledger, int fd, const char *origin)
{
    return talus__ledger_open(ledger, read_file, (void *)(intptr_t)fd, origin);
}
