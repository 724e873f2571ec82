// SPDX-License-Identifier: MIT
// The file of a ledger (codec/ledger.h), as those who survive its broadcaster read it.
#ifndef TALUS__LEDGER_FILE_H
#define TALUS__LEDGER_FILE_H

#include "bus/src/codec/ledger.h"

// Opens the ledger in a file, which stays the caller's and must stay open. `origin`: whose it must
// be. Returns as talus__ledger_open does. Each read of it blocks as long as the file system does.
int talus__ledger_open_file(struct talus__ledger *ledger, int fd, const char *origin);

#endif
