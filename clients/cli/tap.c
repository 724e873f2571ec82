// SPDX-License-Identifier: MIT
// `talus tap`: prints events as they come.
//
// One thread, one loop: poll the subscriber, the signals and standard output (whose reader may
// go away while nothing happens), then take what there is, a bounded number a turn.
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <talus.h>

#include "clients/cli/clock.h"
#include "clients/cli/commands.h"
#include "clients/cli/endpoint.h"
#include "clients/cli/output.h"
#include "clients/cli/print.h"
#include "clients/cli/report.h"
#include "clients/cli/signals.h"

enum { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };
enum { NARROWEST = 80, EVENTS_PER_TURN = 256 };

typedef struct tap_values {
    option_list_t buses, sessions, types;
    uint64_t count; // 0: no end
    double timeout; // seconds; below 0: none
    int format;     // print_format_t
    int colour;
    bool is_full;
    unsigned directory_mode;
} tap_values_t;

// Why the tap ends.
typedef enum tap_end {
    TAP_RUNNING,
    TAP_COUNTED,
    TAP_TIMED_OUT,
    TAP_STOPPED, // by a signal, or since the reader has gone
    TAP_FAILED,  // reported
} tap_end_t;

typedef struct tap {
    const tap_values_t *values;
    talus_subscriber_t *subscriber;
    printer_t printer;
    int signals;
    bool is_terminal;
    uint64_t printed;
    size_t joins_left; // until every session is live
    double deadline;   // below 0: none
    tap_end_t end;
} tap_t;

static void on_live(tap_t *tap, const talus_delivery_t *delivery)
{
    if (!delivery->live.complete)
        report("not every publisher answered in time for session \"%s\": its events may be "
               "missing until it does",
               delivery->session);
    if (tap->joins_left > 0 && --tap->joins_left == 0)
        report("listening on %s", talus_subscriber_endpoint(tap->subscriber));
}

static bool is_wanted(const tap_values_t *values, const talus_event_t *event)
{
    for (size_t i = 0; i < values->types.count; i++)
        if (fnmatch(values->types.items[i], event->type, 0) == 0)
            return true;
    return values->types.count == 0;
}

// The terminal's columns; 0 where there is no need to cut. Asked each time, since windows change.
static size_t columns_of(const tap_t *tap)
{
    struct winsize window;
    if (!tap->is_terminal || tap->values->is_full)
        return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) != 0 || window.ws_col < NARROWEST)
        return NARROWEST;
    return window.ws_col;
}

static tap_end_t write_line(tap_t *tap, const char *line, size_t size)
{
    switch (output_write(line, size, tap->signals, tap->deadline)) {
    case OUTPUT_WRITTEN:
        break;
    case OUTPUT_CLOSED:
        return TAP_STOPPED;
    case OUTPUT_STOPPED:
        return signals_pending(tap->signals) ? TAP_STOPPED : TAP_TIMED_OUT;
    case OUTPUT_FAILED:
        return TAP_FAILED;
    }
    return TAP_RUNNING;
}

static tap_end_t on_event(tap_t *tap, const talus_event_t *event)
{
    const char *line;
    size_t size;
    if (!is_wanted(tap->values, event))
        return TAP_RUNNING;
    tap->printer.columns = columns_of(tap);
    int error = printer_format(&tap->printer, event, &line, &size);
    if (error) {
        report("event %s cannot be printed: %s", event->id, talus_strerror(error));
        return TAP_RUNNING;
    }
    tap_end_t end = write_line(tap, line, size + 1);
    if (end != TAP_RUNNING)
        return end;
    tap->printed++;
    return tap->printed == tap->values->count ? TAP_COUNTED : TAP_RUNNING;
}

// Printed whatever types are wanted: nobody knows what is missing.
static tap_end_t on_gap(tap_t *tap, const char *session, const talus_gap_t *gap)
{
    const char *line;
    size_t size;
    int error = printer_format_gap(&tap->printer, session, gap, &line, &size);
    if (error) {
        report("a gap of session \"%s\" cannot be printed: %s", session, talus_strerror(error));
        return TAP_RUNNING;
    }
    return write_line(tap, line, size + 1);
}

// Takes what there is. Returns whether there may be more.
static bool receive(tap_t *tap)
{
    for (int i = 0; i < EVENTS_PER_TURN && tap->end == TAP_RUNNING; i++) {
        const talus_delivery_t *delivery;
        talus_error_t error = talus_subscriber_receive(tap->subscriber, 0, &delivery);
        if (error == TALUS_ETIMEOUT)
            return false;
        if (error) {
            report("cannot receive: %s",
                   error == TALUS_ESYSTEM ? strerror(errno) : talus_strerror(error));
            tap->end = TAP_FAILED;
        } else if (delivery->kind == TALUS_DELIVERY_LIVE) {
            on_live(tap, delivery);
        } else if (delivery->kind == TALUS_DELIVERY_GAP) {
            tap->end = on_gap(tap, delivery->session, &delivery->gap);
        } else if (delivery->kind == TALUS_DELIVERY_EVENT) {
            tap->end = on_event(tap, delivery->event);
        }
    }
    return true;
}

static void run(tap_t *tap)
{
    bool has_more = true;
    while (tap->end == TAP_RUNNING) {
        struct pollfd watched[] = {
            {.fd = talus_subscriber_descriptor(tap->subscriber), .events = POLLIN},
            {.fd = tap->signals, .events = POLLIN},
            {.fd = STDOUT_FILENO, .events = 0},
        };
        int wait_ms = has_more ? 0 : tap->deadline < 0 ? -1 : clock_left_ms(tap->deadline);
        if (poll(watched, 3, wait_ms) < 0 && errno != EINTR) {
            report("cannot wait for events: %s", strerror(errno));
            tap->end = TAP_FAILED;
        } else if (watched[1].revents || watched[2].revents & (POLLERR | POLLHUP)) {
            tap->end = TAP_STOPPED;
        } else if (tap->deadline >= 0 && clock_left_ms(tap->deadline) == 0) {
            tap->end = TAP_TIMED_OUT;
        } else {
            has_more = receive(tap);
        }
    }
}

static int join(tap_t *tap)
{
    static const option_list_t everything = {.count = 1, .items = {"*"}};
    const option_list_t *sessions = &tap->values->sessions;
    if (sessions->count == 0)
        sessions = &everything;
    for (size_t i = 0; i < sessions->count; i++) {
        talus_error_t error = talus_subscriber_join(tap->subscriber, sessions->items[i]);
        if (error) {
            report("cannot join session \"%s\": %s", sessions->items[i], talus_strerror(error));
            return EXIT_FAILED;
        }
    }
    tap->joins_left = sessions->count;
    return EXIT_DONE;
}

// Whatever did not reach the printed lines is told, so that nobody takes them for the whole.
static void report_losses(const talus_subscriber_t *subscriber)
{
    talus_subscriber_stats_t stats;
    talus_subscriber_stats(subscriber, &stats);
    if (stats.gaps)
        report("events are missing: %" PRIu64 " gaps in the sequences of their publishers",
               stats.gaps);
    if (stats.malformed)
        report("%" PRIu64 " messages were dropped: they are no Talus events", stats.malformed);
    if (stats.refused_bounds)
        report("%" PRIu64 " events were dropped: too large, nested too deep, or with too many "
               "binary values",
               stats.refused_bounds);
}

static int status_of(const tap_t *tap)
{
    if (tap->end == TAP_TIMED_OUT && tap->values->count > 0) {
        report("the time ran out after %" PRIu64 " of %" PRIu64 " events", tap->printed,
               tap->values->count);
        return EXIT_FAILED;
    }
    return tap->end == TAP_FAILED ? EXIT_FAILED : EXIT_DONE;
}

static bool is_coloured(const tap_values_t *values, bool is_terminal)
{
    const char *no_colour = getenv("NO_COLOR");
    bool is_unwanted = no_colour && no_colour[0];
    return values->colour == COLOUR_ALWAYS ||
           (values->colour == COLOUR_AUTO && is_terminal && !is_unwanted);
}

static int tap_bus(const tap_values_t *values, const char *endpoint)
{
    tap_t tap = {.values = values, .is_terminal = isatty(STDOUT_FILENO)};
    tap.deadline = values->timeout < 0 ? -1 : clock_now() + values->timeout;
    tap.signals = signals_open();
    if (tap.signals < 0)
        return EXIT_FAILED;
    printer_init(&tap.printer, (print_format_t)values->format);
    tap.printer.is_coloured = is_coloured(values, tap.is_terminal);
    talus_subscriber_options_t options;
    talus_subscriber_options_init(&options);
    options.directory_mode = values->directory_mode;
    talus_error_t error = talus_subscriber_new(&tap.subscriber, endpoint, &options);
    int status = error ? report_bus_error("listen", endpoint, error) : join(&tap);
    if (status == EXIT_DONE) {
        run(&tap);
        report_losses(tap.subscriber);
        status = status_of(&tap);
    }
    talus_subscriber_destroy(&tap.subscriber);
    printer_fini(&tap.printer);
    signals_close(tap.signals);
    return status;
}

static bool check_sessions(const option_list_t *sessions)
{
    for (size_t i = 0; i < sessions->count; i++) {
        const char *session = sessions->items[i];
        if (session[0] && strcmp(session, "*") != 0 &&
            talus_session_check(session, strlen(session)) != 0) {
            report(
                "--session takes a session id (1 to %d of A-Z a-z 0-9 . _ : @ -), \"*\" or \"\", "
                "not \"%s\"",
                TALUS_SESSION_MAX, session);
            return false;
        }
    }
    return true;
}

static int run_tap(int argc, char **argv)
{
    tap_values_t values = {.timeout = -1, .directory_mode = 0700};
    char endpoint[ENDPOINT_MAX];
    int operands;
    options_result_t parsed = options_parse(&tap_command, argc, argv, &values, &operands);
    if (parsed != OPTIONS_PARSED)
        return parsed == OPTIONS_HELP ? EXIT_DONE : EXIT_USAGE;
    if (!check_sessions(&values.sessions))
        return EXIT_USAGE;
    int status = endpoint_resolve(&values.buses, false, endpoint);
    return status != EXIT_DONE ? status : tap_bus(&values, endpoint);
}

static const char *const formats[] = {"pretty", "json", NULL};
static const char *const colours[] = {"auto", "always", "never", NULL};

static const option_spec_t options[] = {
    {.name = "bus",
     .kind = OPTION_LIST,
     .offset = offsetof(tap_values_t, buses),
     .argument = "ENDPOINT",
     .help = "Endpoint to listen on, repeatable: ipc://DIRECTORY/* or a ZeroMQ endpoint, which is "
             "connected to, or bound if it starts with @. Default: $TALUS_BUS, else the user's bus "
             "directory."},
    {.name = "directory-mode",
     .kind = OPTION_MODE,
     .offset = offsetof(tap_values_t, directory_mode),
     .argument = "MODE",
     .help = "Octal mode of a bus directory that this command creates: 0770 for a group. "
             "Default: 0700."},
    {.name = "session",
     .kind = OPTION_LIST,
     .offset = offsetof(tap_values_t, sessions),
     .argument = "ID",
     .help = "Only events of this session; '' for events for everybody. Repeatable. Default: "
             "everything."},
    {.name = "type",
     .kind = OPTION_LIST,
     .offset = offsetof(tap_values_t, types),
     .argument = "GLOB",
     .help = "Only events whose type matches, such as 'node-*'. Repeatable."},
    {.name = "count",
     .kind = OPTION_INTEGER,
     .offset = offsetof(tap_values_t, count),
     .argument = "N",
     .min = 1,
     .max = 1e12,
     .help = "End after N events."},
    {.name = "timeout",
     .kind = OPTION_TIME,
     .offset = offsetof(tap_values_t, timeout),
     .argument = "SECONDS",
     .min = 0,
     .max = 1e6,
     .help = "End after this time; with exit status 1 if --count was given and not reached."},
    {.name = "format",
     .kind = OPTION_CHOICE,
     .offset = offsetof(tap_values_t, format),
     .argument = "FORMAT",
     .choices = formats,
     .help = "pretty (default) for people, or json: one object a line with origin, seq, prev, ts, "
             "session, type and data."},
    {.name = "full",
     .kind = OPTION_FLAG,
     .offset = offsetof(tap_values_t, is_full),
     .help = "Print whole payloads, as JSON, also on a terminal, where pretty lines are otherwise "
             "cut to its width."},
    {.name = "color",
     .kind = OPTION_CHOICE,
     .offset = offsetof(tap_values_t, colour),
     .argument = "WHEN",
     .choices = colours,
     .help = "auto (default: on a terminal, unless NO_COLOR is set), always or never."},
};

const command_t tap_command = {
    .name = "tap",
    .usage = "[OPTION]…",
    .summary = "Print the events of a bus as they come.",
    .details =
        "\"listening on …\" on standard error means that every event from now on is printed. "
        "Ctrl-C ends it. Lost events are reported at the end.\n"
        "\n"
        "Examples:\n"
        "  talus tap --session demo\n"
        "  talus tap --type 'node-*' --format json | jq .data.node_id",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .max_operands = 0,
    .run = run_tap,
};
