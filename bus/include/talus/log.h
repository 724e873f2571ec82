// SPDX-License-Identifier: MIT
// Where the library's own log lines go.
#ifndef TALUS_LOG_H
#define TALUS_LOG_H

#include <talus/export.h>

TALUS_BEGIN_DECLS

typedef enum talus_log_level {
    TALUS_LOG_ERROR,
    TALUS_LOG_WARNING,
    TALUS_LOG_INFO,
    TALUS_LOG_DEBUG,
} talus_log_level_t;

// Called with one whole line without a line end, on the thread that logs it. So it may run on
// several threads at once; it must not call into libtalus.
typedef void talus_log_fn(talus_log_level_t level, const char *line, void *arg);

// Sends the library's log lines of `level` and above (more severe) to `fn`, for the whole process.
// `fn` NULL restores the default: standard error. The default level is TALUS_LOG_WARNING.
// `fn` must return at once, and standard error must not be a pipe that nobody reads: while a line
// is written, the thread that logs it is blocked. A broadcaster sends nothing then, and the replay
// requests of others wait without a bound; a line logged in talus_subscriber_receive keeps the
// library's thread from reading for that subscriber, so that the messages that wait to be received
// have no bound. Call it before other threads use the library. Does not block.
TALUS_API void talus_set_log(talus_log_level_t level, talus_log_fn *fn, void *arg);

TALUS_END_DECLS

#endif
