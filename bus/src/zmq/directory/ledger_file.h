// SPDX-License-Identifier: MIT
// Reads the ledger of a broadcaster that is gone from its lock file.
#ifndef TALUS__LEDGER_FILE_H
#define TALUS__LEDGER_FILE_H

#include "bus/src/codec/ledger.h"

// talus__ledger_open for the file `fd`, which must stay open until talus__ledger_close. Returns 0;
// TALUS__EBODY: it is not the ledger of `origin`, or cannot be read; TALUS_ENOMEM.
int talus__ledger_open_file(struct talus__ledger *ledger, int fd, const char *origin);

#endif
