// SPDX-License-Identifier: MIT
// The signals that ask the program to end, as a descriptor to poll.
#ifndef TALUS_CLI_SIGNALS_H
#define TALUS_CLI_SIGNALS_H

#include <stdbool.h>

// Blocks SIGINT, SIGTERM and SIGHUP (those that were not ignored by whoever started the program)
// and opens a descriptor that is readable once one has come. Call it before a thread is made, so
// that none of them takes the signal.
// Returns the descriptor, or -1, reported.
int signals_open(void);

// Whether one has come. Does not block, and does not consume it.
bool signals_pending(int descriptor);

// Consumes those that came and unblocks them: the next ends the program in its default way.
void signals_close(int descriptor);

#endif
