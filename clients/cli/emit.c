// SPDX-License-Identifier: MIT
// `talus emit`: publishes one event, or one for each line of standard input.
//
// The arguments are checked, a payload among them included, before anything is opened. Whatever
// waits does so in slices, between which a signal is heard.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <talus.h>

#include "clients/cli/clock.h"
#include "clients/cli/commands.h"
#include "clients/cli/endpoint.h"
#include "clients/cli/json_to_msgpack.h"
#include "clients/cli/lines.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/signals.h"

enum { LINE_MAX_BYTES = 8 << 20, SLICE_MS = 50 };

typedef struct emit_values {
    option_list_t buses;
    const char *except; // NULL: none
    double wait;        // seconds
    double timeout;     // seconds
    unsigned directory_mode;
} emit_values_t;

typedef struct emit {
    const emit_values_t *values;
    const char *session, *type;
    const char *json; // NULL: none; "-": from standard input
    char endpoint[ENDPOINT_MAX];
    talus_broadcaster_options_t options;
    talus_broadcaster_t *broadcaster;
    int signals;
    struct tl_buffer payload;
    uint64_t emitted;
    bool is_reader_gone; // of the ids; the events are what matters
} emit_t;

static int interrupted(const emit_t *emit)
{
    report("interrupted after %" PRIu64 " events", emit->emitted);
    return EXIT_FAILED;
}

// Waits, up to the next slice's end or `deadline`, until what was emitted has been handed over.
static talus_error_t flush_slice(emit_t *emit, double deadline)
{
    int left = clock_left_ms(deadline);
    return talus_broadcaster_flush(emit->broadcaster, left < SLICE_MS ? left : SLICE_MS);
}

static int flush(emit_t *emit)
{
    double deadline = clock_now() + emit->values->timeout;
    talus_error_t error;
    while ((error = flush_slice(emit, deadline)) == TALUS_ETIMEOUT) {
        if (signals_pending(emit->signals))
            return interrupted(emit);
        if (clock_left_ms(deadline) == 0)
            break;
    }
    if (error == 0)
        return EXIT_DONE;
    report("not everything could be handed over: %s%s", talus_strerror(error),
           error == TALUS_ETIMEOUT ? "; give it longer with --timeout SECONDS" : "");
    return EXIT_FAILED;
}

// Emits, waiting while the queue is full. Returns what talus_emit does, or TALUS_ETIMEOUT: a
// signal came or the time ran out.
static talus_error_t emit_when_there_is_room(emit_t *emit, const talus_emit_t *event,
                                             talus_event_id_t *id)
{
    double deadline = clock_now() + emit->values->timeout;
    talus_error_t error;
    while ((error = talus_emit(emit->broadcaster, event, id)) == TALUS_EQUEUEFULL) {
        talus_error_t waited = flush_slice(emit, deadline);
        if (waited != 0 && waited != TALUS_ETIMEOUT)
            return waited;
        if (signals_pending(emit->signals) || clock_left_ms(deadline) == 0)
            return TALUS_ETIMEOUT;
    }
    return error;
}

static bool is_payload_error(talus_error_t error)
{
    return error == TALUS_ETOOLARGE || error == TALUS_ETOODEEP || error == TALUS_ETOOMANYBIN ||
           error == TALUS_EPLACEHOLDER || error == TALUS_EMSGPACK;
}

static int print_id(emit_t *emit, const talus_event_id_t *id)
{
    char line[sizeof(id->text) + 1];
    int size = snprintf(line, sizeof(line), "%s\n", id->text);
    if (emit->is_reader_gone)
        return EXIT_DONE;
    switch (output_write(line, (size_t)size, emit->signals, -1)) {
    case OUTPUT_WRITTEN:
        break;
    case OUTPUT_CLOSED:
        emit->is_reader_gone = true;
        break;
    case OUTPUT_STOPPED:
        return interrupted(emit);
    case OUTPUT_FAILED:
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

// Emits what is in emit->payload (nothing: an empty map). `where` begins the line of an error.
// Returns an exit status: EXIT_USAGE if the payload is the cause.
static int emit_payload(emit_t *emit, const char *where)
{
    talus_emit_t event = {
        .session = emit->session,
        .type = emit->type,
        .data = emit->payload.size ? emit->payload.bytes : NULL,
        .data_size = emit->payload.size,
        .except = emit->values->except,
    };
    talus_event_id_t id;
    talus_error_t error = emit_when_there_is_room(emit, &event, &id);
    if (error == 0) {
        emit->emitted++;
        return print_id(emit, &id);
    }
    if (error == TALUS_ETIMEOUT && signals_pending(emit->signals))
        return interrupted(emit);
    if (error == TALUS_ETIMEOUT)
        report("%sthe bus took no event for %g s; give it longer with --timeout SECONDS", where,
               emit->values->timeout);
    else
        report("%s%s", where, talus_strerror(error));
    return is_payload_error(error) ? EXIT_USAGE : EXIT_FAILED;
}

static bool is_blank(const char *line, size_t size)
{
    size_t i = 0;
    while (i < size && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r'))
        i++;
    return i == size;
}

// Returns EXIT_USAGE for a bad line, EXIT_FAILED for what ends the reading.
static int emit_line(emit_t *emit, uint64_t number, const char *line, size_t size)
{
    char where[48], error[JSON_ERROR_SIZE];
    if (is_blank(line, size))
        return EXIT_DONE;
    snprintf(where, sizeof(where), "line %" PRIu64 ": ", number);
    if (json_to_msgpack(line, size, &emit->payload, error))
        return emit_payload(emit, where);
    report("%snot usable JSON: %s", where, error);
    return EXIT_USAGE;
}

static int emit_lines(emit_t *emit)
{
    lines_t lines;
    lines_init(&lines, STDIN_FILENO, LINE_MAX_BYTES);
    int status = EXIT_DONE, line_status = EXIT_DONE;
    bool is_at_end = false;
    while (!is_at_end && line_status != EXIT_FAILED) {
        const char *line;
        size_t size;
        switch (lines_next(&lines, emit->signals, &line, &size)) {
        case LINES_LINE:
            line_status = emit_line(emit, lines.number, line, size);
            break;
        case LINES_TOO_LONG:
            report("line %" PRIu64 ": longer than %d bytes", lines.number, LINE_MAX_BYTES);
            line_status = EXIT_USAGE;
            break;
        case LINES_END:
            is_at_end = true;
            line_status = EXIT_DONE;
            break;
        case LINES_STOPPED:
            line_status = interrupted(emit);
            break;
        case LINES_FAILED:
            report("cannot read standard input: %s", strerror(errno));
            line_status = EXIT_FAILED;
            break;
        }
        if (line_status != EXIT_DONE)
            status = EXIT_FAILED;
    }
    lines_fini(&lines);
    return status;
}

static int report_not_ready(const emit_t *emit, talus_error_t error, size_t ready)
{
    double seconds = emit->values->wait;
    if (error == TALUS_ENOSUBSCRIBER)
        report(
            "no subscriber came within %g s on \"%s\": start a gateway or \"talus tap\" there, or "
            "wait longer with --wait-subscriber SECONDS",
            seconds, emit->endpoint);
    else if (error != TALUS_ETIMEOUT)
        return report_bus_error("wait for subscribers", emit->endpoint, error);
    else if (ready == 0)
        report("no subscriber on \"%s\" was ready within %g s: wait longer with --wait-subscriber "
               "SECONDS",
               emit->endpoint, seconds);
    else {
        report("only %zu subscribers were ready within %g s; the others may miss events", ready,
               seconds);
        return EXIT_DONE;
    }
    return EXIT_FAILED;
}

static int wait_for_subscribers(emit_t *emit)
{
    double deadline = clock_now() + emit->values->wait;
    for (;;) {
        int left = clock_left_ms(deadline);
        size_t ready = 0;
        talus_error_t error = talus_broadcaster_wait_subscribers(
            emit->broadcaster, 1, left < SLICE_MS ? left : SLICE_MS, &ready);
        if (error == 0)
            return EXIT_DONE;
        if (signals_pending(emit->signals))
            return interrupted(emit);
        bool is_early = error == TALUS_ETIMEOUT || error == TALUS_ENOSUBSCRIBER;
        if (!is_early || left <= SLICE_MS)
            return report_not_ready(emit, error, ready);
    }
}

static int publish(emit_t *emit)
{
    emit->signals = signals_open();
    if (emit->signals < 0)
        return EXIT_FAILED;
    int status;
    talus_error_t error = talus_broadcaster_new(&emit->broadcaster, emit->endpoint, &emit->options);
    if (error)
        status = report_bus_error("publish", emit->endpoint, error);
    else
        status = wait_for_subscribers(emit);
    if (status == EXIT_DONE) {
        bool is_stream = emit->json && strcmp(emit->json, "-") == 0;
        status = is_stream ? emit_lines(emit) : emit_payload(emit, "");
        int flushed =
            emit->emitted > 0 && !signals_pending(emit->signals) ? flush(emit) : EXIT_DONE;
        if (status == EXIT_DONE)
            status = flushed;
    }
    // From here on a signal ends the program at once: closing may take the whole time-out.
    signals_close(emit->signals);
    error = talus_broadcaster_close(&emit->broadcaster);
    if (error && status == EXIT_DONE) {
        report(
            "not every subscriber was ready within %g s, so some may miss events; give it longer "
            "with --timeout SECONDS",
            emit->values->timeout);
        status = EXIT_FAILED;
    }
    return status;
}

static bool check_names(const emit_t *emit)
{
    talus_error_t error =
        emit->session[0] ? talus_session_check(emit->session, strlen(emit->session)) : 0;
    if (error) {
        report("SESSION \"%s\": %s; '' means everybody", emit->session, talus_strerror(error));
        return false;
    }
    error = talus_type_check(emit->type, strlen(emit->type));
    if (error) {
        report("TYPE \"%s\": %s", emit->type, talus_strerror(error));
        return false;
    }
    const char *except = emit->values->except;
    if (except && (!except[0] || strlen(except) > TALUS_EXCEPT_MAX)) {
        report("--skip takes a client id of 1 to %d bytes, not \"%s\"", TALUS_EXCEPT_MAX, except);
        return false;
    }
    return true;
}

static bool parse_payload(emit_t *emit)
{
    char error[JSON_ERROR_SIZE];
    if (!emit->json || strcmp(emit->json, "-") == 0 ||
        json_to_msgpack(emit->json, strlen(emit->json), &emit->payload, error))
        return true;
    report("the payload is not usable JSON: %s", error);
    return false;
}

static int run_emit(int argc, char **argv)
{
    emit_values_t values = {.wait = 0.5, .timeout = 10, .directory_mode = 0700};
    int operands;
    options_result_t parsed = options_parse(&emit_command, argc, argv, &values, &operands);
    if (parsed != OPTIONS_PARSED)
        return parsed == OPTIONS_HELP ? EXIT_DONE : EXIT_USAGE;
    emit_t emit = {
        .values = &values,
        .session = argv[operands],
        .type = argv[operands + 1],
        .json = operands + 2 < argc ? argv[operands + 2] : NULL,
    };
    if (!check_names(&emit))
        return EXIT_USAGE;
    int status = endpoint_resolve(&values.buses, true, emit.endpoint);
    if (status != EXIT_DONE)
        return status;
    talus_broadcaster_options_init(&emit.options);
    emit.options.directory_mode = values.directory_mode;
    emit.options.linger_ms = values.timeout < 0.1 ? 100 : (int)(values.timeout * 1000);
    tl_buffer_init(&emit.payload, emit.options.max_body);
    status = parse_payload(&emit) ? publish(&emit) : EXIT_USAGE;
    tl_buffer_fini(&emit.payload);
    return status;
}

static const option_spec_t options[] = {
    {.name = "bus",
     .kind = OPTION_LIST,
     .offset = offsetof(emit_values_t, buses),
     .argument = "ENDPOINT",
     .help = "Endpoint to publish on, repeatable: ipc://DIRECTORY/* or a ZeroMQ endpoint, which is "
             "connected to, or bound if it starts with @. Default: $TALUS_BUS, else the user's bus "
             "directory."},
    {.name = "directory-mode",
     .kind = OPTION_MODE,
     .offset = offsetof(emit_values_t, directory_mode),
     .argument = "MODE",
     .help = "Octal mode of a bus directory that this command creates: 0770 for a group. "
             "Default: 0700."},
    {.name = "skip",
     .kind = OPTION_TEXT,
     .offset = offsetof(emit_values_t, except),
     .argument = "CLIENT_ID",
     .help = "The Socket.IO client that must not receive it."},
    {.name = "wait-subscriber",
     .kind = OPTION_TIME,
     .offset = offsetof(emit_values_t, wait),
     .argument = "SECONDS",
     .min = 0,
     .max = 1e6,
     .help = "How long to wait until every running subscriber is ready; exit status 1 if there is "
             "none by then. Default: 0.5."},
    {.name = "timeout",
     .kind = OPTION_TIME,
     .offset = offsetof(emit_values_t, timeout),
     .argument = "SECONDS",
     .min = 0,
     .max = 1e6,
     .help = "How long handing the events to ZeroMQ may take. Default: 10."},
};

const command_t emit_command = {
    .name = "emit",
    .usage = "[OPTION]… SESSION TYPE [JSON | -]",
    .summary = "Publish an event, or one for each line of standard input.",
    .details =
        "SESSION '' means everybody. Without JSON the payload is {}; with - each line of "
        "standard input is one JSON value and becomes one event (blank lines are "
        "skipped; a bad line is reported, the others still go out, and the exit status is 1). "
        "An object whose only member is a text \"base64\" becomes a binary value. A JSON that "
        "starts with a minus goes after --. The ids of the events are printed, one a line.\n"
        "\n"
        "Examples:\n"
        "  talus emit demo node-deleted '{\"session_id\":\"demo\",\"node_id\":\"node-7\"}'\n"
        "  talus emit '' maintenance '{\"minutes\":5}'\n"
        "  jq -c '.[]' events.json | talus emit demo imported -",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .min_operands = 2,
    .max_operands = 3,
    .operands = "SESSION TYPE [JSON | -]",
    .run = run_emit,
};
