// SPDX-License-Identifier: MIT
// An event as a line of text: for an operator's terminal, or as JSON for a program.
// Pure: events in, lines out.
//
// Invariant: a line has no control character but those of its own colours, whatever the event
// holds.
#ifndef TALUS_CLI_PRINT_H
#define TALUS_CLI_PRINT_H

#include <stdbool.h>
#include <stddef.h>

#include <talus.h>

#include "clients/cli/text.h"

typedef enum print_format { PRINT_PRETTY, PRINT_JSON } print_format_t;

enum { PRINT_LINE_MAX = 32 << 20 }; // bytes

typedef struct printer {
    print_format_t format;
    bool is_coloured; // pretty alone
    size_t columns;   // pretty: of the terminal that the line is cut to; 0: whole payloads
    size_t session_width, type_width, id_width; // of the columns so far: they only grow
    text_t payload;
    text_t line;
} printer_t;

void printer_init(printer_t *printer, print_format_t format);
void printer_fini(printer_t *printer);

// Formats one event; `*line` lives until the next call. Its end, '\n', stands behind `*size`.
// Returns 0; TALUS_ETOOLARGE: beyond PRINT_LINE_MAX, or no memory.
//
// Pretty: TIME SESSION TYPE ID [skip=CLIENT] PAYLOAD, the time local, a session of "(all)" for an
// event to everybody; the payload's first member is left out where it is a session_id that repeats
// the session.
// Below 120 columns the payload is compact (compact.h) and long sessions lose their middle.
// A failed command may take two rows more, for its error.
// JSON: {"origin","seq","prev","ts","session","type",["skip"],"data"}.
int printer_format(printer_t *printer, const talus_event_t *event, const char **line, size_t *size);

// Formats a gap of a session likewise: events that will not come.
// Pretty: a line of dashes in place of time and id, in red where lines are coloured.
// JSON: {"type":"gap","session","origin","after","first","reason"}; no event has that type.
int printer_format_gap(printer_t *printer, const char *session, const talus_gap_t *gap,
                       const char **line, size_t *size);

#endif
