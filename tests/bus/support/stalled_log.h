// SPDX-License-Identifier: MIT
// The library's log as a test hears it: it waits for lines, and can hold the thread that logs one,
// which is how a test stops the bus thread without a hook of its own in the library.
#ifndef TALUS_TESTS_STALLED_LOG_H
#define TALUS_TESTS_STALLED_LOG_H

// Hears all lines from now on. Before any broadcaster is made.
void stalled_log_open(void);
void stalled_log_close(void);

// The next thread that logs a line with `text` in it is held until stalled_log_release.
void stalled_log_hold(const char *text);

// Waits until a thread is held.
void stalled_log_wait_held(void);
void stalled_log_release(void);

// Waits until a line with `text` in it has been logged, since stalled_log_open or the last call.
void stalled_log_wait(const char *text);

#endif
