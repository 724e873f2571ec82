// SPDX-License-Identifier: MIT
// What the program has to say on standard error: always whole lines, each of which names the
// command, and none of which carries a control character from an argument or an event.
//
// Invariant: report_command is called once, before any other thread runs; the rest may be called
// from any thread.
#ifndef TALUS_CLI_REPORT_H
#define TALUS_CLI_REPORT_H

#include <stdarg.h>

#include <talus/error.h>

// Exit statuses.
enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, // something that was tried did not work
    EXIT_USAGE = 2,  // the command line is wrong
};

// Names the command of the lines to come ("tap"; NULL: none yet) and sends libtalus's log there.
// `command` is kept, not copied.
void report_command(const char *command);

// Writes one line: `talus COMMAND: …`.
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_list(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

// The endpoint of later bus errors comes from this variable: they name it and show its value, cut
// short. NULL: from none.
void report_bus_variable(const char *name);

// Says why `action` ("listen", "publish") on `endpoint` failed with a TALUS_E… (errno still being
// that of the call) and what to do. Returns the exit status for it: EXIT_USAGE where the endpoint
// itself is wrong (malformed, or its path too long), as in the gateway.
int report_bus_error(const char *action, const char *endpoint, talus_error_t error);

#endif
