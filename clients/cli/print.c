// SPDX-License-Identifier: MIT
#include "clients/cli/print.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clients/cli/compact.h"

#define DIM     "\033[2m"
#define RED     "\033[31m"
#define GREEN   "\033[32m"
#define YELLOW  "\033[33m"
#define BLUE    "\033[34m"
#define MAGENTA "\033[35m"
#define CYAN    "\033[36m"
#define RESET   "\033[0m"

#define EVERYBODY "(all)"
#define ELLIPSIS  "\xe2\x80\xa6"

enum {
    WIDE_TERMINAL = 120,  // columns from which a UUID stands whole
    SESSION_COLUMNS = 16, // of a session on a narrower one
    UUID_COLUMNS = 36,
    SESSION_FIRST = 6,    // widths to begin with, so that lines of common events stay aligned
    TYPE_FIRST = 17,      // "command-executing"
    ID_FIRST = 16,        // an origin of 12 and three digits
    PAYLOAD_COLUMNS = 16, // at least, however long the rest
    FAILURE_ROWS = 2,     // more, for what went wrong
    PAYLOAD_FIRST = 4096, // bytes
};

void printer_init(printer_t *printer, print_format_t format)
{
    *printer = (printer_t){
        .format = format,
        .session_width = SESSION_FIRST,
        .type_width = TYPE_FIRST,
        .id_width = ID_FIRST,
    };
    text_init(&printer->payload, PRINT_LINE_MAX);
    text_init(&printer->line, PRINT_LINE_MAX);
}

void printer_fini(printer_t *printer)
{
    text_fini(&printer->payload);
    text_fini(&printer->line);
}

static bool is_narrow(const printer_t *printer)
{
    return printer->columns > 0 && printer->columns < WIDE_TERMINAL;
}

static int encode_payload(text_t *payload, const talus_event_t *event)
{
    size_t room =
        payload->buffer.capacity > PAYLOAD_FIRST ? payload->buffer.capacity : PAYLOAD_FIRST;
    for (;;) {
        text_clear(payload);
        char *place = text_reserve(payload, room);
        if (!place)
            return TALUS_ETOOLARGE;
        size_t written;
        talus_error_t error =
            talus_json_encode(event->data, event->data_size, NULL, NULL, place, room, &written);
        if (error == TALUS_ETOOLARGE && written > room) {
            room = written;
            continue;
        }
        payload->buffer.size = error ? 0 : written;
        return error;
    }
}

static void format_json(text_t *line, const talus_event_t *event, const text_t *payload)
{
    text_append_string(line, "{\"origin\":");
    text_append_json_string(line, event->origin);
    text_append_format(line, ",\"seq\":%" PRIu64 ",\"prev\":%" PRIu64 ",\"ts\":%" PRIu64,
                       event->seq, event->prev, event->ts);
    text_append_string(line, ",\"session\":");
    text_append_json_string(line, event->session);
    text_append_string(line, ",\"type\":");
    text_append_json_string(line, event->type);
    if (event->except[0]) {
        text_append_string(line, ",\"skip\":");
        text_append_json_string(line, event->except);
    }
    text_append_string(line, ",\"data\":");
    text_append_safe(line, text_bytes(payload), text_size(payload));
    text_append(line, "}", 1);
}

static bool is_failure(const talus_event_t *event)
{
    talus_value_t success;
    return strcmp(event->type, talus_type_command_executed) == 0 &&
           talus_event_field(event, "success", &success) == 0 && success.type == TALUS_BOOL &&
           !success.as.boolean;
}

static const char *type_colour(const talus_event_t *event)
{
    static const struct {
        const char *prefix, *colour;
    } families[] = {
        {"node-", GREEN},   {"property-", YELLOW}, {"command-", BLUE},
        {"session-", CYAN}, {"undo", MAGENTA},     {"redo", MAGENTA},
    };
    if (is_failure(event))
        return RED;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (strncmp(event->type, families[i].prefix, strlen(families[i].prefix)) == 0)
            return families[i].colour;
    return "";
}

// Appends `text` in `colour`, then spaces up to `width` columns (which grows to the text's own) and
// one more.
static void append_column(printer_t *printer, const char *colour, const char *text, size_t columns,
                          size_t *width)
{
    bool is_coloured = printer->is_coloured && colour[0];
    if (columns > *width)
        *width = columns;
    if (is_coloured)
        text_append_string(&printer->line, colour);
    text_append_string(&printer->line, text);
    if (is_coloured)
        text_append_string(&printer->line, RESET);
    text_append_spaces(&printer->line, *width - columns + 1);
}

static void append_time(printer_t *printer, uint64_t ts)
{
    char text[32] = "--:--:--.---";
    time_t seconds = (time_t)(ts / 1000000);
    struct tm local;
    if (localtime_r(&seconds, &local)) {
        size_t size = strftime(text, sizeof(text), "%H:%M:%S", &local);
        snprintf(text + size, sizeof(text) - size, ".%03u", (unsigned)(ts / 1000 % 1000));
    }
    size_t width = strlen(text);
    append_column(printer, DIM, text, width, &width);
}

// On a narrow terminal a long type moves the rest of its own line alone.
static void append_type(printer_t *printer, const talus_event_t *event)
{
    size_t columns = strlen(event->type);
    size_t own_width = columns > TYPE_FIRST ? columns : TYPE_FIRST;
    append_column(printer, type_colour(event), event->type, columns,
                  is_narrow(printer) ? &own_width : &printer->type_width);
}

// A session longer than its column keeps its beginning and its end, which tell UUIDs apart.
static void append_session(printer_t *printer, const char *session)
{
    if (!session[0])
        session = EVERYBODY;
    size_t size = strlen(session);
    size_t most = printer->columns == 0               ? TALUS_SESSION_MAX
                  : printer->columns >= WIDE_TERMINAL ? UUID_COLUMNS
                                                      : SESSION_COLUMNS;
    if (size <= most) {
        append_column(printer, "", session, size, &printer->session_width);
        return;
    }
    char text[UUID_COLUMNS + sizeof(ELLIPSIS)];
    int tail = (int)(most - 1) / 2;
    int head = (int)most - 1 - tail;
    snprintf(text, sizeof(text), "%.*s" ELLIPSIS "%s", head, session, session + size - tail);
    append_column(printer, "", text, most, &printer->session_width);
}

static void append_skip(text_t *line, const char *except)
{
    if (!except[0])
        return;
    text_append_string(line, "skip=");
    text_append_safe(line, except, strlen(except));
    text_append(line, " ", 1);
}

// Whether the payload starts with a session_id that the line has already; a session id needs no
// escapes, so its JSON is known.
static bool repeats_session(const text_t *payload, const char *session, size_t *size)
{
    char member[TALUS_SESSION_MAX + 32];
    int length = snprintf(member, sizeof(member), "{\"session_id\":\"%s\"", session);
    if (length < 0 || (size_t)length >= text_size(payload) || (size_t)length >= sizeof(member) ||
        memcmp(text_bytes(payload), member, (size_t)length) != 0)
        return false;
    char next = text_bytes(payload)[length];
    *size = (size_t)length + (next == ',');
    return next == ',' || next == '}';
}

static void append_json_payload(printer_t *printer, const talus_event_t *event)
{
    size_t left_out = 0;
    if (repeats_session(&printer->payload, event->session, &left_out))
        text_append(&printer->line, "{", 1);
    text_append_safe(&printer->line, text_bytes(&printer->payload) + left_out,
                     text_size(&printer->payload) - left_out);
}

static void append_payload(printer_t *printer, const talus_event_t *event, size_t columns_before)
{
    text_t *line = &printer->line;
    size_t start = text_size(line);
    if (is_narrow(printer))
        compact_append(line, event->type, event->session, text_bytes(&printer->payload),
                       text_size(&printer->payload));
    else
        append_json_payload(printer, event);
    if (printer->columns == 0 || line->has_failed)
        return;
    size_t room = printer->columns > columns_before + PAYLOAD_COLUMNS
                      ? printer->columns - columns_before
                      : PAYLOAD_COLUMNS;
    if (is_failure(event))
        room += FAILURE_ROWS * printer->columns;
    if (text_fit(text_bytes(line) + start, text_size(line) - start, room) <
        text_size(line) - start) {
        line->buffer.size =
            start + text_fit(text_bytes(line) + start, text_size(line) - start, room - 1);
        text_append_string(line, ELLIPSIS);
    }
}

// The columns that a line of ours takes: its colours take none.
static size_t visible_columns(const char *line, size_t size)
{
    size_t columns = 0;
    while (size > 0) {
        size_t plain = 0;
        while (plain < size && line[plain] != '\033')
            plain++;
        columns += text_columns(line, plain);
        while (plain < size && line[plain] != 'm')
            plain++;
        plain += plain < size;
        line += plain;
        size -= plain;
    }
    return columns;
}

static void format_pretty(printer_t *printer, const talus_event_t *event)
{
    text_t *line = &printer->line;
    append_time(printer, event->ts);
    append_session(printer, event->session);
    append_type(printer, event);
    append_column(printer, DIM, event->id, strlen(event->id), &printer->id_width);
    append_skip(line, event->except);
    size_t columns = line->has_failed ? 0 : visible_columns(text_bytes(line), text_size(line));
    append_payload(printer, event, columns);
}

static int finish_line(printer_t *printer, const char **line, size_t *size)
{
    text_append(&printer->line, "\n", 1);
    if (printer->line.has_failed)
        return TALUS_ETOOLARGE;
    *line = text_bytes(&printer->line);
    *size = text_size(&printer->line) - 1;
    return 0;
}

int printer_format(printer_t *printer, const talus_event_t *event, const char **line, size_t *size)
{
    int error = encode_payload(&printer->payload, event);
    if (error)
        return error;
    text_clear(&printer->line);
    if (printer->format == PRINT_JSON)
        format_json(&printer->line, event, &printer->payload);
    else
        format_pretty(printer, event);
    return finish_line(printer, line, size);
}

static void format_gap_json(text_t *line, const char *session, const talus_gap_t *gap)
{
    const struct {
        const char *key, *value;
    } members[] = {
        {"{\"type\":", "gap"},         {",\"session\":", session},
        {",\"origin\":", gap->origin}, {",\"after\":", gap->after},
        {",\"first\":", gap->first},   {",\"reason\":", talus_gap_reason_name(gap->reason)},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        text_append_string(line, members[i].key);
        text_append_json_string(line, members[i].value);
    }
    text_append(line, "}", 1);
}

static void format_gap_pretty(printer_t *printer, const char *session, const talus_gap_t *gap)
{
    text_append_string(&printer->line, printer->is_coloured ? RED : "");
    text_append_format(
        &printer->line, "--:--:--.--- %s gap: events after %s and before %s are missing (%s)",
        session[0] ? session : EVERYBODY, gap->after,
        gap->first[0] ? gap->first : "whatever follows", talus_gap_reason_name(gap->reason));
    text_append_string(&printer->line, printer->is_coloured ? RESET : "");
}

int printer_format_gap(printer_t *printer, const char *session, const talus_gap_t *gap,
                       const char **line, size_t *size)
{
    text_clear(&printer->line);
    if (printer->format == PRINT_JSON)
        format_gap_json(&printer->line, session, gap);
    else
        format_gap_pretty(printer, session, gap);
    return finish_line(printer, line, size);
}
